"""Python processes that tinsmith starts import nothing of the folder that somebody stands in."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith.bench.process import Worker
from tinsmith.compiler import build_tin
from tinsmith.cross import zig
from tinsmith.errors import TinsmithError
from tinsmith.evaluate import systems
from tinsmith.evaluate.answers import Item, Job
from tinsmith.hub import wheels
from tinsmith.models import family
from tinsmith.system import children

# What the children import, or Python for them.
NAMES = ["pip", "json", "tinsmith", "ziglang", "numpy", "signal", "pickle", "sitecustomize", "usercustomize"]
NAMES += ["multiprocessing", "encodings", "runpy", "onnxruntime"]


@pytest.fixture(params=["", os.pathsep, f"{os.pathsep}{os.pathsep}", f".{os.pathsep}"])
def trap(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: with modules that leave a mark. An empty entry of PYTHONPATH is the current folder
    too; "." is so by its user's own word, and is no trap."""
    folder = tmp_path / "here"
    folder.mkdir()
    if request.param != f".{os.pathsep}":
        for name in NAMES:
            (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'a').write('{name} ')\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", request.param + os.environ.get("PYTHONPATH", ""))
    return tmp_path / "mark"


def test_pip_is_the_one_that_is_installed(trap: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://index.example/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.path.relpath(tmp_path / "pip.conf"))  # still means the same
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert wheels._pip_settings()["index-url"] == "https://index.example/simple"
    assert not trap.exists(), trap.read_text()


def test_the_evaluation_worker(trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "tiny.tin"
    build_tin(replace(tiny_spec(family.by_name("llama")), chat_template=CHATML), path)
    job = Job(os.path.relpath(path), "digest", 1, 2, [Item([{"role": "user", "content": "the"}])])
    assert len(systems.ask("tiny", job, tmp_path / "eval", lambda done: None).answers) == 1
    assert not trap.exists(), trap.read_text()


def test_the_process_that_measures(trap: Path, tmp_path: Path) -> None:
    before = dict(os.environ)
    with pytest.raises(TinsmithError, match="absent.gguf"):
        Worker("native", tmp_path / "absent.gguf", None)
    assert dict(os.environ) == before
    assert not trap.exists(), trap.read_text()


def test_zig(trap: Path) -> None:
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("ziglang is not installed; it is in the dev extra")
    zig.version.cache_clear()
    assert zig.version()
    assert not trap.exists(), trap.read_text()


def test_no_python_is_started_in_another_way() -> None:
    """Each call of sys.executable goes through `children`, but for those that a user asked for, and the process
    that reads templates, which has neither environment nor packages."""
    package = Path(tinsmith.__file__).parent
    allowed = {
        "system/children.py",
        "pipeline/stages/data/make.py",
        "airgap/install.py",
        "chat/jinja_process.py",
    }
    there = [path for path in package.rglob("*.py") if "sys.executable" in path.read_text("utf-8")]
    assert {path.relative_to(package).as_posix() for path in there} == allowed


def test_a_child_of_an_isolated_python_is_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert children.python("-m", "pip") == [sys.executable, "-P", "-m", "pip"]
    monkeypatch.setattr(children, "_ISOLATED", True)
    assert children.python("-m", "pip")[1] == "-I"
