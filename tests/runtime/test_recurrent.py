"""Sessions of models with recurrent states: whatever they forget, hand on or leave half done, what follows has
the bits of a session that computed the same tokens in one go."""

from __future__ import annotations

import mmap
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import some_tokens
from tinsmith import _core, graph
from tinsmith.compiler import build_image, build_tin
from tinsmith.errors import RuntimeFault
from tinsmith.runtime import Model

CONTEXT = 400
LOGITS, IDLE, PENDING, TOKEN, DONE = (
    _core.STEP_LOGITS,
    _core.STEP_IDLE,
    _core.STEP_PENDING,
    _core.STEP_TOKEN,
    _core.STEP_DONE,
)
WALK = ("append", "rewind", "replace", "shift", "cancel", "fork", "save", "batch")


@cache
def image(case: str) -> memoryview:
    return build_image(tiny_spec(case))


@pytest.fixture(params=["qwen35", "lfm2"])
def case(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def core(case: str) -> _core.Model:
    return _core.Model(image(case))


@cache
def fresh_logits(case: str, tokens: tuple[int, ...]) -> bytes:
    """Of the last token, by a session that knows nothing else."""
    session = _core.Session(_core.Model(image(case)), context=CONTEXT)
    session.append(tokens)
    assert session.step() == LOGITS
    data: bytes = session.logits()[1]
    return data


def check(session: _core.Session, case: str, tokens: Sequence[int]) -> None:
    while (event := session.step()) != LOGITS:
        assert event == PENDING
    assert session.tokens() == (len(tokens), list(tokens))
    assert session.logits()[1] == fresh_logits(case, tuple(tokens))


def slices(session: _core.Session) -> int:
    """Steps of the smallest budget until the logits: how much is computed."""
    count = 1
    while session.step(1) == PENDING:
        count += 1
    return count


@pytest.mark.parametrize("checkpoints", [0, 1, 2, 5])
def test_any_walk_ends_with_the_bits_of_a_fresh_session(case: str, core: _core.Model, checkpoints: int) -> None:
    source = random.Random(checkpoints)
    options: dict[str, Any] = {"context": CONTEXT, "checkpoints": checkpoints}

    def drawn(most: int) -> list[int]:
        return [source.randrange(core.info()["vocab"]) for _ in range(source.randint(1, most))]

    session = _core.Session(core, chunk=16, **options)
    tokens: list[int] = []
    for step in range(60):
        action = WALK[source.randrange(len(WALK))] if tokens else "append"
        if action == "rewind":
            tokens = tokens[: source.randint(0, len(tokens))]
            computed = min(session.tokens()[0], len(tokens))
            session.rewind(len(tokens))
            assert session.tokens() == (computed, tokens)
        elif action == "replace":
            tokens = tokens[: source.randint(0, len(tokens))] + drawn(30)
            session.replace(tokens)
        elif action == "shift":
            keep = source.randint(0, len(tokens))
            drop = source.randint(0, len(tokens) - keep)
            tokens = tokens[:keep] + tokens[keep + drop :]
            session.shift(keep, drop)
        elif action == "cancel":
            session.append(drawn(40))
            for _ in range(source.randint(1, 60)):
                if session.step(1) != PENDING:
                    break
            tokens = session.tokens()[1][: session.tokens()[0]]
            session.rewind(len(tokens))
        elif action == "fork":
            count = source.randint(0, len(tokens))
            copy = _core.Session(core, chunk=source.choice((5, 64)), **options)
            copy.copy_from(session, count)
            session, tokens = copy, tokens[:count]
        elif action == "save":
            again = _core.Session(core, chunk=16, **options)
            again.restore(session.save())
            assert again.tokens()[1] == tokens
            session = again
        elif action == "batch":
            batch = _core.Batch(core, rows=9)
            batch.add(session)
            session.append(more := drawn(20))
            for _ in range(source.randint(1, 30)):
                if batch.step(1) != [PENDING]:
                    break
            batch.remove(session)  # cancels what is under way
            tokens += more
        if len(tokens) > CONTEXT - 80:
            tokens = []
            session.rewind(0)
        if action in ("append", "replace") or step % 3 == 0:
            more = drawn(30)
            session.append(more)
            tokens += more
            check(session, case, tokens)


def test_going_back_by_one_token_computes_nothing_again(case: str, core: _core.Model) -> None:
    tokens = some_tokens(core.info()["vocab"], 200)
    session = _core.Session(core, context=CONTEXT)
    session.append(tokens)
    session.step()
    one = _core.Session(core, context=CONTEXT)
    one.append(tokens[:1])
    session.rewind(199)
    session.append(tokens[199:])
    assert slices(session) <= 2 * slices(one)
    assert session.logits()[1] == fresh_logits(case, tuple(tokens))


def test_checkpoints_save_what_would_be_computed_again(case: str, core: _core.Model) -> None:
    """The end of a prompt stays at hand while an answer grows, and places are spread over a long prompt."""
    tokens = some_tokens(core.info()["vocab"], 300)
    counts = {}
    for checkpoints in (0, 3):
        session = _core.Session(core, context=CONTEXT, chunk=32, checkpoints=checkpoints)
        session.append(tokens[:300])
        session.generate(40)
        while session.step() != DONE:
            pass
        for at in (300, 200):
            session.replace([*tokens[:at], 7, 8])
            counts[checkpoints, at] = slices(session)
            assert session.logits()[1] == fresh_logits(case, (*tokens[:at], 7, 8))
    assert counts[3, 300] * 5 < counts[0, 300]
    assert counts[3, 200] * 1.5 < counts[0, 200]


def test_a_prefix_that_was_shared_once_is_at_hand_the_next_time(case: str, core: _core.Model) -> None:
    vocab = core.info()["vocab"]
    prefix, first, second, third = (some_tokens(vocab, count) for count in (200, 50, 51, 52))
    counts = []
    session = _core.Session(core, context=CONTEXT, checkpoints=2)
    for text in (first, second, third):
        session.replace([*prefix, *text])
        counts.append(slices(session))
        assert session.logits()[1] == fresh_logits(case, (*prefix, *text))
    assert counts[2] * 2 < counts[1]


def test_logits_are_made_once_though_tokens_are_computed_again(case: str, core: _core.Model) -> None:
    tokens = some_tokens(core.info()["vocab"], 120)
    session = _core.Session(core, context=CONTEXT, logit_rows=16)
    session.want_logits(0)
    session.append(tokens)
    positions = []
    for again in (False, True):
        if again:
            session.rewind(50)
            assert session.step() == IDLE
            session.append(tokens[50:])
        while session.step() == LOGITS:
            first, data = session.logits()
            positions += range(first, first + len(data) // (4 * core.info()["vocab"]))
    assert positions == [*range(120), *range(50, 120)]
    assert data[-4 * core.info()["vocab"] :] == fresh_logits(case, tuple(tokens))


def test_saved_bytes_depend_on_the_tokens_alone(core: _core.Model) -> None:
    tokens = some_tokens(core.info()["vocab"], 100)
    saved = set()
    for chunk, checkpoints in ((64, 0), (7, 0), (1, 2), (30, 5)):
        session = _core.Session(core, context=CONTEXT, chunk=chunk, checkpoints=checkpoints)
        session.append(tokens)
        session.step()
        saved.add(session.save())
    assert len(saved) == 1
    caches = _core.Session(core, context=CONTEXT, kv_type=_core.KV_F16)
    caches.append(tokens[:1])
    caches.step()
    assert len(saved.pop()) - len(caches.save()) >= core.info()["state_bytes"]


def test_a_dropped_pass_of_one_row_loses_nothing(case: str, core: _core.Model) -> None:
    tokens = some_tokens(core.info()["vocab"], 150)
    session = _core.Session(core, context=CONTEXT)
    session.append(tokens)
    session.step()
    session.append([5])
    for _ in range(10):
        assert session.step(1) == PENDING
    session.rewind(150)
    session.append([6])
    assert slices(session) < 500
    assert session.logits()[1] == fresh_logits(case, (*tokens, 6))


def test_generations_take_no_drafts_and_are_plain_decoding(case: str, core: _core.Model) -> None:
    prompt = some_tokens(core.info()["vocab"], 20) * 3
    session = _core.Session(core, context=CONTEXT, logit_rows=8)
    session.append(prompt)
    session.generate(25, 6)
    answer = []
    while (event := session.step()) != DONE:
        if event == TOKEN:
            answer.append(session.token())
    assert session.passes() == len(answer)
    plain = list(prompt)
    for token in answer:
        row = memoryview(fresh_logits(case, tuple(plain))).cast("f").tolist()
        assert row.index(max(row)) == token
        plain.append(token)


def test_a_model_answers_from_one_prefix_as_if_alone(case: str, core: _core.Model) -> None:
    """The prefix cache and the many-prompts batch of the Python runtime."""
    shared = "Once there was a lamp in the kitchen that would not dim. " * 2
    prompts = [shared + end for end in ("Why", "Then", "It was late", "And so it went on until")]
    model = Model(core, image(case), threads=1)
    alone = []
    for prompt in prompts:
        lone = Model(core, image(case), threads=1)
        alone.append(lone.generate(prompt, max_tokens=12).token_ids)
    assert [model.generate(prompt, max_tokens=12).token_ids for prompt in prompts] == alone
    many = model.generate_many(prompts, max_tokens=12, concurrency=3)
    assert [one.token_ids for one in many] == alone


def test_constrained_answers_do_not_depend_on_what_was_asked_before(case: str, core: _core.Model) -> None:
    """Tokens that must come are computed with what is behind them."""
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "reed"]}}, "required": ["colour"]}
    used = Model(core, image(case), threads=1)
    for seed in range(4):
        asked = "the thing " * seed
        fresh = Model(core, image(case), threads=1)
        answers = [model.json(asked + "is", schema, temperature=2.0, seed=seed) for model in (used, fresh)]
        assert answers[0] == answers[1]


