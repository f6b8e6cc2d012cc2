"""Messages of programs in English and in a language with few texts, here Friulian.

    python sample.py --out data [--language fur] [--seed 1]

reads the .mo files of what packages.sh downloaded, and writes train.jsonl (500), validation.jsonl (50),
test.jsonl (100) and LICENSES.txt. The same seed and packages give the same bytes.
"""

from __future__ import annotations

import argparse
import gettext
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
SPLITS = {"train": 500, "validation": 50, "test": 100}


def messages(packages: Path, language: str) -> Iterator[tuple[str, str]]:
    """Plain sentences of three to twelve words; no placeholder, no markup, no path, nothing left in English."""
    paths = sorted(packages.glob(f"usr/share/locale/{language}/LC_MESSAGES/*.mo"))
    if not paths:
        sys.exit(f"{packages}: has no messages in {language}; run packages.sh beside this script")
    for path in paths:
        with path.open("rb") as file:
            catalog = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]  # there is no other way
        for key, translated in catalog.items():
            # A context stands before \x04; the underscore marks a menu's letter.
            english = str(key[0] if isinstance(key, tuple) else key).rpartition("\x04")[2].replace("_", "")
            said = str(translated).replace("_", "")
            plain = not any(re.search(r"[%<>{}\n\\/@|]", text) for text in (english, said))
            if plain and 3 <= len(english.split()) <= 12 and said != english:
                yield english.strip(), said.strip()


def licenses(packages: Path) -> str:
    names = sorted(path.name for path in packages.glob("*.deb"))
    return (
        "Translations out of these Debian packages, each under its program's licence (LGPL or GPL):\n"
        + "".join(f"{name}\n" for name in names)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", type=Path, default=HERE / "packages")
    parser.add_argument("--language", default="fur", help="as gettext names it")
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    pairs = dict(messages(options.packages, options.language))
    drawn = iter(random.Random(options.seed).sample(sorted(pairs.items()), sum(SPLITS.values())))
    options.out.mkdir(parents=True, exist_ok=True)
    for split, count in SPLITS.items():
        rows = [next(drawn) for _ in range(count)]
        lines = "".join(
            json.dumps({"source": english, "target": said}, ensure_ascii=False) + "\n" for english, said in rows
        )
        (options.out / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    (options.out / "LICENSES.txt").write_text(licenses(options.packages), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
