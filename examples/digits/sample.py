"""Draws images of handwritten digits, single or five in a row, with their values.

    python sample.py --out data [--seed 1] [--strings 25000]

takes the 1,797 digits that scikit-learn ships (the test part of the UCI set Optical Recognition of Handwritten
Digits: 8 x 8 pixels of 17 levels); writes train.jsonl, validation.jsonl, test.jsonl and pictures/. Every sheet
has the same digits in the same order, which shows where it begins: the first nine sheets are for training, the
tenth for validation, the last four for the test. A number begins at the left, as in the field of a form.
Training images are also slanted, stretched and drawn with varying pressure, since 13 people are few. The same
seed gives the same bytes with the same Pillow.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

FORM = "09556509"  # of every sheet, after three times 0 to 9; a part that is rare within it
BEFORE = 30
SHEETS = {"train": (0, 9), "validation": (9, 10), "test": (10, 14)}
TEST_STRINGS, VALIDATION_STRINGS = 300, 100
LONG = 5  # digits in a row
SINGLES = {"train": 3}  # times that each digit is drawn alone, where not once
TALL, STEP = 24, 20  # pixels: of a picture's height, and on average from one digit to the next
WIDTH = 4 + LONG * STEP  # of every picture, so that a digit has the same size wherever it stands

Digits = list[tuple[int, Image.Image]]


def sheets() -> list[Digits]:
    """The digits of each split with their values, white on black."""
    found = load_digits()
    said = "".join(map(str, found.target))
    begins = [place - BEFORE for place in range(len(said)) if said.startswith(FORM, place)]
    pictures = [Image.fromarray(np.rint(one * (255 / 16)).astype(np.uint8)) for one in found.images]
    digits = list(zip(map(int, found.target), pictures, strict=True))
    return [digits[a:b] for a, b in zip(begins, [*begins[1:], len(digits)], strict=True)]


def hand(digit: Image.Image, rng: random.Random) -> Image.Image:
    """The digit as someone else might have written it: slanted, stretched, pressed on more or less."""
    big = Image.new("L", (56, 56), 0)
    big.paste(digit.resize((40, 40), Image.Resampling.BICUBIC), (8, 8))
    wide, tall = (1 / rng.uniform(0.85, 1.15) for _ in range(2))
    slant, tilt = rng.uniform(-0.25, 0.25), rng.uniform(-0.08, 0.08)
    turn = (wide, slant, 28 * (1 - wide - slant), tilt, tall, 28 * (1 - tall - tilt))
    big = big.transform(big.size, Image.Transform.AFFINE, turn, Image.Resampling.BICUBIC)
    press = math.exp(rng.uniform(-0.5, 0.5))
    return big.point([round(255 * (level / 255) ** press) for level in range(256)]).crop((8, 8, 48, 48))


def drawn(digits: Digits, rng: random.Random) -> Image.Image:
    """Dark ink on light paper, with each digit slightly moved, turned and scaled."""
    page = Image.new("L", (WIDTH, TALL), 0)
    left = rng.uniform(0, WIDTH - STEP * LONG)
    for _, digit in digits:
        side = rng.randint(18, 22)
        one = digit.resize((side, side), Image.Resampling.BICUBIC)
        one = one.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC)
        place = round(left + rng.uniform(-1, 1)), rng.randint(0, TALL - side)
        page.paste(255, (*place, place[0] + side, place[1] + side), one)
        left += STEP
    ink, paper = rng.randint(0, 90), rng.randint(190, 255)
    return page.point([round(paper + (ink - paper) * level / 255) for level in range(256)])


def rows(split: str, digits: Digits, strings: int, rng: random.Random) -> Iterator[tuple[Digits, str]]:
    """The content of each image and its part of the test set: every digit alone, and strings."""
    yield from (([digit], "single") for digit in digits * SINGLES.get(split, 1))
    for _ in range(strings):
        yield rng.sample(digits, LONG), "five"


def write(folder: Path, seed: int, strings: int) -> dict[str, int]:
    """The number of examples of each split."""
    found = sheets()
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    counts = {"train": strings, "validation": VALIDATION_STRINGS, "test": TEST_STRINGS}
    made = {}
    for split, (first, last) in SHEETS.items():
        rng = random.Random(f"{seed} {split}")
        digits = [digit for sheet in found[first:last] for digit in sheet]
        lines = []
        for number, (shown, part) in enumerate(rows(split, digits, counts[split], rng)):
            name = f"pictures/{split}{number:05}.png"
            written = [(digit, hand(one, rng)) for digit, one in shown] if split == "train" else shown
            drawn(written, rng).save(folder / name)
            row: dict[str, Any] = {"image": name, "output": "".join(str(digit) for digit, _ in shown)}
            lines.append(json.dumps({**row, "part": part} if split == "test" else row) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        made[split] = len(lines)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data"), help="the folder to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strings", type=int, default=25000, help="of five digits, to learn from")
    options = parser.parse_args(arguments)
    made = write(options.out, options.seed, options.strings)
    print(f"{options.out}: {', '.join(f'{count:,} {split}' for split, count in made.items())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
