"""data check: images that are damaged, and that stand in two splits, whatever is asked about them."""

from __future__ import annotations

import json
import random
from pathlib import Path

from PIL import Image, ImageDraw

from tinsmith import tasks
from tinsmith.prepare import check
from tinsmith.prepare.check.rows import Data, read

CLASSIFY = tasks.by_name("classify")


def paint(path: Path, seed: int) -> Path:
    """Some ellipses, others for each seed."""
    rng, image = random.Random(seed), Image.new("RGB", (160, 120), "white")
    for _ in range(6):
        x, y = rng.randrange(110), rng.randrange(80)
        ImageDraw.Draw(image).ellipse(
            (x, y, x + 45, y + 35), fill=rng.choice(("black", "red", "navy", "olive"))
        )
    image.save(path)
    return path


def write(folder: Path, split: str, pairs: dict[str, str]) -> tuple[str, Path]:
    path = folder / f"{split}.jsonl"
    rows = [{"image": name, "input": asked, "output": "x"} for name, asked in pairs.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return split, path


def test_images_are_compared_by_what_they_show(tmp_path: Path) -> None:
    for n in range(6):
        paint(tmp_path / f"{n}.png", n)
    shown = Image.open(tmp_path / "1.png")
    shown.resize((240, 180)).save(tmp_path / "scaled.jpg", quality=70)
    Image.open(tmp_path / "2.png").rotate(90).save(tmp_path / "turned.png")
    whole = (tmp_path / "5.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) - 300])
    (tmp_path / "text.png").write_text("no image")
    asked = "What is shown here?"
    learned = dict.fromkeys(("0.png", "1.png", "2.png", "3.png", "cut.png", "text.png"), asked)
    tested = {"0.png": "Which colours are there?"}
    tested |= dict.fromkeys(("scaled.jpg", "turned.png", "3.png", "4.png"), asked)
    rows, faults = read([write(tmp_path, "train", learned), write(tmp_path, "test", tested)], CLASSIFY)
    found = check.run(
        Data(rows, faults, CLASSIFY),
        [check.by_name(name) for name in ("unreadable", "image", "leak", "image_leak")],
    ).findings
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    assert [(one.where, one.message.partition("; ")[0]) for one in found["unreadable"]] == [
        (f"{train}:6", f'"image": {tmp_path}/text.png: Pillow can\'t read this image')
    ]
    (cut,) = found["image"]
    assert cut.where == f"{train}:5" and "cut.png: is damaged (" in cut.message
    assert [one.where for one in found["leak"]] == [f"{train}:4"]
    same, near = found["image_leak"]
    assert (same.where, same.severity, same.also) == (f"{train}:1", "error", (f"{test}:1",))
    assert (near.where, near.severity, near.also) == (f"{train}:2", "warning", (f"{test}:2",))
    assert "1.png is nearly an image of the test example at" in near.message


def test_one_question_of_many_images_is_no_near_duplicate(tmp_path: Path) -> None:
    names = [paint(tmp_path / f"{n}.png", n).name for n in range(8)]
    data = Data(
        *read([write(tmp_path, "train", dict.fromkeys(names, "what colour is it"))], CLASSIFY), CLASSIFY
    )
    found = check.run(
        data, [check.by_name(name) for name in ("duplicate", "near_duplicate", "contradiction")]
    ).findings
    assert not found
