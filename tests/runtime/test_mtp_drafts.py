"""Drafts of a model's own layer for a further token: they are what the layer says, change no token, and cost
little where they are wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.models.predicting import predicting_spec, predictions_image
from tests.runtime.plain_sessions import DONE, PENDING, TOKEN, generated, plainly
from tinsmith import _core
from tinsmith.compiler import build, build_image
from tinsmith.compiler.build import MTP_PROGRAM
from tinsmith.constraint import makers
from tinsmith.errors import RuntimeFault
from tinsmith.formats import tin
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import Spec
from tinsmith.runtime import Model

np = pytest.importorskip("numpy")

SAMPLED = {"temperature": 0.4, "seed": 3}
OPTIONS: dict[str, Any] = {"context": 200, "logit_rows": 9, "checkpoints": 1}
# How much the model's other layers add: the predicting one knows little of them.
KNOWN, FITS, ERRS = 0.02, 0.1, 1.0


def spec(case: str, main: float) -> Spec:
    """The layer is a small part of the model, so that it is heeded at once by a session alone."""
    return predicting_spec(case, main=main, layer=min(5 * main, 1.0), intermediate_size=256)


@cache
def image(case: str = "qwen35", main: float = FITS) -> memoryview:
    return build_image(spec(case, main))


@cache
def core(case: str = "qwen35", main: float = FITS) -> _core.Model:
    return _core.Model(image(case, main))


@cache
def without(case: str = "qwen35", main: float = FITS) -> _core.Model:
    """The same model without the layer."""
    made = spec(case, main)
    return _core.Model(build_image(replace(made, hyper=replace(made.hyper, mtp=0))))  # type: ignore[call-arg]


def prompts(count: int) -> list[list[int]]:
    """In which nothing comes twice, so that nothing is drafted by what stands earlier."""
    return [random.Random(seed).sample(range(3, 260), 12) for seed in range(count)]


def asked(prompt: Sequence[int], model: _core.Model | None = None, **options: Any) -> _core.Session:
    session = _core.Session(model or core(), **{**OPTIONS, **options})
    session.append(prompt)
    return session


def whole(prompt: list[int]) -> _core.Session:
    return asked(prompt)


def in_chunks(prompt: list[int]) -> _core.Session:
    return asked(prompt, chunk=9, logit_rows=3)


def rewound(prompt: list[int]) -> _core.Session:
    session = asked([*prompt[:7], 5, 6, 7, 8])
    session.step()
    session.replace(prompt)
    return session


def copied(prompt: list[int]) -> _core.Session:
    session = asked(prompt)
    session.step()
    copy = _core.Session(core(), **OPTIONS)
    copy.copy_from(session, len(prompt))
    return copy


def restored(prompt: list[int]) -> _core.Session:
    session = asked(prompt[:8])
    session.step()
    again = _core.Session(core(), **OPTIONS)
    again.restore(session.save())
    again.append(prompt[8:])
    return again


@pytest.mark.parametrize("made", [whole, in_chunks, rewound, copied, restored])
def test_drafts_are_the_layers_predictions(made: Any) -> None:
    """Of three tokens, the second is drafted: two passes where that is right, three where it is not."""
    layer = predictions_image(spec("qwen35", FITS))
    says, right = Model(_core.Model(layer), layer, threads=1), []
    for prompt in prompts(12):
        tokens = plainly(without(), prompt, 3)
        session = made(prompt)
        assert generated(session, 3, 1) == tokens
        draft = int(np.asarray(says.logits([*prompt, tokens[0]]))[-1].argmax())
        right.append(draft == tokens[1])
        assert session.passes() == (2 if right[-1] else 3)
    assert 3 <= sum(right) <= 9


def test_it_is_looked_for_among_likely_tokens_and_those_that_were_said() -> None:
    """Of a vocabulary of many more."""
    made = predicting_spec(main=KNOWN, layer=KNOWN, vocab=9000, intermediate_size=1024)
    right, unlikely = 0, 0
    layer = predictions_image(made)
    model, says = _core.Model(build_image(made)), Model(_core.Model(layer), layer, threads=1)
    for prompt in prompts(12):
        tokens = plainly(model, prompt, 3)
        session = asked(prompt, model)
        assert generated(session, 3, 1) == tokens
        logits = np.asarray(says.logits([*prompt, tokens[0]]))[-1]
        said = {token // 16 for token in [*prompt, tokens[0]]}
        likely = [token for token in range(9000) if token < 4096 or token // 16 in said]
        draft = max(likely, key=lambda token: logits[token])
        assert session.passes() == (2 if draft == tokens[1] else 3)
        right += draft == tokens[1]
        unlikely += logits.argmax() == tokens[1] != draft
    assert right > 2 < unlikely


@pytest.mark.parametrize("options", [{}, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(("case", "main"), [("qwen35", FITS), ("qwen35", ERRS), ("qwen35_moe", FITS)])
def test_generation_is_plain_decoding(case: str, main: float, options: dict[str, Any]) -> None:
    prompt = prompts(1)[0]
    tokens = plainly(without(case, main), prompt, 40, **options)
    assert plainly(core(case, main), prompt, 40, **options) == tokens
    for lookup in (0, 1, 8):
        for budget, threads in ((0, 2), (1, 1), (20_000, 2)):
            session = asked(prompt, core(case, main), threads=threads)
            assert generated(session, 40, lookup, budget, **options) == tokens


def test_every_instruction_set_drafts_the_same() -> None:
    for prompt in prompts(2):
        passes = set()
        for isa in _core.isa_names():
            session = asked(prompt, _core.Model(image(), isa))
            assert generated(session, 30, 1) == plainly(without(), prompt, 30)
            passes.add(session.passes())
        assert len(passes) == 1


def test_drafts_save_passes_and_wrong_ones_cost_little() -> None:
    def passes(model: _core.Model, prompt: list[int]) -> int:
        session = asked(prompt, model)
        assert generated(session, 20, 1)
        return session.passes()

    def slices(prompt: list[int], lookup: int) -> int:
        """Of the least budget, behind the prompt: how much is computed."""
        session, count = asked(prompt, core(main=ERRS)), 0
        session.step()
        session.generate(60, lookup)
        while (event := session.step(1)) != DONE:
            count += event == PENDING
        return count

    def slices_together(count: int, lookup: int) -> int:
        sessions = [asked(prompt, core(main=ERRS), batched=True) for prompt in prompts(count)]
        batch, slices, got = together(sessions, core(main=ERRS)), 0, [list[int]() for _ in sessions]
        batch.step()
        for session in sessions:
            session.generate(60, lookup)
        while not all(session.finish() for session in sessions):
            tokens = sum(map(len, got))
            stepped(batch, sessions, got, 1)
            slices += tokens == sum(map(len, got))
        return slices

    ours, plain = (sum(passes(made(main=KNOWN), p) for p in prompts(4)) for made in (core, without))
    assert ours < 0.75 * plain
    wrong, none = (sum(slices(prompt, lookup) for prompt in prompts(4)) for lookup in (1, 0))
    assert none < wrong < 1.06 * none
    wrong, none = (slices_together(4, lookup) for lookup in (1, 0))
    assert none < wrong < 1.03 * none


def test_under_a_constraint_it_is_among_the_allowed() -> None:
    grammar = makers.regex("([a-m]{1,4} ){6}[xyz]{4}").data
    passes = {}
    for model in (core(), without()):
        passes[model] = 0
        for prompt in prompts(4):
            session, held = asked(prompt, model), _core.Constraint(model, grammar)
            session.constrain(held)
            tokens = generated(session, 40, 1)
            passes[model] += session.passes()
            plain = asked(prompt, without())
            plain.constrain(_core.Constraint(without(), grammar))
            assert generated(plain, 40) == tokens
            assert session.finish() == _core.FINISH_END
    assert passes[core()] < passes[without()]


def test_what_comes_between_leaves_no_trace() -> None:
    """A generation that is ended, saved or copied where a draft is under way, at any slice."""
    prompt = prompts(1)[0]
    tokens = plainly(without(), prompt, 12)
    more = plainly(without(), [*prompt, 9, 8, 7], 5)
    for stop in range(1, 120, 7):
        session = asked(prompt)
        session.generate(12, 1)
        for _ in range(stop):
            session.step(1)
        known = session.tokens()[1]
        again = _core.Session(core(), **OPTIONS)
        again.restore(session.save())
        assert again.tokens()[1] == known
        assert known == [*prompt, *tokens][: len(known)]
        session.replace([*prompt, 9, 8, 7])
        assert generated(session, 5, 1) == more


def stepped(batch: _core.Batch, sessions: Sequence[_core.Session], got: list[list[int]], budget: int) -> bool:
    """Whether some still generate."""
    events = batch.step(budget)
    for session, event, tokens in zip(sessions, events, got, strict=True):
        if event == TOKEN:
            tokens.append(session.token())
    return not {TOKEN, PENDING}.isdisjoint(events)


def in_a_batch(
    sessions: Sequence[_core.Session], count: int, batch: _core.Batch, budget: int = 0
) -> list[list[int]]:
    """What each generates in a batch."""
    got = [list[int]() for _ in sessions]
    for session in sessions:
        session.generate(count, 1)
    busy = True
    while busy or not all(session.finish() for session in sessions):
        busy = stepped(batch, sessions, got, budget)
    return got


def together(sessions: Sequence[_core.Session], model: _core.Model) -> _core.Batch:
    batch = _core.Batch(model, rows=100)
    for session in sessions:
        batch.add(session)
    return batch


@pytest.mark.parametrize("batched", [False, True])
def test_in_a_batch_each_has_the_draft_that_it_has_alone(batched: bool) -> None:
    """Once it is known to be worth a row there: at first it is only compared with what is chosen."""
    model, (known, *asks) = core(main=KNOWN), prompts(8)
    untried = [asked(known, model, batched=batched) for _ in asks]
    in_a_batch(untried, 3, together(untried, model))
    alone = asked(known, model)
    generated(alone, 3, 1)
    assert (alone.passes(), {session.passes() for session in untried}) == (2, {3})
    sessions = [asked(known, model, batched=batched) for _ in asks]
    batch, passes = together(sessions, model), []
    in_a_batch(sessions, 20, batch)
    for session, prompt in zip(sessions, asks, strict=True):
        session.replace(prompt)
    assert in_a_batch(sessions, 3, batch) == [plainly(without(main=KNOWN), prompt, 3) for prompt in asks]
    for prompt in asks:
        alone = asked(prompt, model)
        generated(alone, 3, 1)
        passes.append(alone.passes())
    assert [session.passes() for session in sessions] == passes
    assert set(passes) == {2, 3}


def test_in_a_batch_tokens_are_those_of_plain_decoding_in_fewer_passes() -> None:
    grammar = makers.regex("([a-m]{1,4} ){6}[xyz]{4}").data
    passes = []
    for model, budget in ((without(main=KNOWN), 0), (core(main=KNOWN), 0), (core(main=KNOWN), 1)):
        beside = [asked(prompt, model, batched=True) for prompt in prompts(4)]
        alone = [asked(prompt, without(main=KNOWN)) for prompt in prompts(4)]
        beside[2].constrain(_core.Constraint(model, grammar))
        alone[2].constrain(_core.Constraint(without(main=KNOWN), grammar))
        batch = together(beside, model)
        assert in_a_batch(beside, 30, batch, budget) == [generated(session, 30) for session in alone]
        passes.append(sum(session.passes() for session in beside))
    assert max(passes[1:]) < 0.9 * passes[0]


def test_a_session_may_leave_a_batch_where_its_draft_is_under_way() -> None:
    asks = prompts(3)
    answers = [plainly(without(), prompt, 9) for prompt in asks]
    more = plainly(without(), [*asks[0], 9, 8, 7], 3)
    for stop in range(1, 100, 11):
        sessions = [asked(prompt) for prompt in asks]
        batch, got = _core.Batch(core(), rows=40), [list[int]() for _ in asks]
        for session in sessions:
            batch.add(session)
            session.generate(9, 1)
        for _ in range(stop):
            stepped(batch, sessions, got, 1)
        batch.remove(sessions[0])
        assert sessions[0].tokens()[1] == [*asks[0], *answers[0]][: len(asks[0]) + len(got[0])]
        sessions[0].replace([*asks[0], 9, 8, 7])
        assert generated(sessions[0], 3, 1) == more
        while not all(session.finish() for session in sessions[1:]):
            stepped(batch, sessions[1:], got[1:], 0)
        assert got[1:] == answers[1:]


def test_a_batch_has_room_for_its_drafts() -> None:
    """Of as many as its rows can hold; a session of a batch has none of its own."""
    sizes = [
        [_core.Batch(model, rows=64, logit_rows=rows).size() for rows in (1, 2, 4, 32, 64)]
        for model in (core(), without())
    ]
    more = [with_it - plain for with_it, plain in zip(*sizes, strict=True)]
    assert more[0] < more[1] < more[2] < more[3] == more[4]
    alone, batched = (_core.Session(core(), **OPTIONS, batched=there).size() for there in (False, True))
    plain = [_core.Session(without(), **OPTIONS, batched=there).size() for there in (False, True)]
    assert alone - batched > plain[0] - plain[1]


def test_a_layer_that_does_not_fit_its_model_is_refused() -> None:
    file = tin.Tin(image())
    entries = {name: bytes(file.entry(name)) for name in file.names if name != tin.MANIFEST}
    other = tin.Tin(image(main=ERRS))
    assert _core.Model(tin.pack_bytes(list(entries.items()), {}))
    for what, match in (
        (entries["program.bin"], "does not keep what the last cache"),
        (bytes(other.entry(MTP_PROGRAM))[:-1], "mtp/program.bin has"),
    ):
        changed = [*(entries | {MTP_PROGRAM: what}).items()]
        with pytest.raises(RuntimeFault, match=match):
            _core.Model(tin.pack_bytes(changed, {}))


class Parts(GraphBuilder):
    """A model that takes further parts of rows."""

    def embed(self, table: str, scale: float = 1.0) -> Value:
        return self.given(super().embed(table, scale), 1)


def test_a_layer_that_takes_other_rows_than_its_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = iter((Parts, GraphBuilder))
    monkeypatch.setattr(build, "GraphBuilder", lambda tensors, images: next(kinds)(tensors, images=True))
    image = build_image(predicting_spec())
    with pytest.raises(RuntimeFault, match=r"mtp/program\.bin takes rows of 64 floats .* program\.bin of 128"):
        _core.Model(image)
