"""`tinsmith pack`: one folder, and one tar file, that a machine without a network checks and installs.

home-q8_0.tin          the model, with its signature home-q8_0.tin.minisig where it is signed
runtime/               what runs it on the target: wheel, libraries, headers, C program
install.py             checks, installs and asks, by Python's standard library alone
install.sh             checks and asks, by a shell and the program `tin` alone; where there is one
prompt.txt answer.txt  a question, and its answer, which is the same on every machine
GUIDE.md               what it is, and what to do with it
sbom.cdx.json          what the model was made from and runs by, and the packages in runtime/
LICENSES/
serve/                 with --serve: a unit of systemd and a container file
key.pub                who signed it
SHA256SUMS             the digest of every file above, and its signature SHA256SUMS.minisig
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tinsmith.airgap import guide, proof, serving, tar
from tinsmith.airgap.install import KEY, NAME, SIGNATURE, SUMS, UNTRUSTED
from tinsmith.airgap.runtime import check_folder, find, runtime_files
from tinsmith.airgap.wheel import beside, license_text
from tinsmith.errors import InputError
from tinsmith.formats import minisign
from tinsmith.formats.sbom import with_packages
from tinsmith.formats.tin import Tin
from tinsmith.system.files import atomic_folder, atomic_write, sha256_file, write_fault
from tinsmith.system.progress import Display

Source = bytes | Path
SCRIPTS = ("install.py", "install.sh")
TOOL = "runtime/bin/tin"  # what install.sh needs


def pack(
    tin: Path,
    target: str,
    out: Path,
    prompt: str,
    key: minisign.SecretKey | None,
    display: Display,
    runtime: Path | None = None,
    serve: bool = False,
) -> tuple[Path, Path]:
    """Makes the folder `out` and the tar file beside it: both or neither. Returns their paths.

    prompt: what is asked once it is installed. key: what signs it, and has signed the tin; None signs nothing.
    runtime: a folder with what runs the tin on the target; None builds it. serve: with a server. Raises
    InputError where `out` is there already, or a name can't be in a pack; FormatError for a damaged tin,
    SignatureError for one that is not signed by `key`.
    """
    archive = out.with_name(out.name + ".tar")
    for path in (out, archive):
        if os.path.lexists(path):
            raise InputError(f"{path}: is there already; remove it, or give another --out")
    if not NAME.fullmatch(out.name):
        raise InputError(f"{out}: can't be a pack's name; name it with A-Z a-z 0-9 . _ + - alone")
    device = find(target)
    if serve and device is not None and runtime is None:
        raise InputError(
            f"--serve packs a server for machines like this one; for {target} give --runtime DIR, a folder "
            "with the wheels of tinsmith[serve] for it"
        )
    if key is not None:
        check_signed(tin, key)
    try:
        with atomic_folder(out) as draft:
            with tempfile.TemporaryDirectory() as scratch:
                if runtime is None:
                    runtime_files(tin, device, Path(scratch), display, "serve" if serve else None)
                files = contents(tin, check_folder(runtime or Path(scratch)), prompt)
                if serve:
                    files |= serving.files(tin.name, key is not None)
                if key is not None:
                    files[KEY] = f"untrusted comment: minisign public key\n{key.public}\n".encode()
                files["GUIDE.md"] = guide.text(tin, device, prompt, sorted(files), key is not None).encode()
                fill(draft, files)
            if key is not None:
                sign(draft, key, f"{tin.name} for {target}")
            with atomic_write(archive) as file:
                tar.write(draft, out.name, file)
    except BaseException:
        archive.unlink(missing_ok=True)
        shutil.rmtree(out, ignore_errors=True)
        raise
    return out, archive


def check_signed(tin: Path, key: minisign.SecretKey) -> None:
    """Raises InputError unless the tin has its own signature, SignatureError unless `key` made it."""
    if not Path(f"{tin}{minisign.SUFFIX}").exists():
        raise InputError(
            f"{tin}: is not signed; run: tinsmith sign {tin} --key SECRET, or pack it with --unsigned"
        )
    minisign.require(tin, Tin(tin), key.public)


def sign(folder: Path, key: minisign.SecretKey, what: str) -> None:
    """Signs SHA256SUMS, and by it all that is in the folder."""
    comment = UNTRUSTED.removeprefix("untrusted comment: ")
    text = key.sign((folder / SUMS).read_bytes(), what, untrusted=comment)
    _write(folder / SIGNATURE, text.encode("ascii"), tar.DATA)


def contents(path: Path, runtime: Path, prompt: str) -> dict[str, Source]:
    """The files of the pack by their place in it, but for the key, the guide and the digests."""
    tin = Tin(path)
    tin.verify()
    files: dict[str, Source] = {path.name: path}
    signature = Path(f"{path}{minisign.SUFFIX}")
    if signature.exists():
        files[signature.name] = signature
    for file in runtime.rglob("*"):
        if file.is_file() and file.suffix != ".map":  # which names folders of this machine
            files[f"runtime/{file.relative_to(runtime).as_posix()}"] = file
    packages = beside(runtime)
    for name in tin.names:
        before, licenses, rest = name.rpartition("LICENSES/")  # of the model, or before it adapter/<name>/
        if licenses:
            files[f"LICENSES/{before or 'model/'}{rest}"] = bytes(tin.entry(name))
        elif name == "sbom.cdx.json":
            bill = bytes(tin.entry(name))
            files[name] = with_packages(bill, [source for source, _ in packages]) if packages else bill
    files["LICENSES/tinsmith.txt"] = license_text().encode()
    files |= {f"LICENSES/{source.name}.txt": text for source, text in packages}
    files["prompt.txt"] = prompt.encode()
    files["answer.txt"] = proof.answer(path, prompt)
    for name in SCRIPTS:
        if name != "install.sh" or TOOL in files:
            files[name] = Path(__file__).with_name(name)
    return files


def fill(folder: Path, files: dict[str, Source]) -> None:
    """Writes the files and SHA256SUMS into a folder that is empty."""
    lines = []
    for name, source in sorted(files.items()):
        if not NAME.fullmatch(name):
            raise InputError(f"{name}: can't be in a pack; rename it with A-Z a-z 0-9 . _ + - alone")
        runs = name in SCRIPTS or (isinstance(source, Path) and source.stat().st_mode & 0o100)
        _write(folder / name, source, tar.PROGRAM if runs else tar.DATA)
        lines.append(f"{sha256_file(folder / name)}  {name}\n")
    _write(folder / SUMS, "".join(lines).encode("ascii"), tar.DATA)
    for path in (folder, *folder.rglob("*/")):
        path.chmod(tar.PROGRAM)


def _write(path: Path, source: Source, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            shutil.copyfile(source, path)
        else:
            path.write_bytes(source)
        path.chmod(mode)
    except OSError as error:
        raise write_fault(path, error) from error
