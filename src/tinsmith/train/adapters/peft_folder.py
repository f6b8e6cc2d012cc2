"""Adapters in peft's folder format: read, checked, and matched with the tensors of their base."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tinsmith.chat.chat_template import digest
from tinsmith.compiler.adapter import LowRank
from tinsmith.errors import FormatError, InputError, MissingExtraError, UnsupportedError
from tinsmith.formats import safetensors
from tinsmith.models.family import Family, TensorName, by_name
from tinsmith.spec import Hyper, Spec, Tensor
from tinsmith.system import files, reading

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
VISION_WEIGHTS = "vision_model.safetensors"  # in an adapter that changes the vision model too
PREFIX_CONFIG, PREFIX_WEIGHTS = "prefix_config.json", "prefix_model.safetensors"  # in a prefix's folder
TEMPLATE = "chat_template.jinja"  # the chat template of the training
BASE = "base.json"  # {"sha256": digest of the base's files}
MEAN = "mean.json"  # {"of": number of adapters averaged}

_FACTOR = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight")
# peft's settings that change an adapter's results or the weights that it applies to, with the values that keep
# it plain LoRA on the unchanged base.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "bias": ("none", None),
    "fan_in_fan_out": (False, None),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal", None),
    "layer_replication": ([], None),
    "lora_bias": (False, None),
    "modules_to_save": ([], None),
    "target_parameters": ([], None),
    "trainable_token_indices": ([], {}, None),
    "use_bdlora": (False, None),
    "use_dora": (False, None),
    "use_qalora": (False, None),
    "alora_invocation_tokens": ([], None),
    "kasa_config": (None,),
    "monteclora_config": (None,),
    "velora_config": (None,),
}


@dataclass(frozen=True)
class Factors:
    """The low-rank update of one matrix of the base, scale * b a, with rows and columns in a Hugging Face
    folder's order.

    a [rank, inputs], b [rows, rank], float32. A depthwise convolution has a [rows * rank, inputs] and b [rows,
    rank]: each row has its own part of a.
    """

    name: TensorName
    a: Any
    b: Any
    scale: float
    is_depthwise: bool = False

    def update(self) -> Any:
        """[rows, inputs], float32."""
        import numpy as np

        if not self.is_depthwise:
            return self.scale * (self.b @ self.a)
        rows, rank = self.b.shape
        return self.scale * np.einsum("cr,cri->ci", self.b, self.a.reshape(rows, rank, -1))


@dataclass(frozen=True)
class Adapter:
    """factors: by role; notes: parts of the folder left out on purpose."""

    factors: dict[str, Factors]
    notes: tuple[str, ...]


def template(folder: Path) -> str | None:
    """The chat template that the adapter in a folder was trained under; None if it does not say."""
    path = folder / TEMPLATE
    return reading.read_text(path, FormatError, exact=True) if path.exists() else None


def check_template(folder: Path, settled: str | None) -> None:
    """Raises FormatError for an adapter in a folder that was trained under another chat template."""
    trained = template(folder)
    if trained is not None and trained != settled:
        has = "has none" if settled is None else f"gives {digest(settled)[:12]}"
        raise FormatError(
            f"{folder}: the adapter was trained under the chat template {digest(trained)[:12]}, and the base "
            f"with what the recipe states {has}; train again, or go back to the base and recipe of its training"
        )


def base_digest(folder: Path) -> str | None:
    """The SHA-256 of the base that the adapter in a folder was trained on, in hexadecimal; None if it does not
    say. Raises FormatError for another content of the file."""
    path = folder / BASE
    if not path.exists():
        return None
    given = reading.read_table(path, FormatError).get("sha256")
    if not isinstance(given, str) or not re.fullmatch(r"[0-9a-f]{64}", given):
        raise FormatError(
            f'{path}: must be {{"sha256": …}} of 64 hexadecimal digits; delete it, or train again'
        )
    return given


def write_origin(folder: Path, chat_template: str | None, base_sha256: str) -> None:
    """Records the chat template and the base of a training in its result's folder, where known."""
    if chat_template is not None:
        files.write_text(folder / TEMPLATE, chat_template)
    if base_sha256:
        files.write_text(folder / BASE, json.dumps({"sha256": base_sha256}) + "\n")


def check_base(where: Path, trained: str | None, source: str | None) -> None:
    """Raises InputError for an adapter of another base. trained, source: digests of the adapter's base and of
    the model's; None if unknown."""
    if trained and source and trained != source:
        raise InputError(
            f"{where}: the adapter was trained on the base {trained[:12]}, and the model was made from another "
            f"one, {source[:12]}; give its own base"
        )


def base_name(folder: Path) -> str | None:
    """The base's name in the adapter; None if it does not say."""
    name = _config(folder / CONFIG).get("base_model_name_or_path")
    return name if isinstance(name, str) and name else None


