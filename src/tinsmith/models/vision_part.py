"""The vision model of a Hugging Face folder, read and written with the encoders and projectors of vision/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError
from tinsmith.fields import Fields, errors_at
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

# Files that state how images are cut, and the newer one's key for it.
_PROCESSORS = ("processor_config.json", PROCESSOR)
_NESTED = "image_processor"
# Prefix of the language model's tensor names, and its head; keys of the whole config alone, and of both.
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
    """The vision model, the names of its tensors in the folder, and notes for the user. None if the folder has
    no supported one or does not state how images are cut. dim: the language model's width."""
    projector = by_architecture(architecture)
    own = _own(projector, in_folder) if projector else {}
    processor = _processor(folder)
    if projector is None or not own:
        return None, set(), ()
    if processor is None:
        return None, set(), (f"no {PROCESSOR}, which states how images are cut: text only",)
    with errors_at(folder):
        vision = _without_tensors(projector, config, dim, tokenizer, processor)
    names = tensors_of(vision)
    missing = [name for name in names if name.hf not in own]
    if missing:
        raise FormatError(f"{folder}: tensor {missing[0].hf!r} is missing; the folder is incomplete")
    stored = {name: in_folder[given] for name, given in own.items()}
    tensors = {name.role: read_tensor(folder, name, stored) for name in names}
    return replace(vision, tensors=tensors), {own[name.hf] for name in names}, ()


def config_of(vision: Vision, text: Mapping[str, Any]) -> dict[str, Any]:
    """config.json of the whole model; text: the language model's config."""
    encoder, projector = parts_of(vision)
    written = projector.hf_written
    text_type = str(text.get("model_type"))
    architecture, whole_type, vision_type = written.get(text_type, written[""])
    own_text = {"model_type": projector.hf_text.get(text_type, text_type)}
    own = projector.to_hf(vision.sizes, vision.joint)
    sizes = encoder.to_hf(vision.sizes) | own.pop("vision_config", {})
    keys = {key: vision.tokens[word] for word, key in projector.token_keys.items() if word in vision.tokens}
    return {
        **{key: text[key] for key in _SHARED if key in text},
        **own,
        **keys,
        "architectures": [architecture],
        "model_type": whole_type,
        "text_config": {key: value for key, value in text.items() if key not in _WHOLE} | own_text,
        "vision_config": {**sizes, "model_type": vision_type},
    }


def stored(vision: Vision, language: Mapping[str, Stored]) -> dict[str, Stored]:
    """The whole model's tensors in a folder; language: those of the language model alone."""
    _, projector = parts_of(vision)
    whole = {
        projector.hf_head if name == _HEAD else projector.hf_language + name.removeprefix(_MODEL): tensor
        for name, tensor in language.items()
    }
    for name in tensors_of(vision):
        whole |= stored_tensors(name, vision.tensors[name.role])
    return whole


def write_processor(vision: Vision, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes the files of transformers' AutoProcessor: how images are cut, and their place in prompts."""
    _, projector = parts_of(vision)
    given = vision.sizes, vision.joint
    images = common_to_hf(vision.image_rules) | projector.images_to_hf(vision.image_rules, *given)
    write_json(folder / PROCESSOR, images)
    named = {"processor_class": images["processor_class"]}
    count = {projector.hf_tokens: (vision.sizes.side // vision.joint.merge) ** 2} if projector.hf_tokens else {}
    write_json(folder / _PROCESSORS[0], count | named)
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
        raise FormatError(f"{CONFIG}: no vision_config, which states the size of the vision encoder")
    sizes = encoders()[projector.encoder].from_hf({**projector.vision_defaults, **own})
    joint = projector.from_hf(config, sizes, dim)
    given = {word: config.get(key) for word, key in projector.token_keys.items()}
    tokens = tokens_of(projector, given, tokenizer, CONFIG)
    images = projector.images_from_hf(Fields(processor, PROCESSOR), sizes, joint)
    return checked(Vision(projector.encoder, sizes, projector.name, joint, {}, tokens, images), CONFIG)


def _own(projector: Projector, in_folder: Mapping[str, Stored]) -> dict[str, str]:
    """The folder's names of encoder and projector tensors, by the names that save_hf writes."""
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
