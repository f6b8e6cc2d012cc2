"""A recipe whose examples have images, from nothing to the sealed vision-language model and its report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

import tinsmith
from tinsmith import cli, models
from tinsmith.constraint.makers import choices

RECIPE = """\
[scratch]
layers = 1
hidden = 32
vocabulary = 288
image_size = 32
vision_layers = 1
vision_hidden = 32
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
task = "classify"
[train]
epochs = 1
learning_rate = 0.005
[build]
formats = ["Q8_0", "AUTO"]
context = 48
bits = 6
[eval]
baselines = []
threads = 1
"""


@pytest.mark.slow
def test_a_sealed_file_answers_about_images(tmp_path: Path) -> None:
    for split, count in {"train": 16, "validation": 4, "test": 6}.items():
        lines = []
        for n in range(count):
            image = Image.new("RGB", (40, 30), (200, 200, 150 + 4 * n))
            x = 22 * (n % 2)
            ImageDraw.Draw(image).rectangle((x, 8, x + 16, 22), fill=(0, n, 30 * (split == "test")))
            image.save(tmp_path / f"{split}{n}.png")
            lines.append(json.dumps({"image": f"{split}{n}.png", "label": ("left", "right")[n % 2]}) + "\n")
        (tmp_path / f"{split}.jsonl").write_text("".join(lines))
    (tmp_path / "sides.toml").write_text(RECIPE)
    run = tmp_path / "run"
    assert cli.main(["make", str(tmp_path / "sides.toml"), "--out", str(run)]) == 0
    report = json.loads((run / "report.json").read_text())
    assert report["systems"]["shipped_q8_0_constrained"]["valid"] == 1
    assert sum(report["augmentation"]["images"].values()) > 0
    page = (run / "report.html").read_text()
    for error in report["errors"]:
        assert all((run / name).is_file() and f'src="{name}"' in page for name in error["images"])
    assert re.search(r"Changed images: \w+ \d+", page)
    assert models.load(run / "trained").vision is not None
    measured = json.loads((run / "search/sensitivity-vision.json").read_text())["measured"]
    assert {"layers.0.q", "layers.0.down", "projector.project"} <= measured.keys()
    auto, tin = sorted(run.glob("*.tin"))
    assert auto.name.endswith("-auto.tin")
    built = [
        models.load(one.with_suffix(".gguf"), one.with_name(f"mmproj-{one.stem}.gguf")) for one in (auto, tin)
    ]
    formats = [{role: one.vision.tensors[role].format for role in measured} for one in built if one.vision]
    assert set(formats[1].values()) == {"Q8_0"} and set(formats[0].values()) != {"Q8_0"}
    shown = {"role": "user", "content": [{"type": "image", "path": str(tmp_path / "test0.png")}]}
    answer = tinsmith.load(tin, threads=1).chat([shown], constraint=choices(["left", "right"]))
    assert answer.text in ("left", "right")
