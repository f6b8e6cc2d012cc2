"""The forms of a pack: a folder with its installer, alone or archived; or a system's packages or image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tinsmith.airgap import check, deb, oci, packages, rpm
from tinsmith.airgap.check import Keys
from tinsmith.airgap.tar import Source
from tinsmith.targets import Target

TAR, DIR, ZIP, DEB, RPM, OCI = "tar", "dir", "zip", "deb", "rpm", "oci"
NAMES = (TAR, DIR, ZIP, DEB, RPM, OCI)
PACKAGED = (DEB, RPM, OCI)  # installed by the system, not by the pack's own installer
SIGNED = (DEB, RPM)  # with OpenPGP


def archive(out: Path, form: str) -> Path | None:
    """The archive of the folder `out`, beside it; None for a form without one."""
    return out.with_name(f"{out.name}.{form}") if form in (TAR, ZIP) else None


def packaged(
    form: str,
    tin: Path,
    target: Target | None,
    files: Mapping[str, Source],
    keys: Keys,
    comment: str,
    scratch: Path,
) -> dict[str, Source]:
    """The files of a folder of packages, or with an image. files: the pack's. comment: the tin's signature's,
    which may state a version. scratch: a folder for new files."""
    machine, version = packages.arch(target, form), packages.version_of(comment)
    if form == OCI:
        contents, digest = oci.image(tin, files, machine, scratch, version)
        page = check.oci(tin.name, tin.stem, oci.name(tin, version), digest, keys)
    else:
        layout = deb.layout(machine) if form == DEB else rpm.LAYOUT
        made = list(packages.of(tin, files, machine, layout, version))
        names = [package.name for package in made]
        if form == DEB:
            contents = deb.repository(made, machine, scratch, keys.signer)
            page = check.deb(tin.name, tin.stem, names, keys)
        else:
            contents = rpm.packages(made, machine, scratch, keys.signer)
            page = check.rpm(tin.name, tin.stem, [one for one in contents if one.endswith(".rpm")], names, keys)
    common = {name: files[name] for name in ("key.pub", "sbom.cdx.json", "answer.txt") if name in files}
    return {**common, **contents, check.NAME: page.encode()}
