"""Hidden states, and the router that reads them: their bits, what is refused, and what is answered by them."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.models import random_adapters
from tests.models.tiny_models import cases, in_format, tiny_spec
from tests.models.transformers_models import CHATML, save_random, some_tokens
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.errors import FormatError, InputError, RuntimeFault, UnsupportedError
from tinsmith.formats.router import Router, read
from tinsmith.runtime import Model
from tinsmith.runtime.adapters import aligned

np = pytest.importorskip("numpy")

PROMPTS = [[3, 17, 5, 40, 2, 9, 11, 23, 8, 31, 4, 7, 19], [9, 9, 1], [12] * 30]


def state_after(session: _core.Session, tokens: list[int], budget: int = 0) -> Any:
    session.rewind(0)
    session.append(tokens)
    while session.step(budget) == _core.STEP_PENDING:
        pass
    return np.frombuffer(session.state(), np.float32)


def some_router(dim: int, tasks: int = 3, seed: int = 0, **changes: Any) -> Router:
    source = np.random.default_rng(seed)
    rows = tasks + 2
    weights = source.normal(size=rows * dim).astype(np.float32) / dim**0.5
    bias, names = source.normal(size=rows).astype(np.float32), tuple(f"task-{k}" for k in range(tasks))
    return replace(Router(names, dim, weights.tolist(), bias.tolist(), [0.2] * tasks), **changes)


def opened(model: _core.Model, router: Router) -> _core.Router:
    return _core.Router(model, aligned(router.pack()))


@pytest.mark.parametrize("case", cases())
def test_states_are_those_of_transformers(case: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs = save_random(case, tmp_path)
    spec = models.load(tmp_path)
    tokens = some_tokens(spec.hyper.vocab)
    with torch.no_grad():
        wanted = theirs(torch.tensor([tokens]), output_hidden_states=True).hidden_states[-1][0, -1].numpy()
    session = _core.Session(_core.Model(build_image(spec)))
    ours = state_after(session, tokens)
    assert ours.shape == wanted.shape
    assert np.abs(ours - wanted).max() <= 1e-3 * (wanted.max() - wanted.min())


@pytest.fixture(scope="module")
def image() -> memoryview:
    """Of a model whose head reads 8-bit activations."""
    return build_image(in_format(tiny_spec("qwen3"), "Q4_0"))


def width_of(model: _core.Model) -> int:
    return len(state_after(_core.Session(model), [1]))


def defined(router: Router, state: Any) -> tuple[int, Any, Any]:
    """The likeliest task, the scores and its probability, as kernels/core/session/router.h has them."""
    weights = np.array(router.weights, np.float32).reshape(len(router.bias), -1)
    filled = np.zeros((len(router.bias), -(-router.dim // 16), 16), np.float32)
    filled.reshape(len(router.bias), -1)[:, : router.dim] = weights * state
    sums = np.zeros((len(router.bias), 16), np.float32)
    for block in range(filled.shape[1]):
        sums += filled[:, block]
    for half in (8, 4):
        sums = sums[:, :half] + sums[:, half:]
    scores = (sums[:, 0] + sums[:, 2]) + (sums[:, 1] + sums[:, 3]) + np.array(router.bias, np.float32)
    shares = np.exp(scores.astype(np.float64) - scores.max())
    best = int(scores[: len(router.tasks)].argmax())
    return best, scores, shares[best] / shares.sum()


def test_bits_are_the_same_everywhere(image: memoryview) -> None:
    """On every instruction set, with any number of threads, in chunks, slices and batches; and the scores are
    those of their definition."""
    seen = set()
    for isa in _core.isa_names():
        model = _core.Model(image, isa)
        router = some_router(width_of(model))
        held = opened(model, router)
        for options in ({}, {"threads": 3}, {"chunk": 5, "logit_rows": 5}, {"chunk": 1}):
            session = _core.Session(model, **options)
            for budget in (0, 1, 20_000):
                routes = []
                for tokens in PROMPTS:
                    state = state_after(session, tokens, budget)
                    routes.append((session.state(), session.route(held)))
                    best, scores, probability = defined(router, state)
                    assert routes[-1][1][4] == scores.tobytes()
                    assert routes[-1][1][0] == best
                    assert routes[-1][1][1] == (routes[-1][1][2] >= 0.2)
                    assert routes[-1][1][2] == pytest.approx(probability, rel=1e-5)
                seen.add(repr(routes))
        batch, sessions = _core.Batch(model, threads=2), []
        for tokens in PROMPTS:
            sessions.append(_core.Session(model, batched=True))
            batch.add(sessions[-1])
            sessions[-1].append(tokens)
        got: dict[int, Any] = {}
        while len(got) < len(PROMPTS):
            for number, event in enumerate(batch.step()):
                if event == _core.STEP_LOGITS:
                    got[number] = (sessions[number].state(), sessions[number].route(held))
        seen.add(repr([got[number] for number in range(len(PROMPTS))]))
    assert len(seen) == 1


def test_the_row_that_counts_is_the_last(image: memoryview) -> None:
    """However many rows of logits were wanted, and as the model's own head sees it."""
    model = _core.Model(image)
    session = _core.Session(model, logit_rows=16, chunk=16)
    wanted = state_after(session, PROMPTS[0])
    session.want_logits(0)
    assert (state_after(session, PROMPTS[0]) == wanted).all()
    session.want_logits(4)
    assert (state_after(session, PROMPTS[0]) == wanted).all()


