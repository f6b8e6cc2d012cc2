"""`tinsmith pack`: a folder, and its archive, that a machine without a network checks and installs.

home-q8_0.tin          the model, with its signature home-q8_0.tin.minisig where it is signed
runtime/               the target's runtime: wheel, libraries, headers, C program
install.py             checks, installs and asks the model; needs Python's standard library alone
install.sh             checks and asks the model; needs a shell and the program `tin` alone
prompt.txt answer.txt  a prompt, and its answer, which is the same on every machine
GUIDE.md               the pack's contents and how to use them
sbom.cdx.json          the model's and the runtime's bill of materials
LICENSES/
serve/                 with --serve: a systemd unit and a container file
key.pub                the signer's public key
SHA256SUMS             the digest of every file above, and its signature SHA256SUMS.minisig

Other forms (forms.py) have the same parts in packages or in an image, and CHECK.md instead of the guide and the
installers.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tinsmith import targets
from tinsmith.airgap import forms, guide, packages, proof, serving, tar
from tinsmith.airgap.check import Keys
from tinsmith.airgap.install import KEY, NAME, SIGNATURE, SUMS, UNTRUSTED
from tinsmith.airgap.openpgp import Signer
from tinsmith.airgap.tar import Source
from tinsmith.airgap.wheel import beside, check_folder, license_text, this_wheel
from tinsmith.errors import InputError, one_line
from tinsmith.formats import minisign
from tinsmith.formats.sbom import with_packages
from tinsmith.formats.tin import Tin
from tinsmith.runtime import load
from tinsmith.system.files import atomic_folder, atomic_write, sha256_file, write_fault
from tinsmith.system.progress import Display

HOST = "host"  # the target name for machines like this one, with Python
SCRIPTS = ("install.py", "install.sh")
TOOL = "runtime/bin/tin"  # needed by install.sh


def pack(
    tin: Path,
    target: str,
    out: Path,
    prompt: str,
    key: minisign.SecretKey | None,
    display: Display,
    runtime: Path | None = None,
    serve: bool = False,
    form: str = forms.TAR,
    signer: Signer | None = None,
) -> list[Path]:
    """Makes the folder `out` and, where the form has one, the archive beside it: all or nothing. Returns their
    paths.

    prompt: the installers' question. key: signs the pack, and has signed the tin; None for an unsigned pack.
    runtime: a folder with the target's runtime; None builds it. serve: includes a server. form: one of
    forms.NAMES. signer: signs packages. Raises InputError where `out` exists or a name is not allowed in a
    pack, FormatError for a damaged tin, SignatureError for one that `key` did not sign, UnsupportedError for an
    unknown target or one without this form.
    """
    check_out(out, form)
    _check_name(tin.name)  # the pages of every form have it in commands
    device = None if target == HOST else targets.find(target)
    if form in forms.PACKAGED:
        packages.arch(device, form)
    if serve and device is not None and runtime is None:
        raise InputError(
            f"--serve packs a server for machines like this one; for {target} give --runtime DIR, a folder "
            "with the wheels of tinsmith[serve] for it"
        )
    comment, public = ("", None) if key is None else (check_signed(tin, key), key.public)

    def files(scratch: Path) -> dict[str, Source]:
        (built := scratch / "runtime").mkdir()
        if runtime is None and device is None:
            this_wheel(built, "serve" if serve else None)
        elif runtime is None and device is not None:
            from tinsmith.cross.runtime import emit

            emit(device, built, display, [tin])
        parts = contents(tin, check_folder(runtime or built), prompt) | public_file(key)
        if serve:
            parts |= serving.files(tin.name, key is not None)
        if form in forms.PACKAGED:
            return forms.packaged(form, tin, device, parts, Keys(public, signer), comment, scratch)
        parts["GUIDE.md"] = guide.text(tin, device, prompt, sorted(parts), public).encode()
        return parts

    return make(out, form, key, f"{tin.name} for {target}", files)


def check_out(out: Path, form: str) -> None:
    """Raises InputError where a pack can't be written to `out`."""
    for path in filter(None, (out, forms.archive(out, form))):
        if os.path.lexists(path):
            raise InputError(f"{path}: exists; remove it, or give another --out")
    if not NAME.fullmatch(out.name):
        raise InputError(f"{out}: can't be a pack's name; name it with A-Z a-z 0-9 . _ + - alone")


