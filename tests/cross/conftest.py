"""A tiny model that chats and sees, and what the tests of cross-built code need of this machine."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chat.test_chat_template import SMOLLM
from tests.models.effort import EFFORT
from tests.models.tiny_models import tiny_spec, with_vision
from tinsmith import cli, compiler, models, quant
from tinsmith.models import family


@pytest.fixture(scope="session")
def tiny_tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 1024}
    spec = with_vision(replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=SMOLLM))
    path = tmp_path_factory.mktemp("cross") / "tiny.tin"
    compiler.build_tin(quant.apply(spec, "Q8_0"), path)
    return path


@pytest.fixture(scope="session")
def smol_tin(base_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct in Q4_0, as `tinsmith build` makes it."""
    folder = tmp_path_factory.mktemp("smol")
    assert cli.main(["build", str(base_gguf), "--format", "q4_0", "--name", "smol", "--out", str(folder)]) == 0
    return folder / "smol-q4_0.tin"


@pytest.fixture(scope="session")
def cut_tin(base_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct in Q4_0 with the first 6 of its 30 layers; all of them with TINSMITH_EFFORT=5. They
    are alike in shape, and emulators take minutes for all."""
    whole = models.load(base_gguf)
    layers = min(whole.hyper.layers, 6 * EFFORT)
    past = {f"layers.{k}." for k in range(layers, whole.hyper.layers)}
    tensors = {role: one for role, one in whole.tensors.items() if not role.startswith(tuple(past))}
    spec = replace(whole, hyper=replace(whole.hyper, layers=layers), tensors=tensors)
    path = tmp_path_factory.mktemp("cut") / "cut.tin"
    compiler.build_tin(quant.apply(spec, "Q4_0"), path)
    return path


@pytest.fixture(autouse=True)
def _zig(request: pytest.FixtureRequest) -> None:
    if request.path.name != "test_firmware.py" and importlib.util.find_spec("ziglang") is None:
        pytest.skip("ziglang is not installed; it is in the dev extra")
