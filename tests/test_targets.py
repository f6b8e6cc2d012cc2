from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tinsmith import targets
from tinsmith.errors import TargetError, UnsupportedError

ROOT = Path(__file__).parents[1]
WANTED = [
    "generic-x86_64-v2",
    "generic-x86_64-v3",
    "generic-x86_64-v4",
    "generic-aarch64",
    "raspberrypi-zero2w",
    "raspberrypi-4",
    "raspberrypi-5",
    "jetson-orin-nano",
    "jetson-agx-orin",
    "apple-m1",
    "windows-x86_64",
    "android-aarch64",
    "wasm32",
    "riscv64-generic",
    "cortex-m7",
    "cortex-m55",
    "stm32h735g-dk",
]
SMALLEST = """\
[cpu]
arch = "aarch64"
cores = 2
clock_mhz = 1000
isa = ["scalar"]
[memory]
ram = "16MiB"
storage = 90_000_000
bandwidth = "1.5GB"
[source]
cpu = "data sheet"
memory = "data sheet"
"""

FIRMWARE = """\
[firmware]
gcc_cpu = []
code = {{ base = 0x08000000, size = "1MiB" }}
ram = {{ base = {ram}, size = "4KiB" }}
flash = {{ base = {flash}, size = "64MiB" }}
[source]
firmware = "schematic"
"""


def write(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_devices_that_were_asked_for_are_there() -> None:
    assert set(WANTED) <= set(targets.names())


@pytest.mark.parametrize("name", targets.names())
def test_a_target_loads_with_a_source_for_every_fact(name: str) -> None:
    target = targets.load(name)
    assert target.name == name and target.title != name
    for table, facts in targets.FACTS.items():
        for fact in facts:
            if getattr(getattr(target, table), fact, None) is not None:
                assert target.source.get(f"{table}.{fact}") or target.source.get(table)
    assert target.memory.storage < 1 << 32  # a tin is a ZIP with 32-bit sizes
    assert (target.cpu.arch == "thumb") == (target.firmware is not None)
    if target.firmware:
        assert target.memory.flash_bandwidth
        assert target.memory.storage <= target.firmware.flash.size
        assert target.memory.ram <= target.firmware.ram.size


def test_names_and_aliases_are_told_apart() -> None:
    words = [word for name in targets.names() for word in (name, *targets.load(name).aliases)]
    assert len(words) == len(set(words))
    assert targets.load("rpi5") == targets.load("raspberrypi-5")


def test_no_code_knows_a_device_by_name() -> None:
    words = [word for name in targets.names() for word in (name, *targets.load(name).aliases)]
    words = [
        word for word in words if re.search(r"\d", word) and word not in (*targets.ARCHS, "arm64", "x86_64")
    ]
    named = re.compile("|".join(f"[\"']{re.escape(word)}[\"']" for word in words))
    for path in (ROOT / "src").rglob("*.py"):
        assert not named.search(path.read_text("utf-8")), path


def test_a_target_of_your_own_inherits(tmp_path: Path) -> None:
    first = targets.find(write(tmp_path, SMALLEST))
    assert (first.memory.ram, first.memory.storage, first.memory.bandwidth) == (
        16 << 20,
        90_000_000,
        1_500_000_000,
    )
    assert first.title == "mine" and first.firmware is None and first.defaults.format == "Q4_0"
    second = targets.find(write(tmp_path, 'inherits = "mine"\n[run]\nemulator = "native"\n', "yours"))
    assert (second.cpu, second.run.emulator, second.name) == (first.cpu, "native", "yours")
    third = write(tmp_path, 'inherits = "yours"\n[run]\nemulator = "none"\n', "theirs")
    assert targets.find(third).run.emulator is None
    pi = targets.find(write(tmp_path, 'inherits = "raspberrypi-5"\n', "pi"))
    assert pi.cpu == targets.load("raspberrypi-5").cpu


@pytest.mark.parametrize(
    "change, message",
    [
        (("cores = 2", "cores = 0"), r"mine.toml:3: \[cpu\] cores: got 0; allowed is a whole number from 1 to"),
        (
            ("cores = 2", "core = 2"),
            r"mine.toml:3: \[cpu\] core: no such key, did you mean cores\?; \[cpu\] takes",
        ),
        (("cores = 2\n", ""), r"mine.toml:1: \[cpu\] cores: missing"),
        (('"scalar"', '"sse9"'), r'mine.toml:5: \[cpu\] isa: got .*"neondot"'),
        (("16MiB", "16 MegaBytes"), r"mine.toml:7: \[memory\] ram: got .*16MiB"),
        (("[memory]", "[memroy]"), r"mine.toml:6: \[memroy\]: no such table, did you mean memory\?"),
        (('memory = "data sheet"', ""), r"mine.toml:7: \[memory\] ram: is stated without a source"),
        (
            ('memory = "data sheet"', 'memory.rum = "x"'),
            r"mine.toml:12: \[source\] memory.rum: no fact of a target",
        ),
        (('memory = "data sheet"', "memory.ram = 3"), r"mine.toml:12: \[source\] memory.ram: got 3"),
        (("[cpu]", 'inherits = "rpi6"\n[cpu]'), r"mine.toml:1: inherits: no such target.*raspberrypi-5"),
        (("[cpu]", 'inherits = "mine"\n[cpu]'), r"mine.toml:1: inherits: mine inherits this file"),
        (("[cpu]", "title = 3\n[cpu]"), r"mine.toml:1: title: got 3"),
        (("[cpu]", "colour = 3\n[cpu]"), r"mine.toml:1: colour: a key outside every table"),
        (("[source]", '[defaults]\nformat = "Q9"\n[source]'), r"\[defaults\] format: got \"Q9\"; .*\"Q4_K_M\""),
        (
            ("[source]", "[firmware]\ncode = { base = 0 }\n[source]"),
            r"\[firmware\] code: got .*allowed is a stretch of memory",
        ),
        (
            ("[source]", FIRMWARE.format(ram="0x20000000", flash="0x20000800")),
            r"mine.toml:14: \[firmware\] flash: begins at 0x20000800, inside ram",
        ),
        (
            ("[source]", FIRMWARE.format(ram="0x20000000", flash="0xfffff800")),
            r"\[firmware\] flash: ends behind the last address, 0xffffffff",
        ),
        (("cores = 2", "cores = = 2"), "not valid TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in SMALLEST
    with pytest.raises(TargetError, match=message) as raised:
        targets.find(write(tmp_path, SMALLEST.replace(*change)))
    assert "\n" not in str(raised.value)


def test_a_circle_of_files_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, 'inherits = "b"\n', "a")
    write(tmp_path, 'inherits = "a"\n', "b")
    with pytest.raises(TargetError, match="circle"):
        targets.find(tmp_path / "a.toml")


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UnsupportedError, match="did you mean raspberrypi-5.*jetson-orin-nano"):
        targets.load("raspberrypi-55")
    with pytest.raises(TargetError, match="no such target; give the path of a TOML file"):
        targets.find("nowhere/x.toml")


def test_sizes() -> None:
    assert [targets.bytes_of(size) for size in (1, "90MB", "1.5 GiB", "7B")] == [1, 90_000_000, 3 << 29, 7]
    for wrong in ("", "MB", "-1MB", "0MB", 0, True, None, "1e3MB", "3TB"):
        with pytest.raises(ValueError, match="no size"):
            targets.bytes_of(wrong)


def test_what_is_listed_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    from tinsmith.cli import main

    assert main(["targets", "--json"]) == 0
    assert {one["name"] for one in json.loads(capsys.readouterr().out)} == set(targets.names())