def make(
    out: Path, form: str, key: minisign.SecretKey | None, what: str, files: Callable[[Path], dict[str, Source]]
) -> list[Path]:
    """Writes the folder, signed as `what`, and its archive. files: returns their contents; gets a temporary
    folder to write to."""
    archive = forms.archive(out, form)
    try:
        with atomic_folder(out) as draft:
            with tempfile.TemporaryDirectory() as scratch:
                fill(draft, files(Path(scratch)))
            if key is not None:
                sign(draft, key, what)
            if archive is not None:
                write = tar.write if form == forms.TAR else tar.write_zip
                with atomic_write(archive) as file:
                    write(draft, out.name, file)
    except BaseException:
        if archive is not None:
            archive.unlink(missing_ok=True)
        shutil.rmtree(out, ignore_errors=True)
        raise
    return [out] if archive is None else [out, archive]


def public_file(key: minisign.SecretKey | None) -> dict[str, Source]:
    if key is None:
        return {}
    return {KEY: f"untrusted comment: minisign public key\n{key.public}\n".encode()}


def check_signed(tin: Path, key: minisign.SecretKey) -> str:
    """Returns the comment of the tin's signature. Raises InputError for an unsigned tin, SignatureError for
    another key's signature."""
    if not Path(f"{tin}{minisign.SUFFIX}").exists():
        raise InputError(f"{tin}: not signed; run: tinsmith sign {tin} --key SECRET, or pack with --unsigned")
    return minisign.require(tin, Tin(tin), key.public)


def sign(folder: Path, key: minisign.SecretKey, what: str) -> None:
    """Signs SHA256SUMS, and so every file of the folder."""
    comment = UNTRUSTED.removeprefix("untrusted comment: ")
    text = key.sign((folder / SUMS).read_bytes(), what, untrusted=comment)
    _write(folder / SIGNATURE, text.encode("ascii"), tar.DATA)


def contents(path: Path, runtime: Path, prompt: str) -> dict[str, Source]:
    """The files of the pack by path, without key, guide and digests."""
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
        before, licenses, rest = name.rpartition("LICENSES/")  # the model's, or adapter/<name>/LICENSES/
        if licenses:
            files[f"LICENSES/{before or 'model/'}{rest}"] = bytes(tin.entry(name))
        elif name == "sbom.cdx.json":
            bill = bytes(tin.entry(name))
            files[name] = with_packages(bill, [source for source, _ in packages]) if packages else bill
    files["LICENSES/tinsmith.txt"] = license_text().encode()
    files |= {f"LICENSES/{source.name}.txt": text for source, text in packages}
    files["prompt.txt"] = prompt.encode()
    files["answer.txt"] = proof.answer(load(path), prompt)
    for name in SCRIPTS:
        if name != "install.sh" or TOOL in files:
            files[name] = Path(__file__).with_name(name)
    return files


def fill(folder: Path, files: dict[str, Source]) -> None:
    """Writes the files and SHA256SUMS into an empty folder."""
    lines = []
    for name, source in sorted(files.items()):
        _check_name(name)
        runs = name in SCRIPTS or (isinstance(source, Path) and source.stat().st_mode & 0o100)
        _write(folder / name, source, tar.PROGRAM if runs else tar.DATA)
        lines.append(f"{sha256_file(folder / name)}  {name}\n")
    _write(folder / SUMS, "".join(lines).encode("ascii"), tar.DATA)
    for path in (folder, *folder.rglob("*/")):
        path.chmod(tar.PROGRAM)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError(f"{one_line(name)}: can't be in a pack; rename it with A-Z a-z 0-9 . _ + - alone")


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
