"""What all methods promise a recipe."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tinsmith.errors import UnsupportedError
from tinsmith.pipeline.recipe.tables import Data, Train
from tinsmith.train import methods


@pytest.mark.parametrize("name", methods.names())
def test_a_method_names_keys_that_a_recipe_has(name: str) -> None:
    method = methods.by_name(name)
    assert method.name == name
    tables = {"train": Train, "data": Data}
    assert set(method.keys) <= set(Train.__dataclass_fields__)
    assert set(method.reads) <= set(Data.__dataclass_fields__)
    assert method.needs
    for table, key in method.needs:
        assert key in tables[table].__dataclass_fields__
        assert key in (*method.keys, *method.reads, "train")


def test_a_recipe_asks_the_methods_without_torch() -> None:
    code = (
        "import sys; from tinsmith.pipeline import engine, recipe; from tinsmith.train import methods; "
        "[methods.by_name(name) for name in methods.names()]; "
        "print(sorted({'torch', 'transformers', 'peft', 'numpy'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"


def test_an_unknown_method_lists_those_there_are() -> None:
    with pytest.raises(
        UnsupportedError, match='method "_preferences" does not exist; the methods are continue, '
    ):
        methods.by_name("_preferences")
