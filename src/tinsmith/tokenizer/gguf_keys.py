"""A Tokenizer from GGUF's `tokenizer.ggml.*` and back.

Keys of tinsmith's own, which other readers ignore, have the facts of a Hugging Face folder that llama.cpp's
keys lack.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import METADATA, Fields, is_string, is_whole
from tinsmith.formats import gguf
from tinsmith.spec import Tokenizer
from tinsmith.tokenizer import sentencepiece
from tinsmith.tokenizer.pretokenizers import pretokenizer
from tinsmith.tokenizer.sentencepiece import SPACE
from tinsmith.tokenizer.tokens import end_tokens

_TYPES = {1: "normal", 2: "unknown", 3: "control", 4: "user", 5: "unused", 6: "byte"}
_TYPE_IDS = {name: number for number, name in _TYPES.items()}
_MODEL_NAMES = {"bpe": "gpt2", "sentencepiece": "llama", "unigram": "t5"}
_MERGES = "gemma4"  # SentencePiece with merges instead of scores; llama.cpp splits at line ends first
_MODELS = {name: model for model, name in _MODEL_NAMES.items()} | {_MERGES: "sentencepiece"}
# Defaults of readers: bos before a text, eos behind it, a space before it.
_DEFAULTS = {"bpe": (False, False, False), "sentencepiece": (True, False, True), "unigram": (False, True, True)}
_OWN = "tinsmith.tokenizer."
_STRIPS = ("lstrip", "rstrip", "normalized")


def read(meta: Mapping[str, Any]) -> Tokenizer:
    """Reads the file's metadata. Raises FormatError for contradicting keys, UnsupportedError for a tokenizer
    with other rules."""
    name = meta.get("tokenizer.ggml.model")
    model = _MODELS.get(name) if isinstance(name, str) else None
    if model is None:
        raise UnsupportedError(f"tokenizer.ggml.model is {name!r}; supported: {', '.join(_MODELS)}")
    tokens = _strings(meta, "tokenizer.ggml.tokens")
    types = _types(meta, model, len(tokens))
    ids = {
        key: _token_id(meta, f"tokenizer.ggml.{key}_token_id", len(tokens))
        for key in ("bos", "eos", "unknown", "padding", "eot", "eom")
    }
    add_bos, add_eos, space = _DEFAULTS[model]
    merged = model == "bpe" or name == _MERGES
    tokenizer = Tokenizer(
        tokens=tokens,
        types=types,
        merges=[_merge(text) for text in _strings(meta, "tokenizer.ggml.merges")] if merged else [],
        pre=text(meta, "tokenizer.ggml.pre") or "default",
        bos=ids["bos"],
        eos=ids["eos"],
        unk=ids["unknown"],
        pad=ids["padding"],
        add_bos=bool(meta.get("tokenizer.ggml.add_bos_token", add_bos)),
        add_eos=bool(meta.get("tokenizer.ggml.add_eos_token", add_eos)),
        end_tokens=end_tokens(tokens, types, [ids[key] for key in ("eos", "eot", "eom")]),
        model=model,
    )
    if model == "bpe":
        known = pretokenizer(tokenizer.pre)
        tokenizer = replace(tokenizer, ignore_merges=known.ignore_merges, nfc=known.nfc)
    else:
        prefix = bool(meta.get("tokenizer.ggml.add_space_prefix", space and not merged))
        tokenizer = replace(tokenizer, **_spaces(meta, tokenizer, prefix))
    return replace(tokenizer, **_of_phi3(meta, tokenizer) | _own(meta, len(tokens)))


def _of_phi3(meta: Mapping[str, Any], t: Tokenizer) -> dict[str, Any]:
    """The tokens that strip white space behind them: GGUF has no key, and llama.cpp recognizes Phi 3 by
    name."""
    name = str(meta.get("general.name", "")).lower()
    if t.model != "sentencepiece" or not ("phi-3" in name or "phi3" in name) or f"{_OWN}rstrip" in meta:
        return {}
    plain = ("<unk>", "<s>", "<|endoftext|>")
    special = (token for token, kind in enumerate(t.types) if kind in ("control", "unknown", "user"))
    return {"rstrip": tuple(token for token in special if t.tokens[token] not in plain)}


def _spaces(meta: Mapping[str, Any], t: Tokenizer, prefix: bool) -> dict[str, Any]:
    """The fields of models that write spaces as U+2581."""
    for key in ("remove_extra_whitespaces", "precompiled_charsmap"):
        if t.model == "unigram" and meta.get(f"tokenizer.ggml.{key}"):
            raise UnsupportedError(f"tokenizer.ggml.{key} is not supported: it rewrites the text first")
    scores = None
    if not t.merges:
        fields, count = Fields(meta, METADATA, "tokenizer.ggml."), len(t.tokens)
        scores = fields.items("scores", "numbers", lambda one: isinstance(one, (int, float)), count)
    unknown = [token for token, kind in enumerate(t.types) if kind == "unknown"]
    return {
        "scores": None if scores is None else [float(score) for score in scores],
        "prefix": "prepend" if prefix else "none",
        "fuse_unk": True,
        "unk": t.unk if t.unk is not None or not unknown else unknown[0],
    }


def _own(meta: Mapping[str, Any], count: int) -> dict[str, Any]:
    fields = Fields(meta, METADATA, _OWN)
    options: dict[str, Any] = {}
    for key, kind in (("nfc", bool), ("ignore_merges", bool), ("prefix", str), ("split_spaces", bool)):
        given = fields.get(key)
        if given is not None:
            if not isinstance(given, kind):
                raise FormatError(f"{fields.named(key)}; it must be a {kind.__name__}")
            options[key] = given
    for key in _STRIPS:
        what = f"tokens' numbers, below {count}"
        if ids := fields.items(key, what, lambda one: is_whole(one) and 0 <= one < count, default=[]):
            options[key] = tuple(ids)
    return options


def _types(meta: Mapping[str, Any], model: str, count: int) -> list[str]:
    key = "tokenizer.ggml.token_type"
    numbers = Fields(meta, METADATA).items(key, "whole numbers", is_whole, count, [1] * count)
    absent = ("unknown", "byte") if model == "bpe" else ()
    allowed = {number: name for number, name in _TYPES.items() if name not in absent}
    if unknown := set(numbers) - allowed.keys():
        raise UnsupportedError(f"token type {min(unknown)} is not supported here; supported: {allowed}")
    return [_TYPES[number] for number in numbers]


def text(meta: Mapping[str, Any], key: str) -> str | None:
    given = meta.get(key)
    if given is not None and not isinstance(given, str):
        raise FormatError(f"{key} is {reprlib.repr(given)}; it must be a text")
    return given


def _strings(meta: Mapping[str, Any], key: str) -> list[str]:
    return Fields(meta, METADATA).items(key, "texts", is_string)


def _merge(text: str) -> tuple[str, str]:
    left, space, right = text.partition(" ")
    if not (left and space and right) or " " in right:
        raise FormatError(f"tokenizer.ggml.merges has {text!r}; expected two tokens and a space between them")
    return left, right


def _token_id(meta: Mapping[str, Any], key: str, count: int) -> int | None:
    given = meta.get(key)
    if given is None:
        return None
    if not isinstance(given, int) or not 0 <= given < count:
        raise FormatError(f"{key} is {reprlib.repr(given)}; it must be a token's number, below {count}")
    return given


def write(t: Tokenizer) -> dict[str, Any]:
    """GGUF's keys. Raises UnsupportedError for a tokenizer that GGUF's readers would apply differently."""
    metadata: dict[str, Any] = {
        "tokenizer.ggml.add_space_prefix": t.prefix != "none",
        "tokenizer.ggml.add_bos_token": t.add_bos,
    }
    if t.add_eos or _DEFAULTS[t.model][1]:
        metadata["tokenizer.ggml.add_eos_token"] = t.add_eos
    metadata["tokenizer.ggml.model"] = _MODEL_NAMES[t.model]
    metadata["tokenizer.ggml.pre"] = t.pre
    metadata["tokenizer.ggml.tokens"] = _written_tokens(t)
    if t.model != "bpe":
        scores = sentencepiece.scores(t) if t.model == "sentencepiece" else list(t.scores or ())
        metadata["tokenizer.ggml.scores"] = gguf.Value(gguf.ValueType.ARRAY, scores, gguf.ValueType.FLOAT32)
    metadata["tokenizer.ggml.token_type"] = gguf.Value(
        gguf.ValueType.ARRAY, [_TYPE_IDS[kind] for kind in _written_types(t)], gguf.ValueType.INT32
    )
    if t.model == "bpe":
        metadata["tokenizer.ggml.merges"] = [f"{left} {right}" for left, right in t.merges]
    named = {"bos": t.bos, "eos": t.eos, "unknown": t.unk, "padding": t.pad} | _further_ends(t)
    for key, token in named.items():
        if token is not None:
            metadata[f"tokenizer.ggml.{key}_token_id"] = token
    return metadata | _written_own(t)


def _written_tokens(t: Tokenizer) -> list[str]:
    """With plain spaces in SentencePiece's user tokens, which match the raw text."""
    spaced = "" if t.model == "bpe" else "user"
    pairs = zip(t.tokens, t.types, strict=True)
    return [token.replace(SPACE, " ") if kind == spaced else token for token, kind in pairs]


