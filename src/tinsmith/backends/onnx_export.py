"""Exports a model to ONNX with onnxruntime-genai's model builder: a folder for onnxruntime and
onnxruntime-genai.

The builder runs offline in a separate process. It reads a Hugging Face folder, so quantized weights are
dequantized first, and rounded again where the precision requires it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tinsmith.backends import onnx_vision
from tinsmith.backends.onnx_blocks import BITS, keep_blocks
from tinsmith.backends.onnx_engine import CONFIG, FACTS, try_out
from tinsmith.backends.onnx_families import builder_architecture, prepare
from tinsmith.compiler.build import compile_graph
from tinsmith.errors import InputError, MissingExtraError, UnsupportedError
from tinsmith.models.family import by_name
from tinsmith.spec import Spec
from tinsmith.system import children
from tinsmith.system.files import atomic_folder, write_text

_MODEL, _DATA = "model.onnx", "model.onnx.data"
_NEEDED = ("onnxruntime_genai", "onnxruntime", "onnx", "onnx_ir", "torch", "transformers")

# The builder's precision by ours. Its fp16 graph for the CPU does not run (the mask's shape is wrong at the
# second step), so float16 weights go into its fp32 graph.
PRECISIONS = {"int4": "int4", "int8": "int8", "fp16": "fp32", "fp32": "fp32", "same": "fp32"}
_OPTIONS = ("hf_token=false", "windowed_kv_cache=false")
_BLOCKS = ("block_size=32", "accuracy_level=4")
# fuse_qkv=false: a joint product of query, key and value would mix formats.
_FOR = {"int4": _BLOCKS, "int8": _BLOCKS, "same": ("fuse_qkv=false",)}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
# Inputs whose large initializers may be float16 behind a cast; tables of sines are none of them.
_WEIGHT_INPUTS = {"MatMul": (1,), "Gemm": (1,), "Gather": (0,), "Transpose": (0,)}


def known_architectures() -> list[str]:
    """The Hugging Face architectures that the installed builder supports, from its source.

    Raises MissingExtraError where it is not installed.
    """
    package = find_spec("onnxruntime_genai")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("onnxruntime_genai", "onnx")
    source = Path(package.submodule_search_locations[0]) / "models" / "builder.py"
    return sorted(set(re.findall(r'architectures\[0\] == "(\w+)"', source.read_text("utf-8"))))


_LACKING = {"SCAN"}  # ops that the builder lacks, though it accepts an architecture with them: Mamba-2


def check(spec: Spec, precision: str) -> None:
    """Raises InputError for an unknown precision, MissingExtraError for a missing package, UnsupportedError for
    a family that the builder lacks."""
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r} is not known; known: {', '.join(PRECISIONS)}")
    for module in _NEEDED:
        if find_spec(module) is None:
            raise MissingExtraError(module, "onnx")
    known = known_architectures()
    lacks = any(op.kind in _LACKING for op in compile_graph(spec).ops)
    architecture = by_name(spec.family).hyper_to_hf(spec.hyper)["architectures"][0]
    if lacks or builder_architecture(architecture) not in known:
        raise UnsupportedError(
            f"ONNX: onnxruntime-genai's model builder has no graph for the family {spec.family!r}; it knows "
            + ", ".join(known)
        )


def export(spec: Spec, folder: str | Path, precision: str, options: Sequence[str] = ()) -> None:
    """Writes a folder of model.onnx, its data, genai_config.json and the tokenizer; and, for a vision-language
    model, vision.onnx and its data, unless onnx_vision.why_not gives a reason.

    The folder is written atomically, and replaces an earlier export. precision: of PRECISIONS. int4 and int8
    are blocks of 32, multiplied with int8 activations; fp16 is float16 weights, computed in float32; same keeps
    the spec's Q4_0 and Q8_0 blocks, with the rest in fp32. options: more of the builder's, as KEY=VALUE.
    Raises as `check` does, and UnsupportedError where the builder refuses the model or onnxruntime its output.
    """
    folder = Path(folder)
    check(spec, precision)
    with atomic_folder(folder, replaces=CONFIG) as made:
        with tempfile.TemporaryDirectory(dir=made) as scratch:
            _build(spec, precision, options, Path(scratch), made)
        if precision == "fp16":
            _narrow(made)
        if precision == "same":
            _keep(made, spec)
        try_out(made)
        if spec.vision is not None and not onnx_vision.why_not(spec.vision):
            onnx_vision.export(spec.vision, made, precision)
        write_text(made / FACTS, json.dumps(_facts(spec, precision), indent=2) + "\n")


def _facts(spec: Spec, precision: str) -> dict[str, Any]:
    tensors = spec.tensors.values()
    return {
        "name": spec.general.get("name", ""),
        "family": spec.family,
        "license": spec.general.get("license", ""),
        "parameters": sum(tensor.rows * tensor.inputs for tensor in tensors),
        "matrices": sum(tensor.rows > 1 for tensor in tensors),
        "precision": precision,
    }


def _build(spec: Spec, precision: str, options: Sequence[str], scratch: Path, made: Path) -> None:
    from tinsmith import models, quant

    # The builder has another working directory.
    scratch, made = scratch.resolve(), made.resolve()
    source = scratch / "hf"
    models.save_hf(quant.apply(replace(spec, vision=None), "F32"), source)
    edits = prepare(source)
    wanted = PRECISIONS[precision]
    extra = [*_OPTIONS, *_FOR.get(precision, ()), *options]
    given = [str(path.resolve()) for path in (source, made, scratch / "cache")]
    command = children.python("-m", "tinsmith.backends.onnx_worker", *given, wanted, *extra)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=scratch, env=children.environment(_OFFLINE)
    )
    if done.returncode or not (made / CONFIG).exists():
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise UnsupportedError(
            f"ONNX: onnxruntime-genai's model builder refuses the {spec.family} model: {last}"
        )
    if edits:
        import onnx

        model = onnx.load(made / _MODEL, load_external_data=False)
        for edit in edits:
            edit(model, made / _DATA)
        onnx.save(model, made / _MODEL)
    # Our own versions: transformers rewrites tokenizers in ways that we might not read again.
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / name, made / name)


def _narrow(folder: Path) -> None:
    """Makes the weights float16, each behind a cast to float32, which onnxruntime computes once on loading."""
    import numpy
    import onnx
    from onnx import numpy_helper

    model = onnx.load(folder / _MODEL)
    graph = model.graph
    weights = {
        node.input[place]
        for node in graph.node
        for place in _WEIGHT_INPUTS.get(node.op_type, ())
        if place < len(node.input)
    }
    casts = []
    for stored in graph.initializer:
        if stored.name not in weights or stored.data_type != onnx.TensorProto.FLOAT or len(stored.dims) < 2:
            continue
        name, array = stored.name, numpy_helper.to_array(stored)
        with numpy.errstate(over="ignore"):
            half = array.astype(numpy.float16)
        if not numpy.isfinite(half).all():
            raise UnsupportedError(f"ONNX: {name} has a weight beyond float16's range; use another precision")
        stored.CopyFrom(numpy_helper.from_array(half, f"{name}.fp16"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.fp16"], [name], to=onnx.TensorProto.FLOAT))
    for k, cast in enumerate(casts):
        graph.node.insert(k, cast)
    _save(model, folder)


def _keep(folder: Path, spec: Spec) -> None:
    import onnx

    model = onnx.load(folder / _MODEL)
    if not keep_blocks(model, spec):
        raise UnsupportedError(f"ONNX: no weight is {' or '.join(BITS)}, which precision 'same' keeps")
    _save(model, folder)


def _save(model: Any, folder: Path) -> None:
    """Replaces the folder's model."""
    import onnx

    (folder / _DATA).unlink()
    # The threshold keeps shapes in the graph itself, as they must be.
    options: dict[str, Any] = {"save_as_external_data": True, "location": _DATA, "size_threshold": 64}
    onnx.save(model, folder / _MODEL, **options)
    (folder / _DATA).chmod((folder / _MODEL).stat().st_mode)  # onnx makes it the owner's alone
