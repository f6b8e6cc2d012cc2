"""Generation under a constraint, held to the caller's loop: one token at a time, logits masked by NumPy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinsmith
from tests.kernels import textcore
from tests.kernels.test_sampler import Sampler
from tests.models.tiny_models import tiny_spec
from tinsmith import _core, quant
from tinsmith.compiler import build_image
from tinsmith.constraint import makers
from tinsmith.errors import RuntimeFault
from tinsmith.models import family

PENDING, TOKEN, DONE = _core.STEP_PENDING, _core.STEP_TOKEN, _core.STEP_DONE
FINISH_END, FINISH_LENGTH = _core.FINISH_END, _core.FINISH_LENGTH
NAMES = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "repeat_last", "seed")
DEFAULTS = (0.0, 0, 1.0, 0.0, 1.0, 0, 0)
SAMPLED = {"temperature": 2.0, "top_k": 30, "top_p": 0.98, "repetition_penalty": 1.2, "repeat_last": 30}

REGEXES = {
    "object": r'\{"name":"[a-z ]{1,8}","what the thing is":(true|false|null),"n":-?[0-9]{1,4}\}',
    "fixed": "in the beginning there was the thing in the bin",
    "words": "(yes|no|maybe|in the)( (yes|no|in the end))*",
    "any": r"[\s\S]*",
}
PATTERNS = {**REGEXES, "lists": 'root ::= "[" (root ("," root)*)? "]"'}


def compiled(name: str) -> bytes:
    return makers.grammar(PATTERNS[name]).data if name == "lists" else makers.regex(PATTERNS[name]).data


@pytest.fixture(scope="module")
def data() -> dict[str, bytes]:
    return {name: compiled(name) for name in PATTERNS}


@pytest.fixture(scope="module")
def core() -> _core.Model:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 512, "head_dim": 32}
    return _core.Model(build_image(quant.apply(tiny_spec(family.by_name("llama"), **sizes), "Q4_0")))


@pytest.fixture(scope="module")
def smol(base_gguf: Path) -> _core.Model:
    return tinsmith.load(base_gguf).core


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    return Sampler(textcore.load_core(tmp_path_factory.mktemp("textcore")))


def options_of(options: dict[str, Any]) -> list[Any]:
    return [options.get(n, d) for n, d in zip(NAMES, DEFAULTS, strict=True)]


def text_of(model: _core.Model, tokens: Sequence[int]) -> bytes:
    return b"".join(model.token(token)[0] for token in tokens)


def row(model: _core.Model, count: int, seed: int = 1) -> list[int]:
    return [(7 * k * k + 3 * k + 11 * seed) % model.info()["vocab"] for k in range(count)]


def generated(
    session: _core.Session, count: int, lookup: int = 0, budget: int = 0, **options: Any
) -> tuple[list[int], int]:
    session.generate(count, lookup, *options_of(options))
    tokens = []
    while (event := session.step(budget)) != DONE:
        if event == TOKEN:
            tokens.append(session.token())
        else:
            assert event == PENDING
            assert budget
    return tokens, session.finish()


class Plain:
    """The caller's loop: an evaluation for every token that is not forced, chosen as without a limit.
    Where the text could not end in time behind that token, one is chosen with which it can, and the answer
    does not finish as one that ended by itself. passes: how many evaluations."""

    def __init__(self, model: _core.Model, sampler: Sampler, data: bytes, context: int = 400) -> None:
        self.model, self.sampler, self.context = model, sampler, context
        self.session = _core.Session(model, context=context)
        self.constraint = _core.Constraint(model, data)

    def run(
        self, prompt: Sequence[int], count: int, prefix: bytes = b"", **options: Any
    ) -> tuple[list[int], int]:
        self.constraint.begin(prefix)
        self.session.replace(prompt)
        self.passes, tokens, finish = 0, list(prompt), FINISH_END
        left = count
        while True:
            if self.constraint.state() == _core.CONSTRAINT_MUST_END:
                return tokens[len(prompt) :], finish
            if not left:
                return tokens[len(prompt) :], FINISH_LENGTH
            room = min(left, self.context - len(tokens))
            bent = FINISH_LENGTH if room == left else _core.FINISH_CONTEXT
            forced = self.constraint.forced(tokens)[:64]
            if forced and not self.constraint.forced(tokens, room):
                forced, finish = [], bent
            if not forced:
                self.session.append(tokens[len(self.session.tokens()[1]) :])
                self.session.step()
                self.passes += 1
                allowed = self.allowed(0)
                if not allowed.any():
                    return tokens[len(prompt) :], _core.FINISH_CONSTRAINT
                token = self.draw(allowed, tokens, options)
                if not self.allowed(room)[token]:
                    token, finish = self.draw(self.allowed(room), tokens, options), bent
                if self.model.token(token)[2]:
                    return tokens[len(prompt) :], finish
                forced = [token]
            for token in forced[:left]:
                if len(tokens) == self.context:
                    return tokens[len(prompt) :], _core.FINISH_CONTEXT
                self.constraint.accept(token)
                tokens.append(token)
                left -= 1

    def allowed(self, left: int) -> np.ndarray:
        bits = np.frombuffer(self.constraint.mask(left), np.uint8)
        return np.unpackbits(bits, bitorder="little")[: self.model.info()["vocab"]].astype(bool)

    def draw(self, allowed: np.ndarray, tokens: Sequence[int], options: dict[str, Any]) -> int:
        logits = np.frombuffer(self.session.logits()[1], np.float32)
        masked = np.where(allowed, logits, -np.inf)
        return self.sampler.draw(masked, tokens, len(tokens), **{"temperature": 0.0, **options})


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("options", [{}, SAMPLED | {"seed": 3}, {"temperature": 1.0, "seed": 4}], ids=str)
def test_generation_is_the_masked_loop(
    core: _core.Model, sampler: Sampler, data: dict[str, bytes], name: str, options: dict[str, Any]
) -> None:
    prompt = row(core, 30) * 2
    plain = Plain(core, sampler, data[name])
    wanted = plain.run(prompt, 60, **options)
    for threads, lookup, budget in ((1, 0, 0), (2, 8, 0), (1, 3, 1), (1, 8, 100_000)):
        session = _core.Session(core, context=400, logit_rows=9, threads=threads)
        session.constrain(_core.Constraint(core, data[name]))
        session.append(prompt)
        assert generated(session, 60, lookup, budget, **options) == wanted
        assert session.passes() <= plain.passes if lookup else session.passes() == plain.passes
        # Once more, from its beginning; and what the constraint did not change is as in a session of its own.
        session.replace(prompt)
        assert generated(session, 60, lookup, budget, **options) == wanted
        free = _core.Session(core, context=400)
        whole = prompt + wanted[0]
        for one in (session, free):
            one.replace(whole)
            assert one.step() == _core.STEP_LOGITS
        assert session.logits() == free.logits()


@pytest.mark.parametrize("name", ["object", "words", "lists"])
def test_a_trained_model_generates_as_the_masked_loop(
    smol: _core.Model, sampler: Sampler, data: dict[str, bytes], name: str
) -> None:
    prompt = smol.tokenize('A list of things as JSON: {"name":"lamp","what the thing is":true,"n":12}\n')
    for options in ({}, {"temperature": 2.0, "seed": 5}):
        plain = Plain(smol, sampler, data[name], context=256)
        wanted = plain.run(prompt, 40, **options)
        for lookup in (0, 6):
            session = _core.Session(smol, context=256, logit_rows=9)
            session.constrain(_core.Constraint(smol, data[name]))
            session.append(prompt)
            assert generated(session, 40, lookup, **options) == wanted


def test_a_batch_gives_each_session_its_own_constraint(
    core: _core.Model, sampler: Sampler, data: dict[str, bytes]
) -> None:
    batch = _core.Batch(core, rows=14, logit_rows=7, threads=2)
    names = [*PATTERNS, None]
    sessions = [_core.Session(core, context=400, logit_rows=5, batched=True) for _ in names]
    prompts = [row(core, 25 + k, k) * 2 for k in range(len(names))]
    for k, (session, name, prompt) in enumerate(zip(sessions, names, prompts, strict=True)):
        session.constrain(_core.Constraint(core, data[name]) if name else None)
        session.append(prompt)
        session.generate(40, 4, *options_of(SAMPLED | {"seed": k}))
        batch.add(session)
    texts: list[list[int]] = [[] for _ in names]
    done: dict[int, int] = {}
    while len(done) < len(names):
        for k, event in enumerate(batch.step(1)):
            if event == TOKEN:
                texts[k].append(sessions[k].token())
            elif event == DONE:
                done[k] = sessions[k].finish()
    for k, name in enumerate(names):
        wanted = Plain(core, sampler, data[name or "any"]).run(prompts[k], 40, **SAMPLED, seed=k)
        if name:
            assert (texts[k], done[k]) == wanted


@pytest.mark.parametrize("bound", ["max_tokens", "context"])
@pytest.mark.parametrize("name", PATTERNS)
def test_a_limit_cuts_an_answer_or_says_that_it_is_another(
    core: _core.Model, data: dict[str, bytes], name: str, bound: str
) -> None:
    """At temperature 2: what ended by itself is the answer without a limit; what did not is its beginning, or a
    whole text."""
    checker = _core.Constraint(core, data[name])
    cut = FINISH_LENGTH if bound == "max_tokens" else _core.FINISH_CONTEXT
    seen = set()
    for seed in range(30):
        prompt, most = row(core, 10, seed % 7), 1 + 3 * seed
        answers = []
        for limit in (300, most):
            context = 10 + limit if bound == "context" else 400
            session = _core.Session(core, context=context, logit_rows=5)
            session.constrain(_core.Constraint(core, data[name]))
            session.append(prompt)
            room = 400 if bound == "context" else limit
            answers.append(generated(session, room, 4, temperature=2.0, seed=seed))
        (whole, end), (tokens, finish) = answers
        assert len(tokens) <= most
        checker.begin()
        for token in tokens:
            checker.accept(token)
        complete = checker.state() != _core.CONSTRAINT_OPEN
        bent = tokens != whole[: len(tokens)]
        seen.add((finish, bent))
        if finish == FINISH_END:
            assert (tokens, end, complete) == (whole, finish, True)
        else:
            assert finish == cut
            assert len(tokens) == most or complete
            assert complete or not bent
        if complete and name in REGEXES:
            text = text_of(core, tokens).decode("utf-8", "replace")
            assert re.fullmatch(REGEXES[name], text)
    assert (cut, False) in seen
    assert name != "object" or {(FINISH_END, False), (cut, True)} <= seen


def test_the_end_of_the_context_is_a_bound_too(core: _core.Model, data: dict[str, bytes]) -> None:
    for context in (140, 110, 40):
        session = _core.Session(core, context=context, logit_rows=5)
        session.constrain(_core.Constraint(core, data["object"]))
        session.append(row(core, 30))
        tokens, finish = generated(session, 1000, 4, temperature=2.0, seed=context)
        if context > 100:
            assert finish in (FINISH_END, _core.FINISH_CONTEXT)
            assert re.fullmatch(REGEXES["object"], text_of(core, tokens).decode())
        else:
            assert finish == _core.FINISH_CONTEXT
            assert len(session.tokens()[1]) <= context


def test_what_is_forced_takes_no_evaluation(core: _core.Model, data: dict[str, bytes]) -> None:
    session = _core.Session(core, context=200)
    session.constrain(_core.Constraint(core, data["fixed"]))
    prompt = row(core, 20)
    session.append(prompt)
    tokens, finish = generated(session, 100)
    assert finish == FINISH_END
    assert text_of(core, tokens).decode() == REGEXES["fixed"]
    assert tokens == core.tokenize(REGEXES["fixed"])
    assert session.passes() == 0
    assert session.tokens() == (0, prompt + tokens)

    session.constrain(_core.Constraint(core, data["object"]))
    session.replace(prompt)
    tokens, finish = generated(session, 100)
    assert finish == FINISH_END
    assert session.passes() < 0.5 * len(tokens)


def test_generations_begin_with_the_logits_at_hand(
    core: _core.Model, sampler: Sampler, data: dict[str, bytes]
) -> None:
    session = _core.Session(core, context=200)
    session.append(row(core, 20))
    session.step()
    session.constrain(_core.Constraint(core, data["words"]))
    wanted = Plain(core, sampler, data["words"]).run(row(core, 20), 30, temperature=1.0, seed=1)
    assert generated(session, 30, temperature=1.0, seed=1) == wanted


def test_a_constraint_is_one_sessions_at_a_time(core: _core.Model, data: dict[str, bytes]) -> None:
    one, other = (_core.Session(core, context=100) for _ in range(2))
    constraint = _core.Constraint(core, data["words"])
    one.constrain(constraint)
    one.constrain(constraint)
    with pytest.raises(RuntimeFault, match="another session has the constraint"):
        other.constrain(constraint)
    one.constrain(None)
    other.constrain(constraint)
    del other
    one.constrain(constraint)
    with pytest.raises(TypeError):
        one.constrain(data["words"])  # type: ignore[arg-type]
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 64}
    foreign = _core.Model(build_image(quant.apply(tiny_spec(family.by_name("llama"), **sizes), "Q8_0")))
    with pytest.raises(RuntimeFault, match="another model"):
        one.constrain(_core.Constraint(foreign, data["words"]))


def test_ending_a_generation_takes_back_what_was_not_told(core: _core.Model, data: dict[str, bytes]) -> None:
    session = _core.Session(core, context=200)
    session.constrain(_core.Constraint(core, data["fixed"]))
    prompt = row(core, 20)
    session.append(prompt)
    session.generate(100)
    reported = []
    for _ in range(5):
        assert session.step() == TOKEN
        reported.append(session.token())
    session.append([9])
    assert session.tokens()[1] == [*prompt, *reported, 9]
    session.constrain(None)
    assert generated(session, 3)[1] in (FINISH_LENGTH, FINISH_END)


# ---- Token healing ------------------------------------------------------------------------------------------


def test_healing_takes_back_the_beginning_of_a_token(smol: _core.Model, data: dict[str, bytes]) -> None:
    session = _core.Session(smol, context=128)
    with pytest.raises(RuntimeFault, match="healing needs a constraint"):
        session.heal()
    session.constrain(_core.Constraint(smol, data["any"]))
    for text in ("The address is http:", "The capital of Fra", '{"na', "One, two, thr"):
        prompt = smol.tokenize(text)
        session.replace(prompt)
        session.heal()
        kept = session.tokens()[1]
        assert prompt[: len(kept)] == kept
        assert len(prompt) - 3 <= len(kept) < len(prompt)
        session.heal()
        assert session.tokens()[1] == kept
        tokens, _ = generated(session, 8)
        answer = text_of(smol, tokens)
        healed = text_of(smol, prompt[len(kept) :])
        assert session.healed() == len(healed)
        assert answer.startswith(healed)
        if "Fra" in text:
            assert answer.strip().startswith(b"France")
    session.replace(prompt)
    generated(session, 1)
    assert session.healed() == 0


def test_healing_comes_before_the_constraint(smol: _core.Model, sampler: Sampler) -> None:
    """The prompt's last piece is said again, then what the constraint says."""
    data = makers.regex('me":"[a-z]{1,6}"').data
    prompt = smol.tokenize('{"na')
    session = _core.Session(smol, context=128)
    session.constrain(_core.Constraint(smol, data))
    session.append(prompt)
    session.step()  # healing also works on what is computed
    session.heal()
    kept = session.tokens()[1]
    prefix = text_of(smol, prompt[len(kept) :])
    tokens, finish = generated(session, 30)
    assert finish == FINISH_END
    assert re.fullmatch(rb'\{"name":"[a-z]{1,6}"', text_of(smol, kept + tokens))
    plain = Plain(smol, sampler, data, context=128)
    assert plain.run(kept, 30, prefix) == (tokens, finish)


def test_healing_leaves_control_tokens_and_the_first_token(core: _core.Model, data: dict[str, bytes]) -> None:
    session = _core.Session(core, context=100)
    session.constrain(_core.Constraint(core, data["any"]))
    t = core.tokenize("t")
    for prompt in ([1], t, [*t, 1], [5, 1]):
        session.replace(prompt)
        session.heal()
        assert session.tokens()[1] == prompt
    session.replace([5, 1, *t])
    session.heal()
    assert session.tokens()[1] == [5, 1]
    session.append([7])  # and so what was taken back is forgotten
    generated(session, 4)
    assert session.healed() == 0
