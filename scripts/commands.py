#!/usr/bin/env python3
"""Writes what the command line says of itself: docs/commands.md and tests/cli/help/; tests hold it to both."""

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
Made by `scripts/commands.py` from the verbs' own lines. `tinsmith VERB --help` says all of a verb's options.

"""
_TAIL = """## Writing a command
- Options may stand before, between and after arguments; `--` ends them, for a text that begins with `-`.
- `--format` and `--target` of `build`, and `--target` of `verify`, take several words: `--format q8_0 q4_0`.
- A size is a number of bytes, or such as `90MB` or `85MiB`; lists such as `--threads 1,2` have commas.
- An error is one line on standard error, beginning with `tinsmith: error:`, and exit code 2. `verify` exits
  with 1 for a file that it refuses, an interrupted command with 130.

## Environment
`TINSMITH_<VERB>_<OPTION>` is the default of a verb's option: `TINSMITH_RUN_MAX_TOKENS=64` that of
`tinsmith run --max-tokens`, `TINSMITH_BUILD_FORMAT="q8_0 q4_0"` two words for an option of several,
`TINSMITH_RUN_JSON=1` a flag. What the command line says goes before it. An empty value is an error; of
a variable it is one where a path or a check is meant (`TINSMITH_KEY=`), and other empty variables count as not
set. Beside these:

| variable | what it is |
| --- | --- |
| `TINSMITH_KEY` | `--key` of each verb that runs or verifies a file: the public key that signed it |
| `TINSMITH_CACHE` | the folder for what is fetched and compiled (default: `~/.cache/tinsmith`) |
| `TINSMITH_OFFLINE` | 1: fetch nothing |
| `TINSMITH_LOCK` | the file that says which files a model of the hub has ([Bases](bases.md)) |
| `TIN_FORCE_ISA` | the instruction set, as `--isa` |

## Completion
Verbs, options, names of devices, formats and base models, and files of the kinds that a verb takes:

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
    for name, entry in cli.entries().items():
        sections[entry.section].append(f"| `tinsmith {name}` | {entry.help} |\n")
    tables = [
        f"## {section.capitalize()}\n| verb | what it does |\n| --- | --- |\n{''.join(rows)}\n"
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
