"""A small tokenizer of each kind, trained by Hugging Face's `tokenizers` on real text as the families' are."""

from __future__ import annotations

import json
import random
import struct
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import home_assistant_intents
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as HfTokenizer

from tinsmith.models import Tokenizer
from tinsmith.tokenizer.packed import ALPHABET

STDLIB = Path(sysconfig.get_paths()["stdlib"])

# As the families' tokenizer.json spells them, by the name that GGUF has for the cut.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_ENDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{_ENDS}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{_ENDS}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
REGEXES = {
    "llama-bpe": LLAMA3,
    "qwen2": LLAMA3.replace("{1,3}", ""),
    "qwen35": QWEN35,
    "gpt-4o": O200K,
    "tekken": TEKKEN,
}


def byte_level(pre: str, behavior: str = "isolated") -> pre_tokenizers.PreTokenizer:
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if pre == "gpt-2":
        return whole
    if pre == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), whole])
    cut = pre_tokenizers.Split(Regex(REGEXES[pre]), behavior, invert=behavior == "removed")
    return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


@cache
def training_text() -> tuple[str, ...]:
    """Source code, English, and sentences of 65 languages."""
    texts = [
        (STDLIB / name).read_text("utf-8")[:60_000] for name in ("argparse.py", "LICENSE.txt", "typing.py")
    ]
    return (*texts, *sentences()[::7])


@cache
def sentences() -> tuple[str, ...]:
    texts: list[str] = []
    folder = Path(home_assistant_intents.__file__).parent / "data"
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text("utf-8"))
        for intent in data.get("intents", {}).values():
            for block in intent.get("data", []):
                texts.extend(block.get("sentences", [])[:3])
    return tuple(texts)


def trained_bpe(
    pre: str, *, nfc: bool = False, ignore_merges: bool = False, behavior: str = "isolated"
) -> HfTokenizer:
    hf = HfTokenizer(models.BPE(ignore_merges=ignore_merges))
    if nfc:
        hf.normalizer = normalizers.NFC()
    hf.pre_tokenizer = byte_level(pre, behavior)
    hf.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=1200, initial_alphabet=ALPHABET, show_progress=False)
    hf.train_from_iterator(training_text(), trainer)
    return hf


BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def trained_characters(
    normalizer: normalizers.Normalizer | None,
    pre_tokenizer: pre_tokenizers.PreTokenizer | None,
    *,
    fallback: bool = True,
    strip: bool = False,
    runs: int = 1,
) -> HfTokenizer:
    """Byte-pair merges over characters, as SentencePiece's are converted: every pair of tokens that makes a
    token is a merge, those of one token together. runs: the longest run of spaces that is a token; longer ones
    come first."""
    source = HfTokenizer(models.BPE())
    source.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    trainer = trainers.BpeTrainer(
        vocab_size=1500, limit_alphabet=300, initial_alphabet=["▁", *"\n\t"], show_progress=False
    )
    source.train_from_iterator(training_text(), trainer)
    learned = sorted(source.get_vocab(), key=source.get_vocab().__getitem__)
    learned = ["▁" * run for run in range(runs, 1, -1)] + learned
    tokens = ["<unk>", "<s>", "</s>", *(BYTES if fallback else []), *learned]
    known = set(learned)
    merges = [
        (token[:at], token[at:])
        for token in learned
        for at in range(1, len(token))
        if token[:at] in known and token[at:] in known
    ]
    ids = {token: k for k, token in enumerate(tokens)}
    hf = HfTokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=fallback))
    if normalizer is not None:
        hf.normalizer = normalizer
    if pre_tokenizer is not None:
        hf.pre_tokenizer = pre_tokenizer
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    hf.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if strip else steps)
    hf.add_special_tokens(["<unk>", "<s>", "</s>"])
    return hf


@cache
def unigram_vocabulary() -> list[tuple[str, float]]:
    """Texts and scores, which are float32 as SentencePiece's and GGUF's are."""
    hf = HfTokenizer(models.Unigram())
    hf.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    trainer = trainers.UnigramTrainer(
        vocab_size=1000, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    hf.train_from_iterator(training_text()[::9], trainer)
    vocab = json.loads(hf.to_str())["model"]["vocab"]
    return [(text, struct.unpack("f", struct.pack("f", score))[0]) for text, score in vocab]


def trained_unigram(*, fallback: bool) -> HfTokenizer:
    extra = [(byte, -30.0) for byte in BYTES] if fallback else []
    hf = HfTokenizer(models.Unigram(unigram_vocabulary() + extra, 0, fallback))
    hf.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=not fallback)
    hf.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    hf.add_special_tokens(["<unk>", "<s>", "</s>"])
    return hf


