"""`tinsmith pack`: one folder, and one tar file, that a machine without a network checks and installs.

home-q8_0.tin          the model, with its signature home-q8_0.tin.minisig where it is signed
runtime/               what runs it on the target: wheel, libraries, headers, C program
install.py             checks, installs and asks, by Python's standard library alone
prompt.txt answer.txt  a question, and its answer, which is the same on every machine
GUIDE.md               what it is, and what to do with it
sbom.cdx.json LICENSES/
key.pub                who signed it
SHA256SUMS             the digest of every file above, and its signature SHA256SUMS.minisig
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from pathlib import Path

from tinsmith.airgap import guide, proof, tar
from tinsmith.airgap.install import NAME, SUMS
from tinsmith.airgap.runtime import check_folder, runtime_files, title
from tinsmith.airgap.wheel import license_text
from tinsmith.errors import InputError
from tinsmith.files import atomic_write, sha256_file, write_fault
from tinsmith.formats.tin import Tin

Source = bytes | Path
SCRIPTS = ("install.py",)


def pack(tin: Path, target: str, out: Path, prompt: str, runtime: Path | None = None) -> tuple[Path, Path]:
    """Makes the folder `out` and the tar file beside it: both or neither. Returns their paths.

    runtime: a folder with what runs the tin on the target; None builds it. prompt: what is asked once it is
    installed. Raises InputError where `out` is there already, or a file's name can't be in a pack; FormatError
    for a damaged tin.
    """
    title(target)
    archive = out.with_name(out.name + ".tar")
    for path in (out, archive):
        if path.exists():
            raise InputError(f"{path}: is there already; remove it, or give another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.{secrets.token_hex(6)}.tmp")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            if runtime is None:
                runtime_files(target, Path(scratch))
            ships = check_folder(runtime or Path(scratch))
            fill(draft, contents(tin, target, ships, prompt))
        with atomic_write(archive) as file:
            tar.write(draft, out.name, file)
            draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out, archive


def contents(path: Path, target: str, runtime: Path, prompt: str) -> dict[str, Source]:
    """Every file of the pack by its place in it, but for the digests."""
    tin = Tin(path)
    tin.verify()
    found: dict[str, Source] = {path.name: path}
    for file in runtime.rglob("*"):
        if file.is_file():
            found[f"runtime/{file.relative_to(runtime).as_posix()}"] = file
    for name in tin.names:
        if name.startswith("LICENSES/"):
            found[f"LICENSES/model/{name.removeprefix('LICENSES/')}"] = bytes(tin.entry(name))
        elif name == "sbom.cdx.json":
            found[name] = bytes(tin.entry(name))
    found["LICENSES/tinsmith.txt"] = license_text().encode()
    found["prompt.txt"] = prompt.encode()
    found["answer.txt"] = proof.answer(path, prompt)
    for name in SCRIPTS:
        found[name] = Path(__file__).with_name(name)
    found["GUIDE.md"] = guide.text(path, title(target), prompt, sorted(found), signed=False).encode()
    return found


def fill(folder: Path, files: dict[str, Source]) -> None:
    """Writes the files and SHA256SUMS into a new folder."""
    lines = []
    for name, source in sorted(files.items()):
        if not NAME.fullmatch(name):
            raise InputError(f"{name}: can't be in a pack; rename it with A-Z a-z 0-9 . _ + - alone")
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(source, Path):
                shutil.copyfile(source, path)
            else:
                path.write_bytes(source)
        except OSError as error:
            raise write_fault(path, error) from error
        runs = name in SCRIPTS or (isinstance(source, Path) and source.stat().st_mode & 0o100)
        path.chmod(tar.PROGRAM if runs else tar.DATA)
        lines.append(f"{sha256_file(path)}  {name}\n")
    (folder / SUMS).write_text("".join(lines), "ascii", newline="\n")
    (folder / SUMS).chmod(tar.DATA)
    for path in (folder, *folder.rglob("*/")):
        path.chmod(tar.PROGRAM)
