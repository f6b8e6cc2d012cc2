"""A base model as read from disk, whatever file it came from: hyper-parameters, tensors by role, tokenizer.

Roles are dotted names, the same for every family that has the part: `embed`, `final_norm`, `head` (absent
when tied to `embed`), and per layer `layers.<i>.<part>` with the parts `attn_norm`, `q`, `k`, `v`, `o`,
`ffn_norm`, `gate`, `up`, `down`; a family may have further ones. Values and their order are GGUF's
(models/family.py's TensorName says what a Hugging Face folder has otherwise), but for the rows of q and k,
which a GGUF of the llama family stores permuted; its reader puts them back, its writer permutes them again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from tinsmith.errors import InputError

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Tensor:
    """A matrix [rows, inputs] (a vector has rows == 1) in GGUF's row-major block layout.

    format: a name of formats.def ("F32", "Q8_0", …); data: exactly the bytes that layout takes.
    """

    format: str
    rows: int
    inputs: int
    data: Buffer


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary, and how text is cut into it.

    model: "bpe" (byte-pair merges over bytes), "sentencepiece" (over characters, spaces written as U+2581) or
    "unigram" (the tokens of the highest sum of scores);
    tokens: each token as GGUF and Hugging Face write it (of a "bpe", byte-level alphabet for type "normal",
    plain text for the others); types: "normal", "control" (special, never text), "unknown" (a control token for
    what the vocabulary lacks), "user" (added, matched in text), "byte" ("<0x0A>") or "unused" per token;
    merges: pairs in order of rank; scores: log probabilities, or in a "sentencepiece" without merges what ranks
    them, the highest first; pre: the pre-tokenizer's GGUF name ("smollm", …; "default" for the other models);
    end_tokens: ids that end a generation.

    nfc: text is put into normal form C. ignore_merges: a piece that is a token needs no merges. prefix: a space
    stands before every text between special tokens ("prepend"), before those that do not begin with one
    ("always"), of these only before the first ("first"), or nowhere ("none"). split_spaces: no merge joins a
    space to what is before it. fuse_unk: unknown neighbours are one. lstrip, rstrip: special tokens that take
    the white space before or behind them; normalized: those that are looked for when the others have been cut
    out and the rest is normalized.
    """

    tokens: list[str]
    types: list[str]
    merges: list[tuple[str, str]]
    pre: str
    bos: int | None
    eos: int | None
    unk: int | None
    pad: int | None
    add_bos: bool
    add_eos: bool = False
    end_tokens: tuple[int, ...] = ()
    model: str = "bpe"
    scores: list[float] | None = None
    nfc: bool = False
    ignore_merges: bool = False
    prefix: str = "none"
    split_spaces: bool = False
    fuse_unk: bool = False
    lstrip: tuple[int, ...] = ()
    rstrip: tuple[int, ...] = ()
    normalized: tuple[int, ...] = ()


@dataclass(frozen=True)
class Hyper:
    """Hyper-parameters that most families have; a family may add its own in a subclass. Lengths in elements,
    context in tokens."""

    layers: int
    dim: int
    ffn_dim: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    norm_eps: float
    rope_base: float
    rope_dim: int
    tied: bool

    @property
    def head(self) -> str:
        """Role of the matrix that makes the logits."""
        return "embed" if self.tied else "head"


@dataclass(frozen=True)
class EncoderSizes:
    """Of a vision transformer; an encoder may add its own in a subclass.

    patch: pixels a side of a patch; side: positions a side of the table of learned positions, which is square.
    act: what the feed-forward applies, "gelu" (exact) or "gelu_tanh"."""

    layers: int
    dim: int
    ffn_dim: int
    heads: int
    patch: int
    side: int
    norm_eps: float
    act: str


@dataclass(frozen=True)
class ProjectorSizes:
    """Of what turns an encoder's states into the language model's embeddings; a projector may add its own.

    merge: patches a side of the square that becomes one token; dim: the language model's width."""

    merge: int
    dim: int


@dataclass(frozen=True)
class ImageRules:
    """How an image becomes an encoder's pixels; the rule that cuts it is the subclass (vision/image_rules.py).

    filter: of the resize, as Pillow names it: "bilinear", "bicubic" or "lanczos"; mean, std: of red, green and
    blue, of values from 0 to 1."""

    filter: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def patches(self, patch: int, merge: int) -> int:
        """Most of an image that it cuts, with patches of `patch` pixels a side, `merge` a side a token."""
        raise NotImplementedError


@dataclass(frozen=True)
class Vision:
    """A checkpoint's vision model. encoder, projector: names of modules of vision/; tensors by role, those of
    the projector with `projector.` before it; tokens: ids by the projector's word for what they stand for, of
    which `image` is the placeholder that each of an image's tokens has in a prompt. kv: how keys and values are
    kept while an image is seen, "f16" or "q8"; None is q8 where the matrices that make them are quantized."""

    encoder: str
    sizes: EncoderSizes
    projector: str
    joint: ProjectorSizes
    tensors: dict[str, Tensor]
    tokens: dict[str, int]
    image_rules: ImageRules
    kv: str | None = None


@dataclass(frozen=True)
class Spec:
    family: str
    hyper: Hyper
    tensors: dict[str, Tensor]
    tokenizer: Tokenizer
    chat_template: str | None
    # What is known of the origin: name, license, organization, languages … in GGUF's `general.*` words.
    general: dict[str, Any] = field(default_factory=dict)
    # What of the file was left out on purpose, a line each.
    notes: tuple[str, ...] = ()
    # The SHA-256 of the checkpoint that the weights were made from, in hexadecimal, where the file says it.
    source: str | None = None
    # None for a model of text alone.
    vision: Vision | None = None

    def with_context(self, context: int) -> Spec:
        """With sessions of at most `context` tokens; 0 for the model's own. Raises InputError for more."""
        if context > self.hyper.context:
            raise InputError(f"context {context} is longer than the base's {self.hyper.context} tokens")
        return replace(self, hyper=replace(self.hyper, context=context)) if context else self

    @property
    def parameters(self) -> int:
        """How many the language model has."""
        return sum(tensor.rows * tensor.inputs for tensor in self.tensors.values())
