"""A new recipe that runs as it is: with a schema or tools, and ten examples a split, to be replaced by others.

A starter is a folder of starters/ by a task's name: recipe.toml, in which {base} stands for the base, and the
files that it names.
"""

from __future__ import annotations

import json
from pathlib import Path

from tinsmith.errors import UnsupportedError
from tinsmith.system import files

FOLDER = Path(__file__).with_name("starters")
RECIPE = "recipe.toml"
BASE = "smollm2-135m-instruct"


def names() -> tuple[str, ...]:
    """The tasks that there is a starter of."""
    return tuple(sorted(path.name for path in FOLDER.iterdir() if (path / RECIPE).is_file()))


def start(task: str, out: Path, base: str = BASE) -> Path:
    """Writes a starter to a new folder; returns the recipe's path. base: a model's name, or its path.

    Raises UnsupportedError for a task without a starter, InputError where the folder holds something."""
    if task not in names():
        raise UnsupportedError(f'task "{task}" has no starter; there are {", ".join(names())}')
    local = Path(base).expanduser()
    model = str(local.resolve()) if local.exists() else base
    source = FOLDER / task
    with files.atomic_folder(out) as folder:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                text = path.read_text("utf-8")
                if path.name == RECIPE:
                    text = text.replace('"{base}"', json.dumps(model, ensure_ascii=False))
                files.write_text(folder / path.relative_to(source), text)
    return out / RECIPE
