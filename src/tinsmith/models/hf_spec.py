"""A Spec from a Hugging Face folder and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import errors_at
from tinsmith.formats import safetensors
from tinsmith.models import vision_part
from tinsmith.models.experts import one_by_one
from tinsmith.models.family import Family, by_hf_architecture, by_name, by_text_model, without_ignored
from tinsmith.models.folder_tensors import FLOATS, GENERAL, read_tensor, stored_tensors, write_json
from tinsmith.spec import Hyper, Spec, Tensor
from tinsmith.tokenizer import tokenizer_json

Change = Callable[[Mapping[str, safetensors.Tensor]], dict[str, safetensors.Tensor]]
_HEAD = "lm_head.weight"  # tied checkpoints may repeat the embeddings under this name
# Of a language model in a folder of several models.
_PREFIXES = re.compile(r"(model\.language_model|language_model\.model|model\.text_model)\.")
_INNER_HEAD = "language_model.lm_head.weight"
_MTP = "mtp."  # multi-token prediction layers have no prefix of the language model
# Tables in old checkpoints that follow from the config.
_DERIVED = re.compile(r".*\.rotary_emb\.inv_freq|.*\.attn\.(masked_)?bias")


def load_hf(folder: Path, *, mtp: bool = False) -> Spec:
    path = folder / "config.json"
    if not path.exists() and (files := sorted(file.name for file in folder.glob("*.gguf"))):
        raise FormatError(
            f"{folder}: no config.json, and {len(files)} GGUF files ({', '.join(files)}); give one of them, or "
            "a folder of one and its vision model, called mmproj….gguf"
        )
    if not path.exists():
        raise FormatError(f"{folder}: no config.json; give a Hugging Face folder or a .gguf file")
    config = tokenizer_json.read_json(path)
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not architectures:
        raise FormatError(f"{path}: no architectures; the folder is not a language model")
    if config.get("quantization_config"):
        raise UnsupportedError(f"{path}: quantization_config is not supported; give the float model or a GGUF")
    whole, architecture = config, str(architectures[0])
    family = _family_of(config, architecture, str(path))
    if isinstance(text := config.get("text_config"), dict):
        config = {**config, **text}
    stand_in = family.stand_in(config)
    if stand_in:
        family, config = stand_in.family, stand_in.config
    with errors_at(folder):
        hyper = family.hyper_from_hf(config)
    hyper = family.with_mtp(hyper, int(mtp), str(folder))
    in_folder = safetensors.read_folder(folder)
    tokenizer, template = tokenizer_json.read(folder, hyper.vocab)
    vision, seen, unseen = vision_part.read(folder, whole, architecture, hyper.dim, tokenizer, in_folder)
    in_folder = {name: stored for name, stored in in_folder.items() if name not in seen}
    change = stand_in.changed if stand_in else one_by_one
    tensors, notes = _tensors(folder, family, hyper, change, in_folder, vision=vision is not None)
    notes += unseen + family.notes(hyper) + (stand_in.notes if stand_in else ())
    general = _general(folder, config)
    return Spec(family.name, hyper, tensors, tokenizer, template, general, notes, vision=vision)


def _family_of(config: Mapping[str, Any], architecture: str, where: str) -> Family:
    """By the architecture, or for an unknown one by text_config's model type."""
    try:
        return by_hf_architecture(architecture, where)
    except UnsupportedError:
        text = config.get("text_config")
        if not isinstance(text, dict) or not isinstance(text.get("model_type"), str):
            raise
        return by_text_model(text["model_type"], f"{where}: {architecture}")


