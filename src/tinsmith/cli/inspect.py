"""tinsmith inspect: the contents of a model file."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._terminal import table
from tinsmith.cli._types import File
from tinsmith.errors import InputError, one_line

if TYPE_CHECKING:
    from tinsmith.spec import Vision

HELP = "show the contents of a .tin, a .gguf or a Hugging Face folder"
SECTION = "measure"
PARAMETERS = [
    argument("file", "FILE", File(".tin", ".gguf"), help="a .tin, a .gguf or a Hugging Face folder"),
    option("--mmproj", File(".gguf"), help="the vision model of a .gguf, to show with it"),
    flag("--json", help="as JSON"),
]


def run(args: Args) -> int:
    path = Path(args.file)
    if not path.exists():
        raise InputError(f"{path}: no such file; give a .tin, a .gguf or a Hugging Face folder")
    facts = _tin(path) if path.suffix == ".tin" else _base(path, args.mmproj)
    if args.json:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        _print(facts)
    return 0


def _tin(path: Path) -> dict[str, Any]:
    from tinsmith.formats.tin import Tin

    tin = Tin(path)
    manifest = dict(tin.manifest)
    entries: dict[str, dict[str, Any]] = {name: {"bytes": len(tin.entry(name))} for name in tin.names}
    for name, listed in manifest.pop("entries").items():
        entries.setdefault(name, {})["sha256"] = str(listed.get("sha256", ""))
    return {"file": str(path), "kind": "tin", "bytes": path.stat().st_size, **manifest, "entries": entries}


def _base(path: Path, mmproj: Path | None) -> dict[str, Any]:
    from dataclasses import asdict

    from tinsmith import models

    spec = models.load(path, mmproj)
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    return {
        "file": str(path),
        "kind": "gguf" if path.is_file() else "folder",
        "bytes": sum(file.stat().st_size for file in files),
        "family": spec.family,
        "parameters": sum(tensor.rows * tensor.inputs for tensor in spec.tensors.values()),
        "hyper": asdict(spec.hyper),
        "general": spec.general,
        "tensors": dict(Counter(tensor.format for tensor in spec.tensors.values())),
        "tokenizer": {
            "pre": spec.tokenizer.pre,
            "tokens": len(spec.tokenizer.tokens),
            "merges": len(spec.tokenizer.merges),
            "end_tokens": [spec.tokenizer.tokens[token] for token in spec.tokenizer.end_tokens],
        },
        "chat_template": spec.chat_template,
        **({"vision": _vision(spec.vision)} if spec.vision else {}),
        **({"notes": list(spec.notes)} if spec.notes else {}),
    }


def _vision(vision: Vision) -> dict[str, Any]:
    from tinsmith.vision.facts import to_facts

    tensors = vision.tensors.values()
    return to_facts(vision) | {
        "parameters": sum(tensor.rows * tensor.inputs for tensor in tensors),
        "tensors": dict(Counter(tensor.format for tensor in tensors)),
    }


def _print(facts: dict[str, Any]) -> None:
    entries = facts.pop("entries", {})
    # one_line: a file's text may neither command the terminal nor begin a row.
    print(table([(one_line(key), one_line(value)) for key, value in _rows(facts)]))
    if entries:
        rows = [
            (name, f"{one.get('bytes', 0):,}", one_line(one.get("sha256", ""))) for name, one in entries.items()
        ]
        print("\n" + table([("entry", "bytes", "sha256"), *rows], right={1}))


def _rows(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, dict):
            rows += _rows(value, f"{prefix}{key}.")
        elif type(value) is int and key in ("bytes", "parameters", "arena_bytes"):
            rows.append((prefix + key, f"{value:,}"))
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            rows.append((prefix + key, text))
    return rows
