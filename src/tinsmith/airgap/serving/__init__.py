"""Files to serve a pack's model without a network: a systemd unit and a container file."""

from __future__ import annotations

import sys
from importlib import resources

NAMES = ("Containerfile", "tinsmith.service")


def files(tin: str, signed: bool) -> dict[str, bytes]:
    """The files by path in the pack. tin: the model's file name. signed: they name the model's key, too."""
    key = "/opt/tinsmith/model/key.pub"
    words = {
        "PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
        "TIN": tin,
        "PROOF": '--key "$KEY"' if signed else "--unsigned",
        "KEY": "--key RW..." if signed else "--unsigned",
        "SIGNED": f', "--key", "{key}"' if signed else "",
        "PROVED": f"--key {key} " if signed else "",
    }
    files = {}
    for name in NAMES:
        text = (resources.files(__name__) / name).read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        files[f"serve/{name}"] = text.encode()
    return files
