"""What build --target puts beside a model, for each system: what the files are, what they take and what they
give."""

from __future__ import annotations

import ctypes
import itertools
import os
import platform
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import wheels

import tinsmith
from tests.cross import building
from tests.models.tiny_models import in_format, tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import _core, cli, hub
from tinsmith.compiler import build_tin
from tinsmith.cross import extension, library, runtime, sources, zig
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.models import family
from tinsmith.system import progress

HEADERS = {"include/tin.h", "include/tin_host.h"}


def declared(name: str) -> set[str]:
    """The functions of a header."""
    text = (sources.folder() / "include" / name).read_text(encoding="utf-8")
    return set(re.findall(r"^TIN_API [^()]*?(tin(?:host)?_\w+)\(", text, flags=re.M))


DECLARED, HOST = declared("tin.h"), declared("tin_host.h")
ELF, PE, MACHO = b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe"
# What a phone's process has, whatever it runs.
ANDROID = {"memcpy", "memmove", "memset", "memcmp", "getauxval"}


def emit(name: str, folder: Path, *forms: str) -> dict[str, Path]:
    made = runtime.emit(building.target(name, *forms), folder, progress.display())
    for path in made:
        print(f"{name} {path.relative_to(folder)}: {path.stat().st_size} bytes")
    return {path.relative_to(folder).as_posix(): path for path in made}


def symbols(path: Path) -> tuple[set[str], set[str]]:
    """Names that an ELF library gives and those that it takes."""
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed (Debian: apt-get install binutils)")
    lines = subprocess.run(
        ["readelf", "--dyn-syms", "--wide", path], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [row for line in lines if len(row := line.split()) >= 8 and row[4] in ("GLOBAL", "WEAK")]
    names = [(row[6] == "UND", row[7].split("@")[0]) for row in rows]
    return {name for taken, name in names if not taken}, {name for taken, name in names if taken}


def test_every_source_has_a_level_and_stands_in_one_unit() -> None:
    units = [sources.core(), *sources.kernels()]
    listed = [name for unit in units for name in unit.sources]
    assert len(listed) == len(set(listed))
    root = sources.folder()
    there = {path.relative_to(root).as_posix() for path in root.glob("[ci]*/**/*.c")}
    assert set(listed) == there
    for path in root.rglob("*.c"):
        if path.parent != root and "firmware" not in path.parts:
            assert sources.level(path.relative_to(root).as_posix()) in ("O2", "O3", "Os")
    with pytest.raises(InputError, match=r"levels\.txt: no line for else/x\.c"):
        sources.level("else/x.c")


def test_what_is_kept_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path))
    calls: list[Path] = []

    def make(path: Path) -> None:
        calls.append(path)
        path.write_text("made")

    first = zig.kept("a.o", ["flags"], make)
    assert zig.kept("a.o", ["flags"], make) == first
    assert zig.kept("a.o", ["others"], make) != first
    assert [path.name for path in calls] == ["a.o", "a.o"]
    with pytest.raises(ZeroDivisionError):
        zig.kept("b.o", [], lambda path: path.write_text("part") and 1 // 0)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["a.o", "a.o"]


def test_a_unit_is_made_again_where_what_it_may_include_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sources.folder(), tmp_path / "kernels")
    monkeypatch.setattr(sources, "folder", lambda: tmp_path / "kernels")
    (kernels,) = [unit for unit in sources.kernels() if "isa/scalar/set.c" in unit.sources]
    units = [sources.core(), kernels, sources.host()]
    seen = [list(map(sources.digest.__wrapped__, units))]
    for name in ("core/vm/pass.c", "isa/scalar/set.c", "host/answer.c", "core/base/kernel.h", "kernels.def"):
        with (tmp_path / "kernels" / name).open("a") as file:
            file.write("\n")
        seen.append(list(map(sources.digest.__wrapped__, units)))
    changes = [[a != b for a, b in zip(*two, strict=True)] for two in itertools.pairwise(seen)]
    assert changes == [[True, False, False], [False, True, False], [False, False, True], [True] * 3, [True] * 3]


def test_a_compiler_s_fault_is_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.c"
    wrong.write_text("int main(void) { return nothing; }\n")
    with pytest.raises(InputError, match=r"zig cc, for .*wrong\.c:1:\d+: error: .*nothing") as fault:
        zig.run("cc", "-target", "wasm32-freestanding", "-c", "-o", tmp_path / "wrong.o", wrong)
    assert "\n" not in str(fault.value)


