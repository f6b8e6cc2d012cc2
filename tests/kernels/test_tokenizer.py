"""The C tokenizer against Hugging Face's `tokenizers`, id for id, and against damaged files."""

from __future__ import annotations

import ctypes
import json
import random
import re
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
from tokenizers import AddedToken, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as HfTokenizer

from tests.kernels import textcore
from tests.kernels.textcore import BOS, SPECIAL, Opened
from tests.kernels.tokenizer_kinds import DISPUTED, STDLIB, byte_level, random_texts, real_texts, tiny
from tests.models import c_programs
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.spec import Tokenizer
from tinsmith.tokenizer.packed import ALPHABET, MODELS, encode
from tinsmith.tokenizer.pretokenizers import PRETOKENIZERS


def hugging_face(t: Tokenizer, *, added: bool = True) -> HfTokenizer:
    """The same tokenizer in Hugging Face's library; without `added`, special tokens are no more than text."""
    vocabulary = {token: i for i, token in enumerate(t.tokens)}
    hf = HfTokenizer(models.BPE(vocab=vocabulary, merges=t.merges))
    hf.pre_tokenizer = byte_level(t.pre)
    if added:
        for token, kind in zip(t.tokens, t.types, strict=True):
            if kind in ("control", "user"):
                hf.add_tokens([AddedToken(token, special=kind == "control", normalized=False)])
    return hf


def assert_same(ours: Opened, flags: int, hf: HfTokenizer, texts: Sequence[str]) -> None:
    wanted = hf.encode_batch_fast(texts, add_special_tokens=False)
    for text, encoding in zip(texts, wanted, strict=True):
        assert ours.encode(text, flags) == encoding.ids, repr(text)


def smollm2_tokenizer(path: Path) -> Tokenizer:
    fields = gguf.GGUFReader(path).fields

    def read(key: str) -> Any:
        return fields[f"tokenizer.ggml.{key}"].contents()

    kinds = {1: "normal", 3: "control"}
    return Tokenizer(
        tokens=read("tokens"),
        types=[kinds[kind] for kind in read("token_type")],
        merges=[tuple(merge.split(" ")) for merge in read("merges")],
        pre=read("pre"),
        bos=read("bos_token_id"),
        eos=read("eos_token_id"),
        unk=None,
        pad=None,
        add_bos=False,
        end_tokens=(2,),
    )


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return textcore.load_core(tmp_path_factory.mktemp("textcore"))


