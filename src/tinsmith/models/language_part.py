"""The language model of a Hugging Face folder of several models: its text_config and its tensors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tinsmith.errors import UnsupportedError
from tinsmith.models.family import Family, by_hf_architecture, by_text_model

_PREFIXES = re.compile(r"(model\.language_model|language_model\.model|model\.text_model)\.")
_HEAD = "language_model.lm_head.weight"
_MTP = "mtp."  # multi-token prediction layers have no prefix of the language model


def family_of(config: Mapping[str, Any], architecture: str, where: str) -> Family:
    """By the architecture, or for an unknown one by text_config's model type."""
    try:
        return by_hf_architecture(architecture, where)
    except UnsupportedError:
        text = config.get("text_config")
        if not isinstance(text, dict) or not isinstance(text.get("model_type"), str):
            raise
        return by_text_model(text["model_type"], f"{where}: {architecture}")


def config_of(config: dict[str, Any]) -> dict[str, Any]:
    """The language model's config: text_config over the whole config."""
    text = config.get("text_config")
    return {**config, **text} if isinstance(text, dict) else config


def names_of(stored: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    """The folder's tensor names of the language model, by its names without the prefix; and all others."""
    names = list(stored)
    own = {_PREFIXES.sub("model.", name): name for name in names if _PREFIXES.match(name)}
    if not own:
        return {name: name for name in names}, set()
    own |= {name: name for name in names if name.startswith(_MTP)}
    if _HEAD in names:
        own["lm_head.weight"] = _HEAD
    elif "lm_head.weight" in names:
        own["lm_head.weight"] = "lm_head.weight"
    return own, set(names) - set(own.values())


def notes_of(left_out: Collection[str], *, vision: bool) -> tuple[str, ...]:
    """Notes for the user. vision: whether the vision model is kept."""
    kept, only = ("language model and vision model", "") if vision else ("language model", ": text only")
    return (f"all but the {kept} is left out{only} ({len(left_out)} tensors)",) if left_out else ()
