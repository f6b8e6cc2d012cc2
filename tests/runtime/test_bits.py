"""The bit contract on whole models: one digest, whatever computes it and however the work is cut."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

import pytest

import tinsmith
from tinsmith import _core
from tinsmith.compiler import build_tin
from tinsmith.compiler.selftest import logits_digest
from tinsmith.errors import RuntimeFault
from tinsmith.formats.tin import Tin
from tinsmith.formats.weights import WEIGHT_FORMATS
from tinsmith.models import Spec

Image = Callable[[str], memoryview]


def token_row(model: _core.Model, count: int) -> list[int]:
    return [(7 * k * k + 3 * k) % model.info()["vocab"] for k in range(count)]


@pytest.mark.parametrize("name", WEIGHT_FORMATS)
def test_one_digest_for_every_instruction_set_thread_count_and_chunk(image: Image, name: str) -> None:
    digests = {
        logits_digest(model, token_row(model, 150), threads=threads, chunk=chunk)
        for isa in _core.isa_names()
        for model in [_core.Model(image(name), isa)]
        for threads in (1, 2, 3, 8)
        for chunk in (1, 7, 64, 512)
    }
    assert len(digests) == 1


def test_formats_differ(image: Image) -> None:
    """The digests above compare something: another format gives other bits."""
    digests = {logits_digest(_core.Model(image(name)), [1, 2, 3]) for name in WEIGHT_FORMATS}
    assert len(digests) == len(WEIGHT_FORMATS)


def test_a_step_in_slices_changes_no_bit(image: Image) -> None:
    model = _core.Model(image("Q4_0"))
    whole, sliced = (_core.Session(model, context=256) for _ in range(2))
    tokens = token_row(model, 200)
    whole.append(tokens)
    assert whole.step() == _core.STEP_LOGITS
    sliced.append(tokens)
    slices = 1
    while sliced.step(1) == _core.STEP_PENDING:
        slices += 1
    assert slices > 100
    assert sliced.logits() == whole.logits()


def test_rewound_session_gives_the_bits_of_a_fresh_one(image: Image) -> None:
    model = _core.Model(image("Q8_0"))
    used, fresh = (_core.Session(model, context=256) for _ in range(2))
    tokens = token_row(model, 120)
    used.append(tokens[:80] + [5] * 40)
    used.step()
    used.rewind(80)
    used.append(tokens[80:])
    fresh.append(tokens)
    assert used.step() == fresh.step() == _core.STEP_LOGITS
    assert used.logits() == fresh.logits()


def test_base_model_gives_one_digest(base_gguf: Path) -> None:
    digests = set()
    for isa in _core.isa_names():
        model = tinsmith.load(base_gguf, isa=isa, threads=1)
        assert model.info.isa == isa
        tokens = model.tokenize("The lamp in the kitchen is on. Dim it to 40 %, please!")
        digests |= {
            logits_digest(model.core, tokens, threads=threads, chunk=chunk)
            for threads in (1, 2)
            for chunk in (1, 0)
        }
    assert len(digests) == 1


def test_a_tin_tests_itself(spec: Spec, tmp_path: Path) -> None:
    path = tmp_path / "m.tin"
    build_tin(spec, path)
    image = path.read_bytes()
    for isa in _core.isa_names():
        for options in ({}, {"chunk": 7, "threads": 2}, {"logit_rows": 64}):
            session = _core.Session(_core.Model(aligned(image), isa), context=64, **options)
            session.append([1, 2])
            session.selftest()
            assert session.tokens() == (0, [])

    test = bytes(Tin(path).entry("selftest.bin"))
    flipped = bytearray(test)
    flipped[-1] ^= 1
    cut = test[:-1] + b"x"
    for damage, message in (
        (bytes(flipped), "prompt 1 of the self-test gives other logits"),
        (cut, "prompt 1"),
    ):
        other = image.replace(test, damage)
        assert other != image
        session = _core.Session(_core.Model(aligned(other)), context=64)
        with pytest.raises(RuntimeFault, match=message):
            session.selftest()
    with pytest.raises(RuntimeFault, match="float16 caches|not whole blocks"):
        _core.Session(_core.Model(aligned(image)), context=64, kv_type=_core.KV_Q8).selftest()


def aligned(image: bytes) -> memoryview:
    """The bytes at an address that the core takes."""
    block = mmap.mmap(-1, len(image))
    block.write(image)
    return memoryview(block)


def test_selfcheck_passes_on_this_build() -> None:
    _core.selfcheck()
