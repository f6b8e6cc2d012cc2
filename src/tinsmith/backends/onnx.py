"""Opens a model in onnxruntime: an ONNX folder or file, or another model after an export."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tinsmith.backends.files import as_gguf, cached, fingerprint
from tinsmith.backends.onnx_engine import CONFIG, FACTS, Onnx, open_session, read_config
from tinsmith.errors import FormatError, MissingExtraError
from tinsmith.runtime.engine import Opened, is_onnx


def exported(path: Path, precision: str, options: Sequence[str] = ()) -> Path:
    """The folder of a model's export, from the cache or new."""
    from tinsmith import models
    from tinsmith.backends.onnx_export import check, export

    gguf = as_gguf(path) if path.is_file() else path
    spec = models.load(gguf)
    check(spec, precision)
    marks = [fingerprint(gguf), version("onnxruntime-genai"), *options, precision]
    return cached("onnx", "-".join(marks), lambda out: export(spec, out, precision, options))


def open_engine(path: Path, *, threads: int) -> Opened:
    """path: an .onnx file beside its genai_config.json and tokenizer, its folder, or another model, which is
    exported as float32."""
    for module in ("onnxruntime", "numpy"):
        if find_spec(module) is None:
            raise MissingExtraError(module, "onnx")
    import onnxruntime

    from tinsmith.tokenizer import tokenizer_json

    given = path if is_onnx(path) else exported(path, "fp32")
    folder = given if given.is_dir() else given.parent
    config = read_config(folder)
    file = folder / config["decoder"]["filename"] if given.is_dir() else given
    if not file.exists():
        raise FormatError(f"{folder}: no {file.name}, which {CONFIG} names; the folder is incomplete")
    session = open_session(onnxruntime, file, threads)
    tokenizer, template = tokenizer_json.read(folder, config["vocab_size"])
    facts = _facts(folder / FACTS)
    files = [file, file.with_name(file.name + ".data")]
    return Opened(
        engine=Onnx(session, onnxruntime, config),
        tokenizer=tokenizer,
        chat_template=template,
        facts={
            "name": str(facts.get("name") or folder.resolve().name),
            "family": str(facts.get("family") or config["type"]),
            "parameters": facts.get("parameters", 0),
            "weight_bytes": sum(one.stat().st_size for one in files if one.exists()),
            "tensors": {facts["precision"]: facts["matrices"]} if facts else {},
            "backend": f"onnxruntime {onnxruntime.__version__}",
        },
    )


def _facts(path: Path) -> dict[str, Any]:
    """The facts that `export` wrote; empty for another program's folder."""
    if not path.exists():
        return {}
    from tinsmith.tokenizer import tokenizer_json

    facts = tokenizer_json.read_json(path)
    numbers = [facts.get(key) for key in ("parameters", "matrices")] if isinstance(facts, dict) else [None]
    if not all(isinstance(number, int) for number in numbers) or not isinstance(facts.get("precision"), str):
        raise FormatError(f"{path}: tinsmith export did not write it so; export again, or remove it")
    return facts
