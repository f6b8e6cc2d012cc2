"""The tokenizer of a Hugging Face folder: tokenizer.json, tokenizer_config.json and the chat template.

Only byte-level BPE. What shapes the ids (normalizer, pre-tokenizer, post-processor, model options, stripping
added tokens) is recognized by its structure, and refused by name where tinsmith would give other ids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.files import write_text
from tinsmith.models._tokens import end_tokens
from tinsmith.models.spec import Tokenizer

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
# GGUF's name of a pre-tokenizer and its parts. Digits(individual) cuts each numeric character off first.
_PRE: dict[str, list[dict[str, Any]]] = {
    "smollm": [{"type": "Digits", "individual_digits": True}, _BYTE_LEVEL],
    "gpt-2": [_BYTE_LEVEL],
}
# Named here as in both the config files and the Tokenizer.
_SPECIALS = ("bos", "eos", "unk", "pad")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON table; FormatError names the file and line."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise FormatError(
            f"{path}: cannot read: {error.strerror or error}; the folder is incomplete"
        ) from error
    except ValueError as error:
        raise FormatError(f"{path}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path}: a {type(found).__name__}; expected a table")
    return found


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def read(folder: str | Path, vocab: int | None = None) -> tuple[Tokenizer, str | None]:
    """A folder's tokenizer and its chat template, if any.

    vocab: the model's vocabulary; ids below it that the tokenizer does not use become tokens of type "unused".
    Raises FormatError for a damaged file, UnsupportedError for a tokenizer that would need other rules.
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
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict):
        raise FormatError(f"{path}: no model with a vocab; fetch it again")
    _refuse(path, whole, model)
    config = _optional(folder / "special_tokens_map.json") | _optional(folder / "tokenizer_config.json")
    tokens, types = _tokens(path, model["vocab"], whole.get("added_tokens") or [], vocab)
    ids = {text: token for token, text in enumerate(tokens)}
    named, ends = _named(folder, config, ids)
    adds = _added_around(path, whole.get("post_processor"))
    tokenizer = Tokenizer(
        tokens=tokens,
        types=types,
        merges=[_merge(path, merge) for merge in model.get("merges", [])],
        pre=_pre(path, whole.get("pre_tokenizer")),
        bos=named["bos"],
        eos=named["eos"],
        unk=named["unk"],
        pad=named["pad"],
        add_bos=_adds(path, adds[0], named["bos"], tokens) or config.get("add_bos_token") is True,
        add_eos=_adds(path, adds[1], named["eos"], tokens) or config.get("add_eos_token") is True,
        end_tokens=end_tokens(tokens, types, ends),
    )
    return tokenizer, _chat_template(folder, config)


