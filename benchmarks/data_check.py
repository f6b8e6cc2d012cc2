"""How many planted faults `tinsmith data check` finds, how often it errs on clean data, and how long it takes.

    python benchmarks/data_check.py [--seeds 2 3 4] [--base smollm2-135m-instruct] [--each 40]

Two sets: 5,000 of the home example's calls, sampled anew for each seed, and some 3,500 texts of one of the
standard library's modules each, which are its docstrings. `--each` faults of every kind are planted in as many
rows; a fault is found where its row has a finding of its kind. False alarms: rows of the set as it was with any
finding of whatever kind, and rows of the faulty one that neither are planted nor stand beside a planted one.
The checks were tuned on the calls of seed 1, what a near-duplicate is also on the docstrings. Prints JSON.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from planting import KINDS, Planting, Set
from report import add_out, report

from tinsmith.pipeline import checking
from tinsmith.pipeline.recipe.tables import Constraint
from tinsmith.prepare import check

ROOT = Path(__file__).resolve().parents[1]
SPLITS = ("train", "validation", "test")
# fmt: off
MODULES = (
    "argparse", "ast", "asyncio", "calendar", "codecs", "collections", "configparser", "csv", "ctypes",
    "datetime", "decimal", "difflib", "email.message", "enum", "fractions", "ftplib", "functools", "gettext",
    "hashlib", "html.parser", "http.client", "http.cookies", "imaplib", "inspect", "io", "ipaddress",
    "itertools", "json", "locale", "logging", "logging.handlers", "mailbox", "math", "mimetypes",
    "multiprocessing", "numbers", "operator", "optparse", "os", "pathlib", "pickle", "pickletools",
    "platform", "plistlib", "poplib", "pprint", "pydoc", "queue", "random", "re", "sched", "secrets",
    "select", "shelve", "shlex", "shutil", "smtplib", "socket", "socketserver", "sqlite3", "ssl",
    "statistics", "string", "struct", "subprocess", "symtable", "tarfile", "tempfile", "textwrap",
    "threading", "time", "timeit", "tkinter", "tkinter.ttk", "tokenize", "trace", "traceback", "turtle",
    "types", "typing", "unicodedata", "unittest", "unittest.mock", "urllib.parse", "urllib.request", "uuid",
    "wave", "weakref", "xml.dom.minidom", "xml.etree.ElementTree", "xmlrpc.client", "zipfile", "zoneinfo",
)
# fmt: on
# A near-duplicate that differs in case or punctuation alone is reported as the duplicate it is. Of a pair it is
# the later one that is named, whichever was planted.
SAME = {"near_duplicate": ("near_duplicate", "duplicate")}


def home(seed: int, folder: Path, train: int = 4200, validation: int = 300, part: int = 100) -> Set:
    sys.path.insert(0, str(ROOT / "examples" / "home"))
    for name in ("sample", "drawing", "functions"):
        sys.modules.pop(name, None)  # another example's
    import sample  # type: ignore[import-not-found]
    from drawing import read_templates  # type: ignore[import-not-found]
    from functions import tools  # type: ignore[import-not-found]

    splits, sampler = sample.sample(
        seed, train=train, subset=min(1000, train), validation=validation, part=part
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tools.json").write_text(json.dumps(tools(sampler, read_templates(sampler.intents))))
    test = [row for part in sample.PARTS for row in sample.rows(splits.test[part], sampler, part)]
    rows = {
        "train": list(sample.rows(splits.train, sampler)),
        "validation": list(sample.rows(splits.validation, sampler)),
        "test": test,
    }
    return Set("call", rows, Constraint(tools=str(folder / "tools.json")))


def docstrings(seed: int, most: int = 5000) -> Set:
    """The first paragraphs of docstrings, with the module that they are of; each text once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of it is deprecated
        found = paragraphs()
    rng = random.Random(seed)
    pairs = sorted(found.values())
    rng.shuffle(pairs)
    counts = Counter(pair.split("\t")[0] for pair in pairs)
    rows = [
        {"input": text, "output": top}
        for top, text in (pair.split("\t", 1) for pair in pairs)
        if counts[top] >= 10
    ][:most]
    held = len(rows) // 10
    return Set(
        "classify",
        {"train": rows[2 * held :], "validation": rows[:held], "test": rows[held : 2 * held]},
        Constraint(choices=tuple(sorted({row["output"] for row in rows}))),
    )


