"""The tokenizer of a Hugging Face folder: tokenizer.json, tokenizer_config.json and the chat template.

Reads byte-level BPE, SentencePiece's BPE and unigram. Recognizes normalizer, pre-tokenizer, post-processor,
model options and added tokens by their structure, and refuses those with which tinsmith would give other ids.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.spec import Tokenizer
from tinsmith.system import reading
from tinsmith.system.files import write_text
from tinsmith.tokenizer import tokenizer_json_rules as rules
from tinsmith.tokenizer.sentencepiece import SPACE, byte_of, ranked
from tinsmith.tokenizer.tokens import end_tokens

_SPECIALS = ("bos", "eos", "unk", "pad")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON table. Raises FormatError with file and line."""
    return reading.read_table(path, FormatError, advice="the folder is incomplete or damaged, fetch it again")


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def read(folder: str | Path, vocab: int | None = None) -> tuple[Tokenizer, str | None]:
    """A folder's tokenizer and its chat template, if any.

    vocab: size of the model's vocabulary; missing ids become tokens of type "unused". Raises FormatError for a
    damaged file, UnsupportedError for a tokenizer with other rules.
    """
    folder = Path(folder)
    path = folder / "tokenizer.json"
    whole = read_json(path)
    try:
        return _parsed(folder, path, whole, vocab)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"{path}: not laid out as a tokenizer: {error!r}; fetch the folder again") from error


def _parsed(
    folder: Path, path: Path, whole: Mapping[str, Any], vocab: int | None
) -> tuple[Tokenizer, str | None]:
    model = whole.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict | list):
        raise FormatError(f"{path}: no model with a vocab; fetch it again")
    kind = _kind(path, whole, model)
    rule = rules.read(path, whole, kind)
    config = _optional(folder / "special_tokens_map.json") | _optional(folder / "tokenizer_config.json")
    known, scores = _vocabulary(path, model)
    added = whole.get("added_tokens") or []
    _check_added(path, added, kind, rule)
    tokens, types = _tokens(path, known, added, vocab)
    ids = {text: token for token, text in enumerate(tokens)}
    if model.get("byte_fallback"):
        types = [
            "byte" if k == "normal" and byte_of(t) is not None else k
            for t, k in zip(tokens, types, strict=True)
        ]
    named, ends = _named(folder, config, ids)
    if kind != "bpe":
        named["unk"] = model.get("unk_id") if kind == "unigram" else ids.get(model.get("unk_token") or "")
    adds = _added_around(path, whole.get("post_processor"))
    ignore_merges = bool(model.get("ignore_merges"))
    tokenizer = Tokenizer(
        tokens=tokens,
        types=types,
        merges=[_merge(path, merge) for merge in model.get("merges", [])],
        pre=rules.gguf_name(rule.split, ignore_merges, rule.nfc) if rule.split else "default",
        bos=named["bos"],
        eos=named["eos"],
        unk=named["unk"],
        pad=named["pad"],
        add_bos=_adds(path, adds[0], named["bos"], tokens) or config.get("add_bos_token") is True,
        add_eos=_adds(path, adds[1], named["eos"], tokens) or config.get("add_eos_token") is True,
        end_tokens=end_tokens(tokens, types, ends),
        model=kind,
        scores=None if scores is None else [scores.get(token, 0.0) for token in tokens],
        nfc=rule.nfc,
        ignore_merges=ignore_merges,
        prefix=rule.prefix,
        split_spaces=rule.split_spaces,
        fuse_unk=bool(model.get("fuse_unk")) or kind == "unigram",
        **{key: tuple(e["id"] for e in added if e.get(key)) for key in ("lstrip", "rstrip", "normalized")},
    )
    return tokenizer, _template(folder, config)


def _kind(path: Path, whole: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    given = model.get("type", "BPE")
    if given not in ("BPE", "Unigram"):
        raise UnsupportedError(f"{path}: a {given} tokenizer is not supported; supported: BPE and Unigram")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise UnsupportedError(f"{path}: model.{key} is {model[key]!r}, which is not supported")
    if given == "Unigram":
        return "unigram"
    if (whole.get("decoder") or {}).get("type") != "ByteLevel":
        if model.get("ignore_merges"):
            raise UnsupportedError(f"{path}: model.ignore_merges is only supported in a byte-level tokenizer")
        return "sentencepiece"
    if model.get("byte_fallback"):
        raise UnsupportedError(f"{path}: model.byte_fallback is true in a byte-level tokenizer, not supported")
    return "bpe"


def _vocabulary(path: Path, model: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, float] | None]:
    """Ids by text, and a unigram's scores."""
    given = model["vocab"]
    if isinstance(given, dict):
        return given, None
    if model.get("type") != "Unigram" or not all(isinstance(text, str) for text, _ in given):
        raise FormatError(f"{path}: the vocab is neither a table nor, of a Unigram, a list of texts and scores")
    known = {text: token for token, (text, _) in enumerate(given)}
    if len(known) != len(given):
        raise FormatError(f"{path}: a token occurs twice in the vocab")
    return known, {text: float(score) for text, score in given}


