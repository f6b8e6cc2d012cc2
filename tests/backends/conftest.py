"""A tiny llama with a chat template."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import cli
from tinsmith.compiler import build_tin
from tinsmith.models import Spec, family


@pytest.fixture(scope="session")
def spec() -> Spec:
    sizes = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
    }
    return replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML)


@pytest.fixture(scope="session")
def folder(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spec as a float32 ONNX folder, exported from a tin where the network can't be reached."""
    for module in ("onnxruntime_genai", "onnxruntime", "onnx", "torch", "transformers"):
        pytest.importorskip(module)
    out = tmp_path_factory.mktemp("onnx") / "tiny"
    build_tin(spec, out.with_suffix(".tin"))
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("TINSMITH_CACHE", str(out.with_name("cache")))
    with without_network(tmp_path_factory.mktemp("site")):
        tried = subprocess.run(
            [sys.executable, "-c", "import socket; socket.create_connection(('1.1.1.1', 80))"]
        )
        assert tried.returncode == 99
        assert (
            cli.main(["export", str(out.with_suffix(".tin")), "--onnx", str(out), "--precision", "fp32"]) == 0
        )
    monkeypatch.undo()
    return out


@contextmanager
def without_network(scratch: Path) -> Iterator[None]:
    """Python processes started meanwhile die at the first socket that leads off this machine."""
    (scratch / "sitecustomize.py").write_text(
        "import os, socket\n"
        "def refuse(*given, **named):\n"
        "    print('a connection was tried', flush=True)\n"
        "    os._exit(99)\n"
        "socket.socket.connect = socket.socket.connect_ex = refuse\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
    )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(scratch), before)))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
