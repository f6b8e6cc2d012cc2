"""Draws photographs of the date and the sum of till slips, with their content as JSON.

    python slips.py --out slips [--seed 1] [--strips 32000] [--fonts /usr/share/fonts]

is the closed, small form of this example's task, for a model from scratch: two lines of up to twelve characters
in a font of fixed width, the day in two ways, then the sum in two, cut out of the slip within
a pixel or two. Folds, light, blur and grain are those of sample.py. Writes train.jsonl, validation.jsonl (300),
test.jsonl (600), slips.json, which is the schema, and pictures/. No day of the test set is learned. The same
seed and fonts give the same bytes with the same Pillow and numpy.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from sample import photographed

FONTS = "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf", "LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf"
DAYS = "{0:%Y-%m-%d}", "{0:%d.%m.%Y}"
SUMS = "{code}{sum:>9.2f}", "{sign}{sum:>11.2f}"
SIGNS = {"EUR": "€", "USD": "$", "GBP": "£"}
HIGH, LINE = 16, 20  # pixels: of the font, and from line to line
SIZE = 118, 2 * LINE  # of twelve places, two lines
SCHEMA = {
    "type": "object",
    "properties": {
        "date": {"type": "string", "format": "date"},
        "total": {"type": "number", "x-compare": "number"},
        "currency": {"enum": list(SIGNS)},
    },
    "required": ["date", "total", "currency"],
    "additionalProperties": False,
}


def faces(folder: Path) -> list[ImageFont.FreeTypeFont]:
    """Of the fonts, which must all be there, as large as the places are wide."""
    found = {path.name: path for path in sorted(folder.rglob("*.ttf"))}
    if missing := [name for name in FONTS if name not in found]:
        raise SystemExit(
            f"{folder}: lacks {', '.join(missing)}; install fonts-dejavu-core and fonts-liberation"
        )
    return [ImageFont.truetype(str(found[name]), HIGH) for name in FONTS]


def said(days: Sequence[date], rng: random.Random) -> dict[str, Any]:
    sum = round(10 ** rng.uniform(0, 3), 2)
    return {"date": rng.choice(days), "total": min(sum, 999.99), "currency": rng.choice(list(SIGNS))}


def strip(said: dict[str, Any], face: ImageFont.FreeTypeFont, rng: random.Random) -> Image.Image:
    """The two lines in dark ink on light paper, with some of the paper around them."""
    code = said["currency"]
    day = rng.choice(DAYS).format(said["date"])
    sum = rng.choice(SUMS).format(code=code, sign=SIGNS[code], sum=said["total"])
    page = Image.new("L", (SIZE[0] + 16, SIZE[1] + 16), rng.randint(215, 255))
    draw, ink = ImageDraw.Draw(page), rng.randint(0, 90)
    for number, text in enumerate((day, sum)):
        draw.text((8, 8 + LINE * (number + 0.5)), text, ink, face, "lm")
    return page


def cut(page: Image.Image, rng: random.Random) -> Image.Image:
    """What was photographed, less its rim, a little beside where the lines are."""
    left, top = ((page.size[axis] - SIZE[axis]) // 2 + rng.randint(-2, 2) for axis in (0, 1))
    return page.crop((left, top, left + SIZE[0], top + SIZE[1]))


def write(folder: Path, counts: dict[str, int], seed: int, fonts: Path) -> None:
    known = faces(fonts)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    days = [date(2024, 1, 1) + timedelta(number) for number in range(1096)]
    random.Random(seed).shuffle(days)
    for split, count in counts.items():
        lines = []
        for number in range(count):
            rng = random.Random(f"{seed} {split} {number}")
            shown = said(days[:200] if split == "test" else days[200:], rng)
            name = f"pictures/{split}{number:05}.png"
            page = photographed(strip(shown, rng.choice(known), rng), rng, turn=0.7)
            cut(page, rng).save(folder / name)
            total = f"{shown['total']:.2f}"
            output = f'{{"date":"{shown["date"]}","total":{total},"currency":"{shown["currency"]}"}}'
            lines.append(json.dumps({"image": name, "output": output}) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "slips.json").write_text(json.dumps(SCHEMA, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("slips"), help="the folder to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strips", type=int, default=32000, help="to learn from")
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts"), help="where the fonts lie")
    options = parser.parse_args(arguments)
    counts = {"train": options.strips, "validation": 300, "test": 600}
    write(options.out, counts, options.seed, options.fonts)
    print(f"{options.out}: {', '.join(f'{count:,} {split}' for split, count in counts.items())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
