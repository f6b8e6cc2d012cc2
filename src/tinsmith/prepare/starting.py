"""Starters: recipes that run as they are, with a schema or tools and ten examples per split to replace.

starters/<task>/ has recipe.toml, with {base} for the base, and the files that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from tinsmith.errors import UnsupportedError, one_line
from tinsmith.system import files

FOLDER = Path(__file__).with_name("starters")
RECIPE = "recipe.toml"
BASE = "smollm2-135m-instruct"


def names() -> tuple[str, ...]:
    """The tasks with a starter."""
    return tuple(sorted(path.name for path in FOLDER.iterdir() if (path / RECIPE).is_file()))


def start(task: str, out: Path, base: str = BASE) -> Path:
    """Writes a starter to a new folder; returns the recipe's path. base: a model's name or path.

    Raises UnsupportedError for a task without a starter, InputError for a folder with files."""
    if task not in names():
        raise UnsupportedError(f'task "{task}" has no starter; there are {", ".join(names())}')
    source = FOLDER / task
    with files.atomic_folder(out) as folder:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                text = path.read_text("utf-8")
                if path.name == RECIPE:
                    text = _with_base(text, base)
                files.write_text(folder / path.relative_to(source), text)
    return out / RECIPE


def recipe(task: str, base: str, about: str, system: str, train: Mapping[str, str | int]) -> str:
    """The starter's recipe with another first line, system prompt and keys of [train]."""
    text = _with_base((FOLDER / task / RECIPE).read_text("utf-8"), base)
    comment, rest = text.split("\n\n", 1)
    usage = comment.splitlines()[2:]
    rest = re.sub(r"^system = .*$", lambda _: f"system = {_toml(system)}", rest, flags=re.MULTILINE)
    keys = "".join(f"{key} = {_toml(value)}\n" for key, value in train.items())
    head = "\n".join([f"# {one_line(about)} Every key: docs/recipe.md.", *usage])
    return f"{head}\n\n{rest}\n[train]\n{keys}"


def _with_base(text: str, base: str) -> str:
    local = files.stated(base)
    return text.replace('"{base}"', _toml(str(files.resolved(local)) if local.exists() else base))


def _toml(value: str | int) -> str:
    return json.dumps(value, ensure_ascii=False)
