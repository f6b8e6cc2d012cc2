from __future__ import annotations

import pytest

from tinsmith.data.readers import Example
from tinsmith.errors import UnsupportedError
from tinsmith.tasks import by_name


def test_a_system_prompt_comes_first_or_not_at_all() -> None:
    example = Example("lights on", "{}")
    asked = {"role": "user", "content": "lights on"}
    assert by_name("call").messages(example) == [asked]
    assert by_name("call").messages(example, "home") == [{"role": "system", "content": "home"}, asked]


def test_an_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(UnsupportedError, match="call, chat, classify, extract"):
        by_name("translate")
