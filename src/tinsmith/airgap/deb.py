"""Debian packages, and an apt repository in a folder: deb(5), deb-control(5),
https://wiki.debian.org/DebianRepository/Format."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import shutil
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from tinsmith.airgap import tar
from tinsmith.airgap.openpgp import Signer
from tinsmith.airgap.packages import ARCHS, Layout, Package
from tinsmith.airgap.tar import Source
from tinsmith.system.files import sha256_file

KEYRING = "site.gpg"
NOBODY = "nobody <nobody@localhost>"  # maintainer of unsigned packages
_COMPILE = """\
#!/bin/sh
set -e
if [ "$1" = configure ] && command -v py3compile >/dev/null; then py3compile -p python3-tinsmith; fi
"""
_CLEAN = """\
#!/bin/sh
set -e
if command -v py3clean >/dev/null; then py3clean -p python3-tinsmith; fi
"""


def layout(arch: str) -> Layout:
    return Layout(f"usr/lib/{arch}-linux-gnu", "usr/lib/python3/dist-packages")


def repository(
    packages: Iterable[Package], machine: str, folder: Path, signer: Signer | None
) -> dict[str, Source]:
    """Writes the packages into the folder. Returns the repository's files by name, packages included."""
    arch = ARCHS[machine]
    files: dict[str, Source] = {}
    stanzas = []
    for package in packages:
        text = _control(package, arch, signer.owner if signer else NOBODY)
        name = f"{package.name}_{package.version}_{arch if package.arch else 'all'}.deb"
        path = folder / name
        with path.open("wb") as file:
            write(package, text, file)
        fields = f"Filename: ./{name}\nSize: {path.stat().st_size}\nSHA256: {sha256_file(path)}\n"
        head, _, rest = text.partition("Description:")
        stanzas.append(f"{head}{fields}Description:{rest}\n")
        files[name] = path
    index = "".join(stanzas).encode()
    files |= {"Packages": index, "Packages.gz": gzip.compress(index, 9, mtime=0)}
    files["Release"] = release = _release(files, arch, signer.date if signer else tar.epoch())
    if signer:
        files["InRelease"] = signer.sign(release, "--clearsign")
        files["Release.gpg"] = signer.sign(release, "--armor", "--detach-sign")
        files[KEYRING] = signer.public()
    return files


def _release(files: dict[str, Source], arch: str, date: int) -> bytes:
    day = datetime.fromtimestamp(date, UTC)
    lines = [f" {hashlib.sha256(d).hexdigest()} {len(d)} {n}" for n, d in files.items() if isinstance(d, bytes)]
    return (
        f"Origin: tinsmith\nLabel: tinsmith\nDate: {day:%a, %d %b %Y %H:%M:%S} UTC\n"
        f"Architectures: {arch}\nDescription: sealed language models and what runs them\nSHA256:\n"
        + "".join(line + "\n" for line in lines)
    ).encode()


def _control(package: Package, arch: str, maintainer: str) -> str:
    needs = [f"libc6 (>= {package.libc})"] if package.libc else []
    needs += ["python3 (>= 3.11)"] if package.is_python else []
    kilobytes = sum(-(-tar.size(source) // 1024) for source in _files(package).values())
    section = "python" if package.is_python else "libdevel" if package.name == "libtin" else "science"
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Architecture": arch if package.arch else "all",
        "Maintainer": maintainer,
        "Installed-Size": str(kilobytes),
        "Depends": ", ".join(needs),
        "Conflicts": ", ".join(package.conflicts),
        "Section": section,
        "Priority": "optional",
        "Description": f"{package.summary}\n {package.text}",
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def _files(package: Package) -> dict[str, Source]:
    return {**package.files, f"usr/share/doc/{package.name}/copyright": package.terms}


def write(package: Package, control: str, file: BinaryIO) -> None:
    """A .deb: an ar archive of the format's version, dpkg's control files, and the installed files."""
    files = _files(package)
    # For `dpkg --verify`, which detects damage; apt's signature detects tampering.
    md5 = partial(hashlib.md5, usedforsecurity=False)
    sums = "".join(f"{tar.digest(source, md5)}  {name}\n" for name, source in sorted(files.items()))
    controls: dict[str, Source] = {"control": control.encode(), "md5sums": sums.encode()}
    if package.is_python:
        controls |= {"postinst": _COMPILE.encode(), "prerm": _CLEAN.encode()}
    file.write(b"!<arch>\n")
    _member(file, "debian-binary", io.BytesIO(b"2.0\n"))
    for name, contents in (("control.tar", controls), ("data.tar", files)):
        with tempfile.TemporaryFile() as packed:
            stored = any(one.endswith(".tin") for one in contents)  # weights do not compress
            with gzip.GzipFile("", "wb", 0, packed, mtime=0) if stored else lzma.LZMAFile(packed, "wb") as out:
                tar.write_tree(contents, cast(BinaryIO, out), "./")
            _member(file, f"{name}.{'gz' if stored else 'xz'}", cast(BinaryIO, packed))


def _member(file: BinaryIO, name: str, data: BinaryIO) -> None:
    size = data.seek(0, io.SEEK_END)
    data.seek(0)
    file.write(f"{name:<16}{tar.epoch():<12}{0:<6}{0:<6}{'100644':<8}{size:<10}`\n".encode("ascii"))
    shutil.copyfileobj(data, file)
    file.write(b"\n" * (size % 2))
