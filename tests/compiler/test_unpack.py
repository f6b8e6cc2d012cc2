"""A tin gives back the GGUF file of the same model, byte for byte: every family, every weight format."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny_models import cases, in_format, tiny_spec
from tinsmith import models
from tinsmith.compiler import build_tin
from tinsmith.compiler.unpack import write_gguf
from tinsmith.errors import FormatError
from tinsmith.formats import tin, weights
from tinsmith.formats.weights import WEIGHT_FORMATS
from tinsmith.models import Spec, family


def returned(spec: Spec, folder: Path) -> None:
    models.save_gguf(spec, folder / "before.gguf")
    tensors = {
        role: weights.in_format(tensor, spec.tensors[role].format)
        for role, tensor in models.load(folder / "before.gguf").tensors.items()
    }
    build_tin(replace(spec, tensors=tensors), folder / "m.tin")
    write_gguf(folder / "m.tin", folder / "after.gguf")
    assert (folder / "after.gguf").read_bytes() == (folder / "before.gguf").read_bytes()


@pytest.mark.parametrize("case", cases())
def test_every_family_comes_back(case: str, tmp_path: Path) -> None:
    returned(tiny_spec(case), tmp_path)


@pytest.mark.parametrize("name", WEIGHT_FORMATS)
def test_every_format_comes_back(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in pieces, of rows that fill no whole number of tiles."""
    sizes = dict(hidden_size=256, intermediate_size=256, num_hidden_layers=1, num_attention_heads=16)
    spec = tiny_spec(family.by_name("llama"), **sizes)
    for module in ("program", "unpack"):
        monkeypatch.setattr(f"tinsmith.compiler.{module}._PIECE", 1)
    returned(in_format(spec, name), tmp_path)


def test_what_is_not_whole_is_refused(tmp_path: Path) -> None:
    spec = tiny_spec(family.by_name("llama"))
    build_tin(spec, tmp_path / "m.tin")
    held = tin.Tin(tmp_path / "m.tin")
    facts = {key: value for key, value in held.manifest.items() if key not in ("entries", "format", "version")}
    entries = {name: bytes(held.entry(name)) for name in held.names if name != tin.MANIFEST}

    def refused(changes: dict[str, bytes | None], why: str) -> None:
        changed = {name: data for name, data in (entries | changes).items() if data is not None}
        tin.write(tmp_path / "n.tin", list(changed.items()), facts)
        with pytest.raises(FormatError, match=why):
            write_gguf(tmp_path / "n.tin", tmp_path / "out.gguf")

    refused({"gguf.bin": None}, "has no gguf.bin; build it again")
    refused({"program.bin": entries["program.bin"][:100]}, "program.bin has 100 bytes; its header asks for")
    for at, value in ((72, 0), (88, 64)):  # the first tensor's inputs, and its bytes
        damaged = bytearray(entries["program.bin"])
        struct.pack_into("<I", damaged, at, value)
        refused({"program.bin": bytes(damaged)}, "tensor 0 has an impossible format or shape")
    refused({"gguf.bin": entries["gguf.bin"][:400]}, "truncated")
    other = tiny_spec(family.by_name("llama"), num_hidden_layers=3)
    refused({"gguf.bin": models.gguf_header(other, other.tensors)}, "'blk.2.attn_norm.weight' is not in")
    half = in_format(tiny_spec(family.by_name("llama")), "F16")
    refused({"gguf.bin": models.gguf_header(half, half.tensors)}, "disagree on 'token_embd.weight'")
    damaged = bytearray((tmp_path / "m.tin").read_bytes())
    damaged[damaged.index(entries["weights.bin"][:64])] ^= 1
    (tmp_path / "n.tin").write_bytes(damaged)
    with pytest.raises(FormatError, match="'weights.bin' does not have the SHA-256"):
        write_gguf(tmp_path / "n.tin", tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()
