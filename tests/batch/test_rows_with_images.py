"""Rows with images: equal to the model's own answers, within limits per row."""

from __future__ import annotations

import base64
import gc
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.tiny_models import png_of, tiny_spec, with_vision
from tests.models.transformers_models import CHATML
from tinsmith import cli
from tinsmith.batch.engine import WindowResult
from tinsmith.batch.items import Item
from tinsmith.batch.journal import Journal
from tinsmith.batch.requests import RequestBuilder
from tinsmith.batch.settings import Settings
from tinsmith.compiler import build_tin
from tinsmith.errors import InputError
from tinsmith.runtime.image_prompt import ImagePrompt
from tinsmith.runtime.images import Image

LIMITS = ("--max-images", 2, "--max-image", "128KiB", "--max-pixels", 5000)


def drawn(seed: int, width: int = 48, height: int = 36) -> bytes:
    return png_of(bytes((seed * k + k // 50) % 256 for k in range(width * height * 3)), width, height)


def asking(*pictures: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [{"type": "image", **one} for one in pictures]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "what is it?"}]}]


def url(data: bytes) -> dict[str, Any]:
    address = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": address}}


def images_alive() -> int:
    gc.collect()
    return sum(type(one) is Image for one in gc.get_objects())


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("eyes") / "eyes.tin"
    spec = tiny_spec("llama", hidden_size=64, intermediate_size=96, max_position_embeddings=512)
    build_tin(with_vision(replace(spec, chat_template=CHATML)), path)
    return path


