"""tinsmith verify --target: a tin's self-test by code for other processors, under their emulators."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tinsmith import _core, cli, targets
from tinsmith.compiler import selftest
from tinsmith.cross import verify
from tinsmith.errors import RuntimeFault, UnsupportedError
from tinsmith.formats import tin as tins
from tinsmith.formats.tin import Tin
from tinsmith.system import progress


def sealed(tin: Path) -> list[str]:
    """The digests of its self-test: of its prompts, and of the image where it has one."""
    file = Tin(tin)
    seen = (
        [bytes(file.entry(selftest.VISION_TEST)[112:144]).hex()] if selftest.VISION_TEST in file.names else []
    )
    return [digest for _, digest in selftest.read(file.entry("selftest.bin"))] + seen


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; scripts/setup installs it on Debian")


@pytest.mark.slow
def test_one_command_proves_several_devices(tiny_tin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("qemu-aarch64")
    assert cli.main(["verify", str(tiny_tin), "--target", "generic-aarch64", "wasm32", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = sealed(tiny_tin)
    assert printed["targets"] == {
        "generic-aarch64": {"scalar": expected, "neon": expected},
        "wasm32": {"scalar": expected, "wasmsimd": expected},
    }
    assert cli.main(["verify", str(tiny_tin), "--target", "wasm"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "scalar    3 self-tests: same bits on wasm32 (wasmtime)",
        "wasmsimd  3 self-tests: same bits on wasm32 (wasmtime)",
        "verified",
    ]


@pytest.mark.slow
def test_a_set_that_the_processor_lacks_did_not_run(tiny_tin: Path) -> None:
    """By the device's own word: a Cortex-A53 has no dot products, whatever a target says."""
    need("qemu-aarch64")
    device = targets.load("generic-aarch64")
    wrong = replace(device, cpu=replace(device.cpu, isa=("neon", "neondot")))
    with pytest.raises(
        RuntimeFault, match="neondot under qemu-aarch64 cortex-a53: .*no instruction set neondot"
    ):
        verify.verify(tiny_tin, wrong, sealed(tiny_tin), progress.display())


@pytest.mark.slow
def test_boards_run_their_image(tiny_tin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    boards = ["cortex-m55", "cortex-m7"]
    assert cli.main(["verify", str(tiny_tin), "--target", *boards, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["targets"]
    assert printed == {board: dict.fromkeys(targets.load(board).cpu.isa, sealed(tiny_tin)) for board in boards}


@pytest.mark.slow
def test_other_bits_are_told_with_device_and_prompt(tiny_tin: Path) -> None:
    expected = sealed(tiny_tin)
    with pytest.raises(RuntimeFault, match=r"wasm32: prompt 1 .* by scalar"):
        verify.verify(
            tiny_tin, targets.load("wasm32"), [expected[0], "0" * 64, expected[2]], progress.display()
        )


@pytest.mark.slow
def test_wine_creates_its_folder_once(tiny_tin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each instruction set is a process of wine, and at first each would create the folder."""
    need("wine")
    monkeypatch.setattr(verify, "cache_folder", lambda: tmp_path)
    verify.verify(tiny_tin, targets.load("windows-x86_64"), sealed(tiny_tin), progress.display())
    assert (tmp_path / "wine" / "system.reg").exists()


def test_a_device_that_nothing_emulates(tiny_tin: Path) -> None:
    with pytest.raises(UnsupportedError, match="apple-m1: has no emulator"):
        verify.verify(tiny_tin, targets.load("apple-m1"), sealed(tiny_tin), progress.display())


def test_the_program_of_a_device_says_what_a_damaged_file_is(tiny_tin: Path, tmp_path: Path) -> None:
    """Its own answer: digests are not taken from the file."""
    need("qemu-aarch64")
    old = Tin(tiny_tin)
    entries = {name: bytes(old.entry(name)) for name in old.names if name != tins.MANIFEST}
    test = bytearray(entries["selftest.bin"])
    test[-1] ^= 1
    tins.write(tmp_path / "other.tin", {**entries, "selftest.bin": bytes(test)}.items(), old.manifest)
    ran = verify.EMULATORS["qemu-aarch64"](
        tmp_path / "other.tin", targets.load("generic-aarch64"), progress.display()
    )
    assert [one.digests for one in ran] == [sealed(tiny_tin)] * 2


@pytest.mark.slow
def test_smollm2_gives_the_same_bits_on_every_device(cut_tin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("qemu-aarch64", "qemu-riscv64", "wine", "arm-none-eabi-gcc", "qemu-system-arm")
    devices = [
        "raspberrypi-4",
        "raspberrypi-5",
        "generic-aarch64",
        "riscv64-generic",
        "wasm32",
        "windows-x86_64",
        "cortex-m55",
    ]
    capsys.readouterr()
    assert cli.main(["verify", str(cut_tin), "--json", "--target", *devices]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = sealed(cut_tin)
    assert printed["targets"] == {
        device: dict.fromkeys(targets.load(device).cpu.isa, expected) for device in devices
    }
    assert "neondot" in printed["targets"]["raspberrypi-5"]
    assert printed["selftest"] == dict.fromkeys(_core.isa_names(), expected)
