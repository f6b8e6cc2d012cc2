from __future__ import annotations

from tinsmith.data.readers import Example
from tinsmith.data.splits import normalize, shared_inputs


def test_shared_inputs_sees_through_case_and_punctuation() -> None:
    train = [Example("Turn on: the light!", "a")]
    same, other = Example("turn  on the LIGHT", "b"), Example("turn on the lights", "c")
    assert shared_inputs(train, [same, other]) == [same]
    assert normalize("Café\u00a0№5") == normalize("CAFÉ no5")
