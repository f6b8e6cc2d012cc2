"""The seam: a model whose logits come from elsewhere answers as the one that computes them natively."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.models.tiny_models import in_format
from tinsmith import _core
from tinsmith.compiler import build_image, build_words
from tinsmith.errors import InputError, RuntimeFault
from tinsmith.models import Spec
from tinsmith.runtime import Model, choices, schema
from tinsmith.runtime.engine import Engine
from tinsmith.spec import Buffer

QUESTION = [{"role": "user", "content": "in the thin tin"}]


class Borrowed(Engine):
    """Logits of a native session. Counts the tokens that it was asked for."""

    def __init__(self, core: _core.Model, *, rewinds: bool = True, single: bool = False) -> None:
        super().__init__(core.info()["context"], core.info()["vocab"], chunk=8)
        self.rewinds, self.single = rewinds, single
        self._session = _core.Session(core, chunk=8, logit_rows=8)
        self.computed = 0
        self.passes: list[tuple[int, int]] = []

    def _rewind(self, position: int) -> int:
        if not self.rewinds and position < len(self._cached):
            position = 0
        self._session.rewind(position)
        return position

    def _compute(self, tokens: Sequence[int], position: int, rows: int) -> Buffer:
        assert self._session.tokens()[0] == position
        self.computed += len(tokens)
        self.passes.append((len(tokens), rows))
        self._session.append(tokens)
        self._session.want_logits(position + len(tokens) - max(rows, 1))
        self._session.step()
        return self._session.logits()[1] if rows else b""


@pytest.fixture
def native(spec: Spec) -> Model:
    image = build_image(in_format(spec, "Q8_0"))
    return Model(_core.Model(image), image, threads=1)


@pytest.fixture
def outside(spec: Spec, native: Model) -> Callable[..., Model]:
    def made(**options: bool) -> Model:
        image = build_words(spec.tokenizer, spec.chat_template, spec.hyper.context, {"name": "tiny"})
        return Model(_core.Model(image), image, threads=1, engine=Borrowed(native.core, **options))

    return made


@pytest.mark.parametrize("options", [{}, {"rewinds": False}, {"single": True}], ids=str)
def test_answers_are_the_native_ones(
    native: Model, outside: Callable[..., Model], options: dict[str, bool]
) -> None:
    other = outside(**options)
    wanted = schema({"type": "array", "items": {"type": "integer"}, "maxItems": 3})
    for asked in (
        {},
        {"temperature": 1.0, "seed": 7, "top_k": 40, "repetition_penalty": 1.2},
        {"constraint": wanted},
        {"constraint": choices(["thin", "tin", "inn"]), "temperature": 1.0, "seed": 2},
        {"stop": ["the"]},
    ):
        ours = native.chat(QUESTION, max_tokens=24, **asked)
        theirs = other.chat(QUESTION, max_tokens=24, **asked)
        assert theirs.token_ids == ours.token_ids
        assert (theirs.text, theirs.finish) == (ours.text, ours.finish)
    assert "".join(other.stream("the thi", max_tokens=5, heal=True)) == "".join(
        native.stream("the thi", max_tokens=5, heal=True)
    )
    assert other.choose(QUESTION, ["in", "the", "tin"]) == native.choose(QUESTION, ["in", "the", "tin"])
    greedy = native.chat(QUESTION, max_tokens=12).token_ids
    draft = [*greedy[:6], 9, 9]
    assert other.chat(QUESTION, max_tokens=12, draft=draft).token_ids == greedy
    many = ["the", "thin tin", "in"]
    assert [one.token_ids for one in other.generate_many(many, max_tokens=6)] == [
        one.token_ids for one in native.generate_many(many, max_tokens=6)
    ]


def test_logits_are_passed_on_bit_for_bit(native: Model, outside: Callable[..., Model]) -> None:
    tokens = native.tokenize("the thin tin is in the inn") * 3
    for options in ({}, {"rewinds": False}, {"single": True}):
        assert outside(**options).logits(tokens).tobytes() == native.logits(tokens).tobytes()


def test_what_prompts_share_is_computed_once(outside: Callable[..., Model]) -> None:
    model = outside()
    engine = model.engine
    assert isinstance(engine, Borrowed)
    first = model.tokenize("the thin tin is in the inn in the thing")
    model.generate(first, max_tokens=1, lookup=0)
    before = engine.computed
    model.generate([*first[:-3], *model.tokenize("bin")], max_tokens=1, lookup=0)
    assert engine.computed - before <= 4


def test_a_cache_that_cannot_go_back_learns_where_logits_begin(native: Model) -> None:
    engine = Borrowed(native.core, rewinds=False)
    engine.logits(list(range(5, 26)), 3)
    assert engine.passes == [(8, 0), (8, 0), (2, 0), (3, 3)]


def test_a_failing_engine_leaves_the_session_usable(native: Model, outside: Callable[..., Model]) -> None:
    model = outside()
    engine = model.engine
    assert isinstance(engine, Borrowed)
    wanted = native.generate("the tin", max_tokens=6).token_ids
    working, calls = engine._compute, 0

    def breaks(tokens: Sequence[int], position: int, rows: int) -> Buffer:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise InputError("no more memory")
        return working(tokens, position, rows)

    engine._compute = breaks  # type: ignore[method-assign]
    with pytest.raises(InputError, match="no more memory"):
        model.generate("the tin", max_tokens=6)
    assert model.generate("the tin", max_tokens=6).token_ids == wanted


def test_logits_of_a_wrong_size_are_refused(outside: Callable[..., Model]) -> None:
    core = outside().core
    for given in (b"1234", bytes(core.info()["vocab"] * 4 + 4), "text"):
        session = _core.Session(core, compute=lambda tokens, rows, given=given: given)  # type: ignore[misc]
        session.append([5, 6])
        with pytest.raises((ValueError, TypeError)):
            session.step()
    with pytest.raises(TypeError, match="in no batch"):
        _core.Batch(core).add(session)


def test_a_session_in_use_is_not_entered_again(outside: Callable[..., Model]) -> None:
    core = outside().core

    def compute(tokens: list[int], rows: int) -> bytes:
        session.step()
        return bytes(4 * rows * core.info()["vocab"])

    session = _core.Session(core, compute=compute)
    session.append([5])
    with pytest.raises(RuntimeError, match="in use"):
        session.step()


def test_a_context_that_is_full_says_so(outside: Callable[..., Model]) -> None:
    model = outside()
    with pytest.raises(RuntimeFault, match="context"):
        model.generate([5] * (model.core.info()["context"] + 1), max_tokens=1)
