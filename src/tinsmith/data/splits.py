"""What splits of a data set may not share."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from tinsmith.data.readers import Example


def normalize(text: str) -> str:
    """What two inputs must differ in to count as different: letters and digits, case and spacing aside."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(char if char.isalnum() else " " for char in folded).split())


def shared_inputs(train: Sequence[Example], test: Sequence[Example]) -> list[Example]:
    """The test examples whose input is a training input too: they measure memory, not learning."""
    known = {normalize(example.input) for example in train}
    return [example for example in test if normalize(example.input) in known]