def batch(file: Path, given: Path, *words: object) -> tuple[int, list[dict[str, Any]]]:
    out = given.with_name("out.jsonl")
    code = cli.main(["batch", str(file), str(given), str(out), "--max-tokens", "4", *map(str, words)])
    return code, [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_rows_are_answered_as_by_the_model_alone(eyes: Path, tmp_path: Path) -> None:
    """Which share a picture, have several, or none; and replay computes them again."""
    for seed in (1, 2):
        (tmp_path / f"{seed}.png").write_bytes(drawn(seed))
    rows = [
        {"input": "what is it?", "image": "1.png"},
        {"input": "what is it?"},
        {"input": "and what is not?", "image": "1.png"},
        {"input": "what is it?", "image": ["2.png", "1.png"]},
        {"input": "what is it?", "image": "1.png"},
    ]
    given = tmp_path / "in.jsonl"
    given.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, made = batch(eyes, given, "--workers", 1)
    assert code == 0
    model, wanted = tinsmith.load(eyes, threads=1), []
    for row in rows:
        names = [row["image"]] if isinstance(row.get("image"), str) else row.get("image", [])
        parts = [{"type": "image", "path": tmp_path / name} for name in names]
        asked = [{"role": "user", "content": [*parts, {"type": "text", "text": row["input"]}]}]
        wanted.append(model.chat(asked, max_tokens=4).text)
    assert [row["text"] for row in made] == wanted
    assert made[0]["receipt"] == made[4]["receipt"] != made[1]["receipt"]
    replay = ["batch", str(eyes), str(given), str(tmp_path / "out.jsonl"), "--check", "--workers", "1"]
    assert cli.main(replay) == 0


def test_pictures_go_by_the_names_that_they_have_in_recipes(eyes: Path, tmp_path: Path) -> None:
    """Images with any kind of prompt; a conversation has them in its messages."""
    for seed in (1, 2):
        (tmp_path / f"{seed}.png").write_bytes(drawn(seed))
    model = tinsmith.load(eyes, threads=1)
    files = {
        "own.jsonl": json.dumps({"input": "what is it?", "images": ["1.png", "2.png"]}) + "\n",
        "table.csv": 'question,picture\nwhat is it?,"[""1.png"", ""2.png""]"\n',
    }
    both = asking({"path": tmp_path / "1.png"}, {"path": tmp_path / "2.png"})
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        for made in tmp_path.glob("out.jsonl*"):
            made.unlink()
        code, (row,) = batch(eyes, tmp_path / name, "--workers", 1)
        assert (code, row["text"]) == (0, model.chat(both, max_tokens=4).text), name
    (tmp_path / "talk.jsonl").write_text(json.dumps({"messages": asking(), "images": ["1.png"]}) + "\n")
    for made in tmp_path.glob("out.jsonl*"):
        made.unlink()
    code, (row,) = batch(eyes, tmp_path / "talk.jsonl", "--workers", 1)
    assert code == 1
    assert 'talk.jsonl:1: images beside "messages"; put each into its message' in row["error"]


def test_a_row_beyond_the_limits_fails_and_the_run_continues(
    eyes: Path, tiny_tin: Path, tmp_path: Path
) -> None:
    good, large = drawn(1), png_of(b"", 20000, 20000)
    (tmp_path / "big.png").write_bytes(drawn(3) + bytes(1 << 17))
    rows = [
        (asking(url(large)), "message 1: the image of 20000 x 20000 takes"),
        (asking({"path": str(tmp_path / "big.png")}), "big.png: is larger than 131,072 bytes"),
        (asking(*[url(good)] * 3), "message 1: 3 images; give 2 at most"),
        (
            asking(url(drawn(1, 60, 50)), url(drawn(2, 50, 45))),
            "5,250 pixels in all with this image; give 5,000",
        ),
        (asking(url(good[: len(good) // 2])), "message 1: the image can't be read"),
        (asking({"path": str(tmp_path / "none.png")}), "none.png: no such file"),
        (asking({"image_url": {"url": "http://127.0.0.1:1/a.png"}}), "nothing is fetched"),
        (asking({"path": 3}), "message 1: path of an image is int; give the path of a file"),
        (asking({"pixels": [[[0, 0, 0]]]}), "message 1: pixels are list; give a buffer of uint8"),
        (asking(url(good)), None),
    ]
    given = tmp_path / "in.jsonl"
    given.write_text("".join(json.dumps({"messages": asked}) + "\n" for asked, _ in rows))
    code, made = batch(eyes, given, "--workers", 1, *LIMITS)
    assert code == 1
    for row, (_, said) in zip(made, rows, strict=True):
        assert (said is None and row["text"]) or said in row["error"], row
        assert "\n" not in row.get("error", "")
    (tmp_path / "out.jsonl").unlink()
    (tmp_path / "out.jsonl.journal").unlink()
    code, made = batch(tiny_tin, given, "--workers", 1)
    assert "has no image input" in made[-1]["error"]


def test_requests_in_openais_shape_show_pictures(eyes: Path, tmp_path: Path) -> None:
    shown, low = asking(url(drawn(1))), asking(url(drawn(1)))
    low[0]["content"][0]["image_url"]["detail"] = "low"
    kept = asking({"path": str(tmp_path / "a.png")})  # of this machine, which a request never says
    lines = [{"custom_id": str(k), "body": {"messages": one}} for k, one in enumerate((shown, low, kept))]
    given = tmp_path / "in.jsonl"
    given.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, (answered, seen_less, of_path) = batch(eyes, given, "--workers", 1)
    assert code == 1
    wanted = tinsmith.load(eyes, threads=1).chat(shown, max_tokens=4)
    assert answered["response"]["body"]["choices"][0]["message"]["content"] == wanted.text
    assert "give auto or high" in seen_less["error"]["message"]
    assert "'image' of a message part" in of_path["error"]["message"]


def test_pixels_wait_in_their_files(eyes: Path, tmp_path: Path) -> None:
    """Not in memory; and a picture that changes meanwhile is found."""
    path = tmp_path / "a.png"
    path.write_bytes(drawn(1))
    asker = RequestBuilder(tinsmith.load(eyes, threads=1), Settings())
    before = images_alive()
    tokens = asker.requests(Item(1, 1, asking({"path": str(path)}, url(drawn(2)))))[0].token_request.tokens
    assert isinstance(tokens, ImagePrompt)
    assert images_alive() == before
    path.write_bytes(drawn(3))
    with pytest.raises(InputError, match="an image changed after it was first read"):
        tokens.tiles[0][1].rows  # noqa: B018
    path.write_bytes(drawn(1))
    alone = tinsmith.load(eyes, threads=1).render(asking({"path": path}, url(drawn(2))))
    assert isinstance(alone, ImagePrompt)
    assert [image.rows for _, image in tokens.tiles] == [image.rows for _, image in alone.tiles]


def test_changed_images_prevent_resuming(
    eyes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1.png").write_bytes(drawn(1))
    (tmp_path / "in.jsonl").write_text(json.dumps({"input": "what is it?", "image": "1.png"}) + "\n")
    words = ["batch", eyes, tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--max-tokens", 2, "--workers", 1]
    add = Journal.add

    def change(self: Journal, done: WindowResult) -> None:
        (tmp_path / "1.png").write_bytes(drawn(2))
        add(self, done)

    monkeypatch.setattr(Journal, "add", change)
    assert cli.main(list(map(str, words))) == 2
    assert "an image that IN names: changed while the rows were answered" in capsys.readouterr().err
    monkeypatch.setattr(Journal, "add", add)
    assert cli.main(list(map(str, words))) == 2
    assert "was started with images" in capsys.readouterr().err
    (tmp_path / "1.png").write_bytes(drawn(1))
    assert cli.main(list(map(str, words))) == 0
