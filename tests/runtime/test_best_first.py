"""Answers that are looked for as a whole: the likeliest of those that a constraint allows, however computed."""

from __future__ import annotations

import heapq
import itertools
import json
import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec, with_controls
from tests.models.transformers_models import CHATML
from tests.runtime.plain_sessions import DONE, PENDING, TOKEN, fed, generated, row, together
from tinsmith import _core, cli
from tinsmith.compiler import build_image, build_tin
from tinsmith.constraint import Constraint, makers
from tinsmith.constraint.coverage import values, words
from tinsmith.errors import RuntimeFault
from tinsmith.formats.tin import CONSTRAINT
from tinsmith.runtime import Model
from tinsmith.train.tensors import from_float32, to_float32

SHARPER = 8
ROOM, LEFT_BEHIND, LEAST, CANDIDATES, LIKELY = 32, 8, -10.0, 256, 16
CASES = ("llama", "qwen35", "lfm2", "falcon_h1", "gemma3")
TEXTS = ["lamp", "lantern", "lake", "light on", "light off", "on", "off", "often", "a", "ab", "abc", "the lake"]
KINDS: dict[str, Constraint] = {
    "choices": makers.choices(TEXTS),
    "pairs": makers.regex(r"(kitchen|kit|garage|garden) (red|rose|green|great) (on|off|often)"),
    "open": makers.regex(r"[a-c]{1,6}"),
    "text": makers.regex(r"say .{1,4}"),
    "calls": makers.regex(r'\{"at":"(a|ab|the a|on)","to":"(a b|on|of)"\}'),
}


@cache
def image(case: str) -> memoryview:
    """Of a model to which some tokens are far likelier than others."""
    spec = tiny_spec(case)
    norm = from_float32(SHARPER * to_float32(spec.tensors["final_norm"]))
    return build_image(replace(spec, tensors={**spec.tensors, "final_norm": norm}))


@cache
def made(case: str) -> _core.Model:
    return _core.Model(image(case))


def held(
    case: str, kind: str, turns: int = 1000, known: str = "", nats: float = 0, copied: tuple[str, ...] = ()
) -> _core.Constraint:
    """copied: the keys of JSON whose values cost as much as a word that is left out."""
    constraint = KINDS[kind].with_search(turns)
    keys = {key for one in copied for key, _ in values(f'{{"{one}":""}}'.encode())}
    if turns:
        constraint = constraint.with_coverage(words(known), 0 if copied else nats, dict.fromkeys(keys, nats))
    return _core.Constraint(made(case), constraint.data)


Given = tuple[list[int], int, float]


def answered(
    case: str,
    kind: str,
    prompt: Sequence[int],
    turns: int = 1000,
    lookup: int = 0,
    budget: int = 0,
    known: str = "",
    nats: float = 0,
    copied: tuple[str, ...] = (),
    **options: Any,
) -> Given:
    """Tokens, the end's or -1, and how likely the answer is among what is allowed."""
    session = _core.Session(
        made(case), **{"context": 256, "logit_rows": 9, "checkpoints": 1, "searches": True, **options}
    )
    session.append(prompt)
    return finished(session, held(case, kind, turns, known, nats, copied), lookup, budget)


def finished(session: _core.Session, constraint: _core.Constraint, lookup: int = 0, budget: int = 0) -> Given:
    session.constrain(constraint)
    tokens = generated(session, ROOM, lookup, budget, measure=True)
    assert session.finish() == _core.FINISH_END
    return tokens, session.token(), session.log_probability()


@dataclass(order=True)
class Beginning:
    less: float
    made: int
    tokens: list[int] = field(compare=False)
    sure: float = field(compare=False)
    end: int | None = field(compare=False, default=None)


