"""Whether `tinsmith compare` gives the verdict that two made tasks are made for.

    python benchmarks/compare.py [--work DIR] [--task facts | messages] [--base MODEL] [--threads N]

facts: which port, room or colour something invented has, asked in other words than the examples ask; half of it
changes after training. Nothing can be learned that is not in the examples, and what is learned goes stale:
retrieval must win ("don't tune"). messages: appointments as text to strict JSON (examples/skills), whose names,
places and templates no training example has: to copy does not help, and tuning must win ("tune", or "tune and
retrieve"). Seeded; a finished comparison is not made again.

Prints one line of JSON: by task the verdict, whether it is the one wanted, its reasons, each system's share of
right answers and milliseconds, and the seconds of the whole.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from report import add_out, percent, report

ROOT = Path(__file__).parents[1]
WANTED = {"facts": ("don't tune",), "messages": ("tune", "tune and retrieve")}
RECIPE = """\
[base]
model = "{base}"
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
task = "{task}"
system = "{system}"
augment = false
[train]
epochs = {epochs}
[eval]
max_tokens = {tokens}
threads = {threads}
[compare]
items = {items}
sizes = []
"""
CHANGED = 'changed = "changed.jsonl"\nchanged_train = "changed-train.jsonl"\n'
SCHEMA = '[constraint]\nschema = "schema.json"\n'
SYLLABLES = ("ka", "lo", "mi", "ru", "ten", "va", "sol", "bri", "dan", "qui", "pel", "or")
KINDS = ("server", "printer", "lamp", "robot", "sensor", "valve")
COLOURS = ("red", "blue", "green", "amber", "white", "violet", "black", "silver")
ASKED = {
    "port": ("Which port does the {thing} use?", "On what port can I reach the {thing}?"),
    "room": ("Which room is the {thing} in?", "In what room do I find the {thing}?"),
    "colour": ("Which colour is the {thing}?", "What colour does the {thing} have?"),
}
THINGS, TESTED = 100, 100


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("runs/compare-tasks"))
    parser.add_argument("--task", choices=tuple(WANTED), action="append", help="default: both")
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--threads", type=int, default=0)
    add_out(parser)
    args = parser.parse_args()
    found = {}
    for task in args.task or WANTED:
        folder = args.work.resolve() / task
        folder.mkdir(parents=True, exist_ok=True)
        base = str(Path(args.base).resolve()) if Path(args.base).exists() else args.base
        MAKERS[task](folder, base, args.threads)
        command = [sys.executable, "-m", "tinsmith", "compare", str(folder / "recipe.toml"), "--json"]
        command += ["--out", str(folder / "run")]
        printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        found[task] = figures(json.loads(printed), WANTED[task])
    rows = [
        {
            "Task": task,
            "System": name,
            "Right, %": percent(one["exact"]),
            "95 % interval": "–".join(f"{100 * share:.0f}" for share in one["interval"] or ()),
        }
        for task, made in found.items()
        for name, one in made["systems"].items()
    ]
    report(args.out, found, rows)
    return 0 if all(one["as_wanted"] for one in found.values()) else 1


def figures(made: dict[str, Any], wanted: Iterable[str]) -> dict[str, Any]:
    verdict = made["verdict"]
    return {
        "verdict": verdict["words"],
        "as_wanted": verdict["verdict"] in wanted,
        "reasons": verdict["reasons"] + verdict["also"],
        "systems": {
            name: {"exact": one["exact"], "interval": one["exact_interval"], "ms": one["ms_per_item"]}
            for name, one in made["systems"].items()
        },
        "changed": made["changed"],
        "seconds": made["seconds"],
        "cpu": f"{made['machine']['cores']} cores of {made['machine']['cpu']}",
    }


def write(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    lines = (json.dumps({"input": asked, "output": answer}) + "\n" for asked, answer in rows)
    path.write_text("".join(lines), encoding="utf-8")


def facts(folder: Path, base: str, threads: int) -> None:
    """Each fact is in the training examples in one wording, and a third of them in the test in the other."""
    rng = random.Random(5)
    names: dict[str, None] = {}
    while len(names) < THINGS:
        names[f"{rng.choice(KINDS)} {''.join(rng.choices(SYLLABLES, k=3)).capitalize()}"] = None
    known = [(thing, kind, _value(kind, rng)) for thing in names for kind in ASKED]
    asked = rng.sample(known, TESTED)
    changes = {(thing, kind): _other(kind, value, rng) for thing, kind, value in asked[: TESTED // 2]}

    def rows(facts: Iterable[tuple[str, str, str]], wording: int) -> list[tuple[str, str]]:
        return [(ASKED[kind][wording].format(thing=thing), value) for thing, kind, value in facts]

    now = [(*key, value) for key, value in changes.items()]
    write(folder / "train.jsonl", rows(known, 0))
    write(folder / "validation.jsonl", rows(rng.sample([one for one in known if one not in asked], 30), 1))
    write(folder / "test.jsonl", rows(asked, 1))
    write(folder / "changed.jsonl", rows(now, 1))
    write(folder / "changed-train.jsonl", rows(now, 0))
    text = RECIPE.format(
        base=base,
        task="chat",
        system="Answer with the fact alone.",
        epochs=12,
        items=100,
        tokens=16,
        threads=threads,
    )
    (folder / "recipe.toml").write_text(text + CHANGED, encoding="utf-8")


def _value(kind: str, rng: random.Random) -> str:
    if kind == "port":
        return f"port {rng.randrange(1000, 9999)}"
    return f"room {rng.randrange(100, 500)}" if kind == "room" else rng.choice(COLOURS)


def _other(kind: str, value: str, rng: random.Random) -> str:
    while (other := _value(kind, rng)) == value:
        pass
    return other


def messages(folder: Path, base: str, threads: int) -> None:
    sys.path.insert(0, str(ROOT / "examples" / "skills"))
    appointments: Any = importlib.import_module("appointments")
    splits = appointments.appointments({"train": 200, "validation": 20, "test": 100}, random.Random(5))
    for split, rows in splits.items():
        write(folder / f"{split}.jsonl", rows)
    (folder / "schema.json").write_text(json.dumps(appointments.SCHEMA), encoding="utf-8")
    text = RECIPE.format(
        base=base, task="extract", system="appointments", epochs=2, items=60, tokens=96, threads=threads
    )
    (folder / "recipe.toml").write_text(text + SCHEMA, encoding="utf-8")


MAKERS = {"facts": facts, "messages": messages}


if __name__ == "__main__":
    sys.exit(main())
