"""A request's fields to the runtime's Sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tinsmith.runtime.generation import LOOKUP, Sampling
from tinsmith.serve.faults import Refused

if TYPE_CHECKING:
    from tinsmith.runtime.loaded import Loaded

_NAMES = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)


def sampling(model: Loaded, given: Any) -> Sampling:
    """given: has some of a Drawing's fields; what is None or not there is the runtime's default."""
    values = {name: value for name in _NAMES if (value := getattr(given, name, None)) is not None}
    bias = getattr(given, "logit_bias", None)
    if bias:
        values["logit_bias"] = _bias(model, bias)
    return Sampling(**values, lookup=LOOKUP)


def _bias(model: Loaded, given: Mapping[str, float]) -> dict[int, float]:
    vocab = model.info.vocab
    wrong = next((token for token in given if int(token) >= vocab), None)
    if wrong is not None:
        raise Refused(400, f"logit_bias: token {wrong} is not in the vocabulary of {vocab}", "logit_bias")
    return {int(token): value for token, value in given.items()}


def seed(given: int | None) -> int | None:
    """Of 64 bits, whatever its sign."""
    return None if given is None else given % (1 << 64)
