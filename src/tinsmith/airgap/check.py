"""CHECK.md of packages, of an image and of a training pack: the operator's checklist."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

from tinsmith.airgap.openpgp import Signer
from tinsmith.airgap.proof import MOST_TOKENS
from tinsmith.errors import one_line

NAME = "CHECK.md"
_HEAD = """\
# What to check: {what}
Check in this order, before you install or run anything from this folder. Stop at the first failure.

"""
_KEYS = """\
## 1. Keys
These keys came with the folder. They prove nothing until you compare them with keys that the maker gave you
through another channel, such as on paper.

"""
_UNSIGNED = """\
## 1. No key
Nobody signed this folder. The checks below find damage, not tampering: you must trust whoever gave it to you.

"""
_SUMS = """\
## 2. Every file
{tool}
    {verify}sha256sum -c SHA256SUMS

"""
_APT = """\
## 3. apt
DIR is this folder's absolute path. {trust}
{keyring}
    echo 'deb [{option}] file:DIR ./' > /etc/apt/sources.list.d/tinsmith.list
    apt-get update
    apt-get install {names}

apt refuses package lists and packages that differ from {signed}.

"""
_RPM = """\
## 3. rpm
{signed}    rpm -i {level}{names}

"""
_OCI = """\
## 3. The image
`image.tar` has the static program `tin` and the model, without a base image; it runs as nobody. Load it:

    podman load -i image.tar
    skopeo copy oci-archive:image.tar containers-storage:{image}

Its digest (`skopeo inspect oci-archive:image.tar`) must be

    {digest}

Run it without network, capabilities or write access. It must print `answer.txt`; to ask something else, append
the question:

    podman run --rm --network=none --read-only --cap-drop=all --security-opt=no-new-privileges {image}

Check the model's own signature and run its self-test, with the image's program:

    podman run --rm --network=none --entrypoint=/usr/bin/tin {image} verify /model/{tin}{key}
"""
_MODEL = """\
## 4. The model
Check its own signature, run its self-test on every instruction set of this machine, and compare its answer with
the packed one:

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
Python {python} is enough: the installer checks everything again, installs, and prints what is ready:

    python3 -I install.py {options} --into DEST

## 4. Train

    DEST/bin/tinsmith make DEST/recipe/{recipe} --out RUN

downloads nothing: the base, the data and the packages are in DEST. `RUN/report.html` describes the results;
`RUN/run.json` has the digests of their inputs. Compare the digests of the base and of the data with the
maker's:

{origins}"""


@dataclass(frozen=True)
class Keys:
    """A folder's signers. minisign: a public key, RW…. signer: the packages'."""

    minisign: str | None = None
    signer: Signer | None = None

    @property
    def option(self) -> str:
        return f" --key {self.minisign}" if self.minisign else ""


def deb(tin: str, stem: str, names: Sequence[str], keys: Keys) -> str:
    if keys.signer:
        trust = "Install the key so that apt trusts it for this folder alone:"
        keyring = "\n    install -m 644 site.gpg /etc/apt/keyrings/tinsmith-site.gpg"
        option, signed = "signed-by=/etc/apt/keyrings/tinsmith-site.gpg", "the signed ones"
    else:
        trust, keyring = "The folder is unsigned; tell apt to trust it:", ""
        option, signed = "trusted=yes", "the digests in its list"
    text = _APT.format(trust=trust, keyring=keyring, option=option, names=" ".join(names), signed=signed)
    return _head(f"{stem}, as Debian packages", keys) + text + _model(tin, stem, names, keys)


def rpm(tin: str, stem: str, packages: Sequence[str], names: Sequence[str], keys: Keys) -> str:
    """packages: their file names. names: their names."""
    if keys.signer:
        signed = "At this level rpm refuses packages without a known signature.\n\n    rpm --import site.asc\n"
        level = "--define '_pkgverify_level all' "
    else:
        signed, level = "Nobody signed the packages: rpm detects damage only.\n\n", ""
    text = _RPM.format(signed=signed, level=level, names=" ".join(packages))
    return _head(f"{stem}, as RPM packages", keys) + text + _model(tin, stem, names, keys)


def oci(tin: str, stem: str, image: str, digest: str, keys: Keys) -> str:
    """image: its name. digest: its manifest's."""
    text = _OCI.format(image=image, digest=digest, tin=tin, key=keys.option)
    return _head(f"{stem}, as a container image", keys) + text


def training(recipe: str, python: str, origins: Mapping[str, str], keys: Keys) -> str:
    """origins: SHA-256 by file."""
    rows = "".join(f"    {digest}  {name}\n" for name, digest in origins.items())
    options = keys.option.strip() or "--unsigned"
    text = _TRAINING.format(python=python, options=options, recipe=shlex.quote(recipe), origins=rows)
    return _head(f"the files to train {recipe}", keys) + text


def _head(what: str, keys: Keys) -> str:
    lines = [f"- minisign: `{keys.minisign}`\n"] if keys.minisign else []
    if keys.signer:
        owner = one_line(keys.signer.owner).replace("`", " ")
        groups = " ".join(wrap(keys.signer.fingerprint, 4))  # for reading aloud
        lines.append(f"- OpenPGP, {owner}: `{groups}`\n")
    first = _KEYS + "".join(lines) + "\n" if lines else _UNSIGNED
    tool = "With your own minisign:\n" if keys.minisign else ""
    verify = f"minisign -Vm SHA256SUMS -P {keys.minisign} && " if keys.minisign else ""
    return _HEAD.format(what=what) + first + _SUMS.format(tool=tool, verify=verify)


def _model(tin: str, stem: str, names: Sequence[str], keys: Keys) -> str:
    """names: of the packages, one of which runs the model."""
    folder = f"/usr/share/tinsmith/{stem}"
    if "tinsmith-tool" in names:
        program, asked = "tin", _ASKED.format(folder=folder, tin=tin, most=MOST_TOKENS)
    else:
        program, asked = "tinsmith", _PROVED.format(folder=folder, tin=tin)
    return _MODEL.format(program=program, folder=folder, tin=tin, key=keys.option, asked=asked)