def _written_types(t: Tokenizer) -> Sequence[str]:
    if t.model == "bpe" or t.unk is None:
        return t.types
    return [*t.types[: t.unk], "unknown", *t.types[t.unk + 1 :]]


def _written_own(t: Tokenizer) -> dict[str, Any]:
    own: dict[str, Any] = {}
    if t.model == "bpe":
        known = pretokenizer(t.pre)
        if known.ignore_merges != t.ignore_merges:
            own["ignore_merges"] = t.ignore_merges
        if known.nfc != t.nfc:
            own["nfc"] = t.nfc
    if t.prefix not in ("none", "prepend"):
        own["prefix"] = t.prefix
    if t.split_spaces:
        own["split_spaces"] = True
    for key in _STRIPS:
        if getattr(t, key):
            own[key] = gguf.Value(gguf.ValueType.ARRAY, list(getattr(t, key)), gguf.ValueType.INT32)
    return {_OWN + key: given for key, given in own.items()}


def _further_ends(t: Tokenizer) -> dict[str, int]:
    """eot and eom: end tokens beside eos that readers don't recognize by their text."""
    by_text = end_tokens(t.tokens, t.types, ())
    unknown = [token for token in t.end_tokens if token != t.eos and token not in by_text]
    if len(unknown) > 2:
        texts = ", ".join(repr(t.tokens[token]) for token in unknown)
        raise UnsupportedError(f"GGUF names two end tokens beside eos; the tokenizer has {texts}")
    return dict(zip(("eot", "eom"), unknown, strict=False))
