"""The bit contract on every family: one digest, however a tiny model's work is cut and whatever its session
did."""

from __future__ import annotations

from functools import cache

import pytest

from tests.models.tiny_models import cases, config_of, in_format, tiny_spec
from tests.models.transformers_models import some_tokens
from tinsmith import _core
from tinsmith.compiler import build_image
from tinsmith.compiler.selftest import logits_digest

CONTEXT = 400


@cache
def image(case: str, weights: str) -> memoryview:
    # Blocks are of 32 inputs, which one tiny config's rows are not, so that there is one for other formats.
    sizes = {"hidden_size": 64} if config_of(case)["hidden_size"] % 32 else {}
    return build_image(in_format(tiny_spec(case, **sizes), weights))


@pytest.fixture(params=cases())
def case(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def core(case: str) -> _core.Model:
    return _core.Model(image(case, "F16"))


def fed(core: _core.Model, tokens: list[int]) -> _core.Session:
    session = _core.Session(core, context=CONTEXT)
    session.append(tokens)
    assert session.step() == _core.STEP_LOGITS
    return session


def next_logits(session: _core.Session, tokens: list[int]) -> bytes:
    session.append(tokens)
    assert session.step() == _core.STEP_LOGITS
    data: bytes = session.logits()[1]
    return data


@pytest.mark.proves("native")
@pytest.mark.parametrize("weights", ["F32", "Q8_0", "Q4_0"])
def test_one_digest(case: str, weights: str) -> None:
    models = [_core.Model(image(case, weights), isa) for isa in _core.isa_names()]
    tokens = some_tokens(models[0].info()["vocab"], 150)
    digests = {
        logits_digest(model, tokens, threads=threads, chunk=chunk)
        for model in models
        for threads in (1, 2, 3)
        for chunk in (1, 7, 64)
    }
    assert len(digests) == 1


def test_a_batch_gives_the_bits_of_sessions_alone(core: _core.Model) -> None:
    prompts = [some_tokens(core.info()["vocab"], count) for count in (5, 90, 33)]
    batch = _core.Batch(core, rows=16, threads=2)
    sessions = [_core.Session(core, context=CONTEXT, batched=True) for _ in prompts]
    for session, prompt in zip(sessions, prompts, strict=True):
        session.append(prompt)
        batch.add(session)
    got: list[list[bytes]] = [[] for _ in prompts]
    while not all(len(logits) == 3 for logits in got):
        for k, event in enumerate(batch.step()):
            if event == _core.STEP_LOGITS and len(got[k]) < 3:
                got[k].append(sessions[k].logits()[1])
                sessions[k].append([len(got[k])])
    for prompt, logits in zip(prompts, got, strict=True):
        alone = fed(core, prompt)
        expected = [alone.logits()[1], next_logits(alone, [1]), next_logits(alone, [2])]
        assert logits == expected


def test_saved_copied_and_rewound_sessions_go_on_with_the_same_bits(core: _core.Model) -> None:
    tokens = some_tokens(core.info()["vocab"], 130)
    expected = next_logits(fed(core, tokens[:120]), tokens[120:])
    saved = fed(core, tokens[:120]).save()
    restored = _core.Session(core, context=CONTEXT)
    restored.restore(saved)
    assert restored.save() == saved
    assert next_logits(restored, tokens[120:]) == expected
    copy = _core.Session(core, context=CONTEXT)
    source = fed(core, tokens[:120])
    copy.copy_from(source, 120)
    assert next_logits(copy, tokens[120:]) == expected
    assert next_logits(source, tokens[120:]) == expected
    changed = fed(core, [*tokens[:120], 5, 6, 7])
    changed.replace(tokens)
    assert changed.step() == _core.STEP_LOGITS
    assert changed.logits()[1] == expected


def test_slices_of_a_step_change_no_bit(core: _core.Model) -> None:
    tokens = some_tokens(core.info()["vocab"], 100)
    sliced = _core.Session(core, context=CONTEXT)
    sliced.append(tokens)
    slices = 1
    while sliced.step(1) == _core.STEP_PENDING:
        slices += 1
    assert slices > 20
    assert sliced.logits()[1] == fed(core, tokens).logits()[1]
