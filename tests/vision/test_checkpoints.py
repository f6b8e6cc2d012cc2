"""Vision halves of folders that transformers wrote, and what of them a spec has."""

from __future__ import annotations

from pathlib import Path

import pytest
from vision_models import CASES, IMAGE, save_random

from tinsmith import models
from tinsmith.formats import safetensors
from tinsmith.vision.parts import tensors_of


@pytest.mark.parametrize("case", CASES)
def test_a_folder_s_vision_half_is_read_whole(case: str, tmp_path: Path) -> None:
    save_random(case, tmp_path)
    spec = models.load(tmp_path)
    assert spec.vision is not None
    assert spec.vision.tokens["image"] == IMAGE
    assert spec.vision.joint.dim == spec.hyper.dim
    stored = safetensors.read_folder(tmp_path)
    for name in tensors_of(spec.vision):
        assert bytes(spec.vision.tensors[name.role].data) == bytes(stored[name.hf].data), name.hf  # type: ignore[arg-type]
    assert not spec.notes
