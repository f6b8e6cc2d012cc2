"""Images in a conversation, from their bytes to logits: text and tokens as the families' processors write
them, logits as transformers', and what was seen once is not seen again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.vision.chat_models import asking, given, photo, png, split, with_words
from tests.vision.vision_models import IMAGE, save_random
from tinsmith import _core, cli, models
from tinsmith.compiler import build_image, build_tin
from tinsmith.constraint.makers import choices
from tinsmith.errors import InputError
from tinsmith.models import Spec
from tinsmith.runtime import Model
from tinsmith.runtime.generation import TokenRequest
from tinsmith.runtime.image_prompt import ImagePrompt, Tile
from tinsmith.runtime.receipt import question, recomputed
from tinsmith.runtime.scheduler import Scheduler
from tinsmith.vision.parts import View

np, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
pytest.importorskip("PIL")

CASES = ("smolvlm", "lfm2_vl", "gemma3", "qwen35", "qwen3vl")
CHATML_PARTS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% for p in m['content'] %}{% if p['type'] == 'image' %}{{ '<image>' }}{% elif p['type'] == 'text' %}"
    "{{ p['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

Made = Callable[[str], tuple[Any, Spec, Model]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """By case: transformers' model, the spec, and the loaded model."""

    @cache
    def of(case: str) -> tuple[Any, Spec, Model]:
        folder = tmp_path_factory.mktemp(case)
        theirs = save_random(case, folder)
        spec = with_words(case, models.load(folder))
        image = build_image(spec)
        return theirs, spec, Model(_core.Model(image), image, threads=2)

    return of


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers(made: Made, case: str) -> None:
    theirs, _, model = made(case)
    images = [photo(50, 40), photo(90, 40, 2), photo(33, 61, 3)]
    for shown in ([images[0]], images):
        prompt = model.render(asking(*shown))
        assert isinstance(prompt, ImagePrompt)
        ids = torch.tensor([[IMAGE if token < 0 else token for token in prompt.ids]])
        tiles = [tile for one in shown for tile in split(model, one)[1]]
        assert sum(tile.count for _, tile in prompt.tiles) == int((ids == IMAGE).sum())
        with torch.no_grad():
            wanted = theirs(input_ids=ids, **given(case, tiles, ids)).logits[0, -1].numpy()
        session = model.open_session(prompt, 8)
        assert session.step() == _core.STEP_LOGITS
        ours = np.frombuffer(session.logits()[1], np.float32)
        worst, reach = float(np.abs(ours - wanted).max()), float(wanted.max() - wanted.min())
        print(f"{case} of {len(shown)}: worst {worst:.3g} of {reach:.3g}")
        assert worst <= 2e-3 * reach


def test_an_image_is_written_as_the_processors_write_it(made: Made) -> None:
    smol = pytest.importorskip("transformers.models.smolvlm.processing_smolvlm")
    lfm2 = pytest.importorskip("transformers.models.lfm2_vl.processing_lfm2_vl").Lfm2VlProcessor
    _, _, model = made("smolvlm")
    word, written = model.vision.word, model.vision.projector.written
    for rows, columns in ((0, 0), (1, 2), (3, 2)):
        views = [View(columns, rows, 4)] * (rows > 0) + [View(1, 1, 4)]
        theirs = smol.get_image_prompt_string(rows, columns, 4, word["around"], word["image"], word["whole"])
        assert written(word, views) == theirs
    _, _, model = made("lfm2_vl")
    word, written = model.vision.word, model.vision.projector.written
    names = SimpleNamespace(
        image_start_token=word["begin"],
        image_end_token=word["end"],
        image_token=word["image"],
        image_thumbnail_token=word["thumbnail"],
    )
    for rows, columns, thumb in ((1, 1, 6), (2, 3, 6), (3, 1, 0)):
        views = [View(columns, rows, 4 if rows > 1 else 6)] + [View(1, 1, 6)] * (rows > 1 and thumb > 0)
        theirs = lfm2._build_image_tokens(names, rows, columns, 4, 6, thumb > 0, True)
        assert written(word, views) == theirs


def test_a_template_of_parts_is_a_table(made: Made) -> None:
    """Such as SmolVLM's, which knows no content that is a text."""
    _, spec, model = made("smolvlm")
    image = build_image(replace(spec, chat_template=CHATML_PARTS))
    other = Model(_core.Model(image), image, threads=1)
    messages = [{"role": "system", "content": "in short"}, *asking(photo(50, 40))]
    assert list(other.render(messages)) == list(model.render(messages))
    told = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    assert other.render(told) == model.render([{"role": "user", "content": "ab"}])