def tiny(model: str) -> Tokenizer:
    """A vocabulary of some hundred tokens with all that a tokenizer.bin can have."""
    letters = ["a", "b", "é", "▁", "\n", "ab", "▁a", "▁ab", "aa", "▁▁"] if model != "bpe" else list(ALPHABET)
    special = ["<unk>", "<s>", "<|end|>", "<mask>", "<tool>"]
    pairs = [("a", "b"), ("▁", "ab"), ("▁a", "b"), ("▁", "a"), ("a", "a"), ("▁", "▁")]
    if model == "bpe":
        pairs = [(left.replace("▁", "Ġ"), right.replace("▁", "Ġ")) for left, right in pairs]
        letters += dict.fromkeys(left + right for left, right in pairs)
    tokens = [*special, *([] if model == "bpe" else BYTES), *letters]
    fixed = ["unknown", "control", "control", "control", "user"]
    types = [*fixed, *([] if model == "bpe" else ["byte"] * 256), *["normal"] * len(letters)]
    return Tokenizer(
        tokens=tokens,
        types=types,
        merges=[] if model == "unigram" else pairs,
        pre="qwen2" if model == "bpe" else "default",
        bos=1,
        eos=2,
        unk=0,
        pad=None,
        add_bos=True,
        end_tokens=(2,),
        model=model,
        scores=[-float(len(token)) for token in tokens] if model == "unigram" else None,
        nfc=model == "bpe",
        prefix={"bpe": "none", "sentencepiece": "prepend", "unigram": "always"}[model],
        fuse_unk=True,
        lstrip=(3,),
        rstrip=(2,),
        normalized=(4,),
    )


SPACES = normalizers.Replace(" ", "▁")


def llama2() -> HfTokenizer:
    hf = trained_characters(normalizers.Sequence([normalizers.Prepend("▁"), SPACES]), None, strip=True)
    hf.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return hf


def phi3() -> HfTokenizer:
    """As Phi 3's: tokens that take the white space behind them."""
    hf = llama2()
    hf.add_special_tokens([AddedToken(text, rstrip=True, normalized=False) for text in ("<|end|>", "<|user|>")])
    hf.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("<mask>", lstrip=True, normalized=False)])
    return hf


def gemma() -> HfTokenizer:
    hf = trained_characters(SPACES, pre_tokenizers.Split(" ", "merged_with_previous"), runs=3)
    hf.add_tokens([AddedToken(text, normalized=False) for text in ("\n\n", "▁▁", "▁▁▁", "<unused0>")])
    return hf


def metaspace(scheme: str, *, split: bool, fallback: bool = True) -> HfTokenizer:
    return trained_characters(
        None, pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split), fallback=fallback
    )


def chat(hf: HfTokenizer) -> HfTokenizer:
    hf.add_special_tokens([AddedToken(text, normalized=False) for text in ("<|im_start|>", "<|im_end|>")])
    hf.add_tokens([AddedToken("<|im", normalized=True), AddedToken("<tool>", normalized=True)])
    hf.add_tokens([AddedToken("  \n", normalized=False)])
    return hf


KINDS: dict[str, Callable[[], HfTokenizer]] = {
    "gpt-2": lambda: chat(trained_bpe("gpt-2")),
    "smollm": lambda: chat(trained_bpe("smollm")),
    "llama-bpe": lambda: chat(trained_bpe("llama-bpe", ignore_merges=True)),
    "smaug-bpe": lambda: chat(trained_bpe("llama-bpe")),
    "qwen2": lambda: chat(trained_bpe("qwen2", nfc=True)),
    "qwen35": lambda: chat(trained_bpe("qwen35", nfc=True)),
    "gpt-4o": lambda: chat(trained_bpe("gpt-4o", behavior="removed")),
    "tekken": lambda: chat(trained_bpe("tekken", ignore_merges=True)),
    "o200k": lambda: chat(trained_bpe("gpt-4o", ignore_merges=True)),
    "llama2": llama2,
    "phi3": phi3,
    "gemma": gemma,
    "metaspace-first": lambda: metaspace("first", split=False),
    "metaspace-unknown": lambda: metaspace("always", split=True, fallback=False),
    "unigram": lambda: trained_unigram(fallback=False),
    "unigram-bytes": lambda: trained_unigram(fallback=True),
}


