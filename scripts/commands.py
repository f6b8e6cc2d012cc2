#!/usr/bin/env python3
"""Writes docs/commands.md and tests/cli/help/ from the command line; tests compare them with it."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from unittest import mock

from tinsmith import cli

ROOT = Path(__file__).parents[1]
PAGE, GOLDEN = ROOT / "docs" / "commands.md", ROOT / "tests" / "cli" / "help"
WIDTH = "100"  # columns of the terminal

_HEAD = """# Commands
`scripts/commands.py` writes this page. `tinsmith VERB --help` lists the options of a verb.

"""
_TAIL = """## Writing a command
- Options may stand before, between and after arguments; `--` ends them, for an argument that begins with `-`.
- `build --format`, `build --target` and `verify --target` take several values: `--format q8_0 q4_0`.
- A size is a number of bytes, or `90MB`, or `85MiB`. Lists have commas: `--threads 1,2`.
- An error is one line on standard error, `tinsmith: error: …`, with exit code 2. `verify` exits with 1 for a
  file that it refuses, an interrupted command with 130.

## Environment
| variable | meaning |
| --- | --- |
| `TINSMITH_KEY` | default of `--key`: the public key that signs files; an empty value is an error |
| `TINSMITH_CACHE` | folder of fetched and compiled files (default: `~/.cache/tinsmith`) |
| `TINSMITH_OFFLINE` | 1: fetch nothing |
| `TINSMITH_LOCK` | file that records the hub files of each model ([Bases](bases.md)) |
| `TIN_FORCE_ISA` | default of `--isa`: the instruction set |

## Completion
The shell completes verbs, options, devices, formats, base models, and files of the types that a verb takes:

```sh
eval "$(tinsmith completion bash)"        # in ~/.bashrc; bash 4 or newer
eval "$(tinsmith completion zsh)"         # in ~/.zshrc, after compinit
tinsmith completion fish | source         # in ~/.config/fish/config.fish
```
"""


def shown(*arguments: str) -> str:
    """What a command line prints in a terminal of one width, with nothing in the environment."""
    printed = io.StringIO()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIN")}
    with (
        mock.patch.dict(os.environ, environment | {"COLUMNS": WIDTH}, clear=True),
        contextlib.redirect_stdout(printed),
    ):
        assert cli.main(arguments) == 0
    return printed.getvalue()


def golden() -> dict[str, str]:
    """File of GOLDEN to its text."""
    helps = {f"{verb.replace(' ', '-')}.txt": shown(*verb.split(), "--help") for verb in cli.verbs()}
    return {"tinsmith.txt": shown("--help"), **helps}


def page() -> str:
    sections: dict[str, list[str]] = {section: [] for section in cli.SECTIONS}
    for name, entry in cli.verbs().items():
        sections[entry.section].append(f"| `tinsmith {name}` | {entry.help} |\n")
    tables = [
        f"## {section.capitalize()}\n| verb | effect |\n| --- | --- |\n{''.join(rows)}\n"
        for section, rows in sections.items()
        if rows
    ]
    return _HEAD + "".join(tables) + _TAIL


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    texts = golden()
    for path in GOLDEN.glob("*.txt"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        (GOLDEN / name).write_text(text, encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE, GOLDEN, sep="\n")


if __name__ == "__main__":
    main()
