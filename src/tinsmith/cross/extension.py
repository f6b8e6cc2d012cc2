"""The Python extension for another machine. With CPython's stable ABI one file serves every CPython from
3.11."""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
from pathlib import Path

from tinsmith.cross import library, sources, zig
from tinsmith.cross.zig import Machine
from tinsmith.errors import InputError

ABI = ("-DPy_LIMITED_API=0x030B0000",)
# Python.h's system settings in terms of the compiler's macros, valid for every target.
PYCONFIG = """\
#define SIZEOF_SHORT __SIZEOF_SHORT__
#define SIZEOF_INT __SIZEOF_INT__
#define SIZEOF_LONG __SIZEOF_LONG__
#define SIZEOF_LONG_LONG __SIZEOF_LONG_LONG__
#define SIZEOF_FLOAT __SIZEOF_FLOAT__
#define SIZEOF_DOUBLE __SIZEOF_DOUBLE__
#define SIZEOF_VOID_P __SIZEOF_POINTER__
#define SIZEOF_SIZE_T __SIZEOF_SIZE_T__
#define SIZEOF_WCHAR_T __SIZEOF_WCHAR_T__
#define HAVE_LONG_LONG 1
#define HAVE_STDDEF_H 1
#define HAVE_STDINT_H 1
#define HAVE_INTTYPES_H 1
#define HAVE_ERRNO_H 1
#define HAVE_STDARG_PROTOTYPES 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_SYS_STAT_H 1
#define WITH_THREAD 1
#ifdef _WIN32
#define MS_WIN32 1
#define MS_WIN64 1
#define MS_WINDOWS 1
#define HAVE_DECLSPEC_DLL 1
#define Py_ENABLE_SHARED 1
typedef __INTPTR_TYPE__ Py_ssize_t;
#define HAVE_PY_SSIZE_T 1
#define PY_SSIZE_T_MAX __INTPTR_MAX__
#else
#define HAVE_UNISTD_H 1
#define HAVE_SSIZE_T 1
#define HAVE_SYS_TIME_H 1
#endif
"""
DECLARED = re.compile(r"\bPyAPI_(?:FUNC|DATA)\([^)]*\)\s*\*?\s*(\w+)")
RENAMED = re.compile(r"#define\s+Py\w+\s+(_Py\w+_SizeT)\b")  # by PY_SSIZE_T_CLEAN


def headers() -> Path:
    """A folder with this Python's headers, and a pyconfig.h for every machine."""
    here = Path(sysconfig.get_path("include"))
    if not (here / "Python.h").is_file():
        raise InputError(f"{here}: has no Python.h; install Python's headers (Debian: python3-dev)")

    def make(path: Path) -> None:
        shutil.copytree(here, path.parent, dirs_exist_ok=True)
        (path.parent / "pyconfig.h").write_text(PYCONFIG, encoding="utf-8")

    return zig.kept("Python.h", [sys.version, PYCONFIG], make).parent


def extension(machine: Machine) -> Path:
    """_core for the machine, which must have its CPython's libc."""
    flags = [f"-I{headers()}", *ABI]
    folders = "python", "pack", "train", "writer"
    units = [unit for folder in folders for unit in sources.single(f"{folder}/*.c")]
    parts = [*zig.objects(machine, units, *flags), *library.objects(machine)]
    if machine.system == "windows":
        return zig.link(machine, "_core.pyd", [*parts, _python3_dll()], "-shared")
    lookup = ["-Wl,-undefined,dynamic_lookup"] if machine.system == "macos" else []
    return zig.link(machine, "_core.abi3.so", parts, "-shared", *lookup)


def _python3_dll() -> Path:
    """An import library of Windows' python3.dll, with all names that Python's headers declare. Those that the
    DLL lacks are never used: the headers hide them from users of the stable ABI."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(headers().glob("*.h")))
    names = sorted({*DECLARED.findall(text), *RENAMED.findall(text)})

    def make(path: Path) -> None:
        listed = path.with_suffix(".def")
        listed.write_text("LIBRARY python3.dll\nEXPORTS\n" + "".join(f"    {name}\n" for name in names))
        zig.run("dlltool", "-m", "i386:x86-64", "-D", "python3.dll", "-d", listed, "-l", path)

    return zig.kept("python3.lib", names, make)
