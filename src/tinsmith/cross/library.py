"""libtin for another machine: static, shared, and as a WebAssembly module; libtinhost, which adds tin_host.h;
and the program `tin`, which verifies a file on the device.

The library has every instruction set of the architecture, and chooses at run time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tinsmith.cross import sources, zig
from tinsmith.cross.zig import Machine

POOL_LESS = "-DTIN_NO_POOL"


@dataclass(frozen=True)
class System:
    """The system's file names; "{}" is the name of a shared library. link: the linker flag of shared libraries.
    import_library: the file that programs link instead."""

    static: str
    shared: str
    program: str
    link: str
    import_library: str | None = None


SYSTEMS = {
    "linux": System("libtin.a", "lib{}.so", "tin", "-Wl,-soname,lib{}.so"),
    "macos": System("libtin.a", "lib{}.dylib", "tin", "-Wl,-install_name,@rpath/lib{}.dylib"),
    "windows": System("tin_static.lib", "{}.dll", "tin.exe", "-Wl,--out-implib,{{folder}}/{}.lib", "{}.lib"),
}
ANDROID = ("-nostdlib", "-Wl,-z,max-page-size=16384", "-Wl,-z,defs")  # Android 15 requires pages of 16 KiB
# The functions that the libraries use from Android's libc.so. zig lacks it, but libraries must name it:
# Android's linker searches only the libraries that a library names.
BIONIC = (
    "calloc", "clock_gettime", "close", "fclose", "fopen", "fread", "free", "fstat", "getauxval", "getenv",
    "malloc", "memchr", "memcmp", "memcpy", "memmove", "memset", "mmap", "munmap", "open", "realloc",
    "snprintf", "strchr", "strcmp", "strlen", "strncmp",
)  # fmt: skip


def compilable(machine: Machine) -> tuple[Machine, list[str]]:
    """The machine whose headers zig has, and flags. zig lacks Android's thread library, so libtin has no thread
    pool there: an app provides threads through tin_executor."""
    if machine.libc == "android":
        return replace(machine, triple=machine.triple.replace("android", "musl")), [POOL_LESS]
    return machine, []


def bionic(machine: Machine) -> Path:
    """A stub of Android's libc.so to link with."""
    linking = compilable(machine)[0].linking()
    text = "".join(f"void {name}(void) {{}}\n" for name in BIONIC)

    def make(path: Path) -> None:
        source = path.with_suffix(".c")
        source.write_text(text, encoding="utf-8")
        flags = ("-shared", "-nostdlib", "-fno-builtin", "-w", "-Wl,-soname,libc.so")
        zig.run("cc", *linking, *flags, source, "-o", path)
        source.unlink()

    return zig.kept("libc.so", [linking, text], make)


def objects(machine: Machine, *core_flags: str) -> list[Path]:
    """Kernels don't use the C library, so all libcs share one build of them."""
    built, flags = compilable(machine)
    arch = machine.triple.split("-")[0]
    bare = replace(machine, triple=f"{arch}-linux-musl") if machine.system == "linux" else machine
    core = zig.objects(built, [sources.core()], *flags, *core_flags)
    return [*core, *zig.objects(bare, sources.kernels())]


def static(machine: Machine) -> list[Path]:
    return [zig.archive(SYSTEMS[machine.system].static, objects(machine))]


def shared(machine: Machine) -> list[Path]:
    """libtin and libtinhost and, on Windows, their import libraries."""
    built, flags = compilable(machine)
    core = objects(machine, "-DTIN_SHARED")
    host = zig.objects(built, [sources.host()], *flags, "-DTIN_SHARED")
    return [*_shared(machine, "tin", core), *_shared(machine, "tinhost", [*core, *host])]


def _shared(machine: Machine, name: str, parts: list[Path]) -> list[Path]:
    system = SYSTEMS[machine.system]
    built, _ = compilable(machine)
    flags = [system.link.format(name)]
    if machine.libc == "android":
        parts, flags = [*parts, bionic(machine)], [*flags, *ANDROID]
    made = zig.link(built, system.shared.format(name), parts, "-shared", *flags)
    return [made, *([made.with_name(system.import_library.format(name))] if system.import_library else [])]


def program(machine: Machine) -> list[Path]:
    """`tin`, static with musl. Empty for Android, which runs apps."""
    if machine.libc == "android":
        return []
    static_flags = ["-static"] if machine.libc == "musl" else []
    parts = [*zig.objects(machine, sources.single("tool/*.c")), *objects(machine)]
    return [zig.link(machine, SYSTEMS[machine.system].program, parts, *static_flags)]


def wasm(machine: Machine) -> list[Path]:
    """A module without imports that exports the functions of tin.h and kernels/wasm/tin_wasm.c, and its
    JavaScript wrapper. machine: wasm32 with simd128."""
    bare, folder = replace(machine, triple="wasm32-freestanding"), sources.folder() / "wasm"
    units = [sources.core(), *sources.kernels(), *sources.single("wasm/*.c")]
    parts = zig.objects(bare, units, "-DTIN_SHARED", f"-isystem{folder / 'libc'}")
    flags = ("-Wl,--no-entry", "-Wl,--export-dynamic", "-Wl,--strip-all")
    return [zig.link(bare, "tin.wasm", parts, *flags), folder / "tin.mjs"]
