"""Exact memory of a model and its sessions on a device, as kernels/core lays them out (session.c, pass.c,
kv.c)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinsmith import _core
from tinsmith.compiler.program import Listing
from tinsmith.errors import InputError, RuntimeFault, UnsupportedError
from tinsmith.plan.contents import Contents
from tinsmith.targets import Memory as Limits
from tinsmith.targets import Target
from tinsmith.vision import pixels

KV_TYPES = ("f16", "q8")
IMAGE = 1920, 1080  # pixels of a camera's, where nothing else is said
# Bytes of the runtime's code and tables with all instruction sets of an architecture, by kernels/tin_all.c at
# -O2; what a program does not call is left out by the linker.
CODE = {"x86_64": 441_000, "aarch64": 295_000, "riscv64": 154_000, "wasm32": 190_000, "thumb": 143_000}
_SAMPLING = 16  # bytes a token of the vocabulary that choosing one takes, and what it takes besides
_SAMPLING_FIXED = 2048 * 8
# What firmware (kernels/firmware) keeps in RAM besides: its stack, the texts it reads and writes, and the
# prompt's tokens.
STACK = 12 << 10
_STATICS = 1612
_TOKEN = 4
_ADAPTER = 64  # an open adapter's own, whatever a pointer's size
_Q8_BLOCK, _Q8_BYTES = 32, 40  # inputs of a block of activations, and what it takes


@dataclass(frozen=True)
class Options:
    """As tin_session_options: 0 is the model's own context and chunk. checkpoints: further recurrent states.
    adapter_rank: room for adapters. tiles, image_rows: room for image tiles among the tokens. searches: room
    for best-first constrained search. image: width and height."""

    context: int = 0
    chunk: int = 0
    logit_rows: int = 1
    kv: str = "f16"
    checkpoints: int = 0
    adapter_rank: int = 0
    tiles: int = 0
    image_rows: int = 0
    searches: bool = False
    image: tuple[int, int] = IMAGE


@dataclass(frozen=True)
class Session:
    """Bytes of a session by part; their sum is tin_session_size. rest: tokens, image rows, sampling, the
    session itself."""

    context: int
    chunk: int
    kv: int
    states: int
    arena: int
    logits: int
    rest: int

    @property
    def bytes(self) -> int:
        return self.kv + self.states + self.arena + self.logits + self.rest


def _aligned(size: int) -> int:
    return -(-size // _core.ALIGNMENT) * _core.ALIGNMENT


def session(program: Listing, options: Options, mtp: Listing | None = None) -> Session:
    """mtp: the program of the model's layer that predicts a further token. Raises InputError for options that
    tin_session_size refuses."""
    context, chunk = options.context or program.context, options.chunk or program.chunk
    if not 0 < context <= program.context:
        raise InputError(f"a context of {context} tokens; the model has at most {program.context}")
    if not 0 < chunk <= _core.MAX_CHUNK:
        raise InputError(f"a chunk of {chunk} tokens; 1 to {_core.MAX_CHUNK} are computed at once")
    if not 0 < options.logit_rows <= chunk:
        raise InputError(f"{options.logit_rows} rows of logits; a chunk has 1 to {chunk}")
    if options.tiles > options.image_rows or options.image_rows > context:
        raise InputError(
            f"room for {options.tiles} tiles of {options.image_rows} rows in all; a tile has a row, "
            f"and a row is a position of the context of {context}"
        )
    if options.image_rows and not embedding_width(program):
        raise UnsupportedError("room for images; the model has no one table of embeddings that they go beside")
    state = states_bytes(program)
    slots = 2 + options.checkpoints if state else 0
    arena, logits = _aligned(program.row_bytes * chunk), _aligned(4 * options.logit_rows * program.vocab)
    rest = _aligned(_core.SESSION_ROOM) + _aligned(8 * len(program.caches)) + _aligned(4 * context)
    rest += _aligned(_SAMPLING * program.vocab + _SAMPLING_FIXED)
    rest += _pass_bytes(program, chunk, options.logit_rows) - arena - logits
    rest += _low_rank_bytes(chunk, options.adapter_rank)
    rest += _aligned(_core.SPAN_ROOM * options.tiles)
    rest += _aligned(_core.SEARCH_ROOM) if options.searches else 0
    rest += _aligned(4 * options.image_rows * embedding_width(program))
    rest += _aligned(_core.DRAFTER_ROOM) if options.logit_rows > 1 else 0
    rest += _predictor_bytes(program, chunk, mtp) if mtp and options.logit_rows > 1 else 0
    return Session(
        context,
        chunk,
        kv=_aligned(kv_bytes(program, context, chunk, options.kv)),
        states=_aligned(4 * slots) + _aligned(state * slots),
        arena=arena,
        logits=logits,
        rest=rest,
    )


def _pass_bytes(program: Listing, rows: int, logit_rows: int) -> int:
    """Without adapters."""
    tiles = -(-program.vocab // _core.TILE)
    room = _aligned(program.row_bytes * rows) + _aligned(4 * logit_rows * program.vocab)
    room += _aligned(_core.BLOCK_ROOM * rows) + _aligned(4 * tiles) + _aligned(4 * -(-tiles // 32))
    return room + _aligned(_core.POINTER_ROOM * rows if program.states else 0)


def _predictor_bytes(program: Listing, chunk: int, mtp: Listing) -> int:
    """A session's: a row of its layer's fits its own pass (kernels/core/session/predictor.c)."""
    if mtp.row_bytes > chunk * program.row_bytes:
        return 0
    return _aligned(_core.PREDICTOR_ROOM) + _aligned(_core.FORESEEN_ROOM) + _aligned(states_bytes(mtp))


def embedding_width(program: Listing) -> int:
    """Of a row that takes the place of a token's embedding; 0 where none may (kernels/core/vm/input.c)."""
    tables = [step.tensors[0] for step in program.ops if step.kind == "EMBED"]
    if len(tables) != 1 or tables[0] is None:
        return 0
    parts = 1 + max((step.u[0] for step in program.ops if step.kind == "GIVEN"), default=0)
    return parts * list(program.tensors.values())[tables[0]].inputs