def test_what_can_not_be_built_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnsupportedError, match="cortex-m55: has no `zig`"):
        runtime.emit(building.target("cortex-m55", "static"), tmp_path, progress.display())
    with pytest.raises(UnsupportedError, match=r"wasm32\.toml: a wheel needs `wheel_platform`"):
        runtime.emit(building.target("wasm32", "wheel"), tmp_path, progress.display())
    assert cli.main(["build", "nothing", "--target", "rpi6"]) == cli.FAILED
    assert "rpi6: no such target" in capsys.readouterr().err


def test_the_headers_hold_for_every_machine() -> None:
    assert "__SIZEOF_LONG__" in (extension.headers() / "pyconfig.h").read_text()


@pytest.mark.slow
def test_linux_on_arm64_with_either_libc(tmp_path: Path) -> None:
    made = emit("generic-aarch64", tmp_path, "static", "shared")
    folders = [f"lib/{libc}" for libc in ("musl", "gnu")]
    libraries = [
        f"{folder}/{name}" for folder in folders for name in ("libtin.a", "libtin.so", "libtinhost.so")
    ]
    assert set(made) == {*libraries, *HEADERS, "bin/tin"}
    for folder in folders:
        assert made[f"{folder}/libtin.a"].read_bytes().startswith(b"!<arch>\n")
        given, _ = symbols(made[f"{folder}/libtin.so"])
        assert given == DECLARED
        assert made[f"{folder}/libtin.so"].stat().st_size < 498_000
        assert symbols(made[f"{folder}/libtinhost.so"])[0] == DECLARED | HOST
    program = made["bin/tin"]
    assert program.stat().st_mode & 0o111
    assert b"ld-musl" not in program.read_bytes()


@pytest.mark.slow
def test_android_needs_nothing_but_its_c_library(tmp_path: Path) -> None:
    made = emit("android-aarch64", tmp_path)
    given, taken = symbols(made["lib/libtin.so"])
    assert taken <= ANDROID
    assert given == {name for name in DECLARED if not name.startswith("tin_pool_")}
    given_there, taken = symbols(made["lib/libtinhost.so"])
    assert given_there == given | HOST
    assert taken <= set(library.BIONIC)
    segments = subprocess.run(
        ["readelf", "--program-headers", "--dynamic", "--wide", made["lib/libtin.so"]],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.findall(r"\(NEEDED\).*\[(.*)\]", segments) == ["libc.so"]  # its linker looks nowhere else
    assert {line.split()[-1] for line in segments.splitlines() if line.split()[:1] == ["LOAD"]} == {"0x4000"}


# Asks a shared library, by its name for the linker, whether it works.
CALLER = r"""
#include "tin_host.h"
#include <stdio.h>
int main(void) {
    printf("%s %s %d\n", tin_version(), tin_isa_name(0), (int)tin_selfcheck(NULL));
    tinhost_model *model = tinhost_open("\xC3\xA9.tin", NULL); /* é, in UTF-8 whatever the system's page is */
    tinhost_session *session = tinhost_session_open(model, 64, 2, 0, 0);
    if (tinhost_ask(session, "who?", 8))
        return puts(tinhost_error(session)), 1;
    while (tinhost_step(session, 500) != TINHOST_DONE) {
    }
    printf("%s", tinhost_answer(session));
    tinhost_session_close(session);
    tinhost_close(model);
    return tin_pool_size(2) == 0;
}
"""


@pytest.mark.slow
def test_a_program_calls_the_dll_under_wine(tmp_path: Path) -> None:
    if shutil.which("wine") is None:
        pytest.skip("wine is not installed (Debian: apt-get install wine)")
    made = emit("windows-x86_64", tmp_path, "shared")
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 128}
    spec = tiny_spec(family.by_name("llama"), **sizes)
    held = {"grammar/answer.bin": tinsmith.choices(["left", "right"]).data}
    build_tin(in_format(replace(spec, chat_template=CHATML), "Q8_0"), tmp_path / "é.tin", entries=held)
    (tmp_path / "caller.c").write_text(CALLER)
    library = made["lib/tinhost.lib"]
    program = library.with_name("caller.exe")
    include = f"-I{made['include/tin.h'].parent}"
    target = ["-target", "x86_64-windows-gnu", "-s", "-O2", "-DTIN_SHARED", include]
    zig.run("cc", *target, tmp_path / "caller.c", library, "-o", program)
    settings = {**os.environ, "WINEPREFIX": str(hub.cache_folder() / "wine"), "WINEDEBUG": "-all"}
    done = subprocess.run(["wine", program], capture_output=True, text=True, env=settings, cwd=tmp_path)
    answer = tinsmith.load(tmp_path / "é.tin").chat([{"role": "user", "content": "who?"}], max_tokens=8).text
    assert done.stdout.split() == [tinsmith.__version__, "scalar", "0", answer], done.stderr
    assert done.returncode == 0


