"""A vision model as the GGUF file that llama.cpp's mtmd reads beside a language model's, usually called mmproj.

clip's metadata do not state how images are cut and which tokens stand for them: llama.cpp has that built in for
each projector. tinsmith's files state it in JSON under OWN.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import Fields, errors_at, shortest_float32
from tinsmith.formats import gguf
from tinsmith.formats.weights import to_float32
from tinsmith.models.gguf_spec import general, in_file_type, read_tensors, stored_tensors
from tinsmith.spec import EncoderSizes, Hyper, Spec, Tensor, Tokenizer, Vision
from tinsmith.tensor_names import TensorName
from tinsmith.vision.facts import images_from_facts
from tinsmith.vision.image_rules import three
from tinsmith.vision.parts import Projector, by_clip_type, checked, encoders, parts_of, tensors_of, tokens_of
from tinsmith.vision.siglip import DEEP, Siglip

ARCHITECTURE = "clip"
OWN = "tinsmith.vision"
_VISION = "clip.vision."
_PROJECTORS = ("clip.vision.projector_type", "clip.projector_type")
# (EncoderSizes' field, clip's key)
_COUNTS = (
    ("layers", "block_count"),
    ("dim", "embedding_length"),
    ("ffn_dim", "feed_forward_length"),
    ("heads", "attention.head_count"),
    ("patch", "patch_size"),
)
_NORMAL = ("mean", "std")
_EPS = "attention.layer_norm_epsilon"
# Tensors that llama.cpp does not convert: it fails on half-width formats, or computes wrong values.
_WIDE = ("patch", "positions", "projector.project_t")


def load(path: str | Path, hyper: Hyper, tokenizer: Tokenizer) -> Vision:
    """hyper, tokenizer: of the file's language model. Raises FormatError and UnsupportedError."""
    file = gguf.read(path)
    meta = file.values
    if meta.get("general.architecture") != ARCHITECTURE:
        raise FormatError(f"{path}: general.architecture is not {ARCHITECTURE!r}; give a vision model (mmproj)")
    clip_type = next((meta[key] for key in _PROJECTORS if key in meta), None)
    projector = by_clip_type(str(clip_type), str(path))
    with errors_at(path):
        vision = _without_tensors(meta, projector, hyper, tokenizer, file)
    names = _as_named(tensors_of(vision), file, vision.sizes)
    return replace(vision, tensors=read_tensors(file, list(file.tensors), names))


def _without_tensors(
    meta: Mapping[str, Any], projector: Projector, hyper: Hyper, tokenizer: Tokenizer, file: gguf.Gguf
) -> Vision:
    fields = Fields(meta, "metadata", _VISION)
    Fields(meta, "metadata").refuse("clip.has_vision_encoder", True)
    Fields(meta, "metadata").refuse("clip.has_audio_encoder", False)
    if fields.count("projection_dim") != hyper.dim:
        raise FormatError(f"{fields.named('projection_dim')}; the language model's width is {hyper.dim}")
    encoder = encoders()[projector.encoder]
    sizes = _sizes(meta, fields, encoder)
    given, taken = len(getattr(sizes, "deep", ())), getattr(hyper, "deep", 0)
    if given != taken:
        raise FormatError(f"{fields.named(DEEP)}: states of {given} layers; the language model takes {taken}")
    joint = projector.from_gguf(
        fields, {name: tensor.shape for name, tensor in file.tensors.items()}, hyper.dim
    )
    own = _own(meta)
    tokens = tokens_of(projector, own.get("tokens", {}), tokenizer, OWN)
    usual: dict[str, Any] = {
        key: [shortest_float32(x) for x in three(fields, f"image_{key}")] for key in _NORMAL
    }
    usual |= {"filter": projector.filter, **projector.usual_images(sizes, joint)}
    usual |= {name: fields.count(key, usual[name]) for name, key in projector.gguf_rule.items()}
    images = images_from_facts(projector.rule, own.get("images", usual), OWN)
    return checked(Vision(projector.encoder, sizes, projector.name, joint, {}, tokens, images), "metadata")