def looked_for(
    case: str,
    kind: str,
    prompt: Sequence[int],
    known: str = "",
    nats: float = 0,
    copied: tuple[str, ...] = (),
    all_weigh: bool = False,
) -> tuple[list[int], int, float, int]:
    """The same by a queue of beginnings, each computed from nothing. The last: how often it went back.

    all_weigh: in each choice, and not only where most tokens may come.
    """

    def left_out(answer: Sequence[int]) -> float:
        if not nats:
            return 0
        asked, given = (b"".join(model.token(k)[0] for k in ids).decode() for ids in (prompt, answer))
        if copied:
            said = " ".join(re.findall("[a-z]+", asked.lower()))
            return nats * sum(
                f" {value} " not in f" {said} " for key, value in json.loads(given).items() if key in copied
            )
        return nats * len(words(asked) - words(known) - words(given))

    model, constraint = made(case), held(case, kind)
    queue, number, turns, before = [Beginning(0.0, 0, [], 0.0)], 1, -1, None
    while True:
        one = heapq.heappop(queue)
        turns += before is None or one.tokens[: len(before)] != before
        if one.end is not None:
            return one.tokens, one.end, one.sure, turns
        constraint.begin()
        for token in one.tokens:
            constraint.accept(token)
        tokens = list(one.tokens)
        while constraint.state() != _core.CONSTRAINT_MUST_END:
            run = constraint.forced([*prompt, *tokens])
            if not run:
                break
            for token in run:
                constraint.accept(token)
            tokens += run
        before = tokens
        if constraint.state() == _core.CONSTRAINT_MUST_END:
            less = one.less + left_out(tokens)
            heapq.heappush(queue, Beginning(less, number, tokens, one.sure, -1))
            number += 1
            continue
        mask = int.from_bytes(constraint.mask(), "little")
        logits = array("f", fed(model, [*prompt, *tokens]).logits()[1])
        allowed = [k for k in range(len(logits)) if mask >> k & 1]
        best = sorted(allowed, key=lambda k: (-logits[k], k))[:LEFT_BEHIND]
        most = all_weigh or len(allowed) > len(logits) // 2
        wanted = range(len(logits)) if most else {*allowed, *prompt, *range(len(logits) // LIKELY)}
        whole, among = total([logits[k] for k in wanted]), total([logits[k] for k in allowed])
        for rank, token in enumerate(best):
            less = one.less - (logits[token] - whole if len(allowed) > 1 else 0)
            end = token if model.token(token)[2] else None
            less += 0 if end is None else left_out(tokens)
            beside = logits[token] - logits[best[0]] - (0 if end is None else left_out(tokens))
            if rank and beside <= LEAST:
                continue
            longer = tokens if end is not None else [*tokens, token]
            sure = one.sure + (logits[token] - among if len(allowed) > 1 else 0)
            heapq.heappush(queue, Beginning(less, number, longer, sure, end))
            number += 1
        assert number < CANDIDATES


def total(logits: Sequence[float]) -> float:
    most = max(logits)
    return most + math.log(sum(math.exp(value - most) for value in logits))


def prompts(case: str) -> list[list[int]]:
    return [row(made(case), 9, seed) for seed in range(1, 7)]


ASKED = [(kind, seed) for kind in ("choices", "pairs", "open") for seed in range(6)]
TEXTS_ASKED = [("text", seed) for seed in range(6)]


@pytest.mark.parametrize("case", CASES)
def test_best_first_search_finds_the_likeliest_answer(case: str) -> None:
    """As by a search that computes every beginning anew; drafts and slices change nothing."""
    turned, others = 0, 0
    for kind, seed in ASKED:
        prompt = prompts(case)[seed]
        tokens, end, sure, turns = looked_for(case, kind, prompt)
        given = answered(case, kind, prompt)
        assert given[:2] == (tokens, end)
        assert given[2] == pytest.approx(sure, abs=1e-4)
        assert answered(case, kind, prompt, lookup=6) == given
        assert answered(case, kind, prompt, lookup=6, budget=1, chunk=3, logit_rows=3, threads=2) == given
        turned += turns
        others += given != answered(case, kind, prompt, turns=0)
    assert turned > 10
    assert others > 3


ASKING = (
    "a Lake, the lake; often?",
    "the lantern is on in the kitchen",
    "garage light: rose or green",
    "abc",
    "a b off",
)


@pytest.mark.parametrize("case", CASES)
def test_an_answer_pays_for_new_words_that_it_leaves_out(case: str) -> None:
    """As by the search that computes every beginning anew; what is known costs nothing."""
    model, others = made(case), 0
    for text in ASKING:
        prompt = model.tokenize(text)
        for kind in ("choices", "pairs"):
            plain = answered(case, kind, prompt)
            assert answered(case, kind, prompt, known=text, nats=3) == plain
            tokens, end, _, _ = looked_for(case, kind, prompt, "is on in a", 12)
            given = answered(case, kind, prompt, known="is on in a", nats=12)
            assert given[:2] == (tokens, end)
            sliced = {"lookup": 6, "budget": 1, "chunk": 3, "logit_rows": 3, "threads": 2}
            assert answered(case, kind, prompt, known="is on in a", nats=12, **sliced) == given
            others += given != plain
    assert others


# Templates, and the words that they take for control tokens, of which no user's content is told by one alone.
_HEADED = (
    "{{ '<s>' }}{% for m in messages %}{{ '<h>' + m['role'] + '</h>\n\n' + m['content'] + '<e>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<h>assistant</h>\n\n' }}{% endif %}"
)
_INSTRUCTED = (  # what stands before a user's content is not what stands before the first one's
    "{{ '<s>' }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '<I>' + m['content'] + '</I>' }}"
    "{% elif m['role'] == 'system' %}{{ '<S>' + m['content'] + '</S>' }}"
    "{% else %}{{ m['content'] + '<e><s>' }}{% endif %}{% endfor %}"
)
_SWITCHED = (
    CHATML.replace("{% endif %}", "")
    + "{% if enable_thinking is defined and not enable_thinking %}{{ '<t>\n\n</t>\n\n' }}{% endif %}{% endif %}"
)
_ANSWERED = (  # a tool's answer is the user's to say
    "{% for m in messages %}{% if m['role'] == 'tool' %}"
    "{{ '<|im_start|>user\n<tool_response>\n' + m['content'] + '\n</tool_response><|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEMPLATES: dict[str, tuple[str, tuple[str, ...], bool | None]] = {
    "chatml": (CHATML, (), None),
    "headed": (_HEADED, ("<s>", "<h>", "</h>", "<e>"), None),
    "instructed": (_INSTRUCTED, ("<s>", "<I>", "</I>", "<S>", "</S>", "<e>"), None),
    "switched off": (_SWITCHED, ("<t>", "</t>"), False),
    "a tool's answer": (_ANSWERED, (), None),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_of_a_conversation_the_last_question_counts(name: str) -> None:
    """Whatever the system message and earlier turns have that is new, and whatever the template writes."""
    template, controls, thinking = TEMPLATES[name]
    spec = tiny_spec("llama")
    spec = replace(spec, tokenizer=with_controls(spec.tokenizer, controls), chat_template=template)
    built = build_image(spec)
    model = Model(_core.Model(built), built, threads=1)
    assert model.tin.manifest.get("template_refused") is None
    for one, other in (("lake", "lamp"), ("lamp", "often"), ("often", "lake")):
        held = KINDS["choices"].with_search(1000).with_coverage(words("which it is"), 60)
        question = [{"role": "user", "content": f"which {one} it is"}]
        turns = [
            {"role": "system", "content": f"it is {other}"},
            {"role": "user", "content": f"{other} and {other}"},
            {"role": "assistant", "content": other},
            *question,
        ]
        if name == "a tool's answer":
            turns += [{"role": "assistant", "content": other}, {"role": "tool", "content": other}]
        for asked in (turns, turns[:1] + question, question):
            answer = model.chat(asked, constraint=held, max_tokens=ROOM, thinking=thinking)
            assert one in answer.text
            # Nothing else counts, such as the role: an answer that has the word has paid for all.
            plain = KINDS["choices"].with_search(1000).with_coverage(words(f"which it is {one}"), 60)
            free = model.chat(asked, constraint=plain, max_tokens=ROOM, thinking=thinking)
            searched = model.chat(
                asked, constraint=KINDS["choices"].with_search(1000), max_tokens=ROOM, thinking=thinking
            )
            assert (free.text, free.evaluations) == (searched.text, searched.evaluations)


def test_a_prompt_that_is_no_conversation_is_the_question() -> None:
    spec = replace(tiny_spec("llama"), chat_template=CHATML)
    built = build_image(spec)
    held = KINDS["choices"].with_search(1000).with_coverage(words("which"), 60)
    model = Model(_core.Model(built), built, threads=1)
    for prompt in ("which lantern", "<|im_start|>system\nwhich lantern<|im_end|>\n"):
        assert model.generate(prompt, constraint=held, max_tokens=ROOM).text == "lantern"


def of_version(version: int, data: bytes) -> bytes:
    return data[:4] + version.to_bytes(4, "little") + data[8:]


@pytest.mark.parametrize("case", ["llama", "qwen35"])
def test_a_choice_is_weighed_among_what_is_likely(case: str) -> None:
    """Among all tokens where most may come, and in constraints of version 2 always."""
    others = 0
    for kind, seed in ASKED + TEXTS_ASKED:
        prompt, found = prompts(case)[seed], []
        for version in (2, 3):
            tokens, end, _, _ = looked_for(case, kind, prompt, all_weigh=version == 2)
            session = _core.Session(made(case), context=256, logit_rows=9, checkpoints=1, searches=True)
            session.append(prompt)
            data = of_version(version, KINDS[kind].with_search(1000).data)
            found.append(finished(session, _core.Constraint(made(case), data), lookup=6))
            assert found[-1][:2] == (tokens, end)
        others += found[0] != found[1]
    assert others


@pytest.mark.parametrize("case", CASES)
def test_a_value_that_does_not_stand_in_the_question_pays(case: str) -> None:
    """As by the search that computes every beginning anew; a key that is not copied costs nothing."""
    model, others = made(case), 0
    for text in ("The A, b on", "a; b", "on the ab of", "a B off"):
        prompt = model.tokenize(text)
        plain = answered(case, "calls", prompt)
        assert answered(case, "calls", prompt, nats=12, copied=("by",)) == plain
        for copied in (("at",), ("to",), ("at", "to")):
            tokens, end, _, _ = looked_for(case, "calls", prompt, nats=12, copied=copied)
            given = answered(case, "calls", prompt, nats=12, copied=copied)
            assert given[:2] == (tokens, end)
            sliced = {"lookup": 6, "budget": 1, "chunk": 3, "logit_rows": 3, "threads": 2}
            assert answered(case, "calls", prompt, nats=12, copied=copied, **sliced) == given
            others += given != plain
    assert others > 3


@pytest.mark.parametrize("bound", ["max_tokens", "context"])
@pytest.mark.parametrize("case", CASES)
def test_a_limit_cuts_an_answer_and_changes_none(case: str, bound: str) -> None:
    """At every limit: what ended by itself is the answer without one; what did not has all tokens it may."""
    cut = _core.FINISH_LENGTH if bound == "max_tokens" else _core.FINISH_CONTEXT
    seen = set()
    for (kind, seed), turns, nats in itertools.product(ASKED[::4], (2, 1000), (0, 12)):
        prompt = prompts(case)[seed]
        whole = answered(case, kind, prompt, turns, known="is on in a", nats=nats)[0]
        for limit in range(1, len(whole) + 3):
            context = len(prompt) + limit if bound == "context" else 256
            options = {"context": context, "logit_rows": 3, "checkpoints": 1, "searches": True}
            session = _core.Session(made(case), **options)
            session.append(prompt)
            session.constrain(held(case, kind, turns, "is on in a", nats))
            tokens = generated(session, ROOM if bound == "context" else limit, 4)
            assert len(session.tokens()[1]) == len(prompt) + len(tokens) <= len(prompt) + limit
            seen.add(session.finish())
            if session.finish() == _core.FINISH_END:
                assert tokens == whole
            else:
                assert (session.finish(), len(tokens)) == (cut, limit)
    assert seen == {_core.FINISH_END, cut}


def test_an_answer_at_hand_goes_before_what_has_not_paid_yet() -> None:
    """With no more turns the best complete one is taken, not the beginning at hand, however that would end."""
    case, nats = "llama", 60.0
    model = made(case)
    for text in ASKING:
        prompt = model.tokenize(text)
        for turns in range(1, 6):
            given = answered(case, "choices", prompt, turns=turns, known="is", nats=nats)
            text_of = b"".join(model.token(k)[0] for k in given[0]).decode()
            assert text_of in TEXTS
            greedy = answered(case, "choices", prompt, turns=0)
            first = b"".join(model.token(k)[0] for k in greedy[0]).decode()
            new = words(text) - words("is")
            assert len(new - words(text_of)) <= len(new - words(first))


def test_every_instruction_set_finds_the_same() -> None:
    prompt = prompts("llama")[0]
    wanted = answered("llama", "choices", prompt)
    for isa in _core.isa_names():
        model = _core.Model(image("llama"), isa)
        session = _core.Session(model, context=64, searches=True)
        session.append(prompt)
        assert finished(session, _core.Constraint(model, KINDS["choices"].with_search(1000).data)) == wanted


def test_a_batch_finds_the_same() -> None:
    case = "qwen35"
    model = made(case)
    batch = _core.Batch(model, rows=24, logit_rows=24)
    sessions = []
    for kind, seed in ASKED[:6]:
        session = _core.Session(model, context=64, batched=True, searches=True, logit_rows=4, checkpoints=1)
        batch.add(session)
        session.append(prompts(case)[seed])
        session.constrain(held(case, kind))
        session.generate(ROOM, 4, measure=True)
        sessions.append(session)
    for session, tokens, (kind, seed) in zip(sessions, together(batch, sessions), ASKED[:6], strict=True):
        given = (tokens, session.token(), session.log_probability())
        assert given == answered(case, kind, prompts(case)[seed])


def test_it_goes_back_as_often_as_it_may() -> None:
    """And then on with the beginning at hand; an answer that is not finished leaves nothing behind."""
    case = "falcon_h1"
    found = {
        turns: [answered(case, kind, prompts(case)[seed], turns) for kind, seed in ASKED]
        for turns in (0, 1, 1000)
    }
    assert found[0] != found[1] != found[1000]
    kind = ASKED[1][0]
    session = _core.Session(made(case), context=64, searches=True)
    session.append(prompts(case)[1])
    session.constrain(held(case, kind))
    for steps in range(1, 12):
        session.generate(ROOM)
        for _ in range(steps):
            if session.step(1) != PENDING:
                break
        session.replace(prompts(case)[1])
        assert session.tokens()[1] == prompts(case)[1]
    assert finished(session, held(case, kind)) == found[1000][1]


def test_what_each_token_was_chosen_by() -> None:
    case, most, known = "llama", 4, 0
    for kind, seed in ASKED:
        session = _core.Session(made(case), context=64, searches=True)
        session.record(most)
        session.append(prompts(case)[seed])
        session.constrain(held(case, kind))
        session.generate(ROOM, measure=True)
        tokens, sure = [], 0.0
        while (event := session.step()) in (TOKEN, DONE):
            allowed, logit, share, tops = session.choice()
            if event == DONE and session.token() < 0:
                break
            if event == TOKEN:
                tokens.append(session.token())
            sure += share
            if allowed > 1:
                before = tokens[: len(tokens) - (event == TOKEN)]
                logits = array("f", fed(made(case), [*prompts(case)[seed], *before]).logits()[1])
                assert logits[session.token()] == logit
                beside = weighed(held(case, kind), before, logits)[:most]
                assert [token for token, _ in tops] == [token for token, _ in beside]
                assert [value for _, value in tops] == pytest.approx([value for _, value in beside], abs=1e-6)
                assert (session.token(), share) in tops
                known += len(tops) > 1
            else:
                assert not tops
            if event == DONE:
                break
        assert sure == pytest.approx(session.log_probability(), abs=1e-9)

    assert known > 20


def weighed(
    constraint: _core.Constraint, tokens: Sequence[int], logits: Sequence[float]
) -> list[tuple[int, float]]:
    """What may follow the tokens and was not left out at once, the likeliest first, with its share."""
    constraint.begin()
    for token in tokens:
        constraint.accept(token)
    mask = int.from_bytes(constraint.mask(ROOM - len(tokens)), "little")
    allowed = [k for k in range(len(logits)) if mask >> k & 1]
    best = sorted(allowed, key=lambda k: (-logits[k], k))[:LEFT_BEHIND]
    among = total([logits[k] for k in allowed])
    return [(k, logits[k] - among) for k in best if logits[k] - logits[best[0]] > LEAST]


@pytest.mark.parametrize("case", CASES)
def test_tokens_that_every_answer_has_come_before_the_end(case: str) -> None:
    """As they become certain: they are the answer's, and its choices what they were chosen by."""
    early = 0
    for kind, (nats, known) in itertools.product(KINDS, ((0, ""), (12, "is on in a"))):
        for prompt in prompts(case):
            wanted = answered(case, kind, prompt, known=known, nats=nats)
            session = _core.Session(made(case), context=256, logit_rows=9, checkpoints=1, searches=True)
            session.record(2)
            session.append(prompt)
            session.constrain(held(case, kind, known=known, nats=nats))
            session.generate(ROOM, measure=True)
            tokens, passes, shares = [], [], 0.0
            while (event := session.step()) == TOKEN:
                tokens.append(session.token())
                passes.append(session.passes())
                shares += session.choice()[2]
            assert event == DONE
            assert tokens == wanted[0]
            shares += session.choice()[2] if session.token() >= 0 else 0
            assert shares == pytest.approx(wanted[2], abs=1e-6)
            early += sum(one < session.passes() for one in passes)
    assert early > 3


def test_what_is_certain_is_streamed() -> None:
    """Before the first evaluation, as all answers begin so."""
    model = Model(made("llama"), image("llama"), threads=1)
    held = makers.regex("answer: (kitchen|garage) (red|green)").with_search(1000)
    prompt = prompts("llama")[0]
    run, pieces, passes = model.begin(prompt, constraint=held, max_tokens=ROOM), [], {}
    while not run.done:
        pieces.append(run.step_for(0))
        passes.setdefault("".join(pieces), run._run.session.passes())
    assert passes["answer:"] == 0
    whole = model.generate(prompt, constraint=held, max_tokens=ROOM).text
    assert "".join(pieces) == run.completion.text == whole


def test_what_was_not_certain_is_taken_back_where_a_generation_is_ended() -> None:
    case, seen = "qwen35", set()
    for kind in KINDS:
        prompt = prompts(case)[2]
        session = _core.Session(made(case), context=256, logit_rows=9, checkpoints=4, searches=True)
        session.append(prompt)
        session.constrain(held(case, kind))
        session.generate(ROOM)
        assert session.step() == TOKEN
        seen.add(session.passes())
        session.constrain(None)
        session.append([9, 7])
        while session.step() != _core.STEP_LOGITS:
            pass
        assert (
            session.logits()[1]
            == fed(made(case), [*prompt, session.tokens()[1][len(prompt)], 9, 7]).logits()[1]
        )
    assert len(seen) > 1


@pytest.mark.parametrize("lookup", [0, 6])
def test_a_long_answer_is_settled_and_goes_on(lookup: int) -> None:
    """Without room for more candidates: its tokens then come one by one, chosen as without a search."""
    case, room = "llama", 330
    constraint = makers.regex("[ab]{60}( [ab]{60}){4}")
    session = _core.Session(made(case), context=400, searches=True, logit_rows=7)
    session.record(0)
    session.append(prompts(case)[0])
    session.constrain(_core.Constraint(made(case), constraint.with_search(1000).data))
    session.generate(room, lookup, measure=True)
    tokens, passes, sure = [], [], 0.0
    while session.step() == TOKEN:
        allowed, logit, share, _ = session.choice()
        if allowed > 1:
            before = [*prompts(case)[0], *tokens]
            assert array("f", fed(made(case), before).logits()[1])[session.token()] == logit
        tokens.append(session.token())
        passes.append(session.passes())
        sure += share
    text = b"".join(made(case).token(token)[0] for token in tokens).decode()
    assert [len(part) for part in text.split()] == [60] * 5
    assert passes[0] == passes[3] < passes[-1]
    assert sure == pytest.approx(session.log_probability(), abs=1e-6)
    greedy = fed(made(case), [*prompts(case)[0], *tokens[:200]])
    constraint_at = _core.Constraint(made(case), constraint.data)
    constraint_at.begin()
    for token in tokens[:200]:
        constraint_at.accept(token)
    for token in tokens[200:]:
        mask = int.from_bytes(constraint_at.mask(), "little")
        logits = array("f", greedy.logits()[1])
        assert token == max((k for k in range(len(logits)) if mask >> k & 1), key=lambda k: (logits[k], -k))
        constraint_at.accept(token)
        greedy.append([token])
        greedy.step()


def test_a_constraint_says_whether_it_searches() -> None:
    plain = KINDS["choices"]
    searching = plain.with_search(9)
    assert (plain.search, searching.search, searching.with_search(0)) == (0, 9, plain)
    covering = searching.with_coverage(words("lamp on"), 1.5)
    assert (searching.coverage, covering.coverage, covering.with_search(4).coverage) == (0, 1.5, 1.5)
    assert (covering.with_coverage((), 0), covering.with_search(0)) == (searching, plain)
    with pytest.raises(ValueError, match="only a search weighs what answers leave out"):
        plain.with_coverage((), 1)
    case, prompt = "llama", prompts("llama")[0]
    session = _core.Session(made(case), context=64)
    session.append(prompt)
    session.constrain(held(case, "choices"))
    with pytest.raises(RuntimeFault, match="no room for it: make it with `searches`"):
        session.generate(ROOM)
    session.generate(ROOM, temperature=0.7, seed=3)  # which draws, and looks for nothing
    assert session.step() == TOKEN


def test_a_file_s_own_constraint_is_obeyed_everywhere(tmp_path: Any) -> None:
    """Its sessions have the room; one answer and many at once are looked for."""
    spec = tiny_spec("llama")
    texts = [f"number {n}" for n in range(6)]
    sealed = {n: tmp_path / f"{n}.tin" for n in (0, 16)}
    for turns, path in sealed.items():
        data = KINDS["choices"].with_search(turns).data
        build_tin(spec, path, entries={CONSTRAINT: data}, manifest={"constraint": {"kind": "choices"}})
    sizes = {n: _core.Session(tinsmith.load(path).core, context=64).size() for n, path in sealed.items()}
    assert sizes[16] - sizes[0] == 56 + 144 + 40 * CANDIDATES + 56  # rounded up to 64
    model = tinsmith.load(sealed[16])
    alone = [model.generate(text, max_tokens=ROOM).text for text in texts]
    assert [one.text for one in model.generate_many(texts, max_tokens=ROOM)] == alone
    shown = model.generate(texts[0], max_tokens=ROOM, tops=3, confidence=True)
    assert shown.text == alone[0]
    assert any(len(choice.tops) > 1 for choice in shown.choices)
    assert any(choice.log_probability < 0 for choice in shown.choices)
    assert all(text in TEXTS for text in alone)


def test_a_search_is_asked_for_with_what_an_answer_may_be(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """From Python, the command line and a batch; 0 takes a file's own away."""
    path = tmp_path / "own.tin"
    entries = {CONSTRAINT: KINDS["choices"].with_search(16).data}
    spec = replace(tiny_spec("llama"), chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}")
    build_tin(spec, path, entries=entries, manifest={"constraint": {"kind": "choices"}})
    model = tinsmith.load(path)
    asked, number, said = "number 1", {"type": "integer", "minimum": 1, "maximum": 999}, set()
    for turns in (0, 16):
        plain = KINDS["choices"].with_search(turns)
        own = model.generate(asked, constraint=plain, max_tokens=ROOM).text
        run = ["run", str(path), asked, "--raw", "--max-tokens", str(ROOM), "--search", str(turns)]
        assert cli.main(run) == 0
        assert capsys.readouterr().out == own + "\n"
        given, out = tmp_path / "in.txt", tmp_path / f"{turns}.jsonl"
        given.write_text(asked)
        batch = ["batch", str(path), str(given), str(out), "--raw", "--workers", "1", "--search", str(turns)]
        assert cli.main([*batch, "--max-tokens", str(ROOM)]) == 0
        assert json.loads(out.read_text())["text"] == own
        short = model.generate(asked, constraint=plain, max_tokens=1)
        assert (
            cli.main([*batch[:3], str(tmp_path / f"short{turns}.jsonl"), *batch[4:], "--max-tokens", "1"]) == 0
        )
        row_of = json.loads((tmp_path / f"short{turns}.jsonl").read_text())
        assert (row_of["text"], row_of["finish"]) == (short.text, "length") == (short.text, short.finish)
        held = tinsmith.schema(number).with_search(turns)
        value = model.json(asked, number, search=turns, max_tokens=ROOM)
        assert str(value) == model.chat([{"role": "user", "content": asked}], constraint=held).text
        said |= {own, value}
    assert len(said) == 4
    capsys.readouterr()
    assert cli.main(["run", str(path), asked, "--raw", "--unconstrained", "--search", "3"]) == 2
    assert "a search looks within what a constraint allows" in capsys.readouterr().err


def test_what_is_made_at_run_time_has_new_words_weighed_as_the_own(tmp_path: Any) -> None:
    """Where it is of the same kind and looked for: the own known words tell which are new."""
    path, known = tmp_path / "own.tin", words("say")
    own = tinsmith.schema({"enum": ["a", "b"]}).with_search(16).with_coverage(known, 60)
    spec = replace(tiny_spec("llama"), chat_template=CHATML)
    build_tin(spec, path, entries={CONSTRAINT: own.data}, manifest={"constraint": {"kind": "schema"}})
    model = tinsmith.load(path)
    skill = model.skill_of(None)
    made = tinsmith.schema({"enum": TEXTS})
    assert skill.constraint_for(made, 9) == made.with_search(9).with_coverage(known, 60)
    assert skill.constraint_for(own, 9) == own.with_search(9)
    weighed = made.with_search(9).with_coverage((), 1)
    assert skill.constraint_for(weighed, 4) == weighed.with_search(4)
    copying = made.with_search(9).with_coverage((), 0, {1: 2.0})
    assert skill.constraint_for(copying, 4) == copying.with_search(4)
    for given, turns in ((made, 0), (made, None), (KINDS["choices"], 9)):
        assert skill.constraint_for(given, turns).coverage == 0
    for word in ("lake", "lamp", "often"):
        assert word in model.json(f"say {word}", {"enum": TEXTS}, search=1000, max_tokens=ROOM)
