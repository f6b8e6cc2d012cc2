"""Reads examples' images by tesseract, and writes them as text examples.

    python ocr.py --data data --out read [--splits test]

writes OUT/<split>.jsonl for each split: DATA's rows, with tesseract's text as input instead of the image. Small
images are enlarged first, since tesseract needs capitals of about thirty pixels. Needs Debian's package
tesseract-ocr.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

ENLARGED, RIM = 3, 20  # times; pixels of paper added around it
NOTHING = "?"  # for a picture without a word, since an input can't be empty


def enlarged(path: Path) -> Image.Image:
    with Image.open(path) as image:
        gray = image.convert("L")
    large = gray.resize((gray.width * ENLARGED, gray.height * ENLARGED), Image.Resampling.LANCZOS)
    return ImageOps.expand(large, RIM, fill=large.getpixel((0, 0)))


def read(pictures: Sequence[Path]) -> list[str]:
    """The text of each image, read as one block."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "pictures.txt"
        paths = [Path(folder) / f"{number}.png" for number in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            enlarged(picture).save(path)
        listed.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
        command = ["tesseract", str(listed), "-", "--psm", "6", "--dpi", "300"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    pages = done.stdout.decode().removesuffix("\f").split("\f")
    assert len(pages) == len(pictures), f"tesseract read {len(pages)} of {len(pictures)} pictures"
    return ["\n".join(line for line in page.splitlines() if line.strip()) or NOTHING for page in pages]


def texts(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of examples, with texts in place of images."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = read([path.parent / row.pop("image") for row in rows])
    return [{"input": text, **row} for text, row in zip(found, rows, strict=True)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="where the pictures' examples are")
    parser.add_argument("--out", type=Path, default=Path("read"), help="the folder to write")
    parser.add_argument("--splits", default="test", help="which, with commas between")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for split in options.splits.split(","):
        found = texts(options.data / f"{split}.jsonl")
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        (options.out / f"{split}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{options.out / split}.jsonl: {len(found)} pictures read")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