def rank(folder: Path) -> int:
    """The rank of the adapter in a folder, without layers that have their own; 0 if it does not say."""
    given = _config(folder / CONFIG).get("r")
    return given if isinstance(given, int) and given > 0 else 0


def mean_of(folder: Path) -> int:
    """The number of adapters that the one in a folder averages, each with its part of the rank; 1 if it does
    not say. Raises FormatError for another content of the file."""
    path = folder / MEAN
    given = reading.read_table(path, FormatError).get("of") if path.exists() else 1
    if not isinstance(given, int) or given < 1:
        raise FormatError(f'{path}: must be {{"of": …}}, a number of adapters; train again')
    return given


def digest_of(folder: Path, names: Sequence[str] = (CONFIG, WEIGHTS)) -> str:
    """A digest of the weights and config of the adapter in a folder."""
    seen = [VISION_WEIGHTS] if (folder / VISION_WEIGHTS).exists() else []
    digests = [files.sha256_file(folder / name) for name in (*names, *seen)]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def read(folder: Path, spec: Spec, *, with_vision: bool = False) -> Adapter:
    """The adapter in a folder, for the base `spec`, whose family and sizes matter alone. with_vision: as for
    of_base."""
    return of_base(folder, by_name(spec.family), spec.hyper, with_vision=with_vision)


def of_base(folder: Path, family: Family, hyper: Hyper, *, with_vision: bool = False) -> Adapter:
    """The language model's part of an adapter folder, for a base of that family and sizes. with_vision: whether
    the caller handles a vision model's part too; if not, an adapter with one is refused.

    Raises InputError when the folder holds none or one of another base, FormatError when its file is damaged,
    UnsupportedError when the adapter is not plain LoRA.
    """
    if find_spec("numpy") is None:
        raise MissingExtraError("numpy", "train")
    if not with_vision and (folder / VISION_WEIGHTS).exists():
        raise UnsupportedError(f"{folder}: changes the vision model too, which only a merge does; merge it")
    config = _config(folder / CONFIG)
    every = [name for name in family.tensors(hyper) if name.hf]
    names = {name.hf.removesuffix(".weight"): name for name in every if not name.experts}
    ignored: dict[str, int] = {}
    factors: dict[str, Factors] = {}
    for module, pair in _pairs(folder).items():
        name = next((names[path] for path in _text_paths(module) if path in names), None)
        if name is not None:
            factors[name.role] = _matched(folder, name, module, pair, config)
            continue
        reasons = [note for pattern, note in family.ignored_hf if re.fullmatch(pattern, f"{module}.weight")]
        if not reasons:
            raise _foreign(folder, module, [name.hf for name in every if name.experts])
        ignored[reasons[0]] = ignored.get(reasons[0], 0) + 1
    notes = tuple(f"{note} ({count} of the adapter's layers)" for note, count in ignored.items())
    return Adapter(factors, notes)


def _text_paths(module: str) -> Sequence[str]:
    """Names that a module of a multimodal model may have in the text model alone."""
    bare = re.sub(r"^(model\.)?language_model\.(model\.)?", "", module)
    return module, f"model.{bare}", bare


def _foreign(folder: Path, module: str, experts: list[str]) -> Exception:
    """experts: names of the routed experts' tensors, with `*` for an expert's number."""
    prefixes = {name.partition(".*")[0] for name in experts}
    if any(f"{path}.".startswith(f"{prefix}.") for path in _text_paths(module) for prefix in prefixes):
        return UnsupportedError(
            f"{folder}: adapts {module}, the routed experts, which is not supported; train one without them"
        )
    return InputError(f"{folder}: adapts {module}, which the base lacks; give its own base")


def _matched(
    folder: Path, name: TensorName, module: str, pair: dict[str, Any], config: dict[str, Any]
) -> Factors:
    a, b = pair["A"], pair["B"]
    is_depthwise = a.ndim == b.ndim == 3 and a.shape[1] == b.shape[2] == 1
    rows, inputs = name.all_rows, name.inputs
    if is_depthwise:
        a, b = a[:, 0], b[:, :, 0]
        fits = a.shape == (rows * b.shape[1], inputs) and b.shape[0] == rows
    else:
        fits = a.ndim == b.ndim == 2 and (b.shape[0], a.shape[1]) == (rows, inputs) and a.shape[0] == b.shape[1]
    if not fits or not len(a):
        raise InputError(
            f"{folder}: {name.hf} is {[rows, inputs]} in the base, the adapter's factors are "
            f"{list(pair['B'].shape)} and {list(pair['A'].shape)}; give the base that it was trained on"
        )
    return Factors(name, a, b, scale_of(config, module, len(a)), is_depthwise)


def scale_of(config: dict[str, Any], module: str, rank: int) -> float:
    """alpha over the rank or its root; a pattern is the end of a module's name, as a regular expression."""
    alpha = config["lora_alpha"]
    for pattern, other in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            alpha = other
            break
    return float(alpha / (rank**0.5 if config.get("use_rslora") else rank))


