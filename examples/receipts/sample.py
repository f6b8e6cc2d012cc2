"""Draws photographs of receipts, invoices and offers, with their content as JSON.

    python sample.py --out data [--seed 1] [--fonts /usr/share/fonts]

draws the texts of ../extract/sample.py, with the same JSON as answers and the same parting of the test set
(sellers, goods, brands and a third of the layouts of its own), in fonts of Debian's packages fonts-dejavu-core
and fonts-liberation on paper that was folded, lies askew and is unevenly lit. Writes train.jsonl (300),
validation.jsonl (40), test.jsonl (120), schema.json and pictures/. The same seed and fonts give the same bytes
with the same Pillow and numpy.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

TEXTS = Path(__file__).parents[1] / "extract" / "sample.py"
FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSerif.ttf",
    "LiberationMono-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "LiberationSerif-Regular.ttf",
)
WIDE = 44  # characters of a line of print, after which it goes on in the next
MARGIN = 14  # pixels of blank paper around the text


def texts() -> ModuleType:
    """The example whose texts these are."""
    spec = importlib.util.spec_from_file_location("extract_sample", TEXTS)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fonts(folder: Path) -> list[Path]:
    """Those of the list that are installed, which must be two at least."""
    found = {path.name: path for path in sorted(folder.rglob("*.ttf"))}
    known = [found[name] for name in FONTS if name in found]
    if len(known) < 2:
        listed = ", ".join(FONTS)
        raise SystemExit(f"{folder}: lacks {listed}; install fonts-dejavu-core and fonts-liberation")
    return known


def wrapped(text: str) -> str:
    """Broken between words where a line is too wide for the paper."""
    lines = []
    for line in text.split("\n"):
        while len(line) > WIDE and " " in line[:WIDE].strip():
            cut = line[:WIDE].rindex(" ")
            lines.append(line[:cut])
            line = line[cut + 1 :]
        lines.append(line)
    return "\n".join(lines)


def printed(text: str, font: Path, rng: random.Random) -> Image.Image:
    """In dark ink on light paper, gray."""
    face = ImageFont.truetype(str(font), rng.randint(15, 19))
    text = wrapped(text)
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, face)
    size = (round(right - left) + 2 * MARGIN, round(bottom - top) + 2 * MARGIN)
    page = Image.new("L", size, rng.randint(225, 255))
    ImageDraw.Draw(page).multiline_text((MARGIN - left, MARGIN - top), text, rng.randint(0, 70), face)
    return page


def photographed(page: Image.Image, rng: random.Random, turn: float = 3) -> Image.Image:
    """Folded, askew on a table by so many degrees at most, lit from one side, out of focus a little, grainy."""
    levels = np.asarray(page, np.float32)
    for _ in range(rng.randint(0, 2)):
        levels = _folded(levels, rng)
    table = rng.randint(30, 120)
    edge = rng.randint(4, 16)
    levels = np.pad(levels, edge, constant_values=table)
    image = Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
    image = image.rotate(rng.uniform(-turn, turn), Image.Resampling.BICUBIC, fillcolor=table)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    levels = np.asarray(image, np.float32)
    side = np.linspace(rng.uniform(0.7, 1), rng.uniform(0.7, 1), levels.shape[1], dtype=np.float32)
    grain = np.random.default_rng(rng.randrange(1 << 31)).standard_normal(levels.shape, np.float32)
    levels = levels * side + grain * rng.uniform(1, 8)
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def _folded(levels: np.ndarray, rng: random.Random) -> np.ndarray:
    """A crease across the paper: a bright line, and a shadow that fades on one side of it."""
    place, depth = rng.randrange(4, len(levels) - 4), rng.uniform(15, 45)
    distance = np.arange(len(levels), dtype=np.float32)[:, None] - place
    shadow = np.where(distance >= 0, np.exp(-distance / 12), 0)
    return levels - depth * shadow + 25 * np.exp(-(distance**2) / 2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data"), help="the folder to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts"), help="where the fonts lie")
    options = parser.parse_args(arguments)
    known, extract = fonts(options.fonts), texts()
    (options.out / "pictures").mkdir(parents=True, exist_ok=True)
    for split, rows in extract.documents(extract.SPLITS, random.Random(options.seed)).items():
        lines = []
        for number, row in enumerate(rows):
            rng = random.Random(f"{options.seed} {split} {number}")
            name = f"pictures/{split}{number:03}.png"
            photographed(printed(row.pop("input"), rng.choice(known), rng), rng).save(options.out / name)
            lines.append(json.dumps({"image": name, **row}, ensure_ascii=False) + "\n")
        (options.out / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    (options.out / "schema.json").write_text(json.dumps(extract.SCHEMA, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}: {', '.join(f'{count} {split}' for split, count in extract.SPLITS.items())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
