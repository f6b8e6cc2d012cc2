"""Pre-tokenizers by the names and patterns that files give them; kernels/core/text/pretokenizer.c does the
cutting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pretokenizer:
    """split: a name of pretokenizer.c. ignore_merges and nfc: what GGUF's name says beside that: whether a
    piece that is a token needs no merges, and whether the models of this name were trained on text in normal
    form C."""

    split: str
    ignore_merges: bool = False
    nfc: bool = False


# `tokenizer.ggml.pre`. Of names for the same rules the first is written for a Hugging Face folder.
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


# The exact patterns of Hugging Face's Split, by the cut they make. The first of a kind is the one that is
# written.
PATTERNS: dict[str, str] = {
    _words(r"\p{L}", r"[^\s\p{L}\p{N}]", r"\p{N}{1,3}"): "llama-bpe",
    _words(r"\p{L}", r"[^\s\p{L}\p{N}]", r"\p{N}"): "qwen2",
    _words(r"[\p{L}\p{M}]", r"[^\s\p{L}\p{M}\p{N}]", r"\p{N}"): "qwen35",
    _cased(r"\p{N}{1,3}", _CONTRACTIONS + "?"): "gpt-4o",
    _cased(r"\p{N}", ""): "tekken",
}