def test_caches_of_8_bits_leave_states_alone() -> None:
    core = _core.Model(image("qwen35"))
    tokens = some_tokens(core.info()["vocab"], 120)

    def logits(session: _core.Session, more: Sequence[int]) -> bytes:
        session.append(more)
        assert session.step() == LOGITS
        data: bytes = session.logits()[1]
        return data

    def empty() -> _core.Session:
        return _core.Session(core, context=CONTEXT, kv_type=_core.KV_Q8)

    expected = logits(empty(), tokens)
    used, restored = empty(), empty()
    logits(used, [*tokens[:80], 5, 6])
    used.rewind(80)
    restored.restore(used.save())
    assert logits(used, tokens[80:]) == logits(restored, tokens[80:]) == expected
    assert expected != fresh_logits("qwen35", tuple(tokens))


def test_windows_and_states_in_one_model() -> None:
    """A ring may not hold what computing again would need: then that is said, or all is computed again."""
    plain = graph.GraphBuilder.cache
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph.GraphBuilder, "cache", lambda self, heads, dim: plain(self, heads, dim, 20))
        core = _core.Model(build_image(tiny_spec("qwen35")))
    source = random.Random(3)
    session = _core.Session(core, context=CONTEXT, chunk=16, checkpoints=3)
    tokens: list[int] = []
    refused = 0
    for _ in range(60):
        keep = source.randint(len(tokens) // 3, len(tokens)) if len(tokens) < 280 else 0
        more = some_tokens(core.info()["vocab"], source.randint(1, 110))
        try:
            session.rewind(keep)
        except RuntimeFault as fault:
            assert "rewind to 0" in str(fault)
            refused += 1
            keep = len(tokens) if source.random() < 0.7 and len(tokens) < 280 else 0
            session.rewind(keep)
        tokens = tokens[:keep] + more
        session.append(more)
        assert session.step() == LOGITS
        fresh = _core.Session(core, context=CONTEXT)
        fresh.append(tokens)
        assert fresh.step() == LOGITS
        assert session.logits() == fresh.logits()
    assert 0 < refused < 50


def test_a_tin_with_states_tests_itself(case: str, tmp_path: Path) -> None:
    build_tin(tiny_spec(case), tmp_path / "m.tin")
    data = (tmp_path / "m.tin").read_bytes()
    block = mmap.mmap(-1, len(data))
    block.write(data)
    for isa in _core.isa_names():
        session = _core.Session(_core.Model(memoryview(block), isa), context=64, chunk=7)
        session.append([1, 2])
        session.selftest()
        assert session.tokens() == (0, [])


def test_checkpoints_take_memory_of_their_own_and_have_a_limit(core: _core.Model) -> None:
    sizes = [_core.Session(core, context=64, checkpoints=count).size() for count in (0, 1, 3)]
    state = core.info()["state_bytes"]
    assert state > 0
    assert [size - sizes[0] for size in sizes] == [0, state, 3 * state]
    with pytest.raises(RuntimeFault, match="63 checkpoints; a session keeps at most 62"):
        _core.Session(core, context=64, checkpoints=63)
