"""Encoders and projectors as ONNX, in onnxruntime beside transformers' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.vision.chat_models import with_words
from tests.vision.vision_models import CASES, features, save_random
from tinsmith import cli, models
from tinsmith.backends import onnx_vision
from tinsmith.compiler import build_tin
from tinsmith.quant import vision as quant_vision
from tinsmith.vision.image_rules import Square, Tiles

np = pytest.importorskip("numpy")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

EDGE = 32
# Worst error of a state as a share of their range.
BOUNDS = {"fp32": 1e-3, "fp16": 2e-3, "int8": 0.03, "int4": 0.2, "same": 1e-3}


def states(folder: Path, pixels: Any) -> Any:
    """pixels: [images][rows][columns][3]."""
    session = onnxruntime.InferenceSession(folder / onnx_vision.MODEL, providers=["CPUExecutionProvider"])
    given = {onnx_vision.INPUT: np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))}
    (made,) = session.run([onnx_vision.OUTPUT], given)
    return made


@pytest.mark.parametrize("case", ["smolvlm", "gemma3"])
def test_states_are_those_of_transformers(case: str, tmp_path: Path) -> None:
    model = save_random(case, tmp_path / "hf")
    vision = models.load(tmp_path / "hf").vision
    assert vision is not None
    pixels = np.random.default_rng(1).normal(0, 1, (2, EDGE, EDGE, 3)).astype(np.float32)
    theirs = np.stack([features(case, model, one) for one in pixels])
    for precision, bound in BOUNDS.items():
        (tmp_path / precision).mkdir()
        onnx_vision.export(vision, tmp_path / precision, precision)
        made = states(tmp_path / precision, pixels)
        assert made.shape == theirs.shape
        worst = float(np.abs(made - theirs).max() / np.ptp(theirs))
        print(f"{case} {precision}: {worst:.2g}")
        assert worst <= bound
        assert precision in ("fp32", "same") or worst > 1e-6
    # The blocks that a file has are kept.
    kept = quant_vision.apply(vision, "Q8_0")
    (tmp_path / "kept").mkdir()
    onnx_vision.export(kept, tmp_path / "kept", "same")
    assert states(tmp_path / "kept", pixels).tobytes() == states(tmp_path / "int8", pixels).tobytes()


@pytest.mark.parametrize("case", CASES)
def test_images_of_any_shape_have_no_graph(case: str, tmp_path: Path) -> None:
    save_random(case, tmp_path)
    vision = models.load(tmp_path).vision
    assert vision is not None
    reason = onnx_vision.why_not(vision)
    assert (reason is None) == isinstance(vision.image_rules, Square | Tiles)
    assert reason is None or "any shape" in reason


@pytest.mark.slow
def test_a_tin_with_vision_is_exported_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime_genai")
    for case, is_there in (("smolvlm", True), ("lfm2_vl", False)):
        save_random(case, tmp_path / case)
        tin, out = tmp_path / f"{case}.tin", tmp_path / f"{case}-onnx"
        build_tin(with_words(case, models.load(tmp_path / case)), tin)
        assert cli.main(["export", str(tin), "--onnx", str(out), "--precision", "fp32"]) == 0
        assert (out / "model.onnx").exists() and (out / onnx_vision.MODEL).exists() == is_there
        assert ("without the vision model" in capsys.readouterr().err) == (not is_there)
