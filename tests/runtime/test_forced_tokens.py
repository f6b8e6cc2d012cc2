from __future__ import annotations

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tests.runtime.forced_tokens import Forced
from tinsmith import models
from tinsmith.constraint import makers
from tinsmith.runtime.model import Model

SPEC = tiny_spec("llama")  # a token a byte, but for a few words
END = 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    models.save_gguf(SPEC, path)
    return tinsmith.load(path)


def places(model: Model, pattern: str, answer: str) -> list[int]:
    forced = Forced(model, makers.regex(pattern).data)
    return list(forced(model.tokenize("?"), [*model.tokenize(answer), END]))


def test_only_allowed_token_is_forced(model: Model) -> None:
    pattern = "state: (on|off)"
    assert places(model, pattern, "state: on") == [*range(8), 9]  # all but the n, the end with it
    assert places(model, pattern, "state: off") == [*range(8), 9, 10]
    assert places(model, "a+b?", "aaa") == [0]  # it may end, or go on
    assert places(model, "a|b", "b") == [1]
    assert places(model, "[a-c]{2}", "ab") == [2]


def test_from_where_an_answer_departs_all_of_it_is_open(model: Model) -> None:
    assert places(model, "at (hall|kitchen) now", "at hall now") == [0, 1, 2, *range(4, 12)]
    assert places(model, "at (hall|kitchen) now", "at attic now") == [0, 1, 2]
    assert places(model, "at (hall|kitchen) now", "at hatch now") == [0, 1, 2, 4]


def test_the_same_walk_serves_answer_after_answer(model: Model) -> None:
    forced = Forced(model, makers.regex("state: (on|off)").data)
    given = [forced((), [*model.tokenize(text), END]) for text in ("state: on", "nonsense", "state: on")]
    assert given[0] == given[2] != ()
    assert given[1] == ()


def test_a_longer_token_that_the_runtime_would_take_is_forced(model: Model) -> None:
    """The constraint would allow its first letter alone, too."""
    answer = model.tokenize("the a")
    assert len(answer) == 3
    assert places(model, "the (a|b)", "the a") == [0, 1, 3]
