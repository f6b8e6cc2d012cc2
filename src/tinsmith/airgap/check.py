"""CHECK.md of packages, of an image and of a pack for training: the one page of what an operator checks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinsmith.airgap.openpgp import Signer, spaced
from tinsmith.airgap.proof import MOST_TOKENS
from tinsmith.airgap.tar import Source

NAME = "CHECK.md"
_HEAD = """\
# What to check: {what}
In this order, before anything of this folder is installed or run. Stop at the first that does not hold.

"""
_KEYS = """\
## 1. Keys
They came along with the rest, and prove nothing until you have compared them with what the maker told you by
another way, such as on paper.

"""
_UNSIGNED = """\
## 1. No key
Nobody signed this folder. What follows finds damage, and no intent: take it only from hands that you trust.

"""
_SIGNED_SUMS = """\
## 2. Every file
With a minisign that was there before:

    minisign -Vm SHA256SUMS -P {key} && sha256sum -c SHA256SUMS

"""
_SUMS = """\
## 2. Every file

    sha256sum -c SHA256SUMS

"""
_APT = """\
## 3. apt
DIR is this folder's whole path. {trust}
{keyring}
    echo 'deb [{option}] file:DIR ./' > /etc/apt/sources.list.d/tinsmith.list
    apt-get update
    apt-get install {names}

apt refuses a list or a package that is not as {signed}.

"""
_RPM = """\
## 3. rpm
{signed}    rpm -i {level}{names}

"""
_OCI = """\
## 3. The image
`image.tar` holds the static program `tin` and the model, run as nobody, and no system below them. Load it:

    podman load -i image.tar
    skopeo copy oci-archive:image.tar containers-storage:{image}

Its digest (`skopeo inspect oci-archive:image.tar`) must be

    {digest}

Run it without a network, with a root that is read only and with no rights. It must print `answer.txt`; another
question goes behind its name:

    podman run --rm --network=none --read-only --cap-drop=all --security-opt=no-new-privileges {image}

The model's own signature and its self-test, by the program in the image:

    podman run --rm --network=none --entrypoint=/usr/bin/tin {image} verify /model/{tin}{key}
"""
_MODEL = """\
## 4. The model
Its own signature, and its self-test on every instruction set of this machine; then its packed answer, byte for
byte:

    {program} verify {folder}/{tin}{key}
    {asked}
"""
_ASKED = 'tin run {folder}/{tin} "$(cat {folder}/prompt.txt)" --tokens {most} | cmp - {folder}/answer.txt'
_PROVED = (
    "PYTHONPATH=/usr/lib/tinsmith python3 -c 'import sys; from tinsmith.airgap.proof import main; "
    "main(*sys.argv[1:])' {folder} {folder}/{tin}"
)
_TRAINING = """\
## 3. Install
By Python {python}, whose standard library checks everything again, installs, and says what is ready:

    python3 -I install.py {options} --into DEST

## 4. Train

    DEST/bin/tinsmith make DEST/recipe/{recipe} --out RUN

fetches nothing: the base, the data and what reads them are in DEST. `RUN/report.html` says what was made, and
`RUN/run.json` from which digests. Compare those of the base and of the data with what you were told:

{origins}"""


@dataclass(frozen=True)
class Keys:
    """Whose signatures a folder has. minisign: a public key, RW…; signer: of its packages."""

    minisign: str | None = None
    signer: Signer | None = None

    @property
    def option(self) -> str:
        return f" --key {self.minisign}" if self.minisign else ""


def deb(tin: str, stem: str, names: Sequence[str], keys: Keys) -> str:
    signer = keys.signer
    keyring = "\n    install -m 644 site.gpg /etc/apt/keyrings/tinsmith-site.gpg" if signer else ""
    text = _APT.format(
        trust="The key goes where apt trusts it for this folder alone:"
        if signer
        else "apt is told to trust it unsigned:",
        keyring=keyring,
        option="signed-by=/etc/apt/keyrings/tinsmith-site.gpg" if signer else "trusted=yes",
        names=" ".join(names),
        signed="the key's owner signed it" if signer else "its list of digests says",
    )
    return _begun(f"{stem}, as Debian packages", keys) + text + _model(tin, stem, names, keys)


def rpm(tin: str, stem: str, packages: Sequence[str], names: Sequence[str], keys: Keys) -> str:
    """packages: the files; names: of the packages."""
    if keys.signer:
        signed = (
            "At this level rpm refuses a package that no imported key signed.\n\n    rpm --import site.asc\n"
        )
        level = "--define '_pkgverify_level all' "
    else:
        signed, level = "Nobody signed the packages: rpm finds damage alone.\n\n", ""
    text = _RPM.format(signed=signed, level=level, names=" ".join(packages))
    return _begun(f"{stem}, as RPM packages", keys) + text + _model(tin, stem, names, keys)


def oci(tin: str, stem: str, image: str, digest: str, keys: Keys) -> str:
    """image: what it is called."""
    text = _OCI.format(image=image, digest=digest, tin=tin, key=keys.option)
    return _begun(f"{stem}, as an image for containers", keys) + text


def training(recipe: str, python: str, origins: Mapping[str, str], keys: Keys) -> str:
    """origins: SHA-256 by file."""
    rows = "".join(f"    {digest}  {name}\n" for name, digest in origins.items())
    options = keys.option.strip() or "--unsigned"
    text = _TRAINING.format(python=python, options=options, recipe=shlex.quote(recipe), origins=rows)
    return _begun(f"all that {recipe} needs to train", keys) + text


def _begun(what: str, keys: Keys) -> str:
    lines = [f"- minisign: `{keys.minisign}`\n"] if keys.minisign else []
    if keys.signer:
        lines.append(f"- OpenPGP, {_line(keys.signer.owner)}: `{spaced(keys.signer.fingerprint)}`\n")
    first = _KEYS + "".join(lines) + "\n" if lines else _UNSIGNED
    return (
        _HEAD.format(what=what) + first + (_SIGNED_SUMS.format(key=keys.minisign) if keys.minisign else _SUMS)
    )


def _model(tin: str, stem: str, names: Sequence[str], keys: Keys) -> str:
    """names: of the packages, by one of which the model runs."""
    folder = f"/usr/share/tinsmith/{stem}"
    if "tinsmith-tool" in names:
        program, asked = "tin", _ASKED.format(folder=folder, tin=tin, most=MOST_TOKENS)
    else:
        program, asked = "tinsmith", _PROVED.format(folder=folder, tin=tin)
    return _MODEL.format(program=program, folder=folder, tin=tin, key=keys.option, asked=asked)


def _line(text: str) -> str:
    """What a key says of its owner must not pass for lines of this page."""
    return "".join(one if one.isprintable() and one != "`" else " " for one in text)


def encoded(page: str) -> dict[str, Source]:
    return {NAME: page.encode()}
