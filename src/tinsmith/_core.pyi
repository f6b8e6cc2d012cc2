"""The compiled core: the C runtime, and the block functions of the build side."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinsmith.spec import Buffer

ALIGNMENT: int
BLOCK_ROOM: int
CHAT_ANSWER: int
CHAT_THINK: int
CHAT_DIRECT: int
CONSTRAINT_MAY_END: int
CONSTRAINT_MUST_END: int
CONSTRAINT_OPEN: int
FLAG_LOGIT_ROWS: int
FINISH_CONSTRAINT: int
FINISH_CONTEXT: int
FINISH_END: int
FINISH_LENGTH: int
FORMATS: dict[str, tuple[int, int, int, int, str]]
ISAS: dict[str, tuple[str, ...]]
RATES: dict[str, tuple[float, float, float]]
KV_F16: int
KV_Q8: int
KV_TILE: int
MAX_CHUNK: int
MAX_EXPERTS: int
MODEL_ROOM: int
OPS: dict[str, int]
POINTER_ROOM: int
PROGRAM_VERSION: int
ROUTE_WIDTH: int
SESSION_ROOM: int
SPAN_ROOM: int
SEARCH_ROOM: int
ENCODER_ROOM: int
VISION_ROOM: int
TILE_ROOM: int
EMBEDDED: int
DRAFTER_ROOM: int
PREDICTOR_ROOM: int
FORESEEN_ROOM: int
STEP_DONE: int
STEP_IDLE: int
STEP_LOGITS: int
STEP_PENDING: int
STEP_TOKEN: int
TEXT_BOS: int
TEXT_SPECIAL: int
TILE: int
VERSION: str

# at, count, columns, digest, rows: tin_embedded's fields.
EmbeddedRows = tuple[int, int, int, bytes, Buffer | None]

def isa_names() -> list[str]: ...
def selfcheck() -> None: ...
def minisign_verify(
    message: Buffer, signature: bytes, key: bytes, min_version: int = 0, now: int = 0, /
) -> None: ...
def file_verify(
    image: Buffer,
    signature: bytes | None = None,
    key: str | None = None,
    min_version: int = 0,
    now: int = 0,
    /,
) -> None: ...
def ed25519_public(seed: bytes) -> bytes: ...
def ed25519_sign(seed: bytes, message: bytes) -> bytes: ...
def pack(format: str, data: Buffer, rows: int, inputs: int, row_order: Buffer | None = None) -> bytes: ...
def unpack(format: str, data: Buffer, rows: int, inputs: int, row_order: Buffer | None = None) -> bytes: ...
def restate(to: str, format: str, data: Buffer, rows: int, inputs: int, /) -> bytes: ...
def dequantize(format: str, data: Buffer, rows: int, inputs: int) -> bytes: ...
def values(
    format: str,
    data: Buffer,
    rows: int,
    inputs: int,
    order: Buffer | None,
    out: Buffer,
    narrow: bool,
    first: int,
    count: int,
    column: int,
    columns: int,
    /,
) -> None: ...

_Row = tuple[int, int, int, int, int, int, int, float, float]

def attend(
    row: _Row,
    first: int,
    end: int,
    spans: Buffer,
    together: Buffer,
    query: Buffer,
    key: Buffer,
    value: Buffer,
    out: Buffer,
    /,
) -> None: ...
def attend_back(
    row: _Row,
    first: int,
    end: int,
    spans: Buffer,
    together: Buffer,
    query: Buffer,
    key: Buffer,
    value: Buffer,
    gradient: Buffer,
    to_query: Buffer,
    to_key: Buffer,
    to_value: Buffer,
    early: Buffer,
    /,
) -> None: ...

_Rows = tuple[int, int, int, bool, float]

def rms_norm(rows: _Rows, x: Buffer, weight: Buffer, out: Buffer, /) -> None: ...
def rms_norm_back(rows: _Rows, x: Buffer, weight: Buffer, gradient: Buffer, to_x: Buffer, /) -> None: ...
def gated(rows: _Rows, gate: Buffer, up: Buffer, out: Buffer, /) -> None: ...
def gated_back(
    rows: _Rows,
    gate: Buffer,
    up: Buffer,
    gradient: Buffer,
    to_gate: Buffer,
    to_up: Buffer,
    /,
) -> None: ...
def gated_norm(rows: _Rows, x: Buffer, gate: Buffer, weight: Buffer, out: Buffer, /) -> None: ...
def gated_norm_back(
    rows: _Rows,
    x: Buffer,
    gate: Buffer,
    weight: Buffer,
    gradient: Buffer,
    to_x: Buffer,
    to_gate: Buffer,
    /,
) -> None: ...

_Convolution = tuple[int, int, int, int, int, bool, bool]

def convolve(
    convolution: _Convolution,
    first: int,
    end: int,
    spans: Buffer,
    row: Buffer,
    taps: Buffer,
    out: Buffer,
    /,
) -> None: ...
def convolve_back(
    convolution: _Convolution,
    first: int,
    end: int,
    spans: Buffer,
    row: Buffer,
    taps: Buffer,
    gradient: Buffer,
    to_row: Buffer,
    to_taps: Buffer,
    /,
) -> None: ...
def weigh_logits(
    tile: tuple[int, int, int, int, bool, float],
    logits: Buffer,
    targets: Buffer,
    top: Buffer,
    others: Buffer,
    right: Buffer,
    shrink: Buffer,
    best: Buffer,
    /,
) -> None: ...

_Delta = tuple[int, int, int, int, int, int, int, bool, float]

def delta_rule(
    delta: _Delta,
    first: int,
    end: int,
    spans: Buffer,
    mixed: Buffer,
    rates: Buffer,
    steps: Buffer,
    out: Buffer,
    /,
) -> None: ...
def delta_rule_back(
    delta: _Delta,
    first: int,
    end: int,
    spans: Buffer,
    mixed: Buffer,
    rates: Buffer,
    steps: Buffer,
    gradient: Buffer,
    to_mixed: Buffer,
    to_rates: Buffer,
    to_steps: Buffer,
    /,
) -> None: ...
def block_layout(format: str, /) -> dict[str, Any]: ...
def quantize(format: str, data: Buffer, rows: int, inputs: int, importance: Buffer | None = None) -> bytes: ...
def quantize_feedback(format: str, data: Buffer, rows: int, inputs: int, factor: Buffer) -> bytes: ...
def draft_keys(
    model: Model, prompt: Sequence[int], answer: Sequence[int], joined: frozenset[int], /
) -> list[list[tuple[int, int, bool]]]: ...
def make_trie(tokenizer: Buffer) -> bytes: ...
def index_tokenizer(tokenizer: Buffer, all: bool, is_text: Buffer) -> bytes: ...
def measure_read(data: Buffer) -> tuple[int, int]: ...
def measure_int8(steps: int) -> tuple[int, int, int]: ...
def image_look(file: Buffer, most: int) -> tuple[int, int]: ...
def image_read(file: Buffer, most: int) -> tuple[int, int, bytes]: ...
def pixels_plan(
    rules: Buffer, width: int, height: int
) -> tuple[int, int, int, list[tuple[int, int, int, int]]]: ...
def pixels(rules: Buffer, rgb: Buffer, stride: int, width: int, height: int) -> bytes: ...

class Model:
    def __new__(cls, image: Buffer, isa: str | None = None) -> Model: ...
    def info(self) -> dict[str, Any]: ...
    def entry(self, name: str) -> bytes: ...
    def tokenize(self, text: str | Buffer, flags: int = 0) -> list[int]: ...
    def chat(
        self, messages: list[tuple[int, bytes]], flags: int = 0, turns: Buffer | None = None
    ) -> list[int]: ...
    def vision_test(self, test: Buffer, /) -> tuple[int, bytes]: ...
    def token(self, id: int) -> tuple[bytes, bool, bool]: ...

class Adapter:
    def __new__(cls, model: Model, data: Buffer) -> Adapter: ...
    def info(self) -> dict[str, int]: ...

class Router:
    def __new__(cls, model: Model, data: Buffer) -> Router: ...
    def info(self) -> dict[str, Any]: ...

class Session:
    def __new__(
        cls,
        model: Model,
        context: int = 0,
        chunk: int = 0,
        logit_rows: int = 1,
        threads: int = 1,
        kv_type: int = 0,
        batched: bool = False,
        checkpoints: int = 0,
        compute: Callable[[list[int], int], Buffer] | None = None,
        adapter_rank: int = 0,
        tiles: int = 0,
        image_rows: int = 0,
        duty_cycle: int = 100,
        most_bytes: int = 0,
        searches: bool = False,
    ) -> Session: ...
    def append(self, tokens: Sequence[int], tiles: Sequence[EmbeddedRows] = (), /) -> None: ...
    def replace(self, tokens: Sequence[int], tiles: Sequence[EmbeddedRows] = (), /) -> None: ...
    def shared(self, tokens: Sequence[int], tiles: Sequence[EmbeddedRows] = (), /) -> int: ...
    def tiles(self) -> list[tuple[int, int, int, bytes]]: ...
    def rewind(self, position: int) -> None: ...
    def adapter(self, adapter: Adapter | None, scale: float = 1, keep: bool = False, /) -> None: ...
    def draft(self, data: Buffer | None, /) -> None: ...
    def want_logits(self, position: int) -> None: ...
    def step(self, budget_ns: int = 0) -> int: ...
    def generate(
        self,
        max_tokens: int,
        lookup: int = 0,
        temperature: float = 0,
        top_k: int = 0,
        top_p: float = 1,
        min_p: float = 0,
        repetition_penalty: float = 1,
        repeat_last: int = 0,
        seed: int = 0,
        measure: bool = False,
        presence_penalty: float = 0,
        frequency_penalty: float = 0,
        answered: int = 0,
        biases: Mapping[int, float] | None = None,
    ) -> None: ...
    def record(self, tops: int | None, /) -> None: ...
    def choice(self) -> tuple[int, float, float, tuple[tuple[int, float], ...]]: ...
    def log_probability(self) -> float: ...
    def token(self) -> int: ...
    def finish(self) -> int: ...
    def passes(self) -> int: ...
    def constrain(self, constraint: Constraint | None) -> None: ...
    def heal(self) -> None: ...
    def healed(self) -> int: ...
    def shift(self, keep: int, drop: int) -> None: ...
    def copy_from(self, session: Session, count: int = 2**32 - 1) -> None: ...
    def selftest(self) -> None: ...
    def save(self) -> bytes: ...
    def restore(self, data: Buffer) -> None: ...
    def logits(self) -> tuple[int, bytes]: ...
    def state(self) -> bytes: ...
    def route(self, router: Router, /) -> tuple[int, bool, float, float, bytes]: ...
    def argmax(self) -> list[int]: ...
    def logprobs(self, tokens: Sequence[int]) -> list[float]: ...
    def sample(
        self,
        temperature: float = 0,
        top_k: int = 0,
        top_p: float = 1,
        min_p: float = 0,
        repetition_penalty: float = 1,
        repeat_last: int = 0,
        seed: int = 0,
    ) -> int: ...
    def tokens(self) -> tuple[int, list[int]]: ...
    def computed(self) -> int: ...
    def size(self) -> int: ...

class Batch:
    def __new__(
        cls,
        model: Model,
        rows: int = 0,
        logit_rows: int = 0,
        threads: int = 1,
        adapter_rank: int = 0,
        duty_cycle: int = 100,
    ) -> Batch: ...
    def add(self, session: Session) -> None: ...
    def remove(self, session: Session) -> None: ...
    def cancel(self) -> None: ...
    def step(self, budget_ns: int = 0) -> list[int]: ...
    def slice(self, rows: int, /) -> None: ...
    def size(self) -> int: ...

class Encoder:
    def __new__(cls, model: Model, patches: int = 0, threads: int = 1, duty_cycle: int = 100) -> Encoder: ...
    def begin(self, patches: Buffer, height: int, width: int) -> None: ...
    def step(self, budget_ns: int = 0) -> int: ...
    def states(self) -> bytes | None: ...
    def info(self) -> dict[str, int]: ...

class Constraint:
    def __new__(cls, model: Model, data: Buffer, depth: int = 0, masks: int = 0) -> Constraint: ...
    def begin(self, prefix: bytes = b"") -> None: ...
    def mask(self, left: int = 0) -> bytes: ...
    def mask_into(self, buffer: Buffer, left: int = 0) -> None: ...
    def accept(self, token: int) -> None: ...
    def forced(self, before: Sequence[int] = (), left: int = 0) -> list[int]: ...
    def state(self) -> int: ...
    def size(self) -> int: ...