def _refuse(path: Path, whole: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    if model.get("type", "BPE") != "BPE" or (whole.get("decoder") or {}).get("type") != "ByteLevel":
        raise UnsupportedError(
            f"{path}: a {model.get('type')} tokenizer is not supported; supported: byte-level BPE"
        )
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"):
        if model.get(key):
            raise UnsupportedError(f"{path}: model.{key} is {model[key]!r}, which is not supported")
    if whole.get("normalizer"):
        raise UnsupportedError(f"{path}: normalizer {json.dumps(whole['normalizer'])} is not supported")


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
        for key in ("single_word", "lstrip", "rstrip"):
            if entry.get(key):
                raise UnsupportedError(f"{path}: added token {entry.get('content')!r} has {key}, not supported")
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


def _pre(path: Path, given: Any) -> str:
    steps = _flat(given, "pretokenizers")
    # How offsets are trimmed does not change ids; every option that does is compared.
    plain = [{key: value for key, value in step.items() if key != "trim_offsets"} for step in steps]
    for step in plain:
        if step.get("type") == "ByteLevel":
            step.setdefault("use_regex", True)
    for name, parts in _PRE.items():
        if plain == parts:
            return name
    raise UnsupportedError(
        f"{path}: pre_tokenizer {json.dumps(given)} is not supported; supported are those of: {', '.join(_PRE)}"
    )


def _flat(given: Any, key: str) -> list[dict[str, Any]]:
    if given is None:
        return []
    if given.get("type") == "Sequence":
        return [step for part in given.get(key, []) for step in _flat(part, key)]
    return [dict(given)]


def _added_around(path: Path, processor: Any) -> tuple[list[str], list[str]]:
    """The special tokens that the post-processor puts before and after a text."""
    before: list[str] = []
    after: list[str] = []
    for step in _flat(processor, "processors"):
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
) -> tuple[dict[str, int | None], list[int]]:
    """bos, eos, unk and pad; and every id that the folder says ends a generation."""
    generation = _optional(folder / "config.json") | _optional(folder / "generation_config.json")
    named: dict[str, int | None] = {}
    ends: list[int] = []
    for key in _SPECIALS:
        given = config.get(f"{key}_token")
        text = given.get("content") if isinstance(given, dict) else given
        if text is not None and text not in ids:
            raise FormatError(f"{folder}: {key}_token {text!r} is not in tokenizer.json")
        fallback = generation.get(f"{key}_token_id")
        listed = [one for one in (fallback if isinstance(fallback, list) else [fallback]) if one is not None]
        if not all(isinstance(one, int) and 0 <= one < len(ids) for one in listed):
            raise FormatError(f"{folder}: {key}_token_id is {fallback!r}; it must be a token's number")
        named[key] = ids[text] if text is not None else (listed[0] if listed else None)
        if key == "eos":
            ends = listed + [token for token in (named[key],) if token is not None]
    return named, ends


def _chat_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.exists():
        return path.read_text("utf-8")
    given = config.get("chat_template")
    if isinstance(given, list):  # named templates; "default" is the one without tools
        given = {entry.get("name"): entry.get("template") for entry in given}.get("default")
    if given is not None and not isinstance(given, str):
        raise FormatError(
            f"{folder / 'tokenizer_config.json'}: chat_template is neither text nor a list of them"
        )
    return given


def write(folder: str | Path, tokenizer: Tokenizer, chat_template: str | None, context: int) -> None:
    """Writes tokenizer.json and tokenizer_config.json, which give the `tokenizers` library the same ids.

    context: the longest input in tokens.
    """
    folder = Path(folder)
    if tokenizer.pre not in _PRE:
        raise UnsupportedError(
            f"pre-tokenizer {tokenizer.pre!r} can't be written as tokenizer.json; known: {', '.join(_PRE)}"
        )
    added = [
        {
            "id": token,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == "control",
        }
        for token, (text, kind) in enumerate(zip(tokenizer.tokens, tokenizer.types, strict=True))
        if kind in ("control", "user")
    ]
    _dump(folder / "tokenizer.json", _whole(tokenizer, added))
    _dump(folder / "tokenizer_config.json", _config(tokenizer, added, chat_template, context))


def _dump(path: Path, table: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(table, indent=2, ensure_ascii=False) + "\n")


def _whole(tokenizer: Tokenizer, added: list[dict[str, Any]]) -> dict[str, Any]:
    vocab = {
        text: token
        for token, (text, kind) in enumerate(zip(tokenizer.tokens, tokenizer.types, strict=True))
        if kind != "unused"
    }
    if len(vocab) != len(tokenizer.tokens) - tokenizer.types.count("unused"):
        raise UnsupportedError("two tokens have the same text, which tokenizer.json can't hold")
    steps = [
        step | ({"trim_offsets": True} if step["type"] == "ByteLevel" else {}) for step in _PRE[tokenizer.pre]
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps},
        "post_processor": _post_processor(tokenizer),
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [list(merge) for merge in tokenizer.merges],
        },
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
        "add_prefix_space": False,
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
    if chat_template is not None:
        config["chat_template"] = chat_template
    return config