@pytest.mark.slow
def test_windows_and_macos(tmp_path: Path) -> None:
    """Looked at, not run: there is no emulator of macOS, and no CPython for Windows here."""
    made = emit("windows-x86_64", tmp_path / "w")
    libraries = {"lib/tin_static.lib", "lib/tin.dll", "lib/tin.lib", "lib/tinhost.dll", "lib/tinhost.lib"}
    assert {name for name in made if "whl" not in name} == {*libraries, *HEADERS, "bin/tin.exe"}
    for name in ("lib/tin.dll", "bin/tin.exe"):
        assert made[name].read_bytes().startswith(PE)
    assert all(name.encode() in made["lib/tin.dll"].read_bytes() for name in DECLARED)
    inside = wheel_extension(made, "win_amd64", "_core.pyd")
    assert inside.startswith(PE)
    assert b"python3.dll" in inside and b"PyInit__core" in inside
    made = emit("apple-m1", tmp_path / "m")
    assert {name for name in made if "whl" not in name} == {
        "lib/libtin.a", "lib/libtin.dylib", "lib/libtinhost.dylib", *HEADERS, "bin/tin",
    }  # fmt: skip
    for name in ("lib/libtin.dylib", "bin/tin"):
        assert made[name].read_bytes().startswith(MACHO)
    assert all(b"_" + name.encode() in made["lib/libtin.dylib"].read_bytes() for name in DECLARED)
    assert wheel_extension(made, "macosx_11_0_arm64", "_core.abi3.so").startswith(MACHO)
    for folder in (tmp_path / "w", tmp_path / "m"):
        wheels.check(next(folder.glob("tinsmith-*.whl")), tinsmith.__version__)


def wheel_extension(made: dict[str, Path], platform: str, name: str) -> bytes:
    wheel, needed = (path for path in made.values() if path.suffix == ".whl")
    assert needed.name.startswith("click-")
    assert wheel.name.endswith(f"-cp311-abi3-{platform}.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert [file for file in names if file.startswith("tinsmith/_core.")] == [
            "tinsmith/_core.pyi", f"tinsmith/{name}",
        ]  # fmt: skip
        assert "tinsmith/devices/raspberrypi-5.toml" in names
        assert not any("__pycache__" in file or file.startswith("tinsmith/kernels") for file in names)
        return archive.read(f"tinsmith/{name}")


@pytest.mark.slow
def test_riscv_with_either_libc(tmp_path: Path) -> None:
    made = emit("riscv64-generic", tmp_path)
    assert wheel_extension(made, "linux_riscv64", "_core.abi3.so").startswith(ELF)
    for libc in ("musl", "gnu"):
        given, _ = symbols(made[f"lib/{libc}/libtin.so"])
        assert given == DECLARED


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="this processor does not run x86_64")
def test_a_program_calls_this_machine_s_library(tmp_path: Path) -> None:
    """By ctypes. The library is for glibc 2.17 and x86-64-v2; its kernels are for all that this machine has."""
    made = emit("generic-x86_64-v2", tmp_path, "shared")
    library = ctypes.CDLL(str(made["lib/gnu/libtin.so"]))
    library.tin_version.restype = library.tin_isa_name.restype = ctypes.c_char_p
    assert library.tin_version().decode() == tinsmith.__version__
    assert library.tin_selfcheck(None) == 0
    names = [name.decode() for k in range(9) if (name := library.tin_isa_name(k))]
    assert names == _core.isa_names()
