"""The vision half of a Hugging Face folder that has one: what vision/'s towers and connectors read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats.safetensors import Tensor as Stored
from tinsmith.models.folder_tensors import read_tensor
from tinsmith.spec import Vision
from tinsmith.tokenizer.tokenizer_json import read_json
from tinsmith.vision.parts import Connector, by_architecture, tensors_of, towers

# Files that state how pictures are cut, and the key under which the newer one has it.
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
_NESTED = "image_processor"


def read(
    folder: Path, config: Mapping[str, Any], architecture: str, dim: int, in_folder: Mapping[str, Stored]
) -> tuple[Vision | None, set[str]]:
    """The vision half, and the names of its tensors in the folder; None where the folder has none that is
    known, or does not say how pictures are cut. dim: the language model's width."""
    connector = by_architecture(architecture)
    own = _own(connector, in_folder) if connector else {}
    processor = _processor(folder)
    if connector is None or not own or processor is None:
        return None, set()
    try:
        vision = _without_tensors(connector, config, dim, processor)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{folder}: {error}") from error
    names = tensors_of(vision)
    missing = [name for name in names if name.hf not in own]
    if missing:
        raise FormatError(
            f"{folder}: tensor {missing[0].hf!r} of {missing[0].role} is missing; the folder is incomplete"
        )
    stored = {name: in_folder[given] for name, given in own.items()}
    tensors = {name.role: read_tensor(folder, name, stored) for name in names}
    return replace(vision, tensors=tensors), {own[name.hf] for name in names}


def _without_tensors(
    connector: Connector, config: Mapping[str, Any], dim: int, processor: Mapping[str, Any]
) -> Vision:
    given = config.get("vision_config")
    if not isinstance(given, Mapping):
        raise FormatError("config.json: no vision_config, which says the size of the vision tower")
    sizes = towers()[connector.tower].from_hf({**connector.vision_defaults, **given})
    joint, tokens = connector.from_hf(config, dim), connector.tokens(config)
    return Vision(connector.tower, sizes, connector.name, joint, {}, tokens, connector.pictures(processor))


def _own(connector: Connector, in_folder: Mapping[str, Stored]) -> dict[str, str]:
    """The folder's names of the tensors of tower and connector, by those that are written."""
    own: dict[str, str] = {}
    for prefixes in (connector.hf_tower, connector.hf_connector):
        for name in in_folder:
            prefix = next((one for one in prefixes if name.startswith(one)), None)
            if prefix is not None:
                own[prefixes[0] + name.removeprefix(prefix)] = name
    return own


def _processor(folder: Path) -> dict[str, Any] | None:
    for name in _PROCESSORS:
        path = folder / name
        table = read_json(path) if path.exists() else {}
        found = table.get(_NESTED, table)
        if isinstance(found, dict) and "image_mean" in found:
            return found
    return None
