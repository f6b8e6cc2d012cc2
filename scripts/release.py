#!/usr/bin/env python3
"""Builds a release: a wheel for each platform, the sdist, the C library as two files, and SHA256SUMS.

    scripts/release [--out FOLDER] [--only PLATFORM,...] [--rehearse]

Refuses a tree with changes, and a version that does not head CHANGELOG.md; --rehearse says so and goes on.
Every wheel is looked into. Those that run here are installed without a network, beside what they need, which
pip downloads before, and prove a .tin.
"""

from __future__ import annotations

import argparse
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
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import wheels
from amalgamate import write as write_amalgam

from tinsmith import hub
from tinsmith.cross import wheel
from tinsmith.cross.zig import Machine
from tinsmith.errors import TinsmithError
from tinsmith.system import files

ROOT = Path(__file__).resolve().parents[1]
CLI = ("-c", "import sys; from tinsmith import cli; sys.exit(cli.main(sys.argv[1:]))")


@dataclass(frozen=True)
class Platform:
    """triple: zig's; tag: the wheel's; processor: as platform.machine() calls it, if a wheel may run here."""

    triple: str
    tag: str
    processor: str | None = None


PLATFORMS = {
    "linux-x86_64": Platform("x86_64-linux-gnu.2.17", "manylinux_2_17_x86_64", "x86_64"),
    "linux-x86_64-musl": Platform("x86_64-linux-musl", "musllinux_1_2_x86_64"),
    "linux-aarch64": Platform("aarch64-linux-gnu.2.17", "manylinux_2_17_aarch64", "aarch64"),
    "linux-aarch64-musl": Platform("aarch64-linux-musl", "musllinux_1_2_aarch64"),
    "windows-x86_64": Platform("x86_64-windows-gnu", "win_amd64"),
    "macos-arm64": Platform("aarch64-macos.11.0", "macosx_11_0_arm64"),
    "macos-x86_64": Platform("x86_64-macos.11.0", "macosx_11_0_x86_64"),
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
            archive.extractall(self.work, filter="data")
        sys.path[:0] = [str(ROOT / "tests" / "compatibility")]
        import json

        from make import TOKENS

        self.tin = self.work / "run" / "home-q8_0.tin"
        self.tokens = ",".join(map(str, TOKENS))
        self.digest: str = json.loads((self.work / "expected.json").read_text("utf-8"))["run"]["logits"]

    def note(self, path: Path, how: str) -> None:
        self.rows.append((path.name, path.stat().st_size, how))
        print(f"{path.name}: {how}", file=sys.stderr)

    def wheel(self, name: str) -> None:
        one = PLATFORMS[name]
        made = wheel.wheel(Machine(one.triple), one.tag, self.folder)
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

    def amalgam(self) -> None:
        folder = self.work / "amalgam"
        write_amalgam(folder)
        (folder / "caller.c").write_text(CALLER)
        compiler = os.environ.get("CC", "cc")
        run(compiler, "-std=c11", "-O1", "caller.c", "tin.c", "-o", "caller", "-pthread", cwd=folder)
        if run(folder / "caller").strip() != self.version:
            raise Refused("tin.c and tin.h are of another version")
        made = self.folder / f"tin-{self.version}.zip"
        with files.atomic_write(made) as file, zipfile.ZipFile(file, "w") as archive:
            for path in (folder / "tin.c", folder / "tin.h", ROOT / "LICENSE"):
                entry = zipfile.ZipInfo(path.name, wheel.DATE)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
        self.note(made, "compiled by this machine's compiler, passes its self-check")

    def sums(self) -> None:
        lines = [
            f"{hashlib.sha256((self.folder / name).read_bytes()).hexdigest()}  {name}\n"
            for name, _, _ in sorted(self.rows)
        ]
        files.write_text(self.folder / "SHA256SUMS", "".join(lines))

    def table(self) -> str:
        width = max(len(name) for name, _, _ in self.rows)
        return "\n".join(f"{name:<{width}}  {size / 1e3:>7,.0f} kB  {how}" for name, size, how in self.rows)


def release(folder: Path, platforms: Sequence[str], rehearse: bool) -> str:
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
        made.sdist()
        made.amalgam()
        made.sums()
        return made.table()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="where the files go (default: dist/VERSION)")
    parser.add_argument("--only", help=f"wheels, with commas between: {', '.join(PLATFORMS)} (default: all)")
    parser.add_argument("--rehearse", action="store_true", help="go on where a release would be refused")
    args = parser.parse_args()
    chosen = args.only.split(",") if args.only else list(PLATFORMS)
    if unknown := set(chosen) - PLATFORMS.keys():
        parser.error(f"--only: {', '.join(sorted(unknown))} is no platform; there are {', '.join(PLATFORMS)}")
    os.chdir(ROOT)
    try:
        print(release((args.out or ROOT / "dist" / version()).resolve(), chosen, args.rehearse))
    except (Refused, TinsmithError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
