"""A network that computes another model than the runtime is not trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.models.tiny_recipes import SMALL, parity, write_home
from tests.train import real_scales
from tests.train.model.test_family_training import in_blocks, sequences_of
from tests.train.model.test_real_scales import ONE_EACH
from tests.train.tiny_training import PAIRS, REWARDED, digits, make_spec, train
from tinsmith import _core, cli, models
from tinsmith.compiler import build_image
from tinsmith.data.preferences import Preference
from tinsmith.data.readers import Example
from tinsmith.errors import UnsupportedError
from tinsmith.runtime import Model
from tinsmith.spec import Spec
from tinsmith.train import methods
from tinsmith.train.layers import fused
from tinsmith.train.model import network, prefix
from tinsmith.train.model.devices import CPU
from tinsmith.train.options import TrainOptions
from tinsmith.train.steps import agreement


def trainee(built: network.Network, spec: Spec, first: tuple[int, ...] = ()) -> Any:
    """What is compared of a trainee."""
    batches = [[one] for one in sequences_of(spec.hyper.vocab)]
    return SimpleNamespace(network=built, rows=lambda batch: batch, validation=batches, first=first)


def runtime(spec: Spec) -> Model:
    image = build_image(spec)
    return Model(_core.Model(image), image, threads=1)


@pytest.mark.parametrize(("case", "tied"), ONE_EACH, ids=[case for case, _ in ONE_EACH])
def test_rounding_explains_what_differs_in_every_family(case: str, tied: bool, tmp_path: Path) -> None:
    real_scales.save(case, tmp_path, tie_word_embeddings=tied)
    spec = models.load(tmp_path)
    for one in (spec, in_blocks(spec)):
        model = runtime(one)
        for matrices in (torch.float32, torch.bfloat16):
            agreement.check(trainee(network.build(one, matrices, 4, 6.0), one), one, model)


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Spec:
    folder = tmp_path_factory.mktemp("gemma")
    real_scales.save("gemma3", folder)
    return models.load(folder)


def test_norms_of_another_kind_are_noticed(gemma: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    """As training once computed Gemma's: by their weights, in place of 1 + weight."""
    norm = fused._norm
    monkeypatch.setattr(fused, "_norm", lambda scale, *more: norm(scale - 1, *more))
    built = network.build(gemma, torch.float32, 4, 6.0)
    with pytest.raises(UnsupportedError, match=r"gemma3: training and the runtime compute different models"):
        agreement.check(trainee(built, gemma), gemma, runtime(gemma))


def test_what_counts_is_the_base(gemma: Spec) -> None:
    """Not an adapter that training continues, and behind the tokens that a prefix begins with."""
    built, model = network.build(gemma, torch.float32, 4, 6.0), runtime(gemma)
    for parameter in built.parameters().values():
        torch.nn.init.normal_(parameter, std=0.15)
    agreement.check(trainee(built, gemma), gemma, model)
    first = (11, 18, 25, 32)
    behind = prefix.build(gemma, torch.float32, CPU, first)
    agreement.check(trainee(behind, gemma, first), gemma, model)
    with pytest.raises(UnsupportedError):
        agreement.check(trainee(behind, gemma), gemma, model)


@pytest.mark.parametrize("name", methods.names())
def test_every_method_begins_with_the_comparison(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec()
    examples = [Example(first + second, f"{i % 7}") for i, (first, second) in enumerate(PAIRS)]
    options = TrainOptions(epochs=1, rank=2, batch_tokens=40, threads=1, prefix_length=2)
    preferences = [Preference(example.input, (example.output, "x")) for example in examples]
    if name == "kto":
        preferences = [
            Preference(one.input, (one.outputs[0],), n % 2 == 0) for n, one in enumerate(preferences)
        ]
    more: dict[str, Any] = {"texts": ["the lamp in the kitchen is on, and the door is open"] * 8}
    more |= {"runtime": runtime(spec), "preferences": preferences, "teacher": tmp_path / "teacher"}
    models.save_hf(spec, tmp_path / "teacher")
    if name == "grpo":
        options, more["constraint"] = replace(options, **REWARDED), digits()
    assert train(name, spec, examples, examples[:4], options, tmp_path / "run", **more).steps
    monkeypatch.setattr(agreement, "explained", lambda network, spec: 0.0)
    with pytest.raises(UnsupportedError, match="compute different models"):
        train(name, spec, examples, examples[:4], options, tmp_path / "other", **more)
    assert not (tmp_path / "other" / methods.by_name(name).folder).exists()


def test_a_run_compares_with_the_base_that_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_home(tmp_path, SMALL, parity)
    monkeypatch.setattr(agreement, "explained", lambda network, spec: 0.0)
    for more in ("", 'learning_rate = "search"\n', "seeds = 2\n"):
        path.write_text(SMALL.replace("[train]\n", f"[train]\n{more}"))
        assert cli.main(["make", str(path), "--out", str(tmp_path / "out"), "--until", "train"]) == 2
        assert "llama: training and the runtime compute different models" in capsys.readouterr().err
