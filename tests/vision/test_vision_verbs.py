"""Vision halves through inspect, build, quantize and merge."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models import random_adapters
from tests.models.tiny_models import tiny_spec
from tests.vision.vision_models import CASES
from tinsmith import cli, models
from tinsmith.compiler.build import build_image
from tinsmith.compiler.unpack import vision_of
from tinsmith.errors import FormatError
from tinsmith.formats.tin import Tin
from tinsmith.quant import vision as quantized
from tinsmith.train.merge import merge
from tinsmith.vision.facts import to_facts


def shell(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(list(arguments)) == 0
    return capsys.readouterr().out


def test_build_writes_both_halves_in_a_format(
    folder_of: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = models.load(folder_of("gemma3"))
    assert spec.vision is not None
    given = ["--name", "m", "--format", "q8_0", "--out", str(tmp_path)]
    printed = shell(capsys, "build", str(folder_of("gemma3")), *given).splitlines()
    model, tin, half = (tmp_path / name for name in ("m-q8_0.gguf", "m-q8_0.tin", "mmproj-m-q8_0.gguf"))
    assert printed == [str(model), str(tin), str(half)]
    assert models.load(model, half).vision == quantized.apply(spec.vision, "Q8_0")
    assert Tin(tin).manifest["vision"].items() >= json.loads(json.dumps(to_facts(spec.vision))).items()
    out = tmp_path / "back.gguf"
    shell(capsys, "export", str(tin), "--gguf", str(out))
    assert (tmp_path / "mmproj-back.gguf").read_bytes() == half.read_bytes()
    again = ["--name", "m", "--format", "q8_0", "--out", str(tmp_path / "again")]
    shell(capsys, "build", str(model), "--mmproj", str(half), "--kv", "f16", *again)
    assert (tmp_path / "again" / half.name).read_bytes() == half.read_bytes()
    assert Tin(tin).manifest["vision"]["kv"] == "q8"
    assert "kv" not in Tin(tmp_path / "again" / tin.name).manifest["vision"]
    assert cli.main(["build", str(model), "--kv", "f16", *again]) == 2
    assert "--kv is for a vision model, and this model has none" in capsys.readouterr().err
    for file, kv in ((tin, "q8"), (tmp_path / "again" / tin.name, "f16")):
        plan = json.loads(shell(capsys, "plan", str(file), "--target", "raspberrypi-5", "--json"))
        assert plan["memory"]["vision_kv"] == kv
    shown = json.loads(shell(capsys, "inspect", str(model), "--mmproj", str(half), "--json"))["vision"]
    assert shown["encoder"] == "siglip"
    assert shown["tensors"]["Q8_0"] > shown["tensors"]["F32"] / 8
    assert "vision" not in json.loads(shell(capsys, "inspect", str(model), "--json"))


def test_a_file_beside_a_model_without_vision_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody's, of the name that a vision model would have."""
    models.save_hf(tiny_spec("llama"), tmp_path / "base")
    half = tmp_path / "mmproj-m-q8_0.gguf"
    half.write_bytes(b"mine")
    given = ["--name", "m", "--format", "q8_0", "--out", str(tmp_path)]
    for command in (
        ["build", str(tmp_path / "base"), *given],
        ["quantize", str(tmp_path / "base"), str(tmp_path / "m-q8_0.gguf"), "--type", "q8_0"],
        ["export", str(tmp_path / "m-q8_0.tin"), "--gguf", str(tmp_path / "m-q8_0.gguf")],
    ):
        assert cli.main(command) == 0
        assert half.name not in capsys.readouterr().out
        assert half.read_bytes() == b"mine", command


@pytest.mark.parametrize("case", CASES)
def test_a_tin_gives_every_tensor_back(case: str, folder_of: Callable[[str], Path]) -> None:
    spec = models.load(folder_of(case))
    assert spec.vision is not None
    for vision in (spec.vision, quantized.apply(spec.vision, "Q8_0")):
        tin = Tin(build_image(dataclasses.replace(spec, vision=vision)))
        assert vision_of(tin) == vision


def test_quantize_of_a_folder_keeps_the_vision_half(
    folder_of: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.gguf"
    assert cli.main(["quantize", str(folder_of("smolvlm")), str(out), "--type", "f16"]) == 0
    assert "mmproj-m.gguf" in capsys.readouterr().err
    assert models.load(out, tmp_path / "mmproj-m.gguf").vision is not None


def test_merging_an_adapter_keeps_the_vision_half(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    spec = models.load(folder_of("smolvlm"))
    random_adapters.folder(spec, tmp_path / "adapter")
    merged = merge(spec, tmp_path / "adapter")
    assert merged.tensors["layers.0.q"] != spec.tensors["layers.0.q"]
    models.save_hf(merged, tmp_path / "merged")
    assert models.load(tmp_path / "merged").vision == spec.vision


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("image_std", [0.5, 0, 0.5], "std is [0.5, 0.0, 0.5]; each must be more than 0"),
        ("size", {"longest_edge": 10**7}, "of longest 10000000; it must be from 1 to 16384"),
        ("max_image_size", {"longest_edge": 5000}, "of edge 5000; it must be from 1 to 4096"),
    ],
)
def test_a_rule_that_cuts_no_image_is_refused(
    key: str, value: object, said: str, folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    """By the folder that says it, and not by the first image, or a self-test."""
    folder = tmp_path / "m"
    shutil.copytree(folder_of("smolvlm"), folder)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(FormatError, match=re.escape(said)):
        models.load(folder)


def test_what_goes_with_a_vision_half_is_said(
    folder_of: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = models.load(folder_of("smolvlm"))
    model, half, out = (tmp_path / name for name in ("m.gguf", "mmproj-m.gguf", "out.gguf"))
    models.save_gguf(spec, model)
    models.save_mmproj(spec, half)
    assert cli.main(["quantize", str(half), str(out), "--type", "q4_0"]) == 2
    assert "with --mmproj" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "mmproj-n.gguf").write_bytes(half.read_bytes())
    assert cli.main(["inspect", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "3 GGUF files (m.gguf, mmproj-m.gguf, mmproj-n.gguf)" in said