def _low_rank_bytes(chunk: int, rank: int) -> int:
    """Rows under adapters: their groups, and the products with A of up to three matrices, as floats and as
    q8."""
    products = 3 * chunk * rank
    groups = _aligned(_core.BLOCK_ROOM * chunk) if rank else 0
    return groups + _aligned(4 * products) + _aligned(products // _Q8_BLOCK * _Q8_BYTES)


def adapter_bytes(program: Listing) -> int:
    """Of an open adapter (kernels/core/vm/adapter.c)."""
    return _ADAPTER + _aligned(2 * len(program.tensors))


def place_bytes(kv: str, head_dim: int) -> int:
    """Of one position's keys of a head, or of its values."""
    if kv not in KV_TYPES:
        raise InputError(f"kv is {kv!r}; give one of {', '.join(KV_TYPES)}")
    if kv == "q8" and head_dim % 32:
        raise UnsupportedError(f"kv q8: heads of {head_dim} are not whole blocks of 32; take f16")
    return 2 * head_dim if kv == "f16" else head_dim // 32 * 34


def kv_bytes(program: Listing, context: int, chunk: int, kv: str) -> int:
    """A cache has room for the context; a windowed one is a ring of the window's whole tiles."""
    tile, total = _core.KV_TILE, 0
    for cache in program.caches:
        places = -(-context // tile) * tile
        if cache.window and cache.window < places:
            places = min(places, -(-(cache.window - 1 + chunk) // tile) * tile + tile)
        total += 2 * cache.heads * places * place_bytes(kv, cache.head_dim)
    return total


def encoder_kv(encoder: Listing) -> str:
    """The type of its keys and values, of KV_TYPES."""
    return "q8" if any(step.kind == "ATTENTION_WHOLE" for step in encoder.ops) else "f16"


def vision_bytes(encoder: Listing, patches: int = 0) -> int:
    """tin_encoder_size (kernels/core/vision/encoder.c). patches: of an image, 0 for the model's most."""
    patches = patches or encoder.context
    side = next((step.u[0] for step in encoder.ops if step.kind == "MERGE"), 1)
    room = _aligned(_core.ENCODER_ROOM) + _aligned(8 * len(encoder.caches))
    room += _pass_bytes(encoder, patches, patches // side**2)
    if encoder_kv(encoder) == "q8":  # heads are filled up to whole blocks
        caches = [
            replace(cache, head_dim=-(-cache.head_dim // _Q8_BLOCK) * _Q8_BLOCK) for cache in encoder.caches
        ]
        encoder = replace(encoder, caches=caches)
    return room + _aligned(kv_bytes(encoder, patches, patches, encoder_kv(encoder)))


def image_bytes(contents: Contents, width: int, height: int) -> tuple[int, int]:
    """The bytes of an image's largest tile in the encoder, and of its pixels, patches and their working memory.
    Their sum is tin_vision_size and the caller's RGB (kernels/core/vision/vision.c). Raises InputError for an
    image that the model does not take."""
    assert contents.encoder and contents.image_rules
    try:
        tiles, largest, floats, work = pixels.memory(contents.image_rules, width, height)
    except RuntimeFault as fault:
        raise InputError(str(fault)) from None
    rest = _aligned(_core.VISION_ROOM) + _aligned(4 * contents.program.context)
    rest += _aligned(_core.TILE_ROOM * tiles) + _aligned(_core.TILE_ROOM)
    rest += _aligned(4 * floats) + _aligned(work)
    return vision_bytes(contents.encoder, largest), rest + 3 * width * height


def states_bytes(program: Listing) -> int:
    """Of all recurrent states, once."""
    return sum(4 * state.heads * state.rows * state.columns for state in program.states)


@dataclass(frozen=True)
class Memory:
    """Bytes on a device. file: the tin; weights, tables: its parts that are read at run time, with an
    encoder's; model: the loaded model; vision: an image in the encoder; vision_kv: the type of the encoder's
    keys and values, empty without one; pixels: an image's RGB and patches; firmware: the stack and buffers of a
    firmware image; code: of the runtime, about; ram: the sum that must be in memory."""

    file: int
    weights: int
    tables: int
    model: int
    session: Session
    vision: int
    vision_kv: str
    pixels: int
    firmware: int
    code: int
    ram: int

    def fits(self, device: Limits) -> bool:
        return self.ram <= device.ram and self.file <= device.storage


def with_images(contents: Contents, options: Options) -> Options:
    """As hosts open sessions of a model with image input: each token may be a row of an image, or an image."""
    rows = (options.context or contents.program.context) if contents.encoder else 0
    return replace(options, tiles=rows, image_rows=rows)


def memory_of(contents: Contents, target: Target | None, options: Options) -> Memory:
    """target: None for any machine with an operating system."""
    arch, firmware, in_place, chunk = "x86_64", False, False, 0
    if target is not None:
        arch, firmware = target.cpu.arch, target.firmware is not None
        in_place = target.memory.flash_bandwidth is not None  # the file, which then takes no RAM
        chunk = min(target.defaults.chunk, contents.program.chunk)
    options = replace(options, chunk=options.chunk or chunk)
    if firmware:  # an image's one session has room for any of the file's adapters
        options = replace(options, adapter_rank=contents.adapter_rank)
    else:
        options = with_images(contents, options)
    planned = session(contents.program, options, contents.mtp)
    own = STACK + _aligned(_STATICS + _TOKEN * planned.context) if firmware else 0
    own += adapter_bytes(contents.program) if firmware and options.adapter_rank else 0
    own += _aligned(contents.constraint) if firmware else 0
    weights = contents.weights
    vision, shown = (vision_bytes(contents.encoder) if contents.encoder else 0), 0
    if contents.image_rules and not firmware:
        vision, shown = image_bytes(contents, *options.image)
    # An operating system keeps only the pages that are read; without one, the whole file is loaded.
    loaded = 0 if in_place else contents.file if arch == "wasm32" else weights + contents.tables
    return Memory(
        file=contents.file,
        weights=weights,
        tables=contents.tables,
        model=_core.MODEL_ROOM,
        session=planned,
        vision=vision,
        vision_kv=encoder_kv(contents.encoder) if contents.encoder else "",
        pixels=shown,
        firmware=own,
        code=CODE[arch],
        ram=loaded + _core.MODEL_ROOM + planned.bytes + vision + shown + own,
    )
