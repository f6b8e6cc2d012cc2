"""What a recipe's training prepares for: the roughest of the files that it builds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tests.models.tiny_recipes import BASE, call, write_home
from tinsmith import models, quant
from tinsmith.errors import RecipeError
from tinsmith.models import family
from tinsmith.pipeline import engine, recipe
from tinsmith.pipeline.formats import prepared_for
from tinsmith.pipeline.stages.train import make as training
from tinsmith.quant import convert
from tinsmith.system import progress
from tinsmith.train import merge
from tinsmith.train.quantized import importance, qat_adapter

RECIPE = f"""\
{BASE}augment = false
[train]
epochs = 1
{{train}}
[build]
formats = {{formats}}
context = 256
{{build}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qat")
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
    write_home(folder, BASE, call, tiny_spec("llama", **sizes))
    return folder


def load(folder: Path, formats: Sequence[str], train: str = "", build: str = "") -> recipe.Recipe:
    path = folder / "home.toml"
    path.write_text(RECIPE.format(formats=json.dumps(formats), train=train, build=build))
    return recipe.load(path)


@pytest.mark.parametrize(
    ("formats", "train", "wanted"),
    [
        (["F16", "Q8_0"], "", []),
        (["F16", "Q8_0", "Q4_0"], "", ["Q4_0"]),
        (["Q6_K", "F32"], "", ["Q6_K"]),
        (["Q2_K", "Q4_K_M", "Q3_K_S"], "", ["Q2_K"]),
        (["Q4_K_S", "Q4_K_M"], "", ["Q4_K_S"]),
        (["Q4_K_M", "Q4_K_S"], "", ["Q4_K_S"]),
        (["Q4_0", "Q2_K"], 'qat = "none"', []),
        (["Q4_0", "Q2_K"], 'qat = "Q4_0"', ["Q4_0"]),
        (["Q8_0"], 'qat = "Q8_0"', ["Q8_0"]),
        (["Q8_0", "AUTO"], "", ["AUTO"]),
        (["AUTO", "Q4_0", "Q5_0"], "", ["Q4_0", "AUTO"]),
    ],
)
def test_the_roughest_format_is_prepared_for(
    folder: Path, formats: list[str], train: str, wanted: list[str]
) -> None:
    build = "bits = 6.5" if "AUTO" in formats else ""
    assert prepared_for(load(folder, formats, train, build)) == wanted


def test_a_format_that_is_not_built_is_refused(folder: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"home.toml:10: \[train\] qat: .*none of \[build\] formats, Q8_0, Q4_0"
    ):
        load(folder, ["Q8_0", "Q4_0"], 'qat = "Q4_1"')


@pytest.mark.parametrize(
    ("formats", "bits", "train", "wanted"),
    [
        (["AUTO"], 6.5, "", "AUTO"),
        (["Q4_0", "AUTO"], 4.7, "", "AUTO"),
        (["Q4_0", "AUTO"], 7.5, "", "Q4_0"),
        (["Q8_0", "AUTO"], 9.5, "", None),
        (["AUTO"], 6.5, 'method = "prefix"', None),
    ],
)
def test_training_takes_auto_s_formats_from_the_base(
    folder: Path, formats: list[str], bits: float, train: str, wanted: str | None
) -> None:
    out = folder / f"run-{'-'.join(formats)}-{bits:g}-{bool(train)}"
    run = engine.make(
        load(folder, formats, train, f"bits = {bits:g}"), out, progress.PlainDisplay(), goal="train"
    )
    facts = run.done(engine.TRAIN).facts
    assert "under the errors" not in facts.note
    assert (facts.qat.format if facts.qat else None) == wanted
    if facts.qat:
        found = re.search(
            r"; every step under the errors of (\w+), made anew every (\d+) steps", facts.qat.note
        )
        assert found and found[1] == wanted
        assert [point.step for point in facts.qat.curve] == list(range(1, facts.qat.steps + 1))
        assert found[2] == ("100" if wanted == "AUTO" else "50")
    assert (out / "search" / "base" / "sensitivity.json").exists() is ("prefix" not in train)


WEIGHTS = "adapter/adapter_model.safetensors"


def test_files_of_8_bits_are_what_they_are_without_others(folder: Path) -> None:
    """They are built from an adapter that never saw the errors of those, which have one of their own."""
    show = progress.PlainDisplay()
    alone = engine.make(load(folder, ["Q8_0"]), folder / "alone", show, goal="build")
    both = engine.make(load(folder, ["Q8_0", "Q4_0"]), folder / "both", show, goal="build")
    assert alone.done(engine.TRAIN).facts.qat is None
    for name in (WEIGHTS, "home-q8_0.gguf"):
        assert (folder / "alone" / name).read_bytes() == (folder / "both" / name).read_bytes()
    assert (folder / "both" / WEIGHTS).read_bytes() != (folder / "both" / "qat" / WEIGHTS).read_bytes()

    spec = models.load(both.done(engine.DATA).facts.base.path)
    merged = merge.merge(spec, folder / "both" / "qat" / "adapter")
    given = quant.encoder(merged, "Q4_0", importance.load(folder / "both" / "qat" / "adapter"))
    built = models.load(folder / "both" / "home-q4_0.gguf")
    names = [name for name in family.by_name("llama").tensors(spec.hyper) if name.role in built.tensors]
    tensors = convert.converted([given.job(merged, name) for name in names])
    for name, tensor in zip(names, tensors, strict=True):
        assert bytes(built.tensors[name.role].data) == bytes(tensor.data), name.role


def test_a_format_that_is_stated_is_built_from_what_was_prepared_for_it(folder: Path) -> None:
    run = engine.make(
        load(folder, ["F16", "Q8_0"], 'qat = "Q8_0"'),
        folder / "stated",
        progress.PlainDisplay(),
        goal="build",
    )
    origins = engine.BUILD.inputs(run).origins
    names = [(origin.model.path.name, origin.formats) for origin in origins]
    assert names == [("merged", ["F16"]), ("merged-qat", ["Q8_0"])]


def test_what_was_trained_first_is_not_trained_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when another file is to be built, nor when the second adapter's training was stopped, or what it
    came to was not written down yet."""
    show, out = progress.PlainDisplay(), folder / "grows"
    engine.make(load(folder, ["Q8_0"]), out, show, goal="train")
    before = (out / WEIGHTS).stat().st_mtime_ns

    def stopped(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(qat_adapter, "job_of", stopped)
        engine.make(load(folder, ["Q8_0", "Q4_0"]), out, show, goal="train")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "Qat", stopped)
        engine.make(load(folder, ["Q8_0", "Q4_0"]), out, show, goal="train")
    qat = (out / "qat" / WEIGHTS).stat().st_mtime_ns
    run = engine.make(load(folder, ["Q8_0", "Q4_0"]), out, show, goal="build")
    assert (out / WEIGHTS).stat().st_mtime_ns == before
    assert (out / "qat" / WEIGHTS).stat().st_mtime_ns == qat
    facts = run.done(engine.TRAIN).facts.qat
    assert facts and len(facts.curve) == facts.steps
    engine.make(load(folder, ["Q8_0", "Q4_0"], "rank = 3"), out, show, goal="train")
    assert (out / WEIGHTS).stat().st_mtime_ns != before


def test_auto_s_formats_are_settled_from_the_trained_model(folder: Path) -> None:
    run = engine.make(
        load(folder, ["AUTO"], "", "bits = 6.5"), folder / "settled", progress.PlainDisplay(), goal="build"
    )
    before, after = (
        json.loads((folder / "settled" / "search" / place / "sensitivity.json").read_text())
        for place in ("base", ".")
    )
    assert before["digest"] != after["digest"]
    front = run.done(engine.BUILD).facts.front
    assert front is not None and any(row["chosen"] and row["bits"] <= 6.5 for row in front)
