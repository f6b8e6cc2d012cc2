"""Examples with images: what rows name, what is wrong with it, and their pixels."""

from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tinsmith.data import image_changes, images
from tinsmith.data.images import ImageSource
from tinsmith.data.readers import Example, read_jsonl
from tinsmith.data.shapes import Named, open_examples
from tinsmith.data.splits import divide, shared_inputs
from tinsmith.errors import DataError
from tinsmith.pipeline.examples import write_examples

SIZE = (12, 9)


def paint(path: Path, level: int = 200, mode: str = "RGB", size: tuple[int, int] = SIZE, **more: Any) -> Path:
    """An image with a dark corner, so that no two of another level are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", size, level)
    image.paste(level // 2, (0, 0, size[0] // 2, size[1] // 3))
    image.convert(mode).save(path, **more)
    return path


def rows(folder: Path, *given: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


def found(path: Path, **named: Any) -> list[tuple[str, list[str], str]]:
    return [
        (one.input, [Path(p.path or "bytes").name for p in one.images], one.output)
        for one in open_examples(path, named=Named(**named))
    ]


def fault(folder: Path, *given: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(open_examples(rows(folder, *given)))
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder), "DIR")


def test_rows_name_one_image_or_several(tmp_path: Path) -> None:
    for name in "ab":
        paint(tmp_path / "pages" / f"{name}.png")
    both = ["pages/a.png", "pages/b.png"]
    given = rows(
        tmp_path,
        {"image": "pages/a.png", "input": "what?", "output": "x"},
        {"image": both, "input": "", "output": "y", "part": "p"},
        {"input": "no image", "output": "z"},
    )
    opened = open_examples(given)
    assert opened.reading.shape.name == "input-output"
    assert "image = image" in opened.summary()[0] and "[12x9 pixels] what?" in opened.summary()[1]
    assert found(given) == [("what?", ["a.png"], "x"), ("", ["a.png", "b.png"], "y"), ("no image", [], "z")]
    assert [one.part for one in opened] == [None, "p", None]
    without = rows(tmp_path, {"image": "pages/a.png", "output": "x", "accept": ["w"]})
    assert [one.accept for one in open_examples(without)] == [("w",)]
    named = rows(tmp_path, {"scan": "pages/a.png", "question": "q", "answer": "x"})
    assert found(named, image=("scan",)) == [("q", ["a.png"], "x")]
    (tmp_path / "rows.csv").write_text(
        'image,label\npages/a.png,cat\n"[""pages/a.png"",""pages/b.png""]",dog\n'
    )
    assert found(tmp_path / "rows.csv") == [("", ["a.png"], "cat"), ("", ["a.png", "b.png"], "dog")]


def test_bytes_of_parquet_and_data_uris(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    data = paint(tmp_path / "a.png").read_bytes()
    table = pa.table({"image": [{"bytes": data, "path": "a.png"}, {"bytes": None, "path": "a.png"}],
                      "text": ["one", "two"]})  # fmt: skip
    pq.write_table(table, tmp_path / "rows.parquet")
    assert found(tmp_path / "rows.parquet") == [("", ["bytes"], "one"), ("", ["a.png"], "two")]
    (one, two) = open_examples(tmp_path / "rows.parquet")
    assert one.images[0].digest == two.images[0].digest
    uri = "data:image/png;base64," + base64.b64encode(data).decode()
    assert found(rows(tmp_path, {"image": uri, "caption": "one"})) == [("", ["bytes"], "one")]


def test_folders_of_images(tmp_path: Path) -> None:
    paint(tmp_path / "labels" / "cat" / "1.png")
    paint(tmp_path / "labels" / "dog" / "2.jpg")
    (tmp_path / "labels" / "dog" / "notes.txt").write_text("no example")
    assert found(tmp_path / "labels") == [("", ["1.png"], "cat"), ("", ["2.jpg"], "dog")]
    paint(tmp_path / "answers" / "1.png")
    (tmp_path / "answers" / "1.json").write_text('{"total": 3}')
    assert found(tmp_path / "answers") == [("", ["1.png"], '{"total":3}')]
    paint(tmp_path / "listed" / "in" / "1.png")
    (tmp_path / "listed" / "metadata.jsonl").write_text('{"file_name": "in/1.png", "text": "a boat"}\n')
    assert found(tmp_path / "listed") == [("", ["1.png"], "a boat")]
    paint(tmp_path / "rows" / "pages" / "1.png")
    rows(tmp_path / "rows", {"image": "pages/1.png", "output": "z"})
    assert found(tmp_path / "rows") == [("", ["1.png"], "z")]
    for split in ("train", "test"):
        paint(tmp_path / "split" / split / "cat" / f"{split}.png")
    (one,) = open_examples(tmp_path / "split", split="test")
    assert Path(str(one.images[0].path)).name == "test.png"


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("none.png", 'DIR/rows.jsonl:2: "image": DIR/none.png: no such file; check the path'),
        ("text.png", 'DIR/rows.jsonl:2: "image": DIR/text.png: Pillow can\'t read this image'),
        ("http://x/y.png", "is an address; save the image"),
        (3, 'DIR/rows.jsonl:2: "image": must be a path'),
        ({"path": "a.png", "change": {"melt": 1}}, 'unknown change "melt"; the changes are rotate,'),
        ({"path": "a.png", "change": {"jpeg": 101}}, 'the change "jpeg" can\'t be 101'),
        ("data:image/png;base64,?", "is no whole data URI"),
        (None, 'DIR/rows.jsonl:2: "image" is missing; an example needs it'),
    ],
)
def test_what_is_no_image_is_said_with_its_line(value: Any, what: str, tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    (tmp_path / "text.png").write_text("not an image")
    assert what in fault(tmp_path, {"image": "a.png", "label": "x"}, {"image": value, "label": "x"})


def test_an_image_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", 100)
    paint(tmp_path / "a.png")
    assert "a.png: is 12 x 9, more than" in fault(tmp_path, {"image": "a.png", "label": "x"})


def test_pixels_are_upright_opaque_rgb(tmp_path: Path) -> None:
    plain = ImageSource(str(paint(tmp_path / "a.png", 200)))
    assert plain.pixels().getpixel((11, 8)) == (200, 200, 200)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    turned = ImageSource(str(paint(tmp_path / "b.jpg", exif=exif)))
    assert turned.size() == SIZE and turned.pixels().size == SIZE[::-1]
    Image.new("RGBA", SIZE, (0, 0, 0, 0)).save(tmp_path / "c.png")
    assert ImageSource(str(tmp_path / "c.png")).pixels().getpixel((0, 0)) == (255, 255, 255)
    Image.new("I;16", SIZE, 0x8012).save(tmp_path / "d.png")
    assert ImageSource(str(tmp_path / "d.png")).pixels().getpixel((0, 0)) == (0x80, 0x80, 0x80)
    paint(tmp_path / "e.jpg", mode="CMYK")
    assert ImageSource(str(tmp_path / "e.jpg")).pixels().mode == "RGB"
    whole = paint(tmp_path / "f.png", size=(300, 300)).read_bytes()
    (tmp_path / "f.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"f\.png: is damaged \(.*\); get it again"):
        ImageSource(str(tmp_path / "f.png")).pixels()


def test_a_run_keeps_its_own_copies(tmp_path: Path) -> None:
    path = paint(tmp_path / "given" / "a.png")
    shown = ImageSource(str(path))
    drawn = ImageSource(str(path), change=(("jpeg", 50),))
    buffer = io.BytesIO()
    Image.open(path).save(buffer, "BMP")
    held = ImageSource(data=buffer.getvalue())
    examples = [Example("q", "a", images=(shown, held)), Example("", "b", images=(drawn,))]
    write_examples(tmp_path / "run" / "train.jsonl", examples)
    kept = read_jsonl(tmp_path / "run" / "train.jsonl")
    assert [one.prompt for one in kept] == [one.prompt for one in examples]
    assert kept[1].images[0].change == (("jpeg", 50),)
    names = sorted(one.name for one in (tmp_path / "run" / "images").iterdir())
    assert names == sorted([f"{shown.digest}.png", f"{held.digest}.bmp"])
    (tmp_path / "run").rename(tmp_path / "moved")
    assert read_jsonl(tmp_path / "moved" / "train.jsonl")[0].images[1].digest == held.digest
    write_examples(tmp_path / "moved" / "again.jsonl", read_jsonl(tmp_path / "moved" / "train.jsonl"))
    assert (tmp_path / "moved" / "again.jsonl").read_text() == (tmp_path / "moved" / "train.jsonl").read_text()


def test_one_question_of_many_images_is_no_shared_input(tmp_path: Path) -> None:
    shown = [ImageSource(str(paint(tmp_path / f"{n}.png", 40 + n))) for n in range(12)]
    examples = [
        Example("What does this image show of all?", "yn"[n % 2], images=(shown[n],)) for n in range(12)
    ]
    twice = Example("And what else?", "y", images=(shown[0],))
    assert not shared_inputs(examples[:6], examples[6:])
    assert shared_inputs(examples[:6], examples[:1]) == examples[:1]
    division = divide([*examples, twice], ["x"] * 13, {"test": 0.3}, 0.8, 0, {})
    assert division.groups == 12 and division.splits[0] == division.splits[12]


def test_changes_are_data_and_give_the_same_pixels(tmp_path: Path) -> None:
    path = str(paint(tmp_path / "a.png", size=(61, 47)))
    plain = ImageSource(path).pixels()
    rng = random.Random(1)
    drawn = [image_changes.draw(image_changes.KINDS, plain.size, rng) for _ in range(40)]
    assert {kind for change in drawn for kind, _ in change} == set(image_changes.KINDS)
    assert all(change for change in drawn) and len(set(drawn)) == 40
    for kind in image_changes.KINDS:
        change = next((pair,) for one in drawn for pair in one if pair[0] == kind)
        written = json.loads(json.dumps({"path": path, "change": dict(change)}))
        (read,) = images.of_value(written, tmp_path, "here", "image")
        assert read == ImageSource(path, change=change)
        changed = read.pixels()
        assert changed.size == plain.size and changed.tobytes() == read.pixels().tobytes()
        assert changed.tobytes() != plain.tobytes(), kind
    assert image_changes.draw(["jpeg"], plain.size, rng)[0][0] == "jpeg"
