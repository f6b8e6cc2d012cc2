"""auto of a vision model: losses are what whole models find, no byte more is taken, and the files have it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from tests.vision.chat_models import photo, with_words  # noqa: E402
from tests.vision.vision_models import save_random  # noqa: E402
from tinsmith import cli, models  # noqa: E402
from tinsmith.data.images import ImageSource  # noqa: E402
from tinsmith.data.readers import Example  # noqa: E402
from tinsmith.models import Spec  # noqa: E402
from tinsmith.quant import vision as quant_vision  # noqa: E402
from tinsmith.quant.presets import Mix  # noqa: E402
from tinsmith.search import sensitivity, text, vision  # noqa: E402
from tinsmith.system import progress  # noqa: E402
from tinsmith.train.batches.sequences import Tokenization, TokenSequence  # noqa: E402
from tinsmith.train.model import network  # noqa: E402

ROUGH = "Q4_0"


@pytest.fixture(scope="module", params=["qwen35"])
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Spec:
    folder = tmp_path_factory.mktemp(request.param)
    save_random(request.param, folder)
    return with_words(request.param, models.load(folder))


@pytest.fixture(scope="module")
def sequences(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> list[TokenSequence]:
    from PIL import Image

    folder, examples = tmp_path_factory.mktemp("shown"), [Example("nothing", "is here")]
    for number, size in enumerate(((50, 40), (90, 40), (33, 61))):
        path = folder / f"{number}.png"
        Image.fromarray(photo(*size, number)).save(path)
        examples.append(Example("what?", "the thing", images=(ImageSource(str(path)),)))
    return Tokenization(spec, text.tokenizer(spec), "chat", "", spec.hyper.context)(examples)


def direct(spec: Spec, vision: object, sequences: list[TokenSequence]) -> float:
    """Mean KL of the answers' tokens, by two whole models and its definition."""
    found = []
    for one in (spec, replace(spec, vision=vision)):
        whole = network.whole(one)
        with torch.no_grad():
            states = [whole.answer_states(whole.pack([each], 0)) for each in sequences]
            found.append(torch.cat([whole.logits(each) for each in states]).double().log_softmax(-1))
    wanted, given = found
    return float((wanted.exp() * (wanted - given)).sum(-1).mean())


def test_losses_are_of_whole_models_and_no_byte_more_is_taken(
    spec: Spec, sequences: list[TokenSequence], tmp_path: Path
) -> None:
    assert spec.vision
    given = Mix("AUTO", {"blk.0.attn_q.weight": ROUGH})
    display = progress.PlainDisplay()
    mix = vision.choose(spec, given, sequences, tmp_path, display)
    shown = vision.some(sequences)
    assert 0 < len(shown) < len(sequences) and all(one.images for one in shown)
    kept = sensitivity.Sensitivity(tmp_path / vision.NAME, vision._digest(spec, shown))
    roles = quant_vision.matrices(spec.vision)
    assert set(kept.measured) == set(roles) == set(mix.vision)

    def of(formats: dict[str, str]) -> float:
        changed = quant_vision.apply(spec.vision, Mix("one", {"x": "F32"}, formats))  # type: ignore[arg-type]
        return direct(spec, changed, shown)

    for role in (roles[0], roles[-1]):
        (name, loss), *_ = kept.measured[role].items()
        assert loss == pytest.approx(of({role: name}), rel=5e-3, abs=2e-8), (role, name)
    plain, best = (quant_vision.apply(spec.vision, one).tensors for one in (ROUGH, mix))
    assert {role: best[role].format for role in roles} == mix.vision
    assert sum(len(best[role].data) for role in roles) <= sum(len(plain[role].data) for role in roles)
    assert all(best[role].format == plain[role].format for role in set(best) - set(roles))
    assert of(dict(mix.vision)) <= 1.05 * of(dict.fromkeys(roles, ROUGH))
    assert vision.choose(spec, given, sequences, tmp_path, display) == mix
    mixed = Mix("AUTO", {"blk.0.attn_q.weight": "Q8_0"})
    finer = vision.choose(spec, mixed, sequences, tmp_path, display)
    assert of(dict(finer.vision)) < of(dict(mix.vision))


def test_the_command_line_measures_by_images(
    spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By rows in a file; and refuses what has none, before it measures anything."""
    from PIL import Image

    models.save_hf(spec, tmp_path / "base")
    models.save_hf(replace(spec, vision=None), tmp_path / "blind")
    (tmp_path / "words.txt").write_text("what is the thing? " * 30)
    Image.fromarray(photo(50, 40)).save(tmp_path / "a.png")
    rows, bare = tmp_path / "rows.jsonl", tmp_path / "bare.jsonl"
    rows.write_text('{"image": "a.png", "input": "what?", "output": "the thing"}\n')
    bare.write_text('{"input": "what?", "output": "the thing"}\n')
    out, calibration = tmp_path / "m.gguf", ["--calibration", str(tmp_path / "words.txt")]

    def quantize(base: str, kind: str, *words: object) -> int:
        return cli.main(["quantize", str(tmp_path / base), str(out), "--type", kind, *map(str, words)])

    for base, kind, words, said in (
        ("blind", "auto", [*calibration, "--bits", "6", "--images", rows], "this model has none"),
        ("base", "auto", [*calibration, "--bits", "6", "--images", bare], "no example has an image"),
        ("base", "q8_0", ["--images", rows], "is for the type auto"),
    ):
        assert quantize(base, kind, *words) == 2
        assert said in capsys.readouterr().err
    work = tmp_path / "m.search"
    assert quantize("base", "auto", *calibration, "--bits", "6") == 0
    before, kept = models.load(out, tmp_path / "mmproj-m.gguf").vision, work / vision.NAME
    assert not kept.exists()
    assert quantize("base", "auto", *calibration, "--bits", "6", "--images", rows) == 0
    seen = models.load(out, tmp_path / "mmproj-m.gguf").vision
    assert before and seen and kept.exists()
    assert sum(len(one.data) for one in seen.tensors.values()) <= sum(
        len(one.data) for one in before.tensors.values()
    )
    assert {one.format for one in seen.tensors.values()} != {one.format for one in before.tensors.values()}