def test_what_must_hold(image: memoryview) -> None:
    model = _core.Model(image)
    held = opened(model, some_router(width_of(model)))
    adapter = _core.Adapter(model, aligned(random_adapters.compiled(image)))
    session = _core.Session(model, adapter_rank=64)
    for ask in (session.state, lambda: session.route(held)):
        with pytest.raises(RuntimeFault, match="no logits"):
            ask()
    state_after(session, PROMPTS[0])
    route = session.route(held)
    other = _core.Model(image)
    with pytest.raises(RuntimeFault, match="another model"):
        session.route(opened(other, some_router(width_of(other))))
    session.adapter(adapter, 1.0, True)
    with pytest.raises(RuntimeFault, match="take the adapters off"):  # what comes next is not the base's
        session.route(held)
    session.adapter(None)
    assert state_after(session, PROMPTS[0]).any()
    assert session.route(held) == route
    session.rewind(3)
    with pytest.raises(RuntimeFault, match="no logits"):
        session.route(held)
    outside = _core.Session(model, compute=lambda tokens, rows: bytes(4 * rows * model.info()["vocab"]))
    outside.append([1])
    outside.step()
    for ask in (outside.state, lambda: outside.route(held)):
        with pytest.raises(RuntimeFault):
            ask()


def test_a_router_is_written_and_read() -> None:
    router = some_router(48)
    assert read(router.pack()).pack() == router.pack()
    assert read(router.pack()).tasks == router.tasks
    assert router.renamed("task-1", "lamps").tasks == ("task-0", "lamps", "task-2")
    for cut in range(len(router.pack())):
        with pytest.raises(FormatError):
            read(router.pack()[:cut])
    with pytest.raises(UnsupportedError, match="at most 64"):
        some_router(4, tasks=65).pack()
    with pytest.raises(FormatError):
        replace(router, least=[0.1]).pack()


def test_a_task_that_goes_becomes_none(image: memoryview) -> None:
    """The probabilities of those that stay are what they were."""
    model = _core.Model(image)
    router = some_router(width_of(model))
    less = router.without("task-0")
    assert less is not None
    assert less.tasks == ("task-1", "task-2")
    assert router.without("task-7") is router
    session = _core.Session(model)
    for tokens in PROMPTS:
        state = state_after(session, tokens)
        before, after = (defined(one, state)[1] for one in (router, less))
        assert session.route(opened(model, less))[4] == after.tobytes()
        assert sorted(before) == sorted(after)
    left = less.without("task-1")
    assert left is not None
    assert left.without("task-2") is None