def paragraphs() -> dict[str, str]:
    """Module and text, by what two texts must differ in."""
    found: dict[str, str] = {}
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        top = name.split(".")[0]
        for _, owner in [("", module), *inspect.getmembers(module, inspect.isclass)]:
            for _, one in inspect.getmembers(owner):
                if getattr(one, "__module__", top) not in (name, top, None):
                    continue
                text = " ".join((inspect.getdoc(one) or "").split("\n\n")[0].split())
                key = " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
                if len(text) >= 30 and callable(one):
                    found.setdefault(key, f"{top}\t{text}")
    return found


def write(given: Set, folder: Path) -> list[tuple[str, Path]]:
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in given.rows.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return [(split, folder / f"{split}.jsonl") for split in SPLITS]


def looked_at(given: Set, folder: Path, base: str | None) -> tuple[check.Report, dict[str, float]]:
    """What is found, and the seconds that reading and checking took, by the clock and of this process's CPU."""
    files = write(given, folder)
    begun = time.perf_counter(), time.process_time()
    labels = given.constraint.choices
    named = list(labels) if isinstance(labels, tuple) else None
    report = check.run(checking.of_files(files, given.task, given.constraint, named, base, 512))
    taken = time.perf_counter() - begun[0], time.process_time() - begun[1]
    return report, {"clock": round(taken[0], 2), "cpu": round(taken[1], 2)}


def found_at(report: check.Report, folder: Path) -> dict[tuple[str, int], set[str]]:
    """Kinds of findings by split and number of the row."""
    places: dict[tuple[str, int], set[str]] = {}
    for kind, findings in report.findings.items():
        for one in findings:
            path, _, line = one.where.rpartition(":")
            if line.isdecimal():
                places.setdefault((Path(path).stem, int(line) - 1), set()).add(kind)
    return places


def measure(
    given: Set, folder: Path, seed: int, each: int, base: str | None, kinds: Sequence[str] = ()
) -> dict[str, Any]:
    total = sum(map(len, given.rows.values()))
    clean, seconds = looked_at(given, folder / "clean", base)
    alarms = found_at(clean, folder)
    planting = Planting(given, random.Random(seed))
    chosen = {kind: make for kind, make in KINDS[given.task].items() if not kinds or kind in kinds}
    for kind, make in chosen.items():
        for _ in range(each):
            planting.plant(kind, make)
    report, more = looked_at(given, folder / "faulty", base)
    places = found_at(report, folder)
    recall, missed = {}, {}
    for kind in chosen:
        planted = [at for at, own in planting.planted.items() if own == kind]
        named = SAME.get(kind, (kind,))
        partners = {own: other for other, own in planting.beside.items() if kind == "near_duplicate"}
        hit = [
            at for at in planted if (places.get(at, set()) | places.get(partners.get(at, at), set())) & {*named}
        ]
        recall[kind] = len(hit) / len(planted)
        missed[kind] = [given.rows[split][i] for split, i in planted if (split, i) not in hit]
    others = set(places) - set(planting.planted) - set(planting.beside)
    return {
        "rows": total,
        "planted": each * len(chosen),
        "recall": sum(recall.values()) / len(recall),
        "recall_by_kind": recall,
        "clean_alarms": len(alarms) / total,
        "clean_alarms_by_kind": dict(Counter(kind for kinds in alarms.values() for kind in kinds)),
        "faulty_alarms": len(others) / total,
        "seconds": {"clean": seconds, "faulty": more},
        "missed": {kind: rows for kind, rows in missed.items() if rows},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--each", type=int, default=40)
    parser.add_argument("--missed", action="store_true", help="list the faults that were not found")
    add_out(parser)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            sets = {"home": home(seed, folder / "home"), "docstrings": docstrings(seed)}
            for name, given in sets.items():
                result = measure(given, folder / name, seed, options.each, options.base)
                if not options.missed:
                    del result["missed"]
                results[f"{name} {seed}"] = result
    rows = [
        {
            "Data": name.split()[0],
            "Seed": int(name.split()[1]),
            "Faults": one["planted"],
            "Found": round(one["recall"] * one["planted"]),
            "Good rows with a finding, %": round(100 * one["clean_alarms"], 2),
            "Seconds": round(one["seconds"]["clean"], 1),
        }
        for name, one in results.items()
    ]
    report(options.out, results, rows, options.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