def save(hf: HfTokenizer, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    hf.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {}
    if hf.token_to_id("<s>") is not None:
        config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


WORDS = [
    *("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'ſ", "'", "''", " '", "'l", "'r", "n't"),
    *(" the", "Hello", " world", "\n\n", "\r\n", "  ", "   ", " \t", "\u3000\u3000", "\u00a0 ", " \u2028"),
    *("<|im_end|>", "<|im_start|>", "<|im_", "<|im", "<tool>", "|>", "<s>", "</s>", "<unk>", "<|end|>\n\n x"),
    *(" <mask>", "\n<mask>  ", "<unused0>", "▁", "▁▁", "  \n", "<0x0A>", "<|user|>"),
    *("def f(x):\n    return x", '{"name": "HassLightSet", "arguments": {}}', "https://a.b/c?d=1"),
    *("12345", " 12", "   3", "3.14", "٣٤", "Ⅷ", "²", "½", "一二", "१२३", "x9"),
    *("👩‍👩‍👧‍👦", "👍🏽", "🇩🇪", "❤️", "e\u0301", "a\u0308\u0323", "नमस्ते", "한국어", "日本語", "שלום", "가각힣"),
    *(
        "CamelCase",
        "HTMLParser's",
        "aBCdE",
        "ǅungla",
        "ʰaʱB",
        "ªº",
        "iPhone'LL",
        "x\u0301Y",
        "\u0301ab",
        " \u0301a",
    ),
    *(
        "ﬀ",
        "ÅÅÅ",
        "\u0f71\u0f72",
        "\u0958",
        "\U0001d160",
        "\u0344",
        "か\u3099",
        "q\u0323\u0307",
        "ᄀ\u1161\u11a8",
    ),
]
POOLS = [
    *("abcdefgh", "ABCxyz", " ", " \n\t\r\f\v", "0123456789", "'\"-_.,;:!?()[]{}<>|/\\"),
    *("\u0085\u00a0\u1680\u2000\u2009\u2028\u2029\u202f\u205f\u3000", "\u200b\u200c\u200d\u2060\ufeff\ufe0f"),
    *(
        "²³¼½Ⅳⅷ①٠٣۵०३๔๕𝟏𝟐〇㊿",
        "éüßñçøåİıſ",
        "漢字仮名かなカナ",
        "😀🎉👍🏿❤👩",
        "\u0301\u0308\u0323\u20dd\u0338",
    ),
    *("\x00\x01\x04\x06\x13\x1c\x1d\x1f\x7f", "абвгд", "ابجد", "ไทยไม่", "이히ᄒ\u1161\u11ab"),
]
# Numbers of Unicode 17, which `tokenizers` splits off (Rust's tables) but takes for no numbers (Oniguruma's).
# When a release of `tokenizers` knows more, scripts/unicode_tables.py says how to follow it.
DISPUTED = {*range(0x11DE0, 0x11DEA), *range(0x16FF4, 0x16FF7)}


def random_text(rng: random.Random) -> str:
    parts = []
    for _ in range(rng.randint(1, 10)):
        kind = rng.random()
        if kind < 0.3:
            parts.append(rng.choice(WORDS))
        elif kind < 0.4:
            parts.append(rng.choice(sentences()))
        elif kind < 0.85:
            parts.append("".join(rng.choices(rng.choice(POOLS), k=rng.randint(1, 6))))
        elif kind < 0.87:
            parts.append(rng.choice(rng.choice(POOLS)) * rng.randint(10, 300))
        else:
            code = rng.randrange(0x20000 if kind < 0.95 else 0x110000)
            if not 0xD800 <= code < 0xE000 and code not in DISPUTED:
                parts.append(chr(code))
    return "".join(parts)


def random_texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [random_text(rng) for _ in range(count)]


def real_texts() -> list[str]:
    """Source files and documentation, whole and line by line."""
    files = [STDLIB / name for name in ("LICENSE.txt", "argparse.py", "typing.py", "unittest/mock.py")]
    files += sorted((STDLIB / "test").glob("test_unicode*.py"))[:4]
    texts = [file.read_text("utf-8") for file in files if file.exists()]
    return texts + [line for text in texts for line in text.splitlines(keepends=True)]
