"""Opens model files: a .tin as it is, others compiled in memory or in another runtime."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import _core
from tinsmith.checks import UINT64, whole
from tinsmith.errors import FormatError, InputError, RuntimeFault, UnsupportedError
from tinsmith.formats.tin import Tin
from tinsmith.runtime.engine import NATIVE, is_onnx, open_engine
from tinsmith.runtime.model import Model
from tinsmith.system.cores import usable_cores
from tinsmith.system.files import map_file

if TYPE_CHECKING:
    import datetime

    from tinsmith.spec import Buffer

KV_TYPES = {"f16": _core.KV_F16, "q8": _core.KV_Q8}

_DATED = "{}: a .tin's date was set when it was built; leave date out"


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    duty_cycle: int = 100,
    isa: str | None = None,
    kv: str = "f16",
    conversations: int = 4,
    most_bytes: int = 0,
    backend: str | None = None,
    gpu_layers: int = 0,
    date: str | None = None,
    key: str | Path | None = None,
    min_version: int | None = None,
    now: datetime.date | None = None,
) -> Model:
    """Opens a .tin, or compiles a .gguf of a supported family, or a Hugging Face folder, in memory; or opens an
    ONNX model in onnxruntime.

    threads: number that compute a step; None: the cores this process may use. duty_cycle: maximum percent of
    the time that they compute; they sleep for the rest, to save cores and battery. It changes no answer. Short
    slices of `Model.begin` have no sleep: the caller sets their duty cycle. isa: an instruction set by name;
    None: the environment's TIN_FORCE_ISA, else the processor's best. kv: type of cached keys and values: "f16",
    or "q8" in about half the memory, with other results. conversations: number whose caches the model keeps, so
    that they alternate without computing anything again. most_bytes: memory limit of each, 0 for none; a
    conversation beyond it raises RuntimeFault before it allocates. backend: the runtime: "native", "llama.cpp"
    (for a .gguf) or "onnxruntime" (for an .onnx or its folder; it exports other models as float32 to the cache
    folder first). None: onnxruntime for an ONNX model, native for all others. isa, kv, conversations and
    most_bytes apply to native only. gpu_layers: number of layers that llama.cpp puts on a GPU, -1 for all.
    date: today for a chat template that writes the date, as 2026-11-25; a .tin has its date since it was built.
    key: a minisign public key ("RW…") or its file. The .minisig beside the .tin must have its signature of the
    file, which is checked before any weight is used. Nobody may write to the file while it is open.
    min_version, now: with a key, reject a signature with an older version or none, or whose not-after has
    passed on the day `now`. Where only one is given, now is today, and any version is allowed. Raises
    InputError for a missing file, FormatError for a damaged one, SignatureError for one that `key` did not
    sign, UnsupportedError for an unsupported family, format or instruction set."""
    path = Path(path)
    if threads is not None:
        threads = whole("threads", threads, 1, 64)
    duty_cycle = whole("duty_cycle", duty_cycle, 1, 100)
    gpu_layers = whole("gpu_layers", gpu_layers, -1)
    conversations = whole("conversations", conversations, 1)
    most_bytes = whole("most_bytes", most_bytes, 0, UINT64)
    if not path.exists():
        raise InputError(f"{path}: no such file; give a .tin, a .gguf, an .onnx or a Hugging Face folder")
    if backend is None:
        backend = "onnxruntime" if is_onnx(path) else NATIVE
    if gpu_layers and backend != "llama.cpp":
        raise InputError(f"gpu_layers is for the back end llama.cpp; this is {backend}")
    if duty_cycle < 100 and backend != NATIVE:
        raise InputError(f"duty_cycle is for the native runtime; this is {backend}")
    if key is not None and (backend != NATIVE or not _is_tin(path)):
        raise InputError(f"{path}: only a .tin is signed; give one, or no key")
    if key is None and (min_version is not None or now is not None):
        raise InputError("min_version and now check a signature; give its key too")
    if backend == NATIVE:
        image = map_file(path) if _is_tin(path) else None
        if image is not None and key is not None:
            from tinsmith.formats import minisign

            # Of the mapped bytes that the model then computes from.
            minisign.require(path, Tin(image), key, required=minisign.freshness(min_version, now))
        options = {"duty_cycle": duty_cycle, "conversations": conversations, "most_bytes": most_bytes}
        return _native(path, image, date, threads=threads, isa=isa, kv=kv, **options)
    if isa is not None or kv != "f16" or most_bytes:
        raise InputError(f"isa, kv and most_bytes are for the native runtime; leave them out for {backend}")
    return _outside(backend, path, threads, {"gpu_layers": gpu_layers} if gpu_layers else {}, date)


def _outside(backend: str, path: Path, threads: int | None, options: dict[str, Any], date: str | None) -> Model:
    from tinsmith.chat import jinja_process
    from tinsmith.chat.chat_template import dated
    from tinsmith.compiler import build_words

    sealed = Tin(path) if _is_tin(path) else None
    if sealed is not None and date is not None:
        raise InputError(_DATED.format(path))
    opened = open_engine(backend, path, threads=threads or usable_cores(), **options)
    try:
        template = dated(opened.chat_template, date)
        image = build_words(opened.tokenizer, template, opened.engine.context, opened.facts)
    finally:
        jinja_process.close()  # a loaded model renders from its table
    return Model(
        _core.Model(image), image, threads, engine=opened.engine, words=lambda: opened.tokenizer, sealed=sealed
    )


def _native(path: Path, image: Buffer | None, date: str | None, **options: Any) -> Model:
    """image: the bytes of a tin; None for other files. options: of of_image."""
    if is_onnx(path):
        raise InputError(f"{path}: the native runtime reads no ONNX; take the back end onnxruntime")
    if image is not None and date is not None:
        raise InputError(_DATED.format(path))
    if image is None:
        from tinsmith import models
        from tinsmith.chat import jinja_process
        from tinsmith.chat.chat_template import dated
        from tinsmith.compiler import build_image

        spec = models.load(path)
        options |= {"source": path, "words": lambda: models.load(path).tokenizer}
        try:
            image = build_image(replace(spec, chat_template=dated(spec.chat_template, date)))
        finally:
            jinja_process.close()  # a loaded model renders from its table
    return of_image(image, path, **options)


def of_image(
    image: Buffer,
    path: str | Path,
    threads: int | None = None,
    isa: str | None = None,
    kv: str = "f16",
    **options: Any,
) -> Model:
    """Opens a .tin's bytes, which must not change while the model is in use. path: its name in errors. threads,
    isa, kv: as `load`. options: of Loaded."""
    known = _core.isa_names()
    isa = isa or os.environ.get("TIN_FORCE_ISA") or None
    if isa is not None and isa not in known:
        raise UnsupportedError(f"instruction set {isa!r} does not run here; those that do: {', '.join(known)}")
    if kv not in KV_TYPES:
        raise InputError(f"kv is {kv!r}; give one of {', '.join(KV_TYPES)}")
    if not memoryview(image).nbytes:
        raise FormatError(f"{path}: is empty: writing it was interrupted; make or copy it again")
    try:
        core = _core.Model(image, isa)
    except RuntimeFault as fault:
        raise FormatError(f"{path}: {fault}") from fault
    if kv != "f16":
        try:
            _core.Session(core, context=1, chunk=1, kv_type=KV_TYPES[kv])
        except RuntimeFault as fault:
            raise UnsupportedError(f"{path}: {fault}") from fault
    return Model(core, image, threads, kv_type=KV_TYPES[kv], **options)


def _is_tin(path: Path) -> bool:
    return path.is_file() and (path.suffix == ".tin" or bytes(map_file(path)[:4]) == b"PK\3\4")
