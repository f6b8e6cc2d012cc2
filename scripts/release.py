#!/usr/bin/env python3
"""Builds a release: for each platform a wheel, and an archive of libtin and libtinhost; the sdist, the C
library as source files, the documentation's site, SHA256SUMS, and a minisign signature of that.

    scripts/release [--out FOLDER] [--only PLATFORM,...] --key SECRET
    scripts/release [--out FOLDER] [--only PLATFORM,...] --rehearse

Refuses a tree with changes, and a version that does not head CHANGELOG.md. --rehearse reports both and
continues, and signs with a key that it makes and forgets. The header and imports of every wheel and library are
checked. A wheel that runs here is installed without a network, beside its requirements, which pip downloads
before, and proves a .tin.
"""

from __future__ import annotations

import argparse
import getpass
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import wheels
from amalgamate import write as write_amalgam

from tinsmith import hub
from tinsmith.cross import library, sources, wheel
from tinsmith.cross.zig import Machine
from tinsmith.errors import TinsmithError
from tinsmith.formats import minisign
from tinsmith.system import files

ROOT = Path(__file__).resolve().parents[1]
LOOKED = "its machine is checked; it can't run here"
CLI = ("-c", "import sys; from tinsmith import cli; sys.exit(cli.main(sys.argv[1:]))")


@dataclass(frozen=True)
class Platform:
    """triple: zig's. tag: the wheel's, if there is one. machine: a key of wheels.EXTENSIONS. processor: as
    platform.machine() names it, if a wheel may run here."""

    triple: str
    tag: str | None
    machine: str
    processor: str | None = None


PLATFORMS = {
    "linux-x86_64": Platform("x86_64-linux-gnu.2.17", "manylinux_2_17_x86_64", "linux_x86_64", "x86_64"),
    "linux-x86_64-musl": Platform("x86_64-linux-musl", "musllinux_1_2_x86_64", "linux_x86_64"),
    "linux-aarch64": Platform("aarch64-linux-gnu.2.17", "manylinux_2_17_aarch64", "linux_aarch64", "aarch64"),
    "linux-aarch64-musl": Platform("aarch64-linux-musl", "musllinux_1_2_aarch64", "linux_aarch64"),
    "linux-riscv64": Platform("riscv64-linux-gnu.2.27", None, "linux_riscv64"),
    "android-aarch64": Platform("aarch64-linux-android", None, "linux_aarch64"),
    "windows-x86_64": Platform("x86_64-windows-gnu", "win_amd64", "win_amd64"),
    "macos-arm64": Platform("aarch64-macos.11.0", "macosx_11_0_arm64", "macosx_arm64"),
    "macos-x86_64": Platform("x86_64-macos.11.0", "macosx_11_0_x86_64", "macosx_x86_64"),
}
# Asks the amalgamation whether it works.
CALLER = """\
#include "tin.h"
#include <stdio.h>
int main(void) {
    puts(tin_version());
    return tin_selfcheck(NULL) != TIN_OK;
}
"""


class Refused(Exception):
    """One line: why there is no release."""


