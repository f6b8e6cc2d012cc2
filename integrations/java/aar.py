#!/usr/bin/env python3
"""Makes an Android archive of the Java classes and of the libraries for phones (ARM64) and emulators (x86-64).

    integrations/java/aar.py CLASSES.jar OUT.aar    needs zig (the extra `cross`), and JAVA_HOME

Its layout is the Android Gradle plug-in's: AndroidManifest.xml, classes.jar, R.txt, proguard.txt, jni/<ABI>/.
"""

from __future__ import annotations

import os
import sys
import tempfile
import zipfile
from pathlib import Path

from tinsmith.cross import library, sources, zig
from tinsmith.cross.zig import Machine

HERE = Path(__file__).resolve().parent
ABIS = {"arm64-v8a": Machine("aarch64-linux-android"), "x86_64": Machine("x86_64-linux-android")}
DAWN = (1980, 1, 1, 0, 0, 0)  # the same inputs give the same archive


def glue(machine: Machine, host: Path, out: Path, java: Path) -> Path:
    """libtinsmith.so, which links libtinhost.so as its neighbour. jni_md.h is the JDK's for Linux."""
    built, _ = library.compilable(machine)
    path, part = out / "libtinsmith.so", out / "native.o"
    headers = [f"-I{folder}" for folder in (sources.folder() / "include", java, java / "linux")]
    source = HERE / "src" / "main" / "c" / "native.c"
    zig.run("cc", *built.compiling(), *zig.FLAGS, "-O2", "-fPIC", *headers, "-c", source, "-o", part)
    flags = ["-shared", *library.ANDROID, "-s", "-Wl,-soname,libtinsmith.so"]
    zig.run("cc", *built.linking(), *flags, part, host, library.bionic(machine), "-o", path)
    return path


def write(classes: Path, out: Path, java: Path) -> None:
    entries = {
        "AndroidManifest.xml": HERE / "android" / "AndroidManifest.xml",
        "classes.jar": classes,
        "proguard.txt": HERE / "android" / "proguard.txt",
    }
    with tempfile.TemporaryDirectory() as folder:
        for abi, machine in ABIS.items():
            made = Path(folder) / abi
            made.mkdir()
            host = next(path for path in library.shared(machine) if path.name == "libtinhost.so")
            entries[f"jni/{abi}/libtinhost.so"] = host
            entries[f"jni/{abi}/libtinsmith.so"] = glue(machine, host, made, java)
        part = out.with_suffix(".part")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("R.txt", DAWN), b"")
            for name, path in sorted(entries.items()):
                archive.writestr(zipfile.ZipInfo(name, DAWN), path.read_bytes(), zipfile.ZIP_DEFLATED)
        part.replace(out)


def main() -> int:
    home = os.environ.get("JAVA_HOME")
    if len(sys.argv) != 3 or not home:
        print(__doc__, file=sys.stderr)
        return 2
    write(Path(sys.argv[1]), Path(sys.argv[2]), Path(home) / "include")
    return 0


if __name__ == "__main__":
    sys.exit(main())