def _pairs(folder: Path) -> dict[str, dict[str, Any]]:
    """Each module's factors "A" and "B", float32."""
    if not (folder / WEIGHTS).exists():
        raise InputError(f"{folder}: holds no {WEIGHTS}; give an adapter folder")
    pairs: dict[str, dict[str, Any]] = {}
    for key, tensor in safetensors.read(folder / WEIGHTS).items():
        match = _FACTOR.fullmatch(key)
        if match is None:
            raise UnsupportedError(f"{folder}: tensor {key} is not a LoRA factor; only plain LoRA is supported")
        pairs.setdefault(match[1], {})[match[2]] = float32(folder, key, tensor)
    for module, pair in pairs.items():
        if set(pair) != {"A", "B"}:
            raise FormatError(f"{folder}: {module} has one factor of two; the file is damaged, train again")
    return pairs


def float32(where: Path, key: str, tensor: safetensors.Tensor) -> Any:
    """A factor's values, numpy. Raises UnsupportedError for another type, FormatError for values that are not
    finite."""
    import numpy as np

    kinds: dict[str, Any] = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
    if tensor.dtype not in kinds:
        raise UnsupportedError(f"{where}: {key} is {tensor.dtype}; supported: {', '.join(kinds)}")
    array = np.frombuffer(tensor.data, kinds[tensor.dtype]).reshape(tensor.shape)  # type: ignore[arg-type]
    if tensor.dtype == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    if not np.isfinite(array).all():
        raise FormatError(
            f"{where}: {key} has values that are infinite or no numbers; the file is damaged, train again"
        )
    return array.astype(np.float32)


def _config(path: Path) -> dict[str, Any]:
    if (path.parent / PREFIX_CONFIG).exists():
        raise UnsupportedError(
            f"{path.parent}: holds a prefix, which is no change of weights; use it beside its base: "
            "tinsmith run --adapter, adapters add, or export --native"
        )
    if not path.exists():
        raise InputError(f"{path.parent}: holds no {CONFIG}; give an adapter folder")
    config = reading.read_table(path, FormatError)
    if config.get("peft_type") != "LORA":
        raise UnsupportedError(f"{path}: not a LoRA adapter; only plain LoRA is supported")
    if not is_scale(config.get("lora_alpha")):
        raise FormatError(f"{path}: lora_alpha is {config.get('lora_alpha')!r}; it must be a number above 0")
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict) or not all(map(is_scale, patterns.values())):
        raise FormatError(f"{path}: alpha_pattern must give numbers above 0 for names of layers")
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise FormatError(
                f"{path}: alpha_pattern has {pattern!r}, no regular expression: {error}"
            ) from None
    for key, allowed in _PLAIN.items():
        if config.get(key) not in allowed:
            raise UnsupportedError(f"{path}: {key} = {config[key]!r}; only plain LoRA is supported")
    return config


def is_scale(given: Any) -> bool:
    """Whether it is a number above 0."""
    return isinstance(given, (int, float)) and not isinstance(given, bool) and 0 < given < float("inf")


def low_rank(where: str, factors: Factors) -> LowRank:
    """The factors as they apply to the spec's tensor at run time. where: the adapter's name in errors. Raises
    UnsupportedError for a convolution."""
    import numpy as np

    if factors.is_depthwise:
        raise UnsupportedError(
            f"{where}: adapts {factors.name.hf}, a convolution, which is only possible merged; merge the "
            "adapter into its base and build that instead"
        )
    a, b = factors.a, factors.b
    order = spec_order(factors.name)
    if order is not None:
        b, a = b[order[0]], a[:, order[1]]
    floats = [np.ascontiguousarray(one, dtype=np.float32).tobytes() for one in (a, b)]
    return LowRank(len(b), a.shape[1], len(a), factors.scale, *floats)


def spec_order(name: TensorName) -> tuple[Any, Any] | None:
    """The order of a folder's rows and columns in the spec: spec[i, j] is folder[rows[i], columns[j]]; None for
    the same order.

    Passes a matrix of its own indices through from_folder, so that a family states its layout once. Raises
    UnsupportedError for a layout that is not a permutation of rows and columns.
    """
    if name.from_hf is None:
        return None
    import numpy as np

    # The layouts move four bytes at a time, whatever they mean.
    places = np.arange(name.all_rows * name.inputs, dtype=np.int32)
    moved = name.from_folder(Tensor("F32", name.all_rows, name.inputs, places.tobytes()))
    layout = np.frombuffer(moved.data, dtype=np.int32).reshape(name.all_rows, name.inputs)
    rows, columns = layout[:, 0] // name.inputs, layout[0] % name.inputs
    if not np.array_equal(layout, rows[:, None] * name.inputs + columns):
        raise UnsupportedError(f"{name.hf}: its layout in GGUF is no order of rows and columns; merge instead")
    return rows, columns