def test_repeated_images_are_not_encoded_again(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, known = made("qwen35")
    model = Model(known.core, known._image, threads=1)
    made_rows = []
    plain = Tile.rows.func  # type: ignore[attr-defined]

    def counted(self: Tile) -> bytes:
        made_rows.append(self.digest)
        rows: bytes = plain(self)
        return rows

    monkeypatch.setattr(Tile, "rows", property(counted))
    first, second = photo(50, 40), photo(50, 40, 2)
    answers = [model.chat(asking(one), max_tokens=8).token_ids for one in (first, second)]
    assert len(made_rows) == 2
    again = [{"role": "assistant", "content": "the"}, {"role": "user", "content": "and in it?"}]
    model.chat([*asking(second), *again], max_tokens=8)
    assert len(made_rows) == 2
    fresh = Model(model.core, model._image, threads=1)
    assert [fresh.chat(asking(one), max_tokens=8).token_ids for one in (first, second)] == answers


@pytest.mark.parametrize("case", ["lfm2_vl", "gemma3"])
def test_a_scheduler_answers_about_images(made: Made, case: str) -> None:
    _, _, model = made(case)
    prompts = [model.render(asking(photo(50, 40, seed % 2))) for seed in range(4)]
    prompts.append(model.render([{"role": "user", "content": "the thing"}]))
    alone = [model.generate(prompt, max_tokens=6, constraint=None).token_ids for prompt in prompts]
    scheduler = Scheduler(model, slots=3, context=256)
    jobs = [scheduler.add(TokenRequest(tokens=prompt, max_tokens=6)) for prompt in prompts]
    while not all(job.done for job in jobs):
        scheduler.step()
    scheduler.close()
    assert [job.error for job in jobs] == [None] * 5
    assert [job.completion and job.completion.token_ids for job in jobs] == alone


def test_a_receipt_names_the_images(made: Made) -> None:
    _, _, model = made("smolvlm")
    asked = [TokenRequest(tokens=model.render(asking(photo(50, 40, seed))), max_tokens=4) for seed in (1, 2)]
    assert question(model, asked[0]).digest != question(model, asked[1]).digest
    answers = recomputed(model, asked)
    for one, (_, made_receipt) in zip(asked, answers, strict=True):
        assert isinstance(one.tokens, ImagePrompt)
        told = json.loads(json.dumps(made_receipt.as_dict()))
        assert len(told["image"]) == len(one.tokens.tiles)
    assert recomputed(model, asked)[0][1] == answers[0][1]


def test_an_answer_about_an_image_is_constrained(made: Made) -> None:
    _, _, model = made("gemma3")
    answer = model.chat(asking(photo(50, 40)), constraint=choices(["yes", "no"]))
    assert answer.text in ("yes", "no")


def test_forms_of_an_image(made: Made, tmp_path: Path) -> None:
    import base64

    _, _, model = made("smolvlm")
    pixels = photo(50, 40)
    data = png(pixels)
    (tmp_path / "a.png").write_bytes(data)
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    parts = [
        {"type": "image", "pixels": pixels},
        {"type": "image", "bytes": data},
        {"type": "image", "path": tmp_path / "a.png"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    prompts = [model.render([{"role": "user", "content": [part]}]) for part in parts]
    assert all(list(prompt) == list(prompts[0]) for prompt in prompts)


def test_invalid_images_are_rejected(made: Made) -> None:
    _, spec, model = made("smolvlm")
    pixels = photo(50, 40)
    image = {"type": "image", "pixels": pixels}
    halves = [{"type": "text", "text": text} for text in ("<ima", "ge>")]
    for messages, said in (
        ([{"role": "user", "content": [{"type": "sound"}]}], "a text or an image"),
        ([{"role": "user", "content": []}], "list of texts and images"),
        ([{"role": "user", "content": [image, {"type": "text", "text": "<image>"}]}], "means something"),
        (
            [{"role": "user", "content": [image, *halves]}],
            "means",
        ),
        ([{"role": "user", "content": [{"type": "image"}]}], "has one of path"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "http://a/b.png"}]}],
            "nothing is fetched",
        ),
        ([{"role": "user", "content": [{"type": "image", "pixels": pixels[0]}]}], "give uint8 of shape"),
        ([{"role": "system", "content": [image]}, *asking(pixels)], "only a user's message"),
    ):
        with pytest.raises(InputError, match=said):
            model.render(messages)
    blind = build_image(replace(spec, vision=None))
    with pytest.raises(InputError, match="no image input"):
        Model(_core.Model(blind), blind, threads=1).render(asking(pixels))


def test_run_with_images(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, spec, model = made("smolvlm")
    build_tin(spec, tmp_path / "a.tin")
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / f"{name}.png").write_bytes(png(photo(50, 40, seed)))
    images = [word for name in "ab" for word in ("--image", str(tmp_path / f"{name}.png"))]
    words = ["run", str(tmp_path / "a.tin"), "what is the thing?", *images, "--max-tokens", "6"]
    assert cli.main([*words, "--json"]) == 0
    wanted = model.chat(asking(photo(50, 40, 1), photo(50, 40, 2)), max_tokens=6)
    assert json.loads(capsys.readouterr().out)["token_ids"] == wanted.token_ids
    for limits, said in (
        (("--max-images", "1"), "message 1: 2 images; give 1 at most"),
        (("--max-pixels", "3000"), "message 1: 4,000 pixels in all with this image; give 3,000 at most"),
        (("--max-image", "1KiB"), "a.png: is larger than 1,024 bytes"),
        (("--max-image", "8KiB"), "the limit is 8192; make it smaller"),
    ):
        assert cli.main([*words, *limits]) == 2
        assert said in capsys.readouterr().err
    assert cli.main([*words, "--raw"]) == 2
    assert "--image excludes --raw" in capsys.readouterr().err