def _check_added(path: Path, added: list[Any], kind: str, rule: rules.Rules) -> None:
    """Refuses tokens that tinsmith would match differently from the library."""
    for entry in added:
        text = entry["content"]
        if entry.get("single_word"):
            raise UnsupportedError(f"{path}: added token {text!r} has single_word, not supported")
        if not entry.get("normalized"):
            continue
        changes = kind != "bpe" and (" " in text or SPACE in text or rule.prefix == "prepend")
        if changes or (rule.nfc and unicodedata.normalize("NFC", text) != text):
            raise UnsupportedError(f"{path}: added token {text!r} is normalized to another text, not supported")
        # The normalized text has no white space to strip.
        written = kind == "sentencepiece" and rule.prefix == "none" and not rule.split_spaces
        if written and (entry.get("lstrip") or entry.get("rstrip")):
            raise UnsupportedError(f"{path}: added token {text!r} is normalized and strips, not supported")


def _tokens(
    path: Path, vocab: Mapping[str, int], added: list[Any], size: int | None
) -> tuple[list[str], list[str]]:
    texts: dict[int, str] = {}
    types: dict[int, str] = {}
    for text, token in vocab.items():
        if not isinstance(token, int) or token < 0 or token in texts:
            raise FormatError(f"{path}: token {text!r} has id {token!r}; an id is a whole number, used once")
        texts[token], types[token] = text, "normal"
    for entry in added:
        token = entry["id"]
        texts[token], types[token] = entry["content"], "control" if entry.get("special") else "user"
    needed = max(texts, default=-1) + 1
    if size is not None and needed > size:
        raise FormatError(f"{path}: token id {needed - 1} does not fit the model's vocabulary of {size}")
    count = needed if size is None else size
    if count > 2 * len(texts) + 65536:
        raise FormatError(f"{path}: {len(texts)} tokens for {count} ids; the file is damaged")
    return (
        [texts.get(token, f"[PAD{token}]") for token in range(count)],
        [types.get(token, "unused") for token in range(count)],
    )


def _merge(path: Path, given: Any) -> tuple[str, str]:
    parts = given.split(" ") if isinstance(given, str) else given
    if not isinstance(parts, list) or len(parts) != 2:
        raise FormatError(f"{path}: merge {given!r} is not a pair of tokens")
    return parts[0], parts[1]


def _added_around(path: Path, processor: Any) -> tuple[list[str], list[str]]:
    """The special tokens that the post-processor adds before and after a text."""
    before: list[str] = []
    after: list[str] = []
    for step in rules.flat(processor, "processors"):
        if step.get("type") == "ByteLevel":
            continue  # offsets only
        if step.get("type") != "TemplateProcessing":
            raise UnsupportedError(f"{path}: post_processor {step.get('type')!r} is not supported")
        side = before
        for piece in step.get("single", []):
            if "Sequence" in piece:
                side = after
            else:
                side.append(piece["SpecialToken"]["id"])
    return before, after


def _adds(path: Path, texts: list[str], token: int | None, tokens: list[str]) -> bool:
    if texts and (token is None or texts != [tokens[token]]):
        raise UnsupportedError(f"{path}: the post_processor adds {texts}; supported: bos before, eos after")
    return bool(texts)


def _named(
    folder: Path, config: Mapping[str, Any], ids: Mapping[str, int]
) -> tuple[dict[str, int | None], list[int | None]]:
    """bos, eos, unk and pad; and the folder's end tokens."""
    generation = _optional(folder / "config.json") | _optional(folder / "generation_config.json")
    named: dict[str, int | None] = {}
    ends: list[int | None] = []
    for key in _SPECIALS:
        given = config.get(f"{key}_token")
        text = given.get("content") if isinstance(given, dict) else given
        if text is not None and text not in ids:
            raise FormatError(f"{folder}: {key}_token {text!r} is not in tokenizer.json")
        fallback = generation.get(f"{key}_token_id")
        listed = [one for one in (fallback if isinstance(fallback, list) else [fallback]) if one is not None]
        if not all(isinstance(one, int) and 0 <= one < len(ids) for one in listed):
            raise FormatError(f"{folder}: {key}_token_id is {fallback!r}; it must be a token's number")
        named[key] = ids[text] if text is not None else next(iter(listed), None)
        if key == "eos":
            ends = [*listed, named[key]]
    return named, ends


