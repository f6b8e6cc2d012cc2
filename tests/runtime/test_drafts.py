"""Draft tables: what is drafted by them changes no token, takes fewer passes, and costs little where wrong."""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tests.runtime.plain_sessions import DONE, TOKEN, generated, row, together
from tinsmith import _core
from tinsmith.compiler import build_image, build_tin, drafts
from tinsmith.constraint import makers
from tinsmith.errors import FormatError, RuntimeFault
from tinsmith.formats.tin import DRAFT
from tinsmith.runtime import Model

SAMPLED = {"temperature": 1.5, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.2, "seed": 3}
CASES = ("llama", "qwen35", "lfm2", "falcon_h1")
OPTIONS: dict[str, Any] = {"context": 256, "logit_rows": 17, "checkpoints": 1}
ROOM = 24


@cache
def made(case: str) -> tuple[memoryview, _core.Model]:
    image = build_image(tiny_spec(case))
    return image, _core.Model(image)


def prompts(core: _core.Model) -> list[list[int]]:
    return [row(core, 12, seed) for seed in range(1, 7)]


@cache
def plain(case: str, sampled: bool) -> list[list[int]]:
    core, answers = made(case)[1], []
    for prompt in prompts(core):
        session = _core.Session(core, context=256)
        session.append(prompt)
        answers.append(generated(session, ROOM, **(SAMPLED if sampled else {})))
    return answers


@cache
def table(case: str, sampled: bool = False) -> bytes:
    core = made(case)[1]
    return drafts.learn(core, list(zip(prompts(core), plain(case, sampled), strict=True)) * 2)


def asked(case: str, prompt: Sequence[int], data: bytes | None, **options: Any) -> _core.Session:
    session = _core.Session(made(case)[1], **{**OPTIONS, **options})
    session.draft(data)
    session.append(prompt)
    return session


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sampled", [False, True], ids=["greedy", "sampled"])
@pytest.mark.parametrize("budget", [0, 20_000])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_answer_is_that_of_plain_decoding(case: str, sampled: bool, budget: int, threads: int) -> None:
    core = made(case)[1]
    for prompt, answer in zip(prompts(core), plain(case, sampled), strict=True):
        session = asked(case, prompt, table(case, sampled), threads=threads)
        assert generated(session, ROOM, 4, budget, **(SAMPLED if sampled else {})) == answer
        again = asked(case, prompt, table(case, not sampled), threads=threads)  # which fits worse
        assert generated(again, ROOM, 4, budget, **(SAMPLED if sampled else {})) == answer


@pytest.mark.parametrize("case", CASES)
def test_learned_answers_take_fewer_passes(case: str) -> None:
    core, passes = made(case)[1], {}
    for data in (None, table(case)):
        passes[data] = 0
        for prompt in prompts(core):
            session = asked(case, prompt, data)
            generated(session, ROOM, 1)
            passes[data] += session.passes()
    assert passes[table(case)] < 0.4 * passes[None]


@pytest.mark.parametrize("case", CASES)
def test_sessions_of_a_batch_draft_each_for_itself(case: str) -> None:
    core = made(case)[1]
    sessions = [
        asked(case, prompt, table(case) if k % 3 else None, batched=True, chunk=32)
        for k, prompt in enumerate(prompts(core))
    ]
    batch = _core.Batch(core, rows=24, logit_rows=20)
    for session in sessions:
        batch.add(session)
        session.generate(ROOM, 4)
    assert together(batch, sessions) == plain(case, False)


@pytest.mark.parametrize("case", CASES)
def test_a_constraint_and_a_table_are_a_constraint_alone(case: str) -> None:
    core = made(case)[1]
    held = makers.regex("(red|green|blue)( (red|green|blue|[a-z]{3}))*").data
    for prompt in prompts(core):
        answers = []
        for data in (None, table(case)):
            session = asked(case, prompt, data)
            session.constrain(_core.Constraint(core, held))
            answers.append(generated(session, 12, 4 if data else 0))
        assert answers[0] == answers[1]
        learned = drafts.learn(core, [(prompt, answers[0])] * 3)
        session = asked(case, prompt, learned)
        session.constrain(_core.Constraint(core, held))
        assert generated(session, 12, 4) == answers[0]


