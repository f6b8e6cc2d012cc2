from __future__ import annotations

import pytest

from tinsmith.data.readers import Example
from tinsmith.data.splits import normalize, shared_inputs
from tinsmith.errors import UnsupportedError
from tinsmith.tasks import Task


def test_a_system_prompt_comes_first_or_not_at_all() -> None:
    example = Example("lights on", "{}")
    asked = {"role": "user", "content": "lights on"}
    assert Task("call").messages(example) == [asked]
    assert Task("call").messages(example, "home") == [{"role": "system", "content": "home"}, asked]


def test_an_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(UnsupportedError, match="extract, call, classify, chat"):
        Task("translate")


def test_shared_inputs_sees_through_case_and_punctuation() -> None:
    train = [Example("Turn on: the light!", "a")]
    same, other = Example("turn  on the LIGHT", "b"), Example("turn on the lights", "c")
    assert shared_inputs(train, [same, other]) == [same]
    assert normalize("Café\u00a0№5") == normalize("CAFÉ no5")