def _template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The default one; a file takes precedence over the config, as in transformers, and keeps its bytes."""
    path = folder / "chat_template.jinja"
    if path.exists():
        return reading.read_text(path, FormatError, exact=True)
    given = config.get("chat_template")
    if isinstance(given, list):  # several, by name
        given = next((one.get("template") for one in given if one.get("name") == "default"), None)
    if given is not None and not isinstance(given, str):
        raise FormatError(f"{folder / 'tokenizer_config.json'}: chat_template is {given!r}; it must be a text")
    return given


def write(folder: str | Path, tokenizer: Tokenizer, chat_template: str | None, context: int) -> None:
    """Writes tokenizer.json and tokenizer_config.json, with which the `tokenizers` library gives the same ids.

    context: most tokens of an input.
    """
    folder, steps = Path(folder), rules.write(tokenizer)
    strips = {key: set(getattr(tokenizer, key)) for key in ("lstrip", "rstrip", "normalized")}
    added = [
        {
            "id": token,
            "content": text,
            "single_word": False,
            **{key: token in tokens for key, tokens in strips.items()},
            "special": kind != "user",
        }
        for token, (text, kind) in enumerate(zip(tokenizer.tokens, tokenizer.types, strict=True))
        if kind in ("control", "unknown", "user")
    ]
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": steps["normalizer"],
        "pre_tokenizer": steps["pre_tokenizer"],
        "post_processor": _post_processor(tokenizer),
        "decoder": steps["decoder"],
        "model": _unigram(tokenizer) if tokenizer.model == "unigram" else _bpe(tokenizer),
    }
    _dump(folder / "tokenizer.json", whole)
    _dump(folder / "tokenizer_config.json", _config(tokenizer, added, chat_template, context))


def _dump(path: Path, table: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(table, indent=2, ensure_ascii=False) + "\n")


def _used(tokenizer: Tokenizer) -> dict[str, int]:
    used = {
        text: token
        for token, (text, kind) in enumerate(zip(tokenizer.tokens, tokenizer.types, strict=True))
        if kind != "unused"
    }
    if len(used) != len(tokenizer.tokens) - tokenizer.types.count("unused"):
        raise UnsupportedError("two tokens have the same text, which tokenizer.json can't hold")
    return used


def _bpe(t: Tokenizer) -> dict[str, Any]:
    is_sentencepiece = t.model == "sentencepiece"
    merges = ranked(t) if is_sentencepiece else t.merges
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": t.tokens[t.unk] if is_sentencepiece and t.unk is not None else None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": t.fuse_unk,
        "byte_fallback": "byte" in t.types,
        "ignore_merges": t.ignore_merges,
        "vocab": _used(t),
        "merges": [list(merge[:2]) for merge in merges],
    }


def _unigram(t: Tokenizer) -> dict[str, Any]:
    if t.scores is None or len(_used(t)) != len(t.tokens):
        raise UnsupportedError("a unigram tokenizer.json needs a score and a text for every id")
    return {
        "type": "Unigram",
        "unk_id": t.unk,
        "vocab": [list(pair) for pair in zip(t.tokens, t.scores, strict=True)],
        "byte_fallback": "byte" in t.types,
    }


def _post_processor(tokenizer: Tokenizer) -> dict[str, Any] | None:
    before = [tokenizer.bos] if tokenizer.add_bos and tokenizer.bos is not None else []
    after = [tokenizer.eos] if tokenizer.add_eos and tokenizer.eos is not None else []
    if not before and not after:
        return None

    def special(token: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": tokenizer.tokens[token], "type_id": 0}}

    def sequence(name: str) -> list[dict[str, Any]]:
        return [*map(special, before), {"Sequence": {"id": name, "type_id": 0}}, *map(special, after)]

    used = {token: tokenizer.tokens[token] for token in before + after}
    return {
        "type": "TemplateProcessing",
        "single": sequence("A"),
        "pair": sequence("A") + sequence("B"),
        "special_tokens": {
            text: {"id": text, "ids": [token], "tokens": [text]} for token, text in used.items()
        },
    }


def _config(
    tokenizer: Tokenizer, added: list[dict[str, Any]], chat_template: str | None, context: int
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "added_tokens_decoder": {
            str(entry["id"]): {key: value for key, value in entry.items() if key != "id"} for entry in added
        },
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
    }
    for key in _SPECIALS:
        token = getattr(tokenizer, key)
        if token is not None:
            config[f"{key}_token"] = tokenizer.tokens[token]
    if tokenizer.model == "bpe":
        config["add_prefix_space"] = False
    if chat_template is not None:
        config["chat_template"] = chat_template
    return config