@pytest.mark.parametrize("case", CASES)
def test_what_must_come_is_put_between_drafts(case: str) -> None:
    """A choice, what it brings and the next choice in one pass, by the logits of choices one by one."""
    core, chosen, passes = made(case)[1], {}, {}
    held = makers.regex("(red|green|blue) on (sand|wood|iron) by (day|night)").data

    def choices(prompt: list[int], data: bytes | None, lookup: int, budget: int) -> list[tuple[Any, ...]]:
        session, told = asked(case, prompt, data), []
        session.record(0)
        session.constrain(_core.Constraint(core, held))
        for _ in range(2):  # and once more, from what its end left
            session.replace(prompt)
            session.generate(40, lookup)
            while (event := session.step(budget)) != DONE:
                if event == TOKEN:
                    told.append((session.token(), *session.choice()[:2]))
        passes[data] = session.passes()
        session.constrain(None)
        session.append(prompt[:1])
        assert generated(session, 2) == generated(asked(case, session.tokens()[1][:-2], None), 2)
        return told

    for prompt in prompts(core):
        chosen = choices(prompt, None, 0, 0)
        learned = drafts.learn(core, [(prompt, [token for token, *_ in chosen[: len(chosen) // 2]])] * 3)
        for budget in (0, 20_000):
            assert choices(prompt, learned, 4, budget) == chosen
        assert choices(prompt, table(case), 4, 0) == chosen
        assert passes[learned] <= 0.4 * passes[None]


@pytest.mark.parametrize("case", CASES)
def test_a_draft_that_is_not_worth_it_leaves_no_trace(case: str) -> None:
    """Its token may come, but what it brings makes it too dear: what stands earlier is drafted instead."""
    core = made(case)[1]
    held = makers.regex("([xy]a[xy]bb[xy]cc[xy]d){6}").data

    def answer(prompt: list[int], data: bytes | None, lookup: int) -> list[int]:
        session = asked(case, prompt, data)
        session.constrain(_core.Constraint(core, held))
        return generated(session, 100, lookup)

    for prompt in prompts(core):
        plain = answer(prompt, None, 0)
        learned = drafts.learn(core, [(prompt, plain)] * 3)
        count = struct.unpack_from("<I", learned, 12)[0]
        rules = struct.unpack_from(f"<{count}I", learned, 32 + 4 * count)
        for sure in (40, 60, 90, 120):
            faint = struct.pack(f"<{count}I", *(rule & 0xFFFFFF | sure << 24 for rule in rules))
            assert answer(prompt, learned[: 32 + 4 * count] + faint, 4) == plain


def test_words_of_the_prompt_are_copied() -> None:
    """A rule learned from some words copies others, which may be of several tokens."""
    image = build_image(tiny_spec("llama"))
    model = Model(_core.Model(image), image, 1)
    names = ["north", "window", "garden", "seven", "people", "letter", "moment", "answer"]
    told = [
        (model.tokenize(f"go to {name} now"), model.tokenize(f"<{name}>")) for name in [*names[:7], *names[:7]]
    ]
    rules = drafts.learn(model.core, told)
    count = struct.unpack_from("<I", rules, 12)[0]
    copies = [rule & 0x3FFFFF == 0x3FFFFF for rule in struct.unpack_from(f"<{count}I", rules, 32 + 4 * count)]
    assert any(copies)
    prompt, answer = model.tokenize(f"go to {names[7]} now"), model.tokenize(f"<{names[7]}>")
    keys = frozenset(struct.unpack_from(f"<{count}I", rules, 32))
    seen = zip(answer, _core.draft_keys(model.core, prompt, answer, keys), strict=True)
    assert any(copied == token for token, places in seen for _, copied, _ in places)


def test_a_file_brings_its_own_table(tmp_path: Path) -> None:
    core, path = made("llama")[1], tmp_path / "m.tin"
    build_tin(tiny_spec("llama"), path, entries={DRAFT: table("llama")})
    model = tinsmith.load(path, threads=1)
    prompt, evaluations = prompts(core)[0], []
    for model.drafts in (False, True):
        answer = model.generate(prompt, max_tokens=ROOM)
        assert answer.token_ids == plain("llama", False)[0]
        evaluations.append(answer.evaluations)
    assert evaluations[1] < evaluations[0]
    build_tin(tiny_spec("llama"), path, entries={DRAFT: table("llama")[:-4]})
    with pytest.raises(FormatError, match="rules do not fit"):
        tinsmith.load(path)


def packed(vocab: int, rules: dict[int, int]) -> bytes:
    keys = sorted(rules)
    head = struct.pack("<8I", 0x46524454, 2, vocab, len(keys), 0, 0, 0, 0)
    return head + struct.pack(f"<{2 * len(keys)}I", *keys, *(rules[key] for key in keys))


def told(text: Sequence[int], data: bytes | None) -> float:
    """Passes of an answer that logits from outside say, where a row more is an eighth of one."""
    vocab, rows = made("llama")[1].info()["vocab"], 0

    def compute(ids: list[int], wanted: int) -> bytes:
        nonlocal rows
        rows += wanted
        logits = array("f", bytes(4 * vocab * wanted))
        for k in range(wanted):
            at = len(ids) - wanted + 1 + k
            logits[k * vocab + text[min(at, len(text) - 1)]] = 1.0
        return logits.tobytes()

    session = asked("llama", text[:20], data, context=512, compute=compute)
    assert generated(session, len(text) - 20, 4) == text[20:]
    return session.passes() + (rows - session.passes()) / 8


def after_one(core: _core.Model, token: int) -> int:
    """The key of an answer's last token alone."""
    return _core.draft_keys(core, [], [token, 0], frozenset())[1][2][0]


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("right", [0, 2, 4])
def test_a_table_that_does_not_fit_costs_little(repeats: bool, right: int) -> None:
    """Less than 3 %, though lookup may do better; right / 8 of what the table is sure of comes true."""
    core, draw = made("llama")[1], random.Random(1)
    vocab = core.info()["vocab"]
    phrases = [draw.sample(range(8, vocab), 8) for _ in range(8)]
    text = [token for _ in range(50) for token in draw.choice(phrases)]
    if not repeats:
        text = draw.choices(range(8, vocab), k=420)
    follows = dict(pairwise(text))
    rules = {
        after_one(core, token): 240 << 24 | (after if draw.randrange(8) < right else 7)
        for token, after in follows.items()
    }
    cost, plain = told(text, packed(vocab, rules)), told(text, None)
    assert cost < (1.03 if right < 4 else 0.98) * plain


@pytest.mark.parametrize(
    ("at", "value", "match"),
    [
        (0, 1, "not a draft table"),
        (4, 9, "version"),
        (8, 5, "of 5 tokens"),
        (12, 1 << 30, "rules do not fit"),
        (32, 0xFFFFFFFF, "rule 1 of the draft table is damaged"),
        (-4, 0x3FFFFE, "is damaged"),
    ],
)
def test_a_damaged_table_is_refused(at: int, value: int, match: str) -> None:
    data = bytearray(table("llama"))
    struct.pack_into("<I", data, at % len(data), value)
    session = asked("llama", [1, 2], None)
    with pytest.raises(RuntimeFault, match=match):
        session.draft(bytes(data))
    with pytest.raises(RuntimeFault, match="rules do not fit"):
        session.draft(table("llama")[:-4])
