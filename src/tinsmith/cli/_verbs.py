"""Which verbs there are, as their sources say, and the overview of them. No verb is imported, nor click."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FAILED = 2
FOLDER = Path(__file__).parent
COMPLETE = "_TINSMITH_COMPLETE"  # of the environment: a shell asks for completions, or for its script
ABOUT = "Turns examples and a small base model into a sealed language model that runs anywhere."
# In the overview's order. The verbs of a group have none.
SECTIONS = ("begin", "train", "build", "run", "ship", "measure")


class Entry(NamedTuple):
    """A verb or a group. path: its source file, or its folder."""

    path: Path
    help: str
    section: str


def entries(folder: Path = FOLDER) -> dict[str, Entry]:
    """The verbs and groups of a folder by name, in alphabetical order."""
    listed = {}
    for path in sorted(folder.iterdir()):
        source = path / "__init__.py" if path.is_dir() else path
        if source.suffix == ".py" and not path.name.startswith(("_", ".")) and source.is_file():
            text = source.read_text(encoding="utf-8")
            listed[path.stem] = Entry(path, _constant(text, "HELP"), _constant(text, "SECTION"))
    return listed


def _constant(source: str, name: str) -> str:
    match = re.search(rf'^{name} = "([^"\\\n]*)"$', source, flags=re.MULTILINE)
    return match[1] if match else ""


def verbs(folder: Path = FOLDER, prefix: str = "") -> dict[str, Path]:
    """Verb to source file; those of a group after its name, such as `adapters add`."""
    sources: dict[str, Path] = {}
    for name, entry in entries(folder).items():
        if entry.path.is_dir():
            sources |= verbs(entry.path, f"{prefix}{name} ")
        else:
            sources[prefix + name] = entry.path
    return sources


def help_line(file: Path) -> str:
    """The HELP text of a verb's source, read without importing it."""
    return _constant(file.read_text(encoding="utf-8"), "HELP")


def overview(command: str = "tinsmith", folder: Path = FOLDER, text: str = "") -> str:
    """What `--help` prints of all verbs, or of a group's. text: what the group is for."""
    known = entries(folder)
    width = max(map(len, known), default=0)
    lines = [f"Usage: {command} VERB [ARGUMENTS]", ""]
    lines += [text or ABOUT, ""]
    for section in dict.fromkeys((*SECTIONS, *(entry.section for entry in known.values()))):
        rows = [f"  {name:<{width}}  {entry.help}" for name, entry in known.items() if entry.section == section]
        lines += [f"{section.capitalize() or 'Verbs'}:", *rows, ""] if rows else []
    version = "; tinsmith --version prints the version" if folder == FOLDER else ""
    return "\n".join([*lines, f"{command} VERB --help says more of one verb{version}."])
