"""How a pack's model is served: a unit of systemd and a container file, which need no network."""

from __future__ import annotations

import sys
from importlib import resources

NAMES = ("Containerfile", "tinsmith.service")


def files(tin: str, signed: bool) -> dict[str, bytes]:
    """By their places in the pack. tin: the model's file name. Both name the installed model, and its key where
    the pack is signed."""
    key = "/opt/tinsmith/model/key.pub"
    words = {
        "PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
        "TIN": tin,
        "PROOF": '--key "$KEY"' if signed else "--unsigned",
        "KEY": "--key RW..." if signed else "--unsigned",
        "SIGNED": f', "--key", "{key}"' if signed else "",
        "PROVED": f"--key {key} " if signed else "",
    }
    return {f"serve/{name}": _filled(name, words).encode() for name in NAMES}


def _filled(name: str, words: dict[str, str]) -> str:
    text = (resources.files(__name__) / name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
