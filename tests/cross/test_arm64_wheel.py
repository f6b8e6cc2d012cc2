"""A wheel for 64-bit ARM, installed by pip into Debian's CPython for that processor, which qemu plays."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import click
import pytest

import tinsmith
from tests.cross import building
from tinsmith import cli, hub
from tinsmith.cross import runtime
from tinsmith.system import progress

ROOT = Path(__file__).parents[2]
SCRIPT = """
import platform, sys, tinsmith
assert platform.machine() == "aarch64", platform.machine()
assert "numpy" not in sys.modules
model = tinsmith.load(sys.argv[1])
print(model.info.isa)
print(model.chat([{"role": "user", "content": sys.argv[2]}], max_tokens=12).text)
"""
CALLER = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.tin_version.restype = ctypes.c_char_p
print(library.tin_version().decode(), library.tin_selfcheck(None))
"""


@pytest.fixture(scope="module")
def system() -> Path:
    """Debian's CPython for the processor, kept in the cache."""
    for program, package in {"qemu-aarch64": "qemu-user", "apt-get": "apt", "dpkg-deb": "dpkg"}.items():
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: apt-get install {package})")
    folder = hub.cache_folder() / "arm64-python"
    done = subprocess.run([ROOT / "scripts" / "arm64-python", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"Debian's packages could not be had: {done.stderr.strip()[-200:]}")
    return folder


def emulated(system: Path, *arguments: str | Path, site: Path = Path("none"), code: int = 0) -> str:
    """What the CPython of the system prints. site: where it finds more packages."""
    command = ["qemu-aarch64", "-cpu", "cortex-a76", "-L", system, system / "usr/bin/python3", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(site)})
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_answers_as_this_machine_does(system: Path, smol_tin: Path, tmp_path: Path) -> None:
    wheel, _ = runtime.emit(building.target("generic-aarch64", "wheel"), tmp_path, progress.display())
    print(f"{wheel.name}: {wheel.stat().st_size} bytes")
    assert wheel.name.endswith("-cp311-abi3-manylinux_2_17_aarch64.whl")
    assert wheel.stat().st_size < 2_000_000  # 1.8 MB on 1 December 2026, with a tenth to grow

    site = tmp_path / "site"
    emulated(system, "-m", "pip", "install", "--no-index", "--find-links", tmp_path, "--target", site, wheel)
    question = "What is the capital of France?"
    isa, _, answer = emulated(system, "-c", SCRIPT, smol_tin, question, site=site).partition("\n")
    assert isa == "neondot"
    messages = [{"role": "user", "content": question}]
    assert answer.strip() == tinsmith.load(smol_tin).chat(messages, max_tokens=12).text.strip()


@pytest.mark.slow
def test_answers_of_this_machine_are_computed_again_there(system: Path, tiny_tin: Path, tmp_path: Path) -> None:
    """Receipts are equal; and a changed one is found."""
    wheel, _ = runtime.emit(building.target("generic-aarch64", "wheel"), tmp_path, progress.display())
    site, given, out = tmp_path / "site", tmp_path / "in.txt", tmp_path / "out.jsonl"
    emulated(system, "-m", "pip", "install", "--no-index", "--no-deps", "--target", site, wheel)
    if not (site / "click").exists():
        shutil.copytree(Path(click.__file__).parent, site / "click")
    given.write_text("".join(f"what is {k}?\n" for k in range(40)))
    assert cli.main(["batch", *map(str, (tiny_tin, given, out)), "--max-tokens", "12", "--workers", "1"]) == 0
    words = ["-m", "tinsmith", "batch", tiny_tin, given, out, "--check", "--workers", "1"]
    assert emulated(system, *words, site=site) == f"{out}: 40 answers computed again, all equal\n"
    lines = out.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[7])
    lines[7] = json.dumps({**row, "receipt": row["receipt"][::-1]})
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert "item 8: the same text with another receipt" in emulated(system, *words, site=site, code=1)


@pytest.mark.slow
def test_a_program_calls_the_library(system: Path, tmp_path: Path) -> None:
    made = runtime.emit(building.target("generic-aarch64", "shared"), tmp_path, progress.display())
    library = tmp_path / "lib" / "gnu" / "libtin.so"
    assert library in made
    assert emulated(system, "-c", CALLER, library).split() == [tinsmith.__version__, "0"]


@pytest.mark.slow
def test_the_same_sources_give_the_same_wheel(tmp_path: Path) -> None:
    made = [
        runtime.emit(building.target("generic-aarch64", "wheel"), tmp_path / name, progress.display())[0]
        for name in "ab"
    ]
    assert made[0].read_bytes() == made[1].read_bytes()
