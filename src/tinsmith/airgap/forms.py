"""The forms of a pack: a folder with its installer, alone or archived; or what a system installs by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from tinsmith.airgap import check, deb, oci, packages, rpm, tar
from tinsmith.airgap.check import Keys
from tinsmith.airgap.tar import Source
from tinsmith.targets import Target

TAR, DIR, ZIP, DEB, RPM, OCI = "tar", "dir", "zip", "deb", "rpm", "oci"
NAMES = (TAR, DIR, ZIP, DEB, RPM, OCI)
PACKAGED = (DEB, RPM, OCI)  # installed by a system, not by a pack's own installer
SIGNED = (DEB, RPM)  # by OpenPGP


def archive(out: Path, form: str) -> Path | None:
    """The file beside the folder that holds the same."""
    return out.with_name(f"{out.name}.{form}") if form in (TAR, ZIP) else None


def write_archive(folder: Path, name: str, form: str, file: BinaryIO) -> None:
    (tar.write if form == TAR else tar.write_zip)(folder, name, file)


def packaged(
    form: str,
    tin: Path,
    target: Target | None,
    files: Mapping[str, Source],
    keys: Keys,
    comment: str,
    scratch: Path,
) -> dict[str, Source]:
    """The files of a folder of packages, or with an image. files: of a pack; comment: of the tin's signature,
    which may state its version; scratch: a folder to write to."""
    machine, version = packages.arch(target, form), packages.version_of(comment)
    beside = {name: files[name] for name in ("key.pub", "sbom.cdx.json", "answer.txt") if name in files}
    if form == OCI:
        image = oci.image(tin, files, machine, scratch, version)
        page = check.oci(tin.name, tin.stem, oci.name(tin, version), oci.digest(scratch / oci.IMAGE), keys)
        return {**beside, **image, **check.encoded(page)}
    layout = deb.layout(machine) if form == DEB else rpm.LAYOUT
    made = list(packages.of(tin, files, machine, layout, version))
    names = [package.name for package in made]
    if form == DEB:
        held = deb.repository(made, machine, scratch, keys.signer)
        page = check.deb(tin.name, tin.stem, names, keys)
    else:
        held = rpm.packages(made, machine, scratch, keys.signer)
        page = check.rpm(tin.name, tin.stem, [one for one in held if one.endswith(".rpm")], names, keys)
    return {**beside, **held, **check.encoded(page)}
