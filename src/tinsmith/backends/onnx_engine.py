"""onnxruntime on a folder from onnxruntime-genai's model builder.

Keys and values of grouped-query attention stay in one buffer a layer, which the session reads and writes in
place; a rewind shortens the attention mask. Other attention and recurrent states (short convolutions, linear
attention) pass from an output of one run to an input of the next, without a copy. Recurrent states can't be
rewound, so those at the start of logits are also stored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.runtime.engine import Engine
from tinsmith.spec import Buffer

CONFIG = "genai_config.json"
FACTS = "tinsmith.json"  # more facts, from our own export
_CHUNK = 512
_FIRST_ROOM = 512
_STORED_STATES = 4
_PAST = re.compile(r"past(_key_values)?\.(\d+)\.(\w+)")
_TOKEN_INPUTS = ("input_ids", "attention_mask", "position_ids")


@dataclass
class _Slot:
    """A cache: its input and output of the session, its content, and its shape when empty: for a growing one,
    [1, heads, 0, head]."""

    past: str
    present: str
    shape: tuple[int, ...]
    type: Any
    grows: bool
    value: Any = None


class Onnx(Engine):
    runtime = "onnxruntime"

    def __init__(self, session: Any, runtime: Any, config: dict[str, Any]) -> None:
        import numpy

        self._numpy = numpy
        self._runtime = runtime
        self._session = session
        decoder = config["decoder"]
        logits = next((one for one in session.get_outputs() if one.name == "logits"), None)
        if logits is None:
            raise UnsupportedError("the model has no output named logits")
        if logits.shape[-1] != config["vocab_size"]:
            raise FormatError(
                f"{CONFIG} says {config['vocab_size']} tokens; the model has {logits.shape[-1]} logits"
            )
        super().__init__(config["context_length"], config["vocab_size"], _CHUNK)
        self.single = logits.shape[1] == 1
        self._logits_type = self._type_of(logits)
        self._shared = bool(config["share_buffer"])
        self._inputs = {one.name: one for one in session.get_inputs()}
        self._slots = [
            self._slot(one, decoder) for one in session.get_inputs() if one.name not in _TOKEN_INPUTS
        ]
        self.rewinds = all(slot.grows for slot in self._slots)
        self._room = 0  # positions of the shared buffers
        self._states: list[tuple[int, list[Any]]] = []  # (position, recurrent states), ascending
        self._clear()

    def _type_of(self, argument: Any) -> Any:
        types = {"tensor(float)": self._numpy.float32, "tensor(float16)": self._numpy.float16}
        if argument.type not in types:
            raise UnsupportedError(
                f"the model's {argument.name} is {argument.type}; supported: {', '.join(types)}; re-export it"
            )
        return types[argument.type]

    def _slot(self, argument: Any, decoder: dict[str, Any]) -> _Slot:
        match = _PAST.fullmatch(argument.name)
        outputs = {one.name for one in self._session.get_outputs()}
        present = f"present.{match[2]}.{match[3]}" if match else ""
        if present not in outputs:
            raise UnsupportedError(
                f"the model has an unknown input {argument.name}; known: "
                f"{', '.join(_TOKEN_INPUTS)}, and past_key_values.N.… and past.N.… with outputs present.N.…"
            )
        grows = bool(match and match[3] in ("key", "value"))
        # The batch is 1; only a head's size may have a name instead of a number.
        rest = [size if isinstance(size, int) else decoder["head_size"] for size in argument.shape[1:]]
        if grows:
            rest[1] = 0
        return _Slot(argument.name, present, (1, *rest), self._type_of(argument), grows)

    def _clear(self) -> None:
        for slot in self._slots:
            if not (slot.grows and self._shared):
                zeros = self._numpy.zeros(slot.shape, slot.type)
                slot.value = self._runtime.OrtValue.ortvalue_from_numpy(zeros)

    def _rewind(self, position: int) -> int:
        held = len(self._cached)
        if position == held:
            return held
        if not self.rewinds:
            position = self._restore(position)
        if not position:
            self._clear()
        elif not self._shared:
            for slot in self._slots:
                if slot.grows:
                    shorter = self._numpy.ascontiguousarray(slot.value.numpy()[:, :, :position])
                    slot.value = self._runtime.OrtValue.ortvalue_from_numpy(shorter)
        return position

    def _restore(self, position: int) -> int:
        """Restores the latest recurrent states stored up to `position`. Returns their position, or 0."""
        self._states = [state for state in self._states if state[0] <= position]
        if not self._states:
            return 0
        position, values = self._states[-1]
        for slot, value in zip((slot for slot in self._slots if not slot.grows), values, strict=True):
            slot.value = value
        return position

    def _compute(self, tokens: Sequence[int], position: int, rows: int) -> Buffer:
        end = position + len(tokens)
        if self._shared and end > self._room:
            self._grow(position, end)
        if rows and position and not self.rewinds and not (self._states and self._states[-1][0] == position):
            values = [slot.value for slot in self._slots if not slot.grows]
            self._states = [*self._states[1 - _STORED_STATES :], (position, values)]
        return self._run(tokens, position, end, rows)

    def _run(self, tokens: Sequence[int], position: int, end: int, rows: int) -> Buffer:
        numpy, binding = self._numpy, self._session.io_binding()
        inputs = self._token_inputs(tokens, position, end)  # must live until the run ends
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        count = 1 if self.single else len(tokens)
        logits = numpy.empty((1, count, self.vocab), self._logits_type)
        binding.bind_output("logits", "cpu", 0, self._logits_type, logits.shape, logits.ctypes.data)
        for slot in self._slots:
            binding.bind_ortvalue_input(slot.past, slot.value)
            if slot.grows and self._shared:
                binding.bind_ortvalue_output(slot.present, slot.value)
            else:
                binding.bind_output(slot.present, "cpu")
        self._session.run_with_iobinding(binding)
        for slot, value in zip(self._slots, binding.get_outputs()[1:], strict=True):
            if not (slot.grows and self._shared):  # whose value owns the memory
                slot.value = value
        wanted = numpy.ascontiguousarray(logits[0, count - rows :], numpy.float32)
        return memoryview(wanted).cast("B") if rows else b""

    def _token_inputs(self, tokens: Sequence[int], position: int, end: int) -> dict[str, Any]:
        numpy, positions = self._numpy, self._numpy.arange(position, end, dtype=self._numpy.int64)[None]
        ids = self._inputs.get("position_ids")
        if ids is not None and len(ids.shape) == 3:  # one for each part of a multimodal position
            positions = numpy.repeat(positions[None], 3, axis=0)
        inputs = {
            "input_ids": numpy.array([tokens], numpy.int64),
            "attention_mask": numpy.ones((1, end), numpy.int64),
            "position_ids": positions,
        }
        return {name: array for name, array in inputs.items() if name in self._inputs}

    def _grow(self, position: int, wanted: int) -> None:
        """Allocates larger buffers, and copies the first `position` tokens."""
        self._room = min(max(_FIRST_ROOM, 1 << (wanted - 1).bit_length()), max(self.context, wanted))
        for slot in self._slots:
            if slot.grows:
                larger = self._numpy.zeros((*slot.shape[:2], self._room, *slot.shape[3:]), slot.type)
                if position:
                    larger[:, :, :position] = slot.value.numpy()[:, :, :position]
                slot.value = self._runtime.OrtValue.ortvalue_from_numpy(larger)


def read_config(folder: Path) -> dict[str, Any]:
    from tinsmith.tokenizer.tokenizer_json import read_json

    path = folder / CONFIG
    if not path.exists():
        raise FormatError(f"{folder}: no {CONFIG}; give a folder from onnxruntime-genai's model builder")
    whole = read_json(path)
    try:
        model = dict(whole["model"])
        fits = all(type(model[key]) is int and model[key] > 0 for key in ("context_length", "vocab_size"))
        if not fits or type(model["decoder"]["head_size"]) is not int:
            raise TypeError("a size is no positive whole number")
        if Path(model["decoder"]["filename"]).name != model["decoder"]["filename"]:
            raise TypeError("filename is no plain file name")
        model["share_buffer"] = whole["search"]["past_present_share_buffer"]
        windowed = "sliding_window" in model["decoder"]
    except (KeyError, TypeError) as error:
        raise FormatError(f"{path}: not in onnxruntime-genai's format: {error}") from error
    if windowed:
        raise UnsupportedError(f"{path}: has windowed caches; build the model with windowed_kv_cache=false")
    return model


def open_session(runtime: Any, file: Path, threads: int) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    try:
        return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own, which have no common base
        raise FormatError(f"{file}: onnxruntime does not load it: {str(error).splitlines()[0]}") from error


def try_out(folder: Path) -> None:
    """Computes a few tokens at once, then one more. Raises UnsupportedError where that fails."""
    import numpy
    import onnxruntime

    config = read_config(folder)
    try:
        engine = Onnx(open_session(onnxruntime, folder / config["decoder"]["filename"], 1), onnxruntime, config)
        tokens = [token % engine.vocab for token in range(1, 5)]
        for rows, count in ((3, 3), (1, 4)):
            if not numpy.isfinite(numpy.frombuffer(engine.logits(tokens[:count], rows), numpy.float32)).all():
                raise UnsupportedError("its logits are not finite")
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnsupportedError(f"ONNX: onnxruntime does not run what its builder made: {reason}") from error
