"""tokenizer.json against the `tokenizers` library, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tinsmith import models
from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.models import Tokenizer
from tinsmith.tokenizer import tokenizer_json
from tinsmith.tokenizer.pretokenizers import PATTERNS

oracle = pytest.importorskip("tokenizers")

TEXTS = [
    "Turn the kitchen light to 1250 %.",
    "  two  spaces\n\n\tand tabs ",
    "naïve café — 你好, мир 🙂🏳️‍🌈",
    "it's we'll 'S ''d",
    "<|im_start|>user\nhi<|im_end|>\n",
]
SPLIT = {
    "type": "Split",
    "pattern": {"Regex": next(iter(PATTERNS))},
    "behavior": "Isolated",
    "invert": False,
}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def base(base_gguf: Path) -> Tokenizer:
    return models.load(base_gguf).tokenizer


@pytest.fixture
def folder(base: Tokenizer, tmp_path: Path) -> Path:
    tokenizer_json.write(tmp_path, base, TEMPLATE, 8192)
    return tmp_path


def test_reading_gives_back_what_was_written(base: Tokenizer, folder: Path) -> None:
    assert tokenizer_json.read(folder, len(base.tokens)) == (base, TEMPLATE)


def test_the_library_gives_the_same_ids(base: Tokenizer, folder: Path) -> None:
    library = oracle.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert [library.id_to_token(token) for token in range(len(base.tokens))] == base.tokens
    for text in TEXTS:
        ids = library.encode(text).ids
        assert library.decode(ids, skip_special_tokens=False) == text
    assert library.encode(TEXTS[-1]).ids[:1] == [base.tokens.index("<|im_start|>")]
    assert library.encode("1250").tokens == ["1", "2", "5", "0"]


def test_transformers_loads_the_folder(base: Tokenizer, folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    assert (loaded.bos_token_id, loaded.eos_token_id) == (base.bos, base.eos)
    assert (loaded.unk_token_id, loaded.pad_token_id) == (base.unk, base.pad)
    assert loaded.chat_template == TEMPLATE
    assert loaded("a<|im_end|>")["input_ids"][-1] == base.eos


def test_bos_and_unused_tokens_survive(base: Tokenizer, tmp_path: Path) -> None:
    padded = dataclasses.replace(
        base,
        tokens=[*base.tokens, "[PAD49152]"],
        types=[*base.types, "unused"],
        add_bos=True,
        pre="gpt-2",
    )
    tokenizer_json.write(tmp_path, padded, None, 100)
    assert tokenizer_json.read(tmp_path, len(padded.tokens)) == (padded, None)
    library = oracle.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert library.encode("a").ids[0] == base.bos


def _change(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer.json"
    whole = json.loads(path.read_text())
    for key, given in changes.items():
        if key in whole:
            whole[key] = given
        else:
            whole["model"][key] = given
    path.write_text(json.dumps(whole))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace.*smollm"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "add_prefix_space"),
        ({"normalizer": {"type": "NFKC"}}, "NFKC.*NFC"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}}, "Precompiled"),
        ({"pre_tokenizer": SPLIT | {"pattern": {"Regex": r"\\p{N}{1,2}|\\s+"}}}, "1,2"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [SPLIT | {"invert": True}, BYTES]}}, "invert"),
        ({"byte_fallback": True}, "byte_fallback"),
        ({"dropout": 0.1}, "dropout"),
        ({"type": "WordPiece"}, "WordPiece"),
        ({"post_processor": {"type": "BertProcessing"}}, "BertProcessing"),
        ({"added_tokens": [{"id": 0, "content": "<|endoftext|>", "single_word": True}]}, "single_word"),
        (
            {
                "added_tokens": [{"id": 0, "content": "e\u0301", "normalized": True}],
                "normalizer": {"type": "NFC"},
            },
            "normalized to another",
        ),
        ({"decoder": {"type": "Fuse"}}, "pre_tokenizer.*Metaspace"),
    ],
)
def test_what_would_give_other_ids_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    _change(folder, **changes)
    with pytest.raises(UnsupportedError, match=message):
        tokenizer_json.read(folder)


def test_the_template_file_wins_and_lists_are_searched(folder: Path) -> None:
    config = folder / "tokenizer_config.json"
    table = json.loads(config.read_text())
    table["chat_template"] = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    config.write_text(json.dumps(table))
    assert tokenizer_json.read(folder)[1] == "d"
    (folder / "chat_template.jinja").write_bytes(b"file\r\n")
    assert tokenizer_json.read(folder)[1] == "file\r\n"
    (folder / "chat_template.jinja").unlink()
    config.write_text('{"chat_template": {"name": 1}}')
    with pytest.raises(FormatError, match="chat_template is .*; it must be a text"):
        tokenizer_json.read(folder)


def test_end_tokens_come_from_the_generation_config(base: Tokenizer, folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 300]}')
    assert set(tokenizer_json.read(folder)[0].end_tokens) == {300, *base.end_tokens}
    (folder / "generation_config.json").write_text('{"eos_token_id": [99999999]}')
    with pytest.raises(FormatError, match="99999999"):
        tokenizer_json.read(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"added_tokens": [{"content": "x"}]},
        {"added_tokens": [{"id": [], "content": "x"}]},
        {"added_tokens": 7},
        {"model": []},
        {"model": {"vocab": {"a": "b"}}},
        {"merges": ["a b c"]},
        {"merges": [7]},
        {"pre_tokenizer": []},
        {"post_processor": {"type": "TemplateProcessing", "single": [{}]}},
        {"decoder": 1},
    ],
)
def test_a_wrong_layout_is_one_line(folder: Path, changes: dict[str, Any]) -> None:
    _change(folder, **changes)
    with pytest.raises(TinsmithError, match=r"tokenizer\.json") as caught:
        tokenizer_json.read(folder)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_named_with_its_line(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{\n"bos_token": \n')
    with pytest.raises(FormatError, match=r"tokenizer_config\.json:3: not JSON at column"):
        tokenizer_json.read(folder)
