"""Each kind of tokenizer, from Hugging Face's file and through GGUF, against the `tokenizers` library, id for
id."""

from __future__ import annotations

import ctypes
import os
import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, normalizers
from tokenizers import Tokenizer as HfTokenizer

from tests.kernels import textcore
from tests.kernels.textcore import SPECIAL, Opened
from tests.kernels.tokenizer_kinds import (
    KINDS,
    SPACES,
    random_texts,
    real_texts,
    save,
    sentences,
    trained_characters,
)
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.models import Tokenizer
from tinsmith.tokenizer import gguf_keys as _gguf_tokenizer
from tinsmith.tokenizer import tokenizer_json
from tinsmith.tokenizer.packed import encode


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return textcore.load_core(tmp_path_factory.mktemp("textcore"))


@pytest.fixture(scope="module", params=KINDS)
def kind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[HfTokenizer, Tokenizer]:
    """Hugging Face's tokenizer, and ours of the file that it wrote."""
    hf = KINDS[request.param]()
    folder = save(hf, tmp_path_factory.mktemp(request.param))
    return hf, tokenizer_json.read(folder)[0]


def differing(ours: Opened, hf: HfTokenizer, texts: list[str]) -> list[str]:
    wanted = hf.encode_batch_fast(texts, add_special_tokens=False)
    return [text for text, w in zip(texts, wanted, strict=True) if ours.encode(text, SPECIAL) != w.ids]


def through_gguf(t: Tokenizer, path: Path) -> Tokenizer:
    metadata = {"general.architecture": "llama"} | _gguf_tokenizer.write(t)
    gguf.write(
        path, {k: v if isinstance(v, gguf.Value) else gguf.value(v) for k, v in metadata.items()}, iter(())
    )
    return _gguf_tokenizer.read({key: entry.value for key, entry in gguf.read(path).metadata.items()})


# 200,000 take a minute or two a kind.
MANY = int(os.environ.get("TINSMITH_STRINGS", "20_000"))


