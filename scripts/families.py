#!/usr/bin/env python3
"""Makes docs/families.md from what the tests of families show.

python scripts/families.py               runs these tests, writes docs/families.json and the page; many minutes
python scripts/families.py tests/train   runs those of some files or folders, and keeps the other answers
python scripts/families.py --render      writes the page from docs/families.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tinsmith.models.family import Family, by_hf_architecture, families
from tinsmith.system import files

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "docs" / "families.json", ROOT / "docs" / "families.md"
Answers = Mapping[str, Mapping[str, str]]  # by tiny model and column: "yes", or why not

COLUMNS = {
    "train": "LoRA lowers the loss; losses and gradients equal those of peft on transformers' model",
    "merge": "the merged model's logits equal those of base and adapter",
    "GGUF in": "a GGUF file loads, and is written again with the same tensors and metadata",
    "GGUF out": "llama.cpp gives transformers' logits for the file (for phi3, within its window)",
    "adapter out": "llama.cpp gives the merged model's logits for the base with the GGUF adapter",
    "ONNX": "onnxruntime gives transformers' logits for the exported model",
    "native": "tinsmith's runtime gives transformers' logits, and the same bits in every use",
    "constrained": "answers validate against a JSON schema",
}
_HEAD = """# Families

A family is a model architecture. `scripts/families.py` generates this table from the tests of tiny random
models of each family (`tests/models/*.json`), with all kinds of layers and texts past their windows. A yes is
a passing test.

"""


def family_of(case: str) -> Family:
    config = json.loads((ROOT / "tests" / "models" / f"{case}.json").read_text("utf-8"))
    return by_hf_architecture(config["architectures"][0], case)


def render(answers: Answers) -> str:
    """The page. A family's answer is yes where it is yes for all of its tiny models."""
    notes: list[str] = []

    def cell(cases: list[str], column: str) -> str:
        given = {case: answers[case].get(column) for case in cases}
        if set(given.values()) == {"yes"}:
            return "yes"
        marks = []
        for case, answer in given.items():
            if answer != "yes":
                text = f"{case}, {column}: {answer or 'no test shows it'}."
                if text not in notes:
                    notes.append(text)
                marks.append(f"[{notes.index(text) + 1}]")
        return ("in part " if "yes" in given.values() else "no ") + "".join(marks)

    lines = [_HEAD + "| family | Hugging Face | GGUF | " + " | ".join(COLUMNS) + " |"]
    lines.append("| --- " * (3 + len(COLUMNS)) + "|")
    for family in families():
        cases = [case for case in sorted(answers) if family_of(case).name == family.name]
        names = " ".join(f"`{name}`" for name in family.hf_architectures)
        cells = [cell(cases, column) for column in COLUMNS]
        lines.append(f"| {family.name} | {names} | `{family.gguf_architecture}` | " + " | ".join(cells) + " |")
    lines += ["", *[f"- **{column}**: {meaning}." for column, meaning in COLUMNS.items()]]
    if notes:
        lines += ["", *[f"{number}. {note}" for number, note in enumerate(notes, 1)]]
    return "\n".join(lines) + "\n"


def show(tests: list[str]) -> None:
    """Runs tests and keeps what they show, once all have passed; of what only others show, what was known."""
    with tempfile.TemporaryDirectory() as folder:
        shown = Path(folder) / RESULTS.name
        if tests:
            shutil.copy(RESULTS, shown)
        options = ["-q", "-m", "proves", "--proofs", str(shown), *(tests or ["tests"])]
        subprocess.run([sys.executable, "-m", "pytest", *options], cwd=ROOT, check=True)
        files.write_text(RESULTS, shown.read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--render", action="store_true", help="run no tests")
    parser.add_argument("tests", nargs="*", help="files or folders of tests; by default all, anew")
    args = parser.parse_args()
    if not args.render:
        show(args.tests)
    files.write_text(PAGE, render(json.loads(RESULTS.read_text("utf-8"))))
    print(PAGE)


if __name__ == "__main__":
    main()
