"""The C core where addresses have 32 bits: sizes are those of every machine, or refused. As a WASI program,
which has at most 4 GiB and stops at an access past them."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kernels import safety
from tests.kernels.test_wasm import HERE, KERNELS, Program
from tests.models import c_programs
from tests.models.tiny_models import tiny_spec
from tinsmith import compiler
from tinsmith.constraint import makers
from tinsmith.formats import tin as tins

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")

SOURCES = [HERE / "sizes_check.c", KERNELS / "tin_all.c"]
FLAGS = c_programs.TOOL
LIMIT = 1 << 32
SIZES = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "max_position_embeddings": 1 << 24}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("narrow")


@pytest.fixture(scope="module")
def narrow(folder: Path) -> Program:
    return Program(c_programs.for_target("wasm32-wasi", folder / "sizes.wasm", SOURCES, *FLAGS))


@pytest.fixture(scope="module")
def wide(folder: Path) -> Path:
    return c_programs.program(folder / "sizes", SOURCES, *FLAGS)


def large_tin(path: Path, *, nfc: bool) -> Path:
    """A model of little weight that can be asked for more than 4 GiB of everything."""
    spec = tiny_spec("llama", **SIZES)
    tokenizer = replace(spec.tokenizer, nfc=nfc)
    answer = makers.grammar(safety.ANSWER).data
    spec = replace(spec, tokenizer=tokenizer, chat_template=safety.THINKING)
    compiler.build_tin(spec, path, entries={tins.CONSTRAINT: answer})
    return path


@pytest.mark.parametrize("nfc", [False, True])
def test_sizes_are_those_of_every_machine_or_refused(
    folder: Path, narrow: Program, wide: Path, nfc: bool
) -> None:
    """Of texts, conversations, sessions, batches and constraints, to beyond what 32 bits can count."""
    tin = large_tin(folder / f"{nfc}.tin", nfc=nfc)
    done = subprocess.run([wide, tin], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    answer = narrow(folder, f"./{tin.name}")
    assert (answer.status, answer.stderr) == (0, "")
    reported, here = (
        [line.rsplit(" ", 1) for line in text.splitlines()] for text in (done.stdout, answer.stdout)
    )
    refused = set()
    for (what, size), (same, bytes_here) in zip(reported, here, strict=True):
        expected = int(size) if int(size) < LIMIT else 0
        # Batches and constraints hold pointers, which are smaller here.
        smaller = what.split()[0] in ("batch", "constraint")
        assert (same, int(bytes_here) <= expected) == (what, True)
        assert smaller or int(bytes_here) == expected
        if not expected:
            refused.add(what)
    texts = {"tokenize 53", "tokenize 54", "tokenize 64", "tokenize 65", "chat 64"} if nfc else set()
    assert {what for what in refused if not what.startswith("session ")} == texts
    assert "session 16777216" in refused