@pytest.fixture(scope="module")
def smollm2(base_gguf: Path) -> Tokenizer:
    return smollm2_tokenizer(base_gguf)


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    """700 tokens learned from source code, all bytes, and special tokens that begin alike."""
    hf = HfTokenizer(models.BPE())
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=ALPHABET, show_progress=False)
    hf.train_from_iterator([(STDLIB / "argparse.py").read_text()], trainer)
    model = json.loads(hf.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    control, user = ["<|a|>", "<|a|>b", "<|end|>"], ["<|", "<|a|", "<|a|>bc", "日本", "\n\n", "  "]
    return Tokenizer(
        tokens=[*tokens, *control, *user, "[PAD]"],
        types=["normal"] * len(tokens) + ["control"] * len(control) + ["user"] * len(user) + ["unused"],
        merges=[tuple(merge) for merge in model["merges"]],
        pre="gpt-2",
        bos=len(tokens),
        eos=len(tokens) + 2,
        unk=None,
        pad=None,
        add_bos=True,
        end_tokens=(len(tokens) + 2,),
    )


@pytest.mark.parametrize("count", [15_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_ids_equal_hugging_face(core: ctypes.CDLL, smollm2: Tokenizer, count: int) -> None:
    texts = real_texts()[:count]
    texts += random_texts(count - len(texts), seed=1)
    assert_same(Opened(core, encode(smollm2)), SPECIAL, hugging_face(smollm2), texts)


def test_ids_equal_with_the_gpt2_pretokenizer(core: ctypes.CDLL, small: Tokenizer) -> None:
    texts = [*real_texts()[:8], *random_texts(5_000, seed=2)]
    assert_same(Opened(core, encode(small)), SPECIAL, hugging_face(small), texts)


def probe(pre: str) -> Tokenizer:
    """All bytes, and merges that join a letter, number, symbol or space to whatever byte follows in its piece:
    the ids tell where pieces end."""
    starts = [ALPHABET[ord(character)] for character in "aA1!\t "]
    merges = [(start, byte) for start in starts for byte in ALPHABET]
    tokens = [*ALPHABET, *(start + byte for start, byte in merges)]
    return Tokenizer(tokens, ["normal"] * len(tokens), merges, pre, None, None, None, None, add_bos=False)


# Ideographs and syllables that are all alike: one in 64 of them is tried by default.
ALIKE = [range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xAC00, 0xD7A4), range(0x17000, 0x18CD6)]
ALIKE += [range(0x20000, 0x323B0)]
FEW = {"smollm", "qwen35", "gpt-4o"}


@pytest.mark.parametrize(
    ("pre", "every"),
    [(pre, 64) for pre in PRETOKENIZERS if pre in FEW]
    + [pytest.param(pre, 1, marks=pytest.mark.slow) for pre in PRETOKENIZERS],
)
def test_every_character_is_classed_as_by_hugging_face(core: ctypes.CDLL, pre: str, every: int) -> None:
    codes = [code for code in range(0x33500) if not 0xD800 <= code < 0xE000 and code not in DISPUTED]
    codes = [code for code in codes if code % every == 0 or not any(code in alike for alike in ALIKE)]
    codes += [*range(0xE0000, 0xE0200), *range(0x10FF00, 0x110000)]
    chunks = ([chr(code) for code in codes[i : i + 64]] for i in range(0, len(codes), 64))
    texts = ["".join(f"a{x}A{x}!{x}1{x}\t{x}  {x}" for x in chunk) for chunk in chunks]
    t = probe(pre)
    assert_same(Opened(core, encode(t)), 0, hugging_face(t), texts)


def test_without_the_flag_no_text_makes_a_control_token(core: ctypes.CDLL, smollm2: Tokenizer) -> None:
    ours = Opened(core, encode(smollm2))
    texts = [*(token for token, kind in zip(smollm2.tokens, smollm2.types, strict=True) if kind == "control")]
    texts += [text for text in random_texts(5_000, seed=3) if "<" in text]
    control = {i for i, kind in enumerate(smollm2.types) if kind == "control"}
    assert any(control & set(ours.encode(text, SPECIAL)) for text in texts)
    assert not any(control & set(ours.encode(text)) for text in texts)
    assert_same(ours, 0, hugging_face(smollm2, added=False), texts)


def test_user_tokens_match_with_and_without_the_flag(core: ctypes.CDLL, small: Tokenizer) -> None:
    ours = Opened(core, encode(small))
    ids = {token: i for i, token in enumerate(small.tokens)}
    assert ours.encode("<|a|>bc<|a|>b", SPECIAL) == [ids["<|a|>bc"], ids["<|a|>b"]]
    without = ours.encode("<|a|>bc<|a|>b")
    assert without[:2] == [ids["<|a|>bc"], ids["<|a|"]]
    assert ids["<|a|>b"] not in without
    users = replace(small, types=["normal" if kind == "control" else kind for kind in small.types])
    assert_same(ours, 0, hugging_face(users), random_texts(2_000, seed=4))


def test_any_bytes_come_back(core: ctypes.CDLL, small: Tokenizer, smollm2: Tokenizer) -> None:
    rng = random.Random(5)
    whole, lacking = Opened(core, encode(small)), Opened(core, encode(smollm2))
    known = {byte for byte, character in enumerate(ALPHABET) if character in set(smollm2.tokens)}
    assert len(known) < 256
    for _ in range(2_000):
        data = rng.randbytes(rng.randint(0, 40))
        assert whole.decode(whole.encode(data, SPECIAL)) == data
        assert lacking.decode(lacking.encode(data)) == bytes(byte for byte in data if byte in known)


def test_invalid_utf8_splits_like_symbols(core: ctypes.CDLL, small: Tokenizer) -> None:
    """Overlong, surrogate, too large and cut-short forms are no letters, so no merge crosses them."""
    ours = Opened(core, encode(small))
    word = ours.encode(b"self")
    for bad in (b"\xc1\x81", b"\xe0\x80\x81", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xff\x80"):
        assert ours.encode(b"self" + bad + b"self") == [*word, *ours.encode(bad), *word]


def test_a_long_run_is_not_quadratic(core: ctypes.CDLL, smollm2: Tokenizer) -> None:
    """A megabyte takes a fraction of a second; a quadratic search would take hours."""
    ours, hf = Opened(core, encode(smollm2)), hugging_face(smollm2)
    rng = random.Random(6)
    texts = ["a" * 1_000_000, "".join(rng.choices("abcdefgh", k=200_000)), " " * 200_000, "<" * 200_000]
    assert_same(ours, SPECIAL, hf, texts)


def test_count_bos_and_memory(core: ctypes.CDLL, small: Tokenizer) -> None:
    ours = Opened(core, encode(small))
    text = "import argparse  # as usual"
    ids = ours.encode(text)
    assert ours.encode(text, BOS) == [small.bos, *ids]
    assert ours.encode(text, capacity=3) == ids[:3]
    assert ours.needed == len(ids)
    assert ours.encode(text, capacity=0) == []
    assert ours.encode("") == []
    assert ours.token(len(small.tokens)) is None
    assert ours.token(-1) is None
    scratch, size = ctypes.create_string_buffer(4096), ctypes.c_size_t
    length = size(len(text))
    short = size(core.tini_tokenize_scratch(ours.view, length) - 1)
    assert core.tini_tokenize(ours.view, text.encode(), length, 0, None, size(0), scratch, short) == -5
    too_long = size((1 << 26) + 1)
    assert core.tini_tokenize(ours.view, b"", too_long, 0, None, size(0), scratch, size(4096)) == -1


def test_python_and_c_name_the_same_pretokenizers(core: ctypes.CDLL) -> None:
    names = [core.tini_split_name(k) for k in range(len(PRETOKENIZERS) + 1)]
    assert names == [*(name.encode() for name in PRETOKENIZERS), None]


def test_encoding_is_deterministic_and_checked(small: Tokenizer) -> None:
    assert encode(small) == encode(small)
    with pytest.raises(UnsupportedError, match=r"'default'.*gpt-2, phi-2, smollm"):
        encode(replace(small, pre="default"))
    with pytest.raises(FormatError, match=r"merge 0 \('Q' 'Q'\) needs the token 'QQ'"):
        encode(replace(small, merges=[("Q", "Q")]))
    types = [
        "control" if token == "in" else kind for token, kind in zip(small.tokens, small.types, strict=True)
    ]
    with pytest.raises(FormatError, match="makes the control token 'in'"):
        encode(replace(small, types=types))
    for added in ("control", "user"):  # such as a padding token "!"
        types = [added if token == "!" else kind for token, kind in zip(small.tokens, small.types, strict=True)]
        with pytest.raises(FormatError, match=f"'!' is a byte of text and a {added} token too"):
            encode(replace(small, types=types))
    with pytest.raises(FormatError, match="names the token 9999"):
        encode(replace(small, eos=9999))


def words(data: bytes, at: int, *values: int) -> bytes:
    """The file with uint32s written from byte `at` on."""
    return data[:at] + struct.pack(f"<{len(values)}I", *values) + data[at + 4 * len(values) :]


def test_a_damaged_file_is_named(core: ctypes.CDLL, small: Tokenizer) -> None:
    data = encode(small)
    vocab, merges, merge_slots, text_slots, specials, _ = struct.unpack_from("<6I", data, 16)
    merges_at = 80 + 4 * (vocab + 1)
    slots_at = merges_at + 16 * merges
    texts_at = slots_at + 4 * merge_slots
    specials_at = texts_at + 4 * text_slots
    bytes_at = specials_at + 16 * specials
    first_special = struct.unpack_from("<4I", data, specials_at)
    damaged = {
        "does not begin as one": words(data, 0, 0),
        "was written by version 3; this runtime reads 2; take a newer runtime": words(data, 4, 3),
        "wants model 3": words(data, 8, 3),
        "count out of range": words(data, 16, 0),
        "no powers of two": words(data, 24, merge_slots - 1),
        "its counts make": data + b"x",
        f"names the token {vocab} of {vocab}": words(data, 40, vocab),
        "flags that contradict each other": words(data, 12, 16),
        "wants the pre-tokenizer 'gpt-9'": data.replace(b"gpt-2", b"gpt-9", 1),
        "token 3 is damaged": words(data, 80 + 4 * 3, 1 << 20),
        "merge 0 is damaged": words(data, merges_at, vocab),
        "merge 1 is damaged": words(data, merges_at + 16 + 12, 2),
        "hash slot 0 is damaged": words(data, slots_at, merges),
        "no empty slot": words(data, slots_at, *[0] * merge_slots),
        "hash slot 1 is damaged": words(data, texts_at + 4, vocab),
        "special token 0 is damaged": words(data, specials_at, vocab),
        "special token 1 is damaged": words(data, specials_at + 16, *first_special),
        "byte 65 has the wrong token": words(data, bytes_at + 4 * 65, small.tokens.index("B")),
    }
    for message, file in damaged.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            Opened(core, file)


@pytest.fixture(scope="module")
def damage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tokenizer_fuzz.c under AddressSanitizer and UndefinedBehaviorSanitizer."""
    folder = tmp_path_factory.mktemp("damage")
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    empty = folder / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    try:
        c_programs.program(folder / "empty", [empty], *flags)
    except subprocess.CalledProcessError:
        pytest.skip("the C compiler has no sanitizers")
    harness = Path(__file__).with_name("tokenizer_fuzz.c")
    return c_programs.program(folder / "fuzz", [harness, *textcore.SOURCES], *flags, *textcore.COUNTED)


@pytest.mark.parametrize("model", MODELS)
def test_a_damaged_file_is_an_error_or_works(damage: Path, tmp_path: Path, model: str) -> None:
    """Every truncation and 2,000 flipped bits."""
    (tmp_path / "tokenizer.bin").write_bytes(encode(tiny(model)))
    result = subprocess.run([damage, tmp_path / "tokenizer.bin"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    refused, worked = map(int, result.stdout.split())
    assert refused > 100
    assert worked > 100