def test_damaged_routers(image: memoryview) -> None:
    """Cut short anywhere, or with any bit turned, it is refused or works."""
    model = _core.Model(image)
    dim = width_of(model)
    session = _core.Session(model)
    state_after(session, PROMPTS[0])
    whole = some_router(dim).pack()
    for size in range(len(whole)):
        with pytest.raises(RuntimeFault):
            _core.Router(model, aligned(whole[:size]))
    with pytest.raises(RuntimeFault, match="are due"):
        _core.Router(model, aligned(whole + bytes(4)))
    refused = 0
    for bit in range(8 * len(whole)):
        turned = bytearray(whole)
        turned[bit // 8] ^= 1 << bit % 8
        try:
            held = _core.Router(model, aligned(bytes(turned)))
        except RuntimeFault:
            refused += 1
            continue
        assert session.route(held)[0] < 3
    assert refused > 8 * 28
    nan, rows = float("nan"), 5
    base = some_router(dim)
    for changes, said in (
        ({"weights": [nan] * (rows * dim)}, "not finite"),
        ({"bias": [float("inf")] * rows}, "not finite"),
        ({"least": [nan] * 3}, "not finite"),
        ({"least": [1.5] * 3}, "a probability that is none"),
        ({"tasks": ("a", "b", "a")}, "names are damaged"),
        ({"tasks": ("a", "", "c")}, "names are damaged"),
        ({"tasks": ("a", "b c", "d")}, "names are damaged"),
        ({"dim": dim + 1, "weights": [0.0] * (rows * (dim + 1))}, "belongs to another one"),
    ):
        with pytest.raises(RuntimeFault, match=said):
            opened(model, replace(base, **changes))


@pytest.fixture(scope="module")
def skilled() -> Model:
    """A model with two adapters and a router of lamps and doors."""
    from tinsmith.formats import tin
    from tinsmith.formats.tin import Tin
    from tinsmith.train.adapters import router

    spec = replace(tiny_spec("llama", hidden_size=64, intermediate_size=96), chat_template=CHATML)
    image = build_image(spec)
    plain = Model(_core.Model(image), image, threads=1)
    fitted = router.fit(
        np.stack([np.asarray(one) for one in plain.states([*asked("lamps", 40), *asked("doors", 40)])]),
        ["lamps"] * 40 + ["doors"] * 40,
        np.stack([np.asarray(one) for one in plain.states(asked("none", 40))]),
    )
    held = Tin(image)
    entries: list[tuple[str, Any]] = [(name, held.entry(name)) for name in held.names[:-1]]
    for number, name in enumerate(("lamps", "doors")):
        entries.append((f"adapter/{name}.bin", random_adapters.compiled(image, seed=number)))
    entries.append(("router.bin", fitted.router.pack()))
    packed = tin.pack_bytes(entries, {k: v for k, v in held.manifest.items() if k != "entries"})
    return Model(_core.Model(packed), packed, threads=1)


def asked(task: str, count: int, first: int = 0) -> list[str]:
    ends = {"lamps": "the lamp ! !", "doors": "the door ? ?", "none": "0 1 2 3 4"}
    return [f"{number} {ends[task]}" for number in range(first, first + count)]


def test_a_prompt_is_answered_by_its_adapter(skilled: Model) -> None:
    for task in ("lamps", "doors"):
        for text in asked(task, 5, 100):
            messages = [{"role": "user", "content": text}]
            route = skilled.route(text)
            assert route.task == route.best == task, route.why
            assert route.probability >= route.least
            assert set(route.scores) == {"lamps", "doors"}
            assert route.why == f"{task}: {route.probability:.2f}"
            answer = skilled.chat(messages, route=True, max_tokens=8)
            assert answer.token_ids == skilled.chat(messages, adapter=task, max_tokens=8).token_ids
            assert answer.route == route == skilled.route(messages)


def test_prompts_for_no_adapter_have_no_answer(skilled: Model) -> None:
    for text in asked("none", 5, 100):
        answer = skilled.chat([{"role": "user", "content": text}], route=True)
        assert answer.route is not None
        assert answer.route.task is None
        assert answer.route.best in ("lamps", "doors")
        assert (answer.text, answer.finish) == ("", "none")
        assert answer.route.why.startswith("none of these: ")
        assert answer.prompt_tokens == len(skilled.render([{"role": "user", "content": text}]))


def test_states_do_not_depend_on_what_was_asked_before(skilled: Model) -> None:
    prompts = [*asked("lamps", 3), *asked("none", 3), [1, 2, 3], asked("lamps", 1)[0]]
    together = [bytes(one) for one in skilled.states(prompts)]
    skilled.chat([{"role": "user", "content": prompts[0]}], adapter="doors", max_tokens=4)
    assert [bytes(skilled.states([prompt])[0]) for prompt in reversed(prompts)] == together[::-1]
    assert together[0] == together[-1]


def test_invalid_routing_is_rejected(skilled: Model, image: memoryview) -> None:
    messages = [{"role": "user", "content": "0 the lamp"}]
    with pytest.raises(InputError, match="either route or an adapter"):
        skilled.chat(messages, route=True, adapter="lamps")
    with pytest.raises(InputError, match="has no router"):
        Model(_core.Model(image), image, threads=1).route("a lamp")


def test_the_header_is_as_it_is_laid_out() -> None:
    router = some_router(4, tasks=1, source=bytes(range(32)))
    numbers = struct.unpack_from("<8s6I32s", router.pack())
    assert numbers == (b"TINROUT\0", 1, 1, 3, 4, 7, 0, bytes(range(32)))
