"""llama.cpp behind a Model, beside the native runtime on the same file."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import tinsmith
from tinsmith import cli
from tinsmith.errors import FormatError
from tinsmith.models import Spec, save_gguf
from tinsmith.runtime import choices
from tinsmith.runtime.engine import open_engine

np = pytest.importorskip("numpy")
pytest.importorskip("llama_cpp")


@pytest.fixture(scope="module")
def gguf(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    save_gguf(spec, path)
    return path


@pytest.fixture(scope="module")
def model(gguf: Path) -> tinsmith.Model:
    return tinsmith.load(gguf, backend="llama.cpp", threads=1)


@pytest.fixture(scope="module")
def native(gguf: Path) -> tinsmith.Model:
    return tinsmith.load(gguf, threads=1)


def test_logits_are_the_native_ones(model: tinsmith.Model, native: tinsmith.Model) -> None:
    source = random.Random(2)
    tokens = [source.randrange(4, 260) for _ in range(300)]
    ours, theirs = np.asarray(native.logits(tokens)), np.asarray(model.logits(tokens))
    reach = ours.max() - ours.min()
    assert np.abs(theirs - ours).max() <= 1e-3 * reach
    # Its own sums depend on how many tokens are computed at once.
    assert np.abs(np.asarray(model.logits(tokens, chunk=37)) - theirs).max() <= 3e-3 * reach


def test_a_cache_goes_back(gguf: Path, native: tinsmith.Model) -> None:
    source = random.Random(3)
    tokens = [source.randrange(4, 260) for _ in range(90)]
    whole = np.asarray(native.logits(tokens))
    engine = open_engine("llama.cpp", gguf, threads=1).engine
    engine.logits([*tokens[:30], 9, 9, 9], 1)
    for count, rows in ((50, 20), (40, 1), (90, 50)):
        computed = np.frombuffer(engine.logits(tokens[:count], rows), np.float32).reshape(rows, -1)
        assert np.abs(computed - whole[count - rows : count]).max() <= 3e-3 * (whole.max() - whole.min())


def test_a_conversation_outgrows_its_context(
    gguf: Path, native: tinsmith.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinsmith.backends import llama

    monkeypatch.setattr(llama, "_FIRST_CONTEXT", 32)
    small = tinsmith.load(gguf, backend="llama.cpp", threads=1)
    wanted = native.generate("the tin", max_tokens=60).token_ids
    assert small.generate("the tin", max_tokens=60).token_ids == wanted


def test_the_face_is_a_models(model: tinsmith.Model, native: tinsmith.Model, spec: Spec) -> None:
    assert model.info.backend.startswith("llama.cpp")
    assert model.info.formats == {"F32": len(spec.tensors)}
    assert model.info.parameters == native.info.parameters
    messages = [{"role": "user", "content": "in"}]
    for options in ({}, {"temperature": 1.0, "seed": 5, "min_p": 0.05}):
        ours = native.chat(messages, max_tokens=16, **options)
        assert model.chat(messages, max_tokens=16, **options).token_ids == ours.token_ids
    assert model.chat(messages, constraint=choices(["thin", "tin"])).text in ("thin", "tin")
    assert isinstance(model.json(messages, {"type": "integer", "minimum": 1, "maximum": 9}), int)
    chosen, expected = (one.choose(messages, ["in", "the"]) for one in (model, native))
    assert chosen.probabilities["in"] == pytest.approx(expected.probabilities["in"], rel=1e-2)


def test_what_it_does_not_read_is_one_line(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(FormatError, match=r"other\.bin"):
        tinsmith.load(tmp_path / "other.bin", backend="llama.cpp")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf.read_bytes().replace(b"blk.1.attn_q", b"blk.1.attn_z"))
    with pytest.raises(FormatError, match=r"broken\.gguf: llama\.cpp does not load it"):
        tinsmith.load(broken, backend="llama.cpp")


BESIDE_TORCH = """
import sys, torch, tinsmith
model = tinsmith.load(sys.argv[1], backend="llama.cpp", threads=1)
before = bytes(model.logits(range(4, 68)))
half = torch.ones(256, 256, dtype=torch.bfloat16)
half @ half
assert bytes(tinsmith.load(sys.argv[1], backend="llama.cpp", threads=1).logits(range(4, 68))) == before
"""


def test_torch_may_compute_in_between(spec: Spec, tmp_path: Path) -> None:
    """Where the processor has AMX, which both use: an illegal instruction otherwise."""
    pytest.importorskip("torch")
    save_gguf(spec, tmp_path / "tiny.gguf")
    small = tmp_path / "small.gguf"
    assert cli.main(["quantize", str(tmp_path / "tiny.gguf"), str(small), "--type", "q8_0"]) == 0
    every_set = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    subprocess.run([sys.executable, "-c", BESIDE_TORCH, str(small)], env=every_set, check=True)