@pytest.mark.parametrize("count", [2_000, pytest.param(MANY, marks=pytest.mark.slow)])
def test_ids_equal_hugging_face(core: ctypes.CDLL, kind: tuple[HfTokenizer, Tokenizer], count: int) -> None:
    hf, t = kind
    texts = [*real_texts(), *sentences()][:: 200_000 // count * 2]
    texts += random_texts(count - len(texts), seed=7)
    assert len(texts) == count
    assert not differing(Opened(core, encode(t)), hf, texts)


def test_what_is_written_gives_the_same_ids(
    core: ctypes.CDLL, kind: tuple[HfTokenizer, Tokenizer], tmp_path: Path
) -> None:
    """As a folder for Hugging Face, and as GGUF, whose SentencePiece has scores in place of merges."""
    hf, t = kind
    texts = random_texts(500, seed=8)
    tokenizer_json.write(tmp_path, t, None, 100)
    assert tokenizer_json.read(tmp_path)[0] == t
    again = HfTokenizer.from_file(str(tmp_path / "tokenizer.json"))
    wanted = hf.encode_batch_fast(texts, add_special_tokens=False)
    got = again.encode_batch_fast(texts, add_special_tokens=False)
    assert [w.ids for w in wanted] == [g.ids for g in got]
    back = through_gguf(t, tmp_path / "a.gguf")
    if "▁▁" in t.tokens:
        # A user token of U+2581 is one of spaces there, and a run of them begins with the longest.
        texts = [text for text in texts if "▁" not in text and "    " not in text]
    assert not differing(Opened(core, encode(back)), hf, texts)
    tokenizer_json.write(tmp_path, back, None, 100)
    folder = HfTokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert not differing(Opened(core, encode(back)), folder, texts)


@pytest.mark.parametrize("name", ["qwen2", "phi3", "gemma", "unigram"])
def test_transformers_loads_the_folder(tmp_path: Path, name: str) -> None:
    transformers = pytest.importorskip("transformers")
    hf = KINDS[name]()
    tokenizer_json.write(tmp_path, tokenizer_json.read(save(hf, tmp_path))[0], None, 10_000)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in random_texts(100, seed=9):
        assert (
            loaded(text, add_special_tokens=False)["input_ids"] == hf.encode(text, add_special_tokens=False).ids
        )


def test_all_bytes_come_back(core: ctypes.CDLL, kind: tuple[HfTokenizer, Tokenizer]) -> None:
    """Broken UTF-8 too, where the vocabulary has tokens for bytes."""
    _, t = kind
    ours = Opened(core, encode(t))
    rng = random.Random(5)
    lacks_bytes = t.model != "bpe" and "byte" not in t.types
    for _ in range(300):
        data = rng.randbytes(rng.randint(1, 40))
        ids = ours.encode(data, SPECIAL)
        assert all(0 <= token < len(t.tokens) for token in ids)
        if not lacks_bytes:
            made = ours.decode(ids)
            spaces = data.replace("▁".encode(), b" ")
            assert made in ((data,) if t.model == "bpe" else (spaces, b" " + spaces))


def test_normal_form_c_is_hugging_faces(core: ctypes.CDLL) -> None:
    """Every character by itself and between marks, and random runs of marks."""
    nfc = normalizers.NFC().normalize_str
    codes = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    chunks = [codes[i : i + 512] for i in range(0, len(codes), 512)]
    texts = ["\n".join(f"{x}\u0323a{x}\u0301\u0316" for x in chunk) for chunk in chunks[:0x300]]
    texts += ["".join(chunk) for chunk in chunks]
    marked = [x for x in codes[0x300:0x20000] if nfc("a" + x) != "a" + x or nfc(x + "\u0334") != x + "\u0334"]
    rng = random.Random(3)
    marks = marked + list("aeio각가\u1161\u11a8か\u3099\u0301\u0323\u0338")
    texts += ["".join(rng.choices(marks, k=rng.randint(1, 200))) for _ in range(3_000)]
    for text in texts:
        assert core_nfc(core, text) == nfc(text), ascii(text[:40])


def core_nfc(core: ctypes.CDLL, text: str) -> str:
    data = text.encode()
    length = ctypes.c_size_t(len(data))
    out = ctypes.create_string_buffer(3 * len(data) + 1)
    words = (ctypes.c_uint32 * (3 * len(data) + 8))()
    core.tini_nfc.restype = core.tini_nfc_good.restype = ctypes.c_size_t
    good = core.tini_nfc_good(data, length)
    size = core.tini_nfc(data, length, out, words)
    made = out.raw[:size]
    assert made[:good] == data[:good]
    return made.decode()


def test_merges_that_scores_cannot_say_are_refused(tmp_path: Path) -> None:
    hf = KINDS["gemma"]()
    t = tokenizer_json.read(save(hf, tmp_path))[0]
    fewer = Tokenizer(**{**vars(t), "merges": t.merges[:-1]})
    with pytest.raises(UnsupportedError, match="pairs of tokens that make a token, and merges for"):
        _gguf_tokenizer.write(fewer)


def test_white_space_that_a_normalizer_took_is_not_stripped_from(tmp_path: Path) -> None:
    hf = KINDS["gemma"]()
    hf.add_tokens([AddedToken("<mask>", lstrip=True, normalized=True)])
    with pytest.raises(UnsupportedError, match="'<mask>' is normalized and strips"):
        tokenizer_json.read(save(hf, tmp_path))


def test_merges_in_a_gguf_of_gemma_4(core: ctypes.CDLL, tmp_path: Path) -> None:
    """As llama.cpp's script writes it: merges, and scores that say nothing."""
    llama_cpp = pytest.importorskip("llama_cpp")
    hf = trained_characters(SPACES, None)
    t = tokenizer_json.read(save(hf, tmp_path))[0]
    kept = {key: one for key, one in _gguf_tokenizer.write(t).items() if not key.endswith((".pre", "_prefix"))}
    merges = [f"{left} {right}" for left, right in t.merges]
    kept |= {"tokenizer.ggml.model": "gemma4", "tokenizer.ggml.merges": merges}
    kept |= {"tokenizer.ggml.scores": [-1000.0] * len(t.tokens), "tokenizer.ggml.add_space_prefix": False}
    path = tmp_path / "a.gguf"
    write_words(path, kept)
    held = {key: entry.value for key, entry in gguf.read(path).metadata.items()}
    back = _gguf_tokenizer.read(held)
    assert (back.merges, back.prefix, back.scores) == (t.merges, "none", None)
    ours = Opened(core, encode(back))
    texts = [*sentences()[::400], *random_texts(300, seed=13)]
    assert not differing(ours, hf, texts)
    theirs = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    for text in texts:
        # Merges of this vocabulary cross line ends, as Gemma's do not.
        if llama_cpp_reads(text, "gemma") and "\n" not in text:
            wanted = theirs.tokenize(text.encode(), add_bos=False, special=True)
            assert ours.encode(text, SPECIAL) == wanted, ascii(text)
    del held["tokenizer.ggml.merges"]
    with pytest.raises(FormatError, match="merges is .*; it must be a list of texts"):
        _gguf_tokenizer.read(held)


def write_words(path: Path, kept: dict[str, Any]) -> None:
    """A GGUF file of a tokenizer and no tensors, as llama.cpp opens it."""
    sizes = {"context_length": 64, "embedding_length": 64, "block_count": 1, "feed_forward_length": 64}
    sizes |= {"attention.head_count": 1, "rope.dimension_count": 64}
    metadata: dict[str, Any] = {"general.architecture": "llama", "general.name": f"tiny {path.stem}"}
    metadata |= {"llama.attention.layer_norm_rms_epsilon": 1e-5} | {f"llama.{k}": v for k, v in sizes.items()}
    values = {k: v if isinstance(v, gguf.Value) else gguf.value(v) for k, v in (metadata | kept).items()}
    gguf.write(path, values, iter(()))


def llama_cpp_reads(text: str, name: str) -> bool:
    """llama.cpp knows no normal forms, nothing that Unicode 14 does not, no long s in a contraction, takes
    marks for no part of the words of o200k and tekken, and with a unigram puts a space before one."""
    kinds = {unicodedata.category(character) for character in text}
    marks = {"Mn", "Mc", "Me"} if name in ("gpt-4o", "o200k", "tekken") else set()
    return (
        not kinds & ({"Cn", "Co"} | marks)
        and unicodedata.normalize("NFC", text) == text
        and not set(text) & {"ſ", "\0", "▁"}
        and not (name == "unigram" and (text.startswith(" ") or "> " in text))
    )


# What llama.cpp does otherwise: it always merges o200k's pieces, knows Phi 3's tokens that take white space by
# the model's name alone, puts a space behind special tokens too, stops at a character that a SentencePiece
# vocabulary without bytes lacks, and writes no bytes with a unigram.
OTHERWISE = ("o200k", "phi3", "metaspace-first", "metaspace-unknown", "unigram-bytes")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KINDS if name not in OTHERWISE])
def test_llama_cpp_gives_the_same_ids(core: ctypes.CDLL, tmp_path: Path, name: str) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    hf = KINDS[name]()
    t = tokenizer_json.read(save(hf, tmp_path))[0]
    path = tmp_path / f"{name}.gguf"
    write_words(path, _gguf_tokenizer.write(t))
    back = _gguf_tokenizer.read({key: entry.value for key, entry in gguf.read(path).metadata.items()})
    ours = Opened(core, encode(back))
    theirs = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    texts = [*sentences()[::40], *random_texts(3_000, seed=12)]
    texts = [text for text in texts if llama_cpp_reads(text, name)]
    assert len(texts) > 1000
    for text in texts[:2000]:
        wanted = theirs.tokenize(text.encode(), add_bos=False, special=True)
        assert ours.encode(text, SPECIAL) == wanted, ascii(text)
