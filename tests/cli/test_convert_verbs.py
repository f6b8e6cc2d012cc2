"""quantize and export, as a shell sees them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

import tinsmith
from tests.models.predicting import predicting_spec
from tests.models.tiny_models import tiny_spec
from tinsmith import cli, models, quant
from tinsmith.compiler import build_tin
from tinsmith.compiler.program import read_program
from tinsmith.formats import gguf
from tinsmith.formats.tin import Tin
from tinsmith.models import Spec, family

NARROW = {"hidden_size": 96, "intermediate_size": 96, "num_attention_heads": 6}


@pytest.fixture(scope="module")
def spec() -> Spec:
    return tiny_spec(family.by_name("llama"), hidden_size=256, intermediate_size=288)


def shell(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert cli.main(list(arguments)) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_a_file_and_a_folder_come_out_alike(
    spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.save_gguf(spec, tmp_path / "in.gguf")
    models.save_hf(spec, tmp_path / "in")
    made = []
    for source in ("in.gguf", "in"):
        out = tmp_path / f"{source}.out.gguf"
        printed, errors = shell(capsys, "quantize", str(tmp_path / source), str(out), "--type", "q4_k_m")
        assert printed == f"{out}\n"
        assert "Q4_K_M: rows of 288 inputs don't fill Q4_K's blocks of 256: Q5_0 instead, in 1 of" in errors
        made.append(gguf.read(out))
    held = [{name: bytes(t.data) for name, t in file.tensors.items()} for file in made]  # type: ignore[arg-type]
    assert held[0] == held[1]


def test_an_importance_matrix_is_used(spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = struct.pack("<256f", *[1.0 + (k % 5) ** 3 for k in range(256)])
    name = b"blk.0.attn_q.weight"
    entry = struct.pack("<2i", 1, len(name)) + name + struct.pack("<2i", 1, 256) + weights
    (tmp_path / "i.dat").write_bytes(entry)
    models.save_gguf(spec, tmp_path / "in.gguf")
    models.save_hf(spec, tmp_path / "in")
    expected = quant.apply(spec, "Q4_K_M", {"layers.0.q": weights}).tensors["layers.0.q"].data
    assert expected != quant.apply(spec, "Q4_K_M").tensors["layers.0.q"].data
    for source in ("in.gguf", "in"):
        given = ["--type", "Q4_K_M", "--imatrix", str(tmp_path / "i.dat")]
        shell(capsys, "quantize", str(tmp_path / source), str(tmp_path / "out.gguf"), *given)
        assert models.load(tmp_path / "out.gguf").tensors["layers.0.q"].data == expected


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--type", "q9"], "--type q9: give a weight format, one of F32, F16, BF16, Q8_0"),
        (["--type", "q8_0", "--threads", "-1"], "--threads -1: give a whole number, at least 0"),
        (["--type", "q8_0", "--imatrix", "gone.dat"], "gone.dat: no such file"),
        (["--type", "q8_0"], "gone.gguf: no such file"),
        (
            ["--type", "iq3_nl"],
            "IQ3_NL is a format of tins; GGUF stores its weights as Q4_0. To make a tin and that",
        ),
    ],
)
def test_what_cannot_be_is_one_line(
    given: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["quantize", "gone.gguf", str(tmp_path / "out.gguf"), *given]) == 2
    assert why in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_tins_own_format_is_exact_in_its_gguf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.save_gguf(tiny_spec(family.by_name("llama"), **NARROW), tmp_path / "base.gguf")
    folder = tmp_path / "built"
    shell(capsys, "build", str(tmp_path / "base.gguf"), "--format", "iq3_nl", "--out", str(folder))
    made, sealed = folder / "base-iq3_nl.gguf", folder / "base-iq3_nl.tin"
    assert {t.type.name for t in gguf.read(made).tensors.values()} == {"F32", "Q4_0"}
    held = read_program(Tin(sealed).entry("program.bin")).tensors.values()
    assert {one.format for one in held} == {"F32", "Q4_0", "IQ3_NL"}
    assert tinsmith.load(sealed).logits([5, 6, 7]) == tinsmith.load(made).logits([5, 6, 7])
    _, errors = shell(capsys, "export", str(sealed), "--gguf", str(tmp_path / "after.gguf"))
    assert "GGUF has no IQ3_NL: Q4_0 there, the same weights, in" in errors
    assert (tmp_path / "after.gguf").read_bytes() == made.read_bytes()


def test_a_tin_is_exported_as_its_gguf(spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.save_gguf(spec, tmp_path / "before.gguf")
    build_tin(spec, tmp_path / "m.tin")
    printed, _ = shell(capsys, "export", str(tmp_path / "m.tin"), "--gguf", str(tmp_path / "after.gguf"))
    assert printed == f"{tmp_path / 'after.gguf'}\n"
    assert (tmp_path / "after.gguf").read_bytes() == (tmp_path / "before.gguf").read_bytes()
    given = ["--gguf", str(tmp_path / "x.gguf"), "--precision", "int4"]
    assert cli.main(["export", str(tmp_path / "m.tin"), *given]) == 2
    assert "--precision needs --onnx" in capsys.readouterr().err


@pytest.mark.parametrize(("chosen", "type"), [("q4_k_s", 14), ("q3_k_l", 13), ("iq2_s", 28), ("q5_0", 8)])
def test_the_gguf_of_a_build_comes_back_with_the_name_of_its_preset(
    spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str], chosen: str, type: int
) -> None:
    """Where most of its bytes have another: rows of 288 fall back."""
    models.save_gguf(spec, tmp_path / "base.gguf")
    shell(capsys, "build", str(tmp_path / "base.gguf"), "--format", chosen, "--out", str(tmp_path))
    made, sealed = (tmp_path / f"base-{chosen}.{ending}" for ending in ("gguf", "tin"))
    assert gguf.read(made).metadata["general.file_type"].value == type
    shell(capsys, "export", str(sealed), "--gguf", str(tmp_path / "after.gguf"))
    assert (tmp_path / "after.gguf").read_bytes() == made.read_bytes()


def test_a_layer_that_predicts_further_is_kept_where_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.save_gguf(predicting_spec(), tmp_path / "base.gguf")
    given = ["build", str(tmp_path / "base.gguf"), "--format", "q8_0", "--out", str(tmp_path), "--mtp"]
    shell(capsys, *given, "--name", "with")
    shell(capsys, *given[:-1], "--name", "without")
    files = {name: Tin(tmp_path / f"{name}-q8_0.tin") for name in ("with", "without")}
    assert "mtp/program.bin" in files["with"].names and "mtp/program.bin" not in files["without"].names
    kept = models.load(tmp_path / "with-q8_0.gguf", mtp=True)
    assert {kept.tensors[f"mtp.{part}"].format for part in ("fc", "q", "down")} == {"Q8_0"}
    both = [tinsmith.load(tmp_path / f"{name}-q8_0.tin").logits([5, 6, 7]) for name in files]
    assert both[0] == both[1]
    planned = [
        shell(capsys, "plan", str(tmp_path / "base.gguf"), "--target", "generic-x86_64-v3", "--json", *more)[0]
        for more in ([], ["--mtp"])
    ]
    assert json.loads(planned[1])["memory"]["weights"] > json.loads(planned[0])["memory"]["weights"]
    told = json.loads(shell(capsys, "inspect", str(tmp_path / "base.gguf"), "--json")[0])
    assert told["notes"] == ["the multi-token prediction layers are left out (15 tensors)"]
    assert cli.main([*given, "--format", "auto", "--bits", "5"]) == 2
    assert "--mtp: AUTO measures logits" in capsys.readouterr().err


def test_a_name_of_files_is_no_path(spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.save_gguf(spec, tmp_path / "base.gguf")
    words = ["build", str(tmp_path / "base.gguf"), "--format", "q8_0", "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--name", "../elsewhere"]) == 2
    assert "--name ../elsewhere: give a file name of letters" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.glob("elsewhere*"))
