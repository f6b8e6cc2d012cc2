#!/usr/bin/env python3
"""Makes the Unity package, a folder and a .tgz of it, of unity/, Tin.cs and the libraries given.

    integrations/csharp/package.py OUT PLATFORM=LIBRARY...

PLATFORM is linux, windows, macos or android; LIBRARY its libtinhost, as `tinsmith build MODEL --target T` puts
it in runtime-T/lib. Makes OUT/org.tinsmith.tin and OUT/org.tinsmith.tin-VERSION.tgz: the same bytes of the same
input.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shutil
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAME = "org.tinsmith.tin"

# Where the library lies in Plugins/, and what Unity's importer is told: player, its processor, editor's system.
PLATFORMS = {
    "linux": ("Linux/x86_64/libtinhost.so", "Standalone: Linux64", "x86_64", "Linux"),
    "windows": ("Windows/x86_64/tinhost.dll", "Standalone: Win64", "x86_64", "Windows"),
    "macos": ("macOS/libtinhost.dylib", "Standalone: OSXUniversal", "ARM64", "OSX"),
    "android": ("Android/arm64-v8a/libtinhost.so", "Android: Android", "ARM64", None),
}
IMPORTERS = {".cs": "MonoImporter", ".asmdef": "AssemblyDefinitionImporter", ".json": "PackageManifestImporter"}


def version() -> str:
    found = re.search(r'#define TIN_VERSION "(.+?)"', (ROOT / "kernels/include/tin.h").read_text())
    assert found
    return found[1]


def guid(name: str) -> str:
    """A file's GUID in Unity: the same in every version of the package, so that references in projects stay
    valid."""
    return hashlib.md5(f"{NAME}/{name}".encode(), usedforsecurity=False).hexdigest()


def meta(name: str, folder: bool) -> str:
    head = f"fileFormatVersion: 2\nguid: {guid(name)}\n"
    if folder:
        return f"{head}folderAsset: yes\nDefaultImporter:\n  externalObjects: {{}}\n"
    for at, player, cpu, system in PLATFORMS.values():
        if name == f"Plugins/{at}":
            return head + plugin(player, cpu, system)
    importer = IMPORTERS.get(Path(name).suffix, "TextScriptImporter")
    return f"{head}{importer}:\n  externalObjects: {{}}\n"


def plugin(player: str, cpu: str, system: str | None) -> str:
    def where(name: str, on: bool, settings: dict[str, str]) -> str:
        lines = "".join(f"\n        {key}: {value}" for key, value in settings.items())
        head = f"  - first:\n      {name}\n    second:\n      enabled: {on:d}\n"
        return f"{head}      settings:{lines or ' {}'}\n"

    editor = {"CPU": cpu, "DefaultValueInitialized": "true", "OS": system} if system else {}
    return (
        "PluginImporter:\n  externalObjects: {}\n  serializedVersion: 2\n  isPreloaded: 0\n  isOverridable: 0\n"
        "  isExplicitlyReferenced: 0\n  validateReferences: 1\n  platformData:\n"
        + where("Any: ", False, {})
        + where("Editor: Editor", bool(system), editor)
        + where(player, True, {"CPU": cpu})
    )


def fill(package: Path, libraries: dict[str, Path]) -> None:
    shutil.copytree(HERE / "unity", package)
    shutil.copy(HERE / "Tin.cs", package / "Runtime")
    shutil.copy(HERE / "README.md", package)
    shutil.copy(ROOT / "LICENSE", package / "LICENSE.md")
    manifest = json.loads((package / "package.json").read_text()) | {"version": version()}
    (package / "package.json").write_text(json.dumps(manifest, indent=2) + "\n")
    for platform, library in libraries.items():
        to = package / "Plugins" / PLATFORMS[platform][0]
        to.parent.mkdir(parents=True)
        shutil.copyfile(library, to)
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package).as_posix()
        if not name.startswith("Samples~"):  # Unity does not import these, and names them when they are copied
            Path(f"{path}.meta").write_text(meta(name, path.is_dir()))


def archive(package: Path, out: Path) -> None:
    with (
        out.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted(p for p in package.rglob("*") if p.is_file()):
            info = tarfile.TarInfo(f"package/{path.relative_to(package).as_posix()}")
            info.size = path.stat().st_size
            tar.addfile(info, io.BytesIO(path.read_bytes()))


def given(arguments: list[str]) -> dict[str, Path]:
    libraries = {}
    for argument in arguments:
        platform, _, library = argument.partition("=")
        if platform not in PLATFORMS:
            known = ", ".join(PLATFORMS)
            sys.exit(f"{argument}: no platform {platform!r}; there are {known}, as linux=LIBRARY")
        if not Path(library).is_file():
            sys.exit(f"{argument}: no such file; give the libtinhost of runtime-T/lib")
        libraries[platform] = Path(library)
    return libraries


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    libraries, out = given(sys.argv[2:]), Path(sys.argv[1])
    package = out / NAME
    shutil.rmtree(package, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    fill(package, libraries)
    archive(package, out / f"{NAME}-{version()}.tgz")
    print(out / f"{NAME}-{version()}.tgz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