def _names_of(stored: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    """The folder's tensor names of the language model, by its names without the prefix; and all others."""
    names = list(stored)
    own = {_PREFIXES.sub("model.", name): name for name in names if _PREFIXES.match(name)}
    if not own:
        return {name: name for name in names}, set()
    own |= {name: name for name in names if name.startswith(_MTP)}
    if _INNER_HEAD in names:
        own["lm_head.weight"] = _INNER_HEAD
    elif "lm_head.weight" in names:
        own["lm_head.weight"] = "lm_head.weight"
    return own, set(names) - set(own.values())


def _tensors(
    folder: Path,
    family: Family,
    hyper: Hyper,
    change: Change,
    in_folder: Mapping[str, safetensors.Tensor],
    *,
    vision: bool,
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    names = family.tensors(hyper)
    own, others = _names_of(in_folder)
    stored = change({name: in_folder[given] for name, given in own.items()})
    for name in names:  # bounded: the config may claim any number of experts
        parts = replace(name, experts=min(name.experts, len(stored) + 1)).folder_names
        missing = next((part for part in parts if part not in stored), None)
        if missing is not None:
            raise FormatError(f"{folder}: tensor {missing!r} is missing; the folder is incomplete")
    present, notes = without_ignored([*stored, *others], family.ignored_in_folder(hyper))
    if left_out := others.intersection(present):
        kept, only = ("language model and vision model", "") if vision else ("language model", ": text only")
        notes += (f"all but the {kept} is left out{only} ({len(left_out)} tensors)",)
    present = [name for name in present if name not in others]
    known = {part for name in names for part in name.folder_names}
    surplus = sorted(name for name in set(present) - known if not _DERIVED.fullmatch(name))
    if _HEAD in surplus:
        embed = next(name for name in names if name.role == "embed").folder_names[0]
        if not _same(stored[_HEAD], stored[embed]):
            raise UnsupportedError(
                f"{folder}: tensor {_HEAD!r} differs from the embeddings, the head by config.json; set its "
                "tie_word_embeddings to false, or remove that tensor"
            )
        surplus.remove(_HEAD)
    if surplus:
        raise UnsupportedError(
            f"{folder}: tensor {surplus[0]!r} is not one of the family's ({len(surplus)} such); "
            "the model has a part that tinsmith does not compute"
        )
    tensors = {name.role: read_tensor(folder, name, stored) for name in names if name.hf}
    return tensors | family.derive(hyper), notes


def _same(one: safetensors.Tensor, other: safetensors.Tensor) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape) and bool(one.data == other.data)


def _general(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    kept = config.get(GENERAL)
    if isinstance(kept, dict):
        return kept
    general: dict[str, Any] = {"name": folder.resolve().name}
    card = folder / "README.md"
    if card.exists():
        text = card.read_text("utf-8", "replace")
        front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
        license = re.search(r"^license:\s*['\"]?([\w.+-]+)", front[1], re.MULTILINE) if front else None
        if license:
            general["license"] = license[1]
    return general


def save_hf(spec: Spec, folder: str | Path) -> None:
    """Writes a float model as the folder that transformers' AutoModelForCausalLM and AutoTokenizer load.

    Raises UnsupportedError for quantized tensors; dequantize first.
    """
    folder = Path(folder)
    family = by_name(spec.family)
    names = [name for name in family.tensors(spec.hyper) if name.hf]
    vision_tensors = spec.vision.tensors if spec.vision else {}
    for role, tensor in [*spec.tensors.items(), *vision_tensors.items()]:
        if tensor.format not in FLOATS:
            raise UnsupportedError(f"{role} is {tensor.format}; dequantize it to {', '.join(FLOATS)} first")
    tokenizer = spec.tokenizer
    named = {f"{key}_token_id": getattr(tokenizer, key) for key in ("bos", "eos", "pad")}
    dtype = FLOATS[spec.tensors["embed"].format]
    config = family.hyper_to_hf(spec.hyper) | {"torch_dtype": dtype, GENERAL: spec.general} | named
    generation = {"eos_token_id": list(tokenizer.end_tokens)} if tokenizer.end_tokens else {}
    stored = {part: tensor for name in names for part, tensor in stored_tensors(name, spec.tensors[name.role])}
    if spec.vision:
        config = vision_part.config_of(spec.vision, config)
        stored = vision_part.stored(spec.vision, stored)
    safetensors.write(folder / safetensors.SINGLE, stored, {"format": "pt"})
    tokenizer_json.write(folder, tokenizer, spec.chat_template, spec.hyper.context)
    if spec.vision:
        vision_part.write_processor(spec.vision, tokenizer, folder)
    write_json(folder / "generation_config.json", named | generation)
    # Last: a folder without it is not a model.
    write_json(folder / "config.json", config)