def _sizes(meta: Mapping[str, Any], fields: Fields, encoder: Siglip) -> EncoderSizes:
    if not meta.get("clip.use_gelu"):
        raise UnsupportedError("clip.use_gelu is not set; supported is GELU by tanh alone")
    known: dict[str, Any] = {name: fields.count(key) for name, key in _COUNTS}
    known["side"] = fields.count("image_size") // known["patch"]
    known["norm_eps"] = shortest_float32(fields.real(_EPS))
    return encoder.sizes(**known, **encoder.more_from_gguf(fields), act="gelu_tanh")


def _own(meta: Mapping[str, Any]) -> dict[str, Any]:
    try:
        own = json.loads(meta.get(OWN, "{}"))
    except (TypeError, ValueError) as error:
        raise FormatError(f"{OWN} is not JSON: {error}") from None
    if not isinstance(own, dict) or not all(isinstance(part, dict) for part in own.values()):
        raise FormatError(f"{OWN} must be an object of objects")
    return own


def _as_named(names: list[TensorName], file: gguf.Gguf, sizes: EncoderSizes) -> list[TensorName]:
    """Names the tensors as llama.cpp reads them: files until 2025 swap the feed-forward's two matrices, which
    their shapes show."""
    shape = (sizes.dim, sizes.ffn_dim)
    first = file.tensors.get("v.blk.0.ffn_down.weight")
    if first is None or first.shape != shape or sizes.dim == sizes.ffn_dim:
        return names
    swapped = {".ffn_up.": ".ffn_down.", ".ffn_down.": ".ffn_up."}
    return [
        replace(name, gguf=name.gguf.replace(word, swapped[word]))
        if (word := next((one for one in swapped if one in name.gguf), ""))
        else name
        for name in names
    ]


def save_mmproj(spec: Spec, path: str | Path) -> None:
    """Writes the vision model as the GGUF file that llama.cpp's mtmd takes beside the language model's,
    atomically, each tensor in its present format.

    Raises UnsupportedError for a model without one.
    """
    vision = spec.vision
    if vision is None:
        raise UnsupportedError("the model has no vision model to write; give a checkpoint that has one")
    write(vision, spec.general, path)


def write(vision: Vision, about: Mapping[str, Any], path: str | Path) -> None:
    """about: Spec.general of the model."""
    vision = replace(vision, tensors={role: _wide(role, t) for role, t in vision.tensors.items()})
    names = tensors_of(vision)
    gguf.write(path, _metadata(vision, about), stored_tensors(vision.tensors, names))


def _wide(role: str, tensor: Tensor) -> Tensor:
    if role not in _WIDE or tensor.format == "F32" or (role != "positions" and tensor.format == "F16"):
        return tensor
    return to_float32(tensor)


def _metadata(vision: Vision, about: Mapping[str, Any]) -> dict[str, gguf.Value]:
    encoder, projector = parts_of(vision)
    sizes, rules = vision.sizes, vision.image_rules
    if sizes.act != "gelu_tanh":
        raise UnsupportedError(f"encoder {encoder.name} has {sizes.act}; llama.cpp computes GELU by tanh alone")
    own = {"tokens": vision.tokens, "images": asdict(rules)}
    table: dict[str, Any] = {name: getattr(sizes, field) for field, name in _COUNTS} | {
        _EPS: sizes.norm_eps,
        "image_size": sizes.side * sizes.patch,
        **{f"image_{key}": list(getattr(rules, key)) for key in _NORMAL},
        "projection_dim": vision.joint.dim,
        **encoder.more_to_gguf(sizes),
        **projector.to_gguf(vision.joint),
        **{key: getattr(rules, name) for name, key in projector.gguf_rule.items()},
    }
    metadata = {
        **general(about, ARCHITECTURE, "mmproj", vision.tensors),
        "general.file_type": in_file_type(vision.tensors),
        "clip.has_vision_encoder": True,
        "clip.projector_type": projector.clip_type,
        "clip.use_gelu": True,
        **{_VISION + key: value for key, value in table.items()},
        OWN: json.dumps(own, sort_keys=True),
    }
    return {key: gguf.value(given) for key, given in metadata.items()}
