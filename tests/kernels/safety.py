"""Builds the C programs of the safety tests: the whole C core, once for each set of flags."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chat.test_chat_template import THINKING
from tests.models import c_programs
from tests.models.tiny_models import in_format, tiny_spec, with_vision
from tinsmith import _core, compiler, quant
from tinsmith.compiler import drafts
from tinsmith.constraint import makers
from tinsmith.formats import minisign
from tinsmith.models import Tokenizer, family

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"
CORE = [*sorted(KERNELS.glob("core/*/*.c")), *sorted(KERNELS.glob("isa/*/*.c"))]
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-D_GNU_SOURCE", f"-I{KERNELS}"]
# float-cast-overflow is in no group: what such a conversion gives differs between processors.
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fsanitize=float-cast-overflow"]
SANITIZE += ["-fno-sanitize-recover=all"]

# Recursion, a counted rule, free text and forced runs.
ANSWER = """
root ::= "the thing: " list{1,3} "\\n"
list ::= "[" (item ("," item)*)? "]"
item ::= list | "in the" | [a-z]{1,5} | "\\"" [^"\\n]* "\\""
"""


def clang() -> str:
    """A clang, by whichever name it is installed."""
    for name in ("clang-19", "clang"):
        program = shutil.which(name)
        if program:
            return program
    pytest.skip("clang is not installed")


def sanitized() -> list[Path]:
    """The C core under sanitizers, compiled once for all: it also counts for fuzzers, which changes no other
    program."""
    return c_programs.objects(clang(), CORE, *STRICT, *SANITIZE, "-fsanitize=fuzzer-no-link")


def link(compiler_name: str, output: Path, source: str, parts: list[Path], *flags: str) -> Path:
    """One of the programs here with the C core."""
    command = [compiler_name, *STRICT, *flags, HERE / source, *parts, "-o", output, "-pthread"]
    subprocess.run(command, check=True)
    return output


LLAMA = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "head_dim": 32,
    "num_attention_heads": 4,
}


def small_tin(path: Path, preset: str = "Q4_0", name: str = "llama") -> Path:
    """A model that chats, has a constraint and a draft table; signed, with the signature and the public key
    beside it. A llama has one layer, and heads for both kinds of cache."""
    sizes = LLAMA if name == "llama" else {}
    spec = replace(tiny_spec(name, max_position_embeddings=256, **sizes), chat_template=THINKING)
    answer = makers.grammar(ANSWER).data
    model = _core.Model(compiler.build_image(spec))
    said = [([k, 2 * k, 3 * k + 1], [k % 5, 3, k % 7, 9, 9, k]) for k in range(60)]
    entries = {"grammar/answer.bin": answer, "drafts/answer.bin": drafts.learn(model, said)}
    compiler.build_tin(quant.apply(spec, preset), path, entries=entries)
    key = minisign.SecretKey(b"fuzz key", bytes(32))
    Path(f"{path}.minisig").write_text(minisign.sign(path, key), "utf-8")
    Path(f"{path}.key").write_text(key.public, "utf-8")
    return path


def vision_tin(path: Path) -> Path:
    """A model of one layer that sees and chats, with the image of its self-test."""
    spec = with_vision(tiny_spec("llama", max_position_embeddings=256, **LLAMA))
    compiler.build_tin(quant.apply(replace(spec, chat_template=THINKING), "Q8_0"), path)
    return path


def text_tin(path: Path, tokenizer: Tokenizer) -> Path:
    """A model of one layer with this tokenizer."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "vocab_size": len(tokenizer.tokens)}
    spec = tiny_spec(family.by_name("llama"), **sizes)
    compiler.build_tin(replace(spec, tokenizer=tokenizer, chat_template=None), path)
    return path


def format_tin(path: Path, name: str) -> Path:
    """A model of one layer whose matrices are all in one format; wide enough for blocks of 256."""
    sizes = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1, "head_dim": 32}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2}
    compiler.build_tin(in_format(tiny_spec(family.by_name("llama"), **sizes, **heads), name), path)
    return path
