"""Texts in Debian's packages, with the type, the latest year and the subject of each.

    python sample.py --out data [--docs /usr/share/doc] [--seed 1]

reads the copyright files, changelogs, READMEs and news of the packages that are installed (`/usr/share/doc`),
and their sections from `dpkg-query`; writes train.jsonl (240), validation.jsonl (30), test.jsonl (80),
schema.json and LICENSES.txt. All texts of a package are in one split, and each text is there once. The same
seed and packages give the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SPLITS = {"train": 240, "validation": 30, "test": 80}
TYPES = {"copyright": "copyright", "changelog": "changelog*", "readme": "README*", "news": "NEWS*"}
SUBJECTS = ("admin", "devel", "java", "libs", "perl", "python", "utils")
SCHEMA = {
    "type": "object",
    "properties": {
        "type": {"enum": list(TYPES)},
        "year": {"type": ["integer", "null"], "minimum": 1950, "maximum": 2049},
        "subject": {"enum": list(SUBJECTS)},
    },
    "required": ["type", "year", "subject"],
    "additionalProperties": False,
}
LICENSES = """\
Beginnings of the documentation and licence texts of Debian packages, as they are installed on the machine that
made the data; each under its package's licence.
"""
LENGTH = 260  # characters of a text


def sections() -> dict[str, str]:
    """The subject of each installed package."""
    said = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Section}\n"], capture_output=True, check=True, text=True
    )
    pairs = (line.split() for line in said.stdout.splitlines() if len(line.split()) == 2)
    return {name: section.rpartition("/")[2] for name, section in pairs}


def beginning(path: Path) -> str | None:
    """The text of a file, if it is long enough and ASCII."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return None
    text = re.sub(r"[ \t]+", " ", re.sub(r"\n\s*\n+", "\n", text)).strip()[:LENGTH].rpartition(" ")[0]
    return text if len(text) > LENGTH // 2 else None


def documents(docs: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Package, text and its facts, with one text per package and type. The first of several packages with the
    same text, such as those of one source, has it."""
    known = set()
    for package, subject in sorted(sections().items()):
        if subject not in SUBJECTS:
            continue
        for kind, pattern in TYPES.items():
            paths = sorted(path for path in (docs / package).glob(pattern) if path.is_file())
            text = beginning(paths[0]) if paths else None
            if text and text not in known:
                known.add(text)
                years = [int(year) for year in re.findall(r"(?<!\d)(?:19[5-9]|20[0-4])\d(?!\d)", text)]
                yield package, text, {"type": kind, "year": max(years, default=None), "subject": subject}


def balanced(rows: Sequence[tuple[str, str, dict[str, Any]]], rng: random.Random) -> list[dict[str, str]]:
    """Random order, but alternating types and subjects while both last."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for package, text, said in rng.sample(list(rows), len(rows)):
        row = {"input": text, "output": json.dumps(said, separators=(",", ":")), "group": package}
        groups.setdefault((said["type"], said["subject"]), []).append(row)
    found = []
    while any(groups.values()):
        found += [group.pop() for group in groups.values() if group]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--docs", type=Path, default=Path("/usr/share/doc"))
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)
    rows, packages = balanced(list(documents(options.docs)), rng), {}
    wanted = {split: count for split, count in SPLITS.items()}
    found: dict[str, list[dict[str, str]]] = {split: [] for split in SPLITS}
    for row in rows:
        open_splits = [split for split, count in wanted.items() if len(found[split]) < count]
        if not open_splits:
            break
        # The first text of a package says which split has all of them.
        split = packages.setdefault(
            row["group"], rng.choices(open_splits, [wanted[one] for one in open_splits])[0]
        )
        if len(found[split]) < wanted[split]:
            found[split].append(row)
    short = [split for split, count in wanted.items() if len(found[split]) < count]
    if short:
        raise SystemExit(f"{options.docs}: has too few texts for {', '.join(short)}; install more packages")
    options.out.mkdir(parents=True, exist_ok=True)
    for split, chosen in found.items():
        lines = "".join(json.dumps(row) + "\n" for row in chosen)
        (options.out / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    (options.out / "schema.json").write_text(json.dumps(SCHEMA, indent=1) + "\n", encoding="utf-8")
    (options.out / "LICENSES.txt").write_text(LICENSES, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