def run(*command: str | Path, **options: object) -> str:
    """What the command prints. Raises Refused with the end of what it says where it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise Refused(f"{' '.join(map(str, command[:4]))} … ended with {done.returncode}: {lines[-1]}")
    return str(done.stdout)


def version() -> str:
    header = (ROOT / "kernels" / "include" / "tin.h").read_text("utf-8")
    match = re.search(r'#define TIN_VERSION "(.+)"', header)
    assert match
    return match[1]


def faults(root: Path, number: str) -> list[str]:
    """What keeps a tree from being released."""
    reasons = []
    heading = re.search(r"^## (.+)$", (root / "CHANGELOG.md").read_text("utf-8"), re.M)
    if heading is None or heading[1].split()[0] != number:
        first = heading[1] if heading else "nothing"
        reasons.append(f"CHANGELOG.md begins with {first!r}, not with {number}: what is new in it?")
    if changed := run("git", "-C", root, "status", "--porcelain").splitlines():
        reasons.append(
            f"the tree has changes that are not committed: {changed[0].strip()}, {len(changed)} in all"
        )
    return reasons


class Release:
    """The files of one release, and what was made sure of each."""

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder, self.work = folder, work
        self.needs = work / "needs"
        self.version = version()
        self.rows: list[tuple[str, int, str]] = []
        self._prove_by()

    def _prove_by(self) -> None:
        """A small .tin with the digest of its logits: the newest of those that versions are held to."""
        newest = max((ROOT / "tests" / "compatibility" / "files").iterdir())
        with tarfile.open(newest) as archive:
            archive.extractall(self.work)
        sys.path[:0] = [str(ROOT)]
        import json

        from tests.compatibility.make import TOKENS

        self.tin = self.work / "run" / "home-q8_0.tin"
        self.tokens = ",".join(map(str, TOKENS))
        self.digest: str = json.loads((self.work / "expected.json").read_text("utf-8"))["run"]["logits"]

    def note(self, path: Path, how: str) -> None:
        self.rows.append((path.name, path.stat().st_size, how))
        print(f"{path.name}: {how}", file=sys.stderr)

    def wheel(self, name: str) -> None:
        one = PLATFORMS[name]
        if one.tag is None:
            return
        made = wheel.wheel(Machine(one.triple), one.tag, self.folder, builds=True)
        wheels.check(made, self.version)
        if one.processor is None:
            self.note(made, self._beside(name))
        else:
            self.note(made, self._proved(made, one.processor))

    def _beside(self, name: str) -> str:
        """Of a wheel that can't run here."""
        if name.startswith("windows") and shutil.which("wine"):
            run(sys.executable, *CLI, "verify", self.tin, "--target", "windows-x86_64")
            return "looked into; tin.exe of the same sources proves a .tin under wine"
        return "looked into"

    def _proved(self, made: Path, processor: str) -> str:
        """By a fresh Python that has nothing but this wheel and what it needs."""
        self._download_needs(made)
        site = self.work / f"site-{processor}"
        if processor == platform.machine():
            run(sys.executable, "-m", "venv", site)
            python: list[str | Path] = [site / "bin" / "python"]
            where: list[str | Path] = []
            environment, how = {"PATH": os.environ["PATH"]}, "installed in a fresh venv"
        elif shutil.which(f"qemu-{processor}") and shutil.which("apt-get"):
            system = hub.cache_folder() / "arm64-python"
            run(ROOT / "scripts" / "arm64-python", system)
            python = [f"qemu-{processor}", "-L", system, system / "usr/bin/python3"]
            where = ["--target", site]
            environment, how = {"PATH": os.environ["PATH"], "PYTHONPATH": str(site)}, "installed under qemu"
        else:
            return f"looked into; qemu-{processor} and apt-get, which would run it, are not here"
        run(*python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", self.needs, *where, made)
        # Not from the checkout, where a folder could be taken for the package.
        options = {"cwd": self.work, "env": environment}
        run(*python, *CLI, "verify", self.tin, **options)
        output = run(*python, *CLI, "logits", self.tin, "--tokens", self.tokens, "--sha256", **options)
        if self.digest not in output:
            raise Refused(f"{made.name}: computes other logits than {self.digest}: {output.strip()}")
        return f"looked into; {how}, proves a .tin and gives its logits"

    def _download_needs(self, made: Path) -> None:
        self.needs.mkdir(exist_ok=True)
        for requirement in wheels.requirements(made):
            options = ["--quiet", "--only-binary", ":all:", "--dest", self.needs]
            run(sys.executable, "-m", "pip", "download", *options, requirement)

    def sdist(self) -> None:
        from scikit_build_core.build import build_sdist

        with redirect_stdout(sys.stderr):
            made = self.folder / build_sdist(str(self.folder))
        folder = self.work / "from-sdist"
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
        run(sys.executable, "-m", "pip", "wheel", *options, made)
        (built,) = folder.glob("*.whl")
        wheels.check(built, self.version)
        self.note(made, "a wheel builds from it, and is looked into")

    def libraries(self, name: str) -> None:
        """libtin, static and shared, libtinhost and the program tin, with their headers."""
        one = PLATFORMS[name]
        machine = Machine(one.triple)
        shared = library.shared(machine)
        for path in shared:
            if path.suffix != ".lib" and not wheels.is_for(path.read_bytes(), one.machine):
                raise Refused(f"{name}: {path.name} is for another machine")
        parts = {f"include/{path.name}": path for path in sources.headers()}
        parts |= {f"lib/{path.name}": path for path in [*library.static(machine), *shared]}
        parts |= {f"bin/{path.name}": path for path in library.program(machine)}
        made = self._archive(f"libtin-{self.version}-{name}.zip", parts)
        self.note(
            made, self._linked(library.static(machine)[0]) if one.processor == platform.machine() else LOOKED
        )

    def _linked(self, static: Path) -> str:
        """Of a library for this machine: a program that links it."""
        caller = self.work / "linked.c"
        caller.write_text(CALLER)
        include = f"-I{sources.headers()[0].parent}"
        run(
            os.environ.get("CC", "cc"),
            "-std=c11",
            include,
            caller,
            static,
            "-o",
            self.work / "linked",
            "-pthread",
        )
        if run(self.work / "linked").strip() != self.version:
            raise Refused(f"{static.name} is of another version")
        return "a program links it here, and passes its self-check"

    def webassembly(self) -> None:
        parts = {path.name: path for path in library.wasm(Machine("wasm32-wasi"))}
        self.note(self._archive(f"libtin-{self.version}-wasm32.zip", parts), "compiled, not run")

    def site(self) -> None:
        """The documentation as HTML."""
        folder = self.work / "site"
        options = ["--builder", "html", "--nitpicky", "--fail-on-warning", "--keep-going", "--quiet"]
        run(sys.executable, "-m", "sphinx", *options, ROOT / "docs", folder)
        pages = sorted(path for path in folder.rglob("*") if path.is_file() and ".doctrees" not in path.parts)
        parts = {path.relative_to(folder).as_posix(): path for path in pages}
        self.note(self._archive(f"tinsmith-docs-{self.version}.zip", parts), "built without a warning")

    def _archive(self, name: str, parts: Mapping[str, Path]) -> Path:
        """A ZIP whose bytes depend on names and contents alone; with the licence."""
        made = self.folder / name
        with files.atomic_write(made) as file, zipfile.ZipFile(file, "w") as archive:
            for entry_name, path in {**parts, "LICENSE": ROOT / "LICENSE"}.items():
                entry = zipfile.ZipInfo(entry_name, wheel.DATE)
                entry.external_attr = (0o755 if entry_name.startswith("bin/") else 0o644) << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
        return made

    def amalgam(self) -> None:
        folder = self.work / "amalgam"
        write_amalgam(folder, host=True)
        (folder / "caller.c").write_text(CALLER)
        compiler = os.environ.get("CC", "cc")
        run(compiler, "-std=c11", "-O1", "caller.c", "tin.c", "-o", "caller", "-pthread", cwd=folder)
        if run(folder / "caller").strip() != self.version:
            raise Refused("tin.c and tin.h are of another version")
        parts = {path.name: path for path in sorted(folder.glob("tin*.[ch]"))}
        made = self._archive(f"tin-{self.version}.zip", parts)
        self.note(made, "compiled by this machine's compiler, passes its self-check")

    def sums(self, key: minisign.SecretKey) -> None:
        """SHA256SUMS and its signature, and the public key that checks it."""
        lines = [
            f"{hashlib.sha256((self.folder / name).read_bytes()).hexdigest()}  {name}\n"
            for name, _, _ in sorted(self.rows)
        ]
        path = self.folder / "SHA256SUMS"
        files.write_text(path, "".join(lines))
        signature = key.sign(path.read_bytes(), f"file:SHA256SUMS tinsmith {self.version}")
        files.write_text(path.with_name("SHA256SUMS.minisig"), signature)
        files.write_text(
            path.with_name("tinsmith.pub"), f"untrusted comment: minisign public key\n{key.public}\n"
        )
        minisign.require(path, None, path.with_name("tinsmith.pub"))

    def table(self) -> str:
        width = max(len(name) for name, _, _ in self.rows)
        return "\n".join(f"{name:<{width}}  {size / 1e3:>7,.0f} kB  {how}" for name, size, how in self.rows)


def secret_key(path: Path) -> minisign.SecretKey:
    password = getpass.getpass(f"password of {path}: ") if minisign.is_encrypted(path) else None
    return minisign.read_secret(path, password)


def release(folder: Path, platforms: Sequence[str], rehearse: bool, key: minisign.SecretKey) -> str:
    number = version()
    if distribution("tinsmith").version != number:
        raise Refused(
            f"tinsmith {distribution('tinsmith').version} is installed, not {number}; run scripts/release"
        )
    for fault in faults(ROOT, number):
        if not rehearse:
            raise Refused(f"{fault}")
        print(f"a release would be refused: {fault}", file=sys.stderr)
    if folder.exists() and any(folder.iterdir()):
        raise Refused(f"{folder}: has files in it; give another folder with --out, or empty it")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        made = Release(folder, Path(work))
        for name in platforms:
            made.wheel(name)
            made.libraries(name)
        made.webassembly()
        made.sdist()
        made.amalgam()
        made.site()
        made.sums(key)
        return made.table()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="where the files go (default: dist/VERSION)")
    parser.add_argument("--only", help=f"platforms, with commas between: {', '.join(PLATFORMS)} (default: all)")
    parser.add_argument("--key", type=Path, help="the secret minisign key that signs SHA256SUMS")
    parser.add_argument("--rehearse", action="store_true", help="go on where a release would be refused")
    args = parser.parse_args()
    chosen = args.only.split(",") if args.only else list(PLATFORMS)
    if unknown := set(chosen) - PLATFORMS.keys():
        parser.error(f"--only: {', '.join(sorted(unknown))} is no platform; there are {', '.join(PLATFORMS)}")
    if bool(args.key) == args.rehearse:
        parser.error("give either --key SECRET or --rehearse")
    folder = (args.out or ROOT / "dist" / version()).resolve()
    try:
        key = minisign.generate() if args.rehearse else secret_key(args.key)
        os.chdir(ROOT)
        print(release(folder, chosen, args.rehearse, key))
    except (Refused, TinsmithError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
