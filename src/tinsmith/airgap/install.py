#!/usr/bin/env python3
"""Checks this folder, installs its model and runtime, and asks the model once; or installs a recipe's training
environment.

    python3 -I install.py --key KEY [--into DIR] [--check] [--unsigned]

It needs Python 3.11 or newer and the standard library: no pip, no compiler, no network. Before it uses any file
of the folder, it checks every digest and the signature of the digests. Get KEY from the maker through another
channel: anybody may have replaced the key in this folder.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whatever Python is there runs this
    sys.exit("error: this needs Python 3.11 or newer")
if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # this folder, not checked yet: import nothing from it

import argparse
import base64
import hashlib
import io
import os
import platform
import re
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

SUMS, SIGNATURE, KEY = "SHA256SUMS", "SHA256SUMS.minisig", "key.pub"
PROOF = ("prompt.txt", "answer.txt")  # a question, and the model's expected answer
RECIPE = "recipe.txt"  # of a training pack: the recipe's name in recipe/
NAME = re.compile(r"(?:[\w+][\w.+-]*/)*[\w+][\w.+-]*", re.ASCII)
LINE = re.compile(f"([0-9a-f]{{64}})  ({NAME.pattern})", re.ASCII)
UNTRUSTED = "untrusted comment: signature of a tinsmith pack"
PURE = "-py3-none-any.whl"  # a pure Python wheel
CHUNK = 1 << 20
CALL = "import sys; sys.path.insert(0, sys.argv.pop(1)); "  # argv[1] is the package's folder


class Refused(Exception):
    """The fault of the folder, in one line."""


# Ed25519 (RFC 8032, 5.1.7): points are (X, Y, Z, T) with x = X / Z, y = Y / Z, x y = T / Z

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int, int, int]


def add(a: Point, b: Point) -> Point:
    m, n = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    c, d = 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    e, f, g, h = n - m, d - c, d + c, n + m
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(k: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    while k:
        if k & 1:
            total = add(total, point)
        point, k = add(point, point), k >> 1
    return total


def recover(data: bytes) -> Point:
    """The point that 32 bytes encode."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y % 2**255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (sign and not x):
        raise Refused(f"{KEY} has no Ed25519 key")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = recover((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the 64 bytes are a signature of the message by the key of 32 bytes."""
    scalar = int.from_bytes(signature[32:], "little")
    point = recover(public)
    if scalar >= ORDER or times(8, point)[0] == 0:  # any signature fits a key of small order
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    k = int.from_bytes(digest, "little") % ORDER
    x, y, z, t = times(k, point)
    x, y, z, _ = add(times(scalar, BASE), (P - x, y, z, P - t))
    inverse = pow(z, -1, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


# minisign's files


def decoded(text: str, size: int, what: str) -> bytes:
    """Canonical Base64."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if len(data) != size or base64.b64encode(data).decode() != text:
        raise Refused(f"{what} is damaged")
    return data


def read_key(given: str) -> tuple[bytes, bytes]:
    """Key ID and public key, from minisign's key file or its second line."""
    lines = Path(given).read_text("utf-8").splitlines() if Path(given).is_file() else [given]
    data = decoded(lines[-1].strip() if lines else "", 42, f"the public key {given}")
    if data[:2] != b"Ed":
        raise Refused(f"{given} is no minisign public key")
    return data[2:10], data[10:]


def check_signature(sums: bytes, signature: bytes, public: tuple[bytes, bytes]) -> None:
    """Raises Refused unless SHA256SUMS.minisig is the key's signature of SHA256SUMS, to the last byte."""
    lines = signature.decode("utf-8", "replace").split("\n")
    if len(lines) != 5 or lines[0] != UNTRUSTED or not lines[2].startswith("trusted comment: ") or lines[4]:
        raise Refused(f"{SIGNATURE} is damaged")
    data, whole = decoded(lines[1], 74, SIGNATURE), decoded(lines[3], 64, SIGNATURE)
    number, key = public
    if data[:2] != b"ED" or data[2:10] != number:
        raise Refused(f"{SIGNATURE} was not made by this key")
    hashed = hashlib.blake2b(sums).digest()
    comment = lines[2].removeprefix("trusted comment: ").encode()
    if not signed(key, hashed, data[10:]) or not signed(key, data[10:] + comment, whole):
        raise Refused(f"the signature of {SUMS} is wrong: this folder was changed")


# The folder. Each file is read once to check and use it: a second read may give other bytes.


def listed(folder: Path, sums: bytes) -> dict[str, str]:
    """SHA256SUMS as {file: digest}. Raises Refused unless it lists every file once, in order."""
    text = sums.decode("utf-8", "replace")
    digests: dict[str, str] = {}
    for line in text.removesuffix("\n").split("\n"):
        match = LINE.fullmatch(line)
        if not match or match[2] in digests:
            raise Refused(f"{SUMS} is damaged at {line[:80]!r}")
        digests[match[2]] = match[1]
    if list(digests) != sorted(digests) or not text.endswith("\n"):
        raise Refused(f"{SUMS} is damaged: its lines are not in order")
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    there = {path.relative_to(folder).as_posix() for path in paths}
    for name in sorted(there ^ (digests.keys() | (there & {SUMS, SIGNATURE}))):
        raise Refused(f"{name} is {'not listed in ' + SUMS if name in there else 'missing'}")
    return digests


def take(folder: Path, name: str, digest: str, into: BinaryIO | None = None) -> None:
    """Copies a file, read once. Raises Refused where its digest differs."""
    hasher = hashlib.sha256()
    with (folder / name).open("rb") as file:
        while piece := file.read(CHUNK):
            hasher.update(piece)
            if into is not None:
                into.write(piece)
    if hasher.hexdigest() != digest:
        raise Refused(f"{name} does not match {SUMS}: this folder was changed or damaged")


def check(folder: Path, key: str | None, unsigned: bool) -> tuple[dict[str, str], str | None]:
    """Checks everything. Returns {file: digest} and the signer's key line, None for an unsigned folder."""
    text = (folder / SUMS).read_bytes()
    sums = listed(folder, text)
    signature = (folder / SIGNATURE).read_bytes() if (folder / SIGNATURE).exists() else None
    public = None
    if key is not None or signature is not None or KEY in sums:
        if signature is None:
            raise Refused(f"{SIGNATURE} is missing: this folder is not signed, or was changed")
        if key is None and KEY not in sums:
            raise Refused(f"{KEY} is missing; give the maker's key with --key")
        public = read_key(str(folder / KEY) if key is None else key)
        check_signature(text, signature, public)
    elif not unsigned:
        raise Refused("this folder is not signed: anybody may have made it; --unsigned accepts it")
    for name, digest in sums.items():
        take(folder, name, digest)
    line = None if public is None else base64.b64encode(b"Ed" + b"".join(public)).decode()
    signed = f"signed by {line}: compare this with the maker's key" if line else "no signature"
    print(f"checked: {len(sums)} files, {signed if key is None else 'signed by the key you gave'}")
    return sums, line


# Installing


def wheel_of(sums: dict[str, str]) -> str | None:
    """tinsmith's wheel for this machine; None for a folder without wheels, as for a microcontroller."""
    wheels = [name for name in sums if name.endswith(".whl") and base(name).startswith("tinsmith-")]
    found = next(filter(fits, wheels), None)
    if wheels and found is None:
        raise Refused(f"no wheel for {sys.platform} on {platform.machine()} here, but {', '.join(wheels)}")
    return found


def base(name: str) -> str:
    return name.rpartition("/")[2]


def fits(name: str) -> bool:
    """Whether a wheel's tags fit this machine and this Python."""
    if name.endswith(PURE):
        return True
    python, abi, tags = name.removesuffix(".whl").rsplit("-", 3)[1:]
    own = "py3" if abi == "none" else f"cp{sys.version_info.major}{sys.version_info.minor}"
    if abi != "abi3" and own not in python.split("."):
        return False
    machine = platform.machine().lower().replace("amd64", "x86_64")
    system = {"linux": "linux", "win32": "win", "darwin": "macosx"}.get(sys.platform, sys.platform)
    musl = any(Path("/lib").glob("ld-musl-*"))
    for tag in tags.split("."):
        if tag == "any":
            return True
        if system in tag and tag.replace("amd64", "x86_64").endswith(machine):
            return system != "linux" or tag.startswith("linux_") or ("musl" in tag) == musl
    return False


def others(sums: dict[str, str]) -> list[str]:
    """The wheels of tinsmith's dependencies. Raises Refused for one of another machine or Python."""
    names = [name for name in sums if name.endswith(".whl") and not base(name).startswith("tinsmith-")]
    for name in names:
        if not fits(name):
            python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
            raise Refused(f"{name} is not for {python} on {platform.machine()}; use the wheel's Python")
    return names


def script(words: list[str], windows: bool, variables: dict[str, str]) -> str:
    """A script that runs a command with the script's own arguments appended."""
    if windows:  # whose file names have no quotation marks
        sets = "".join(f'@set "{name}={value}"\n' for name, value in variables.items())
        quoted = " ".join(f'"{word}"' for word in words)
        return f"{sets}@{quoted}".replace("%", "%%") + " %*\n"
    sets = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    return f'#!/bin/sh\n{sets}exec {shlex.join(words)} "$@"\n'


def quiet(into: Path) -> dict[str, str]:
    """Environment variables of a training environment: find models in its own cache only."""
    cache = str(into / "cache")
    return {
        "TINSMITH_CACHE": cache,
        "TINSMITH_OFFLINE": "1",
        "HF_HUB_CACHE": f"{cache}{os.sep}hub",
        "HF_HUB_OFFLINE": "1",
    }


def is_inside(name: str) -> bool:
    """Whether every system unpacks a file of this name below the folder (as in tinsmith.system.names)."""
    parts = name.split("/")
    plain = name.isprintable() and not set(name) & set("\\:")
    return plain and all(one not in ("", ".", "..") and len(one.encode()) <= 255 for one in parts)


def unpack(data: BinaryIO, site: Path) -> None:
    """Unpacks a wheel's modules. Raises Refused, before it writes anything, for a name that leads out."""
    with zipfile.ZipFile(data) as archive:
        for entry in archive.infolist():
            if not is_inside(entry.filename.removesuffix("/")):
                raise Refused(f"a wheel has the name {entry.filename[:100]!a}, which leads out of its folder")
        for entry in archive.infolist():
            top, _, rest = entry.filename.partition("/")
            if top.endswith(".data"):
                kind, _, entry.filename = rest.partition("/")
                if kind not in ("purelib", "platlib"):
                    continue  # programs and headers, which are not imported
            archive.extract(entry, site)


def copy_files(folder: Path, sums: dict[str, str], into: Path) -> Path:
    """Copies the model with its proof, or the recipe with its data. Returns the tin, or the recipe."""
    if RECIPE in sums:
        copies = {name: into / name for name in sums if name.startswith(("recipe/", "cache/"))}
        recipe = io.BytesIO()
        take(folder, RECIPE, sums[RECIPE], recipe)
        installed = into / "recipe" / recipe.getvalue().decode("utf-8").strip()
    else:
        (tin,) = (name for name in sums if name.endswith(".tin"))
        model = (tin, f"{tin}.minisig", KEY, *PROOF)
        copies = {name: into / "model" / name for name in model if name in sums}
        installed = copies[tin]
    for name, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("wb") as file:
            take(folder, name, sums[name], file)
    return installed


def install(
    folder: Path, sums: dict[str, str], wheel: str, into: Path
) -> tuple[Callable[[str], list[str]], Path]:
    """Installs the package, its dependencies and the model into a folder or a virtual environment. A training
    pack, which starts more Pythons, goes into a virtual environment.

    Returns a function from code to a command that runs it with the package; and the tin, or the recipe.
    """
    if not str(into).isprintable():
        raise Refused(f"{str(into)!a} can't stand in a script; give another --into")
    environment = (into / "pyvenv.cfg").exists()
    if into.exists() and not environment:
        raise Refused(f"{into} exists; remove it, or give another --into")
    trains = RECIPE in sums
    if trains and not environment:
        venv.create(into, symlinks=os.name != "nt")
        environment = True
    bare = {"base": str(into), "platbase": str(into)}
    scripts = Path(sysconfig.get_path("scripts", "venv", bare)) if environment else into
    site = Path(sysconfig.get_path("platlib", "venv", bare)) if environment else into / "site"
    site.mkdir(parents=True, exist_ok=environment)
    for name in (wheel, *others(sums)):
        package = base(name).partition("-")[0]
        if name != wheel and any((site / one).exists() for one in (package, f"{package}.py")):
            continue  # the environment has it: files of two versions must not mix
        with tempfile.TemporaryFile() as data:
            take(folder, name, sums[name], data)
            unpack(data, site)
    installed = copy_files(folder, sums, into)
    if environment:
        python = [str(scripts / Path(sys.executable or "python3").name), "-I"]
    else:  # without this Python's own packages, which may include another tinsmith
        python = [sys.executable or "python3", "-I", "-S"]

    def command(code: str) -> list[str]:
        return [*python, "-c", CALL + code, str(site)]

    windows = os.name == "nt"
    call = scripts / ("tinsmith.cmd" if windows else "tinsmith")
    words = command("from tinsmith.cli import main; sys.exit(main())")
    call.write_text(script(words, windows, quiet(into) if trains else {}), "utf-8")
    call.chmod(0o755)
    return command, installed


def prove(command: Callable[[str], list[str]], installed: Path) -> None:
    """Runs the model's self-test and compares one answer with the packed one; or checks that a training
    environment is complete."""
    trains = installed.suffix == ".toml"
    module = "pipeline.offline" if trains else "airgap.proof"
    words = command(f"import tinsmith.cli._group; from tinsmith.{module} import main; main(*sys.argv[1:])")
    if trains:
        more, variables = [str(installed)], quiet(installed.parents[1])
    else:
        key = [str(installed.with_name(KEY))] if installed.with_name(KEY).exists() else []
        more, variables = [str(installed.parent), str(installed), *key], {}
    done = subprocess.run([*words, *more], capture_output=True, env={**os.environ, **variables})
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"]
        raise Refused(f"{'it does not train' if trains else 'the model does not run'} here: {lines[-1]}")
    print(done.stdout.decode("utf-8", "replace").rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description="checks this folder, installs it, and asks its model once")
    parser.add_argument("--key", help="the maker's public key: a file, or its line RW… ")
    parser.add_argument("--into", type=Path, help="a new folder, or an environment made by python3 -m venv")
    parser.add_argument("--check", action="store_true", help="only check the folder")
    parser.add_argument("--unsigned", action="store_true", help="accept an unsigned folder")
    args = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for characters outside the terminal's encoding
    folder = Path(__file__).resolve().parent
    into = args.into or folder.with_name(f"{folder.name}-installed")
    try:
        sums, signer = check(folder, args.key, args.unsigned)
        wheel = wheel_of(sums)
        if args.check or wheel is None:
            return print("" if args.check else "this pack has no wheel: GUIDE.md says how to set up its device")
        if args.key is None and not args.unsigned:
            raise Refused(
                "nothing of this folder was run: whoever sent it chose its key; compare it with the key that "
                f"the maker gave you through another channel, then give it: --key {signer}"
            )
        fresh = not into.exists()
        try:
            prove(*install(folder, sums, wheel, into.absolute()))
        except BaseException:
            if fresh:
                shutil.rmtree(into, ignore_errors=True)
            raise
        print(f"installed: {into}")
    except (Refused, OSError, zipfile.BadZipFile) as error:
        where = f"{into}: " if isinstance(error, OSError) and error.filename is None else ""
        sys.exit(f"error: {where}{error}")


if __name__ == "__main__":
    main()
