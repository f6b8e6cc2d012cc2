"""The vision model of a Hugging Face folder that has one: what vision/'s encoders and projectors read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import Fields
from tinsmith.formats.safetensors import Tensor as Stored
from tinsmith.models.folder_tensors import GENERAL, read_tensor, stored_tensors, write_json
from tinsmith.spec import Tokenizer, Vision
from tinsmith.tokenizer.tokenizer_json import read_json
from tinsmith.vision.image_rules import PROCESSOR, common_to_hf
from tinsmith.vision.parts import (
    CONFIG,
    Projector,
    by_architecture,
    checked,
    encoders,
    parts_of,
    tensors_of,
    tokens_of,
)

# Files that state how images are cut, and the key under which the newer one has it.
_PROCESSORS = ("processor_config.json", PROCESSOR)
_NESTED = "image_processor"
# What a language model's own tensors' names begin with, and its head; keys of its config that the whole's has
# too, and those that only the whole's has.
_MODEL = "model."
_HEAD = "lm_head.weight"
_WHOLE = ("torch_dtype", GENERAL)
_SHARED = (*_WHOLE, "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")


def read(
    folder: Path,
    config: Mapping[str, Any],
    architecture: str,
    dim: int,
    tokenizer: Tokenizer,
    in_folder: Mapping[str, Stored],
) -> tuple[Vision | None, set[str], tuple[str, ...]]:
    """The vision model, the names of its tensors in the folder, and what to tell the user; None where the
    folder has none that is known, or does not say how images are cut. dim: the language model's width."""
    projector = by_architecture(architecture)
    own = _own(projector, in_folder) if projector else {}
    processor = _processor(folder)
    if projector is None or not own:
        return None, set(), ()
    if processor is None:
        return None, set(), (f"no {PROCESSOR}, which says how images are cut: text only",)
    try:
        vision = _without_tensors(projector, config, dim, tokenizer, processor)
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
    return replace(vision, tensors=tensors), {own[name.hf] for name in names}, ()


def config_of(vision: Vision, text: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json of the whole, whose language model has the config `text`."""
    encoder, projector = parts_of(vision)
    written = projector.hf_written
    alone = str(text.get("model_type"))
    architecture, whole, seeing = written.get(alone, written[""])
    own_text = {"model_type": projector.hf_text.get(alone, alone)}
    own = projector.to_hf(vision.sizes, vision.joint)
    sizes = encoder.to_hf(vision.sizes) | own.pop("vision_config", {})
    keys = {key: vision.tokens[word] for word, key in projector.token_keys.items() if word in vision.tokens}
    return {
        **{key: text[key] for key in _SHARED if key in text},
        **own,
        **keys,
        "architectures": [architecture],
        "model_type": whole,
        "text_config": {key: value for key, value in text.items() if key not in _WHOLE} | own_text,
        "vision_config": {**sizes, "model_type": seeing},
    }


def stored(vision: Vision, language: Mapping[str, Stored]) -> dict[str, Stored]:
    """A folder's tensors of the whole; language: those that the language model alone would have."""
    _, projector = parts_of(vision)
    whole = {
        projector.hf_head if name == _HEAD else projector.hf_language + name.removeprefix(_MODEL): tensor
        for name, tensor in language.items()
    }
    for name in tensors_of(vision):
        whole |= stored_tensors(name, vision.tensors[name.role])
    return whole


def write_processor(vision: Vision, tokenizer: Tokenizer, folder: Path) -> None:
    """The files by which transformers' AutoProcessor knows how images are cut and where they stand."""
    _, projector = parts_of(vision)
    given = vision.sizes, vision.joint
    images = common_to_hf(vision.image_rules) | projector.images_to_hf(vision.image_rules, *given)
    write_json(folder / PROCESSOR, images)
    named = {"processor_class": images["processor_class"]}
    write_json(folder / _PROCESSORS[0], projector.processor_to_hf(*given) | named)
    words = {
        key: tokenizer.tokens[vision.tokens[word]]
        for word, key in projector.tokenizer_keys.items()
        if word in vision.tokens
    }
    path = folder / "tokenizer_config.json"
    write_json(path, read_json(path) | named | ({"extra_special_tokens": words} if words else {}))


def _without_tensors(
    projector: Projector,
    config: Mapping[str, Any],
    dim: int,
    tokenizer: Tokenizer,
    processor: Mapping[str, Any],
) -> Vision:
    own = config.get("vision_config")
    if not isinstance(own, Mapping):
        raise FormatError(f"{CONFIG}: no vision_config, which says the size of the vision encoder")
    sizes = encoders()[projector.encoder].from_hf({**projector.vision_defaults, **own})
    joint = projector.from_hf(config, sizes, dim)
    given = {word: config.get(key) for word, key in projector.token_keys.items()}
    tokens = tokens_of(projector, given, tokenizer, CONFIG)
    images = projector.images_from_hf(Fields(processor, PROCESSOR), sizes, joint)
    return checked(Vision(projector.encoder, sizes, projector.name, joint, {}, tokens, images), CONFIG)


def _own(projector: Projector, in_folder: Mapping[str, Stored]) -> dict[str, str]:
    """The folder's names of the tensors of encoder and projector, by those that are written."""
    own: dict[str, str] = {}
    for prefixes in (projector.hf_encoder, projector.hf_projector):
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
