"""Pre-tokenizers by their names and patterns in files; kernels/core/text/pretokenizer.c splits texts."""

from __future__ import annotations

from dataclasses import dataclass

from tinsmith.errors import UnsupportedError


@dataclass(frozen=True)
class Pretokenizer:
    """split: name in pretokenizer.c. ignore_merges: a piece that is a token needs no merges. nfc: text is
    normalized to form C."""

    split: str
    ignore_merges: bool = False
    nfc: bool = False


# `tokenizer.ggml.pre`. The first of equal names is written for a Hugging Face folder.
GGUF_NAMES: dict[str, Pretokenizer] = {
    "gpt-2": Pretokenizer("gpt-2"),
    "phi-2": Pretokenizer("gpt-2"),
    "smollm": Pretokenizer("smollm"),
    "starcoder": Pretokenizer("smollm"),
    "refact": Pretokenizer("smollm"),  # Granite 3
    "llama-bpe": Pretokenizer("llama-bpe", ignore_merges=True),
    "llama3": Pretokenizer("llama-bpe", ignore_merges=True),
    "llama-v3": Pretokenizer("llama-bpe", ignore_merges=True),
    "lfm2": Pretokenizer("llama-bpe", ignore_merges=True),
    "falcon-h1": Pretokenizer("llama-bpe", ignore_merges=True),
    "smaug-bpe": Pretokenizer("llama-bpe"),
    "dbrx": Pretokenizer("llama-bpe"),
    "qwen2": Pretokenizer("qwen2", nfc=True),
    "deepseek-r1-qwen": Pretokenizer("qwen2"),
    "qwen35": Pretokenizer("qwen35", nfc=True),
    "gpt-4o": Pretokenizer("gpt-4o"),
    "tekken": Pretokenizer("tekken", ignore_merges=True),
}


def pretokenizer(name: str) -> Pretokenizer:
    """By GGUF name."""
    if name not in GGUF_NAMES:
        raise UnsupportedError(f"pre-tokenizer {name!r} is not supported; supported: {', '.join(GGUF_NAMES)}")
    return GGUF_NAMES[name]


PRETOKENIZERS = tuple(dict.fromkeys(known.split for known in GGUF_NAMES.values()))

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def _words(word: str, symbols: str, digits: str) -> str:
    return f"{_CONTRACTIONS}|{_BEFORE}{word}+|{digits}| ?{symbols}+" + r"[\r\n]*" + _SPACES


def _cased(digits: str, contractions: str) -> str:
    first, second = f"{_UPPER}*{_LOWER}+", f"{_UPPER}+{_LOWER}*"
    words = f"{_BEFORE}{first}{contractions}|{_BEFORE}{second}{contractions}"
    return words + rf"|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*" + _SPACES


# Exact patterns of Hugging Face's Split, with names in pretokenizer.c.
PATTERNS: dict[str, str] = {
    _words(r"\p{L}", r"[^\s\p{L}\p{N}]", r"\p{N}{1,3}"): "llama-bpe",
    _words(r"\p{L}", r"[^\s\p{L}\p{N}]", r"\p{N}"): "qwen2",
    _words(r"[\p{L}\p{M}]", r"[^\s\p{L}\p{M}\p{N}]", r"\p{N}"): "qwen35",
    _cased(r"\p{N}{1,3}", _CONTRACTIONS + "?"): "gpt-4o",
    _cased(r"\p{N}", ""): "tekken",
}
