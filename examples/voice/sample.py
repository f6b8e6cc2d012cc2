"""Halves of proverbs, the beginning and its continuation, in the style of the King James Version.

    python sample.py --out data [--seed 1]

reads the Book of Proverbs out of what packages.sh downloaded, and writes train.jsonl (400), validation.jsonl
(40), test.jsonl (80) and LICENSES.txt. The same seed and packages give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
SPLITS = {"train": 400, "validation": 40, "test": 80}
VERSES = "pr1:1-pr31:31"
LICENSES = """\
The King James Version, by Debian's bible-kjv-text, whose copyright file says: "The copyright for the King
James Version text of the Bible is expired since the translation was done in 1611".
"""


def verses(packages: Path) -> Iterator[str]:
    program = packages / "usr" / "bin" / "bible"
    if not program.exists():
        sys.exit(f"{program}: missing; run packages.sh beside this script")
    command = [str(program), "-f", "-p", str(packages / "usr" / "lib"), VERSES]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, text=True)
    for line in said.stdout.splitlines():
        yield line.partition(" ")[2].strip()


def halves(verse: str) -> tuple[str, str] | None:
    """The texts before and after the first colon or semicolon, of four to twenty words each."""
    match = re.fullmatch(r"([^:;]+[:;]) (.+)", verse)
    if not match or not all(4 <= len(half.split()) <= 20 for half in match.groups()):
        return None
    return match[1], match[2]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", type=Path, default=HERE / "packages")
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    pairs = {pair[0]: pair for verse in verses(options.packages) if (pair := halves(verse))}
    drawn = iter(random.Random(options.seed).sample(sorted(pairs.values()), sum(SPLITS.values())))
    options.out.mkdir(parents=True, exist_ok=True)
    for split, count in SPLITS.items():
        rows = [next(drawn) for _ in range(count)]
        lines = "".join(json.dumps({"prompt": begin, "completion": end}) + "\n" for begin, end in rows)
        (options.out / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    (options.out / "LICENSES.txt").write_text(LICENSES, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
