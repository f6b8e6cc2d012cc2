"""Packs for other devices, with the runtime that is built for them: what is run of it is run by an emulator."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tinsmith import airgap
from tinsmith.formats import minisign
from tinsmith.system.progress import PlainDisplay

PROMPT = "dim the kitchen lights"


def pack(target: str, tin: Path, maker: minisign.SecretKey, folder: Path) -> Path:
    return airgap.pack(tin, target, folder / "tiny-pack", PROMPT, maker, PlainDisplay())[0]


@pytest.mark.slow
def test_a_pack_for_this_kind_of_machine_installs_both_ways(
    tin: Path, maker: minisign.SecretKey, offline: list[str], run: Callable, tmp_path: Path
) -> None:
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("ziglang is not installed; it is in the dev extra")
    device = {"x86_64": "generic-x86_64-v2", "aarch64": "generic-aarch64"}[platform.machine()]
    folder = pack(device, tin, maker, tmp_path)
    nowhere = [*offline, "env", "-i", f"PATH={Path(shutil.which('sh') or '/bin/sh').parent}"]
    python = [sys.executable, "-I", "-S", folder / "install.py", "--into", tmp_path / "into"]
    for script in (["sh", folder / "install.sh", "--own-verifier"], python):
        done = run(*nowhere, *script, "--key", maker.public)
        assert done.returncode == 0, done.stderr
        assert (folder / "answer.txt").read_text(errors="replace").rstrip() in done.stdout


@pytest.mark.slow
def test_a_pack_for_a_raspberry_pi_verifies_and_answers_there(
    tin: Path, maker: minisign.SecretKey, run: Callable, tmp_path: Path
) -> None:
    if importlib.util.find_spec("ziglang") is None or shutil.which("qemu-aarch64") is None:
        pytest.skip("ziglang or qemu-aarch64 is not installed")
    folder = pack("raspberrypi-5", tin, maker, tmp_path)
    program = ["qemu-aarch64", "-cpu", "cortex-a76", folder / "runtime/bin/tin"]
    assert run(*program, "signature", folder / "SHA256SUMS", "--key", folder / "key.pub").returncode == 0
    done = run(*program, "verify", folder / tin.name, "--key", maker.public)
    assert done.returncode == 0, done.stderr
    assert "neondot 0 " in done.stdout
    done = run(*program, "run", folder / tin.name, PROMPT, "--tokens", "32", "--key", maker.public)
    assert done.stdout == (folder / "answer.txt").read_text(errors="replace")
    if platform.machine() == "x86_64":
        done = run(sys.executable, folder / "install.py", "--key", maker.public, "--into", tmp_path / "into")
        assert "manylinux_2_17_aarch64.whl" in done.stderr
        assert "no wheel for linux on x86_64" in done.stderr


@pytest.mark.slow
def test_a_pack_for_a_board_holds_its_image(tin: Path, maker: minisign.SecretKey, tmp_path: Path) -> None:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    folder = pack("cortex-m55", tin, maker, tmp_path)
    assert (folder / "runtime/tiny/firmware.bin").stat().st_size > 10_000
    assert not (folder / "install.sh").exists()
    assert "## On the board" in (folder / "GUIDE.md").read_text()
    again = airgap.pack(tin, "cortex-m55", tmp_path / "again/tiny-pack", PROMPT, maker, PlainDisplay())[1]
    assert again.read_bytes() == folder.with_name("tiny-pack.tar").read_bytes()
