"""Prefixes in the native runtime: they give torch's logits, the same bits everywhere, and are told apart."""

from __future__ import annotations

import json
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.models.random_adapters import compiled, random_prefix
from tests.models.tiny_models import cases, in_format, tiny_spec
from tests.models.transformers_models import save_random, some_tokens
from tests.runtime.plain_sessions import generated, together
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.errors import FormatError, InputError, RuntimeFault
from tinsmith.formats.tin import Tin
from tinsmith.runtime import Model
from tinsmith.runtime.adapters import aligned
from tinsmith.spec import Spec

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")

WINDOWED = ("gemma2", "gemma3", "phi3")


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinsmith.train.model import devices

    monkeypatch.setattr(devices, "has_fast_bfloat16", lambda device: False)


def with_prefix(spec: Spec, folder: Path, length: int, seed: int = 3) -> Any:
    """What training would begin with, half as much again at random, and the folder that it would leave."""
    from safetensors.torch import save_file

    from tinsmith.train.adapters import prefix_bin
    from tinsmith.train.model import prefix
    from tinsmith.train.model.devices import CPU

    built = prefix.build(spec, torch.float32, CPU, some_tokens(spec.hyper.vocab, length))
    torch.manual_seed(seed)
    for value in built.prefix.values():
        value.data += 0.5 * value.data.std() * torch.randn(value.shape)
    folder.mkdir()
    save_file({name: value.detach() for name, value in built.prefix.items()}, folder / prefix_bin.WEIGHTS)
    config = {"kind": "prefix", "length": length, "family": spec.family}
    (folder / prefix_bin.CONFIG).write_text(json.dumps(config))
    return built


def logits_of(built: Any, tokens: list[int]) -> Any:
    """By torch, as training has it, with the model's own head: float32 [tokens, vocabulary]."""
    from tinsmith.train.batches.packing import pad
    from tinsmith.train.batches.sequences import TokenSequence
    from tinsmith.train.model import prefix

    packing = pad([TokenSequence(tuple(tokens[:1]), (*tokens[1:], tokens[0]))])
    states = prefix.States(dict(built.prefix), built.length)
    with torch.no_grad():
        hidden = prefix._run(built.trunk, packing, states)[0]
        return built.logits(hidden).numpy()


def rows_of(session: _core.Session, tokens: list[int], budget: int = 0) -> bytes:
    session.append(tokens)
    session.want_logits(0)
    rows = b""
    while (event := session.step(budget)) != _core.STEP_IDLE:
        rows += session.logits()[1] if event == _core.STEP_LOGITS else b""
    return rows


@pytest.mark.parametrize(
    ("case", "length"), [*((case, 10) for case in cases()), *((case, 150) for case in WINDOWED), ("lfm2", 1)]
)
def test_logits_are_those_of_torch(case: str, length: int, tmp_path: Path) -> None:
    """In windows that hold the prefix, in those that are shorter, and for tokens that no longer see it."""
    from tinsmith.train.adapters import bin as adapter_bin

    save_random(case, tmp_path / "base")
    spec = models.load(tmp_path / "base")
    image = build_image(spec)
    model = _core.Model(image)
    tokens = some_tokens(spec.hyper.vocab)[: 290 - length]
    built = with_prefix(spec, tmp_path / "prefix", length)
    data = adapter_bin.compiled(tmp_path / "prefix", Tin(image))
    wanted = logits_of(built, tokens)
    session = _core.Session(model, logit_rows=64)
    plain = np.frombuffer(rows_of(session, tokens), np.float32).reshape(wanted.shape)
    session.rewind(0)
    session.adapter(_core.Adapter(model, aligned(data)))
    ours = np.frombuffer(rows_of(session, tokens), np.float32).reshape(wanted.shape)
    reach = float(wanted.max() - wanted.min())
    worst, change = (float(np.abs(one - wanted).max()) / reach for one in (ours, plain))
    print(f"{case}: worst {worst:.2g} of the logits' reach, without the prefix {change:.2g}")
    assert worst <= 1e-3
    assert change >= 20 * worst
    session.adapter(None)
    session.rewind(0)
    assert rows_of(session, tokens) == plain.tobytes()


KINDS = ("gemma2", "qwen35", "lfm2")  # windows, and both kinds of states
RANK = 32
TOKENS = [(7 * k * k + 3 * k) % 97 for k in range(30)]


class Prefixed:
    """A small model, two prefixes and an adapter of factors for it."""

    def __init__(self, case: str) -> None:
        spec = in_format(tiny_spec(case), "Q8_0")
        self.image, self.vocab = build_image(spec), spec.hyper.vocab
        self.data = [aligned(random_prefix(self.image, length, length)) for length in (11, 70)]
        self.data.append(aligned(compiled(self.image, rank=6)))

    def model(self, isa: str | None = None) -> tuple[_core.Model, list[_core.Adapter]]:
        model = _core.Model(self.image, isa)
        return model, [_core.Adapter(model, data) for data in self.data]


@pytest.fixture(scope="module", params=KINDS)
def prefixed(request: pytest.FixtureRequest) -> Prefixed:
    return Prefixed(request.param)


def session_of(model: _core.Model, *adapters: _core.Adapter, **options: Any) -> _core.Session:
    session = _core.Session(model, **{"adapter_rank": RANK, "logit_rows": 16, "chunk": 16, **options})
    for adapter in adapters:
        session.adapter(adapter)
    return session


@pytest.mark.parametrize("kv_type", [_core.KV_F16, _core.KV_Q8])
def test_bits_are_the_same_everywhere(prefixed: Prefixed, kv_type: int) -> None:
    """On every instruction set, with any number of threads, in chunks and in slices; with an adapter beside."""
    seen: dict[Any, set[bytes]] = {}
    for isa in _core.isa_names():
        model, (short, long, factors) = prefixed.model(isa)
        if kv_type == _core.KV_Q8 and any(one.head_dim % 32 for one in listing(prefixed).caches):
            with pytest.raises(RuntimeFault):  # its heads are no whole blocks
                session_of(model, kv_type=kv_type, context=128)
            return
        ways = ({}, {"threads": 3}, {"chunk": 5, "logit_rows": 5}, {"chunk": 1, "logit_rows": 1})
        for options, (name, own) in product(ways, {"short": (short,), "both": (factors, long)}.items()):
            session = session_of(model, *own, kv_type=kv_type, context=128, **options)
            for budget in (0, 1, 20_000):
                session.rewind(0)
                seen.setdefault(name, set()).add(rows_of(session, TOKENS, budget))
    assert {name: len(rows) for name, rows in seen.items()} == {"short": 1, "both": 1}
    assert seen["short"] != seen["both"]


def listing(prefixed: Prefixed) -> Any:
    from tinsmith.compiler.program import read_program

    return read_program(Tin(prefixed.image).entry("program.bin"))


def test_each_session_of_a_batch_has_its_own(prefixed: Prefixed) -> None:
    model, (short, long, factors) = prefixed.model()
    sets = [(), (short,), (long,), (short,), (short, factors), (factors,), (factors, long)]
    alone, batch = [], _core.Batch(model, rows=40, adapter_rank=RANK, threads=2)
    sessions = [session_of(model, *own, batched=True) for own in sets]
    for number, (own, session) in enumerate(zip(sets, sessions, strict=True)):
        single = session_of(model, *own)
        single.append(TOKENS[number:])
        alone.append(generated(single, 9))
        batch.add(session)
        session.append(TOKENS[number:])
        session.generate(9)
    assert together(batch, sessions) == alone


@pytest.mark.parametrize("rank", [0, RANK])
def test_a_batch_needs_no_room_for_prefixes(prefixed: Prefixed, rank: int) -> None:
    model, (short, long, _) = prefixed.model()
    batch = _core.Batch(model, adapter_rank=rank)
    sessions = [session_of(model, own, batched=True, adapter_rank=0) for own in (short, long)]
    for session in sessions:
        batch.add(session)
        session.append(TOKENS)
    assert batch.step() == [_core.STEP_LOGITS] * 2
    for session, own in zip(sessions, (short, long), strict=True):
        single = session_of(model, own, adapter_rank=0)
        single.append(TOKENS)
        single.step()
        assert session.logits()[1] == single.logits()[1]


def test_what_a_ring_has_lost_is_there_again() -> None:
    """Where a window's places were taken by later tokens, a conversation that begins anew sees the prefix."""
    prefixed = Prefixed("gemma2")
    model, (short, long, _) = prefixed.model()
    many = [(5 * k * k + k) % 97 for k in range(330)]
    for own in (short, long):
        wanted = rows_of(session_of(model, own, context=400), many)
        session = session_of(model, own, context=400)
        assert rows_of(session, many) == wanted
        with pytest.raises(RuntimeFault, match="no longer there"):
            session.rewind(20)
        other = session_of(model, own, context=400)
        other.restore(session.save())
        for one in (session, other):
            one.rewind(0)
            assert rows_of(one, many) == wanted
        other = session_of(model, own, context=400)
        other.copy_from(session)
        other.replace(TOKENS)
        assert rows_of(other, []) == rows_of(session_of(model, own, context=400), TOKENS)


@pytest.mark.parametrize("way", ["copy", "save"])
def test_nothing_is_taken_over_from_another_prefix(prefixed: Prefixed, way: str) -> None:
    model, (short, long, factors) = prefixed.model()
    makers = {"none": (), "short": (short,), "long": (long,), "beside": (short, factors), "factors": (factors,)}
    for name, own in makers.items():
        source = session_of(model, *own, context=128)
        wanted = rows_of(source, TOKENS)[-4 * prefixed.vocab :]
        for other, theirs in makers.items():
            taker = session_of(model, *theirs, context=128)
            allowed = nullcontext() if name == other else pytest.raises(RuntimeFault, match="other adapters")
            with allowed:
                taker.copy_from(source) if way == "copy" else taker.restore(source.save())
            if name == other:
                assert taker.tokens() == (len(TOKENS) - 1, TOKENS)
                assert rows_of(taker, []) == wanted


def test_a_prefix_comes_and_goes(prefixed: Prefixed) -> None:
    """In a conversation, which is computed again; its places are the context's."""
    model, (short, long, factors) = prefixed.model()
    wanted = {own: rows_of(session_of(model, *own), TOKENS) for own in ((), (short,), (long,), (long, factors))}
    assert len(set(wanted.values())) == 4
    session = session_of(model, context=100)
    assert rows_of(session, TOKENS) == wanted[()]
    for own in ((short,), (), (long,), (long, factors)):
        session.adapter(None)
        for one in own:
            session.adapter(one)
        assert session.tokens() == (0, TOKENS)
        assert rows_of(session, []) == wanted[own]
    session.adapter(factors, 0.0)
    assert rows_of(session, []) == wanted[long,]
    with pytest.raises(RuntimeFault, match="30 tokens and 1 more do not fit the session's context of 30"):
        session.append([1])
    session.adapter(long, 0.0)
    assert rows_of(session, TOKENS[:1])[: len(wanted[()])] == wanted[()]


def test_invalid_prefixes_are_rejected(prefixed: Prefixed) -> None:
    model, (short, long, factors) = prefixed.model()
    assert (short.info()["prefix"], short.info()["rank"], factors.info()["prefix"]) == (11, 0, 0)
    session = session_of(model, short, factors, context=90)
    row = rows_of(session, TOKENS)
    for change, said in (
        (lambda: session.adapter(long), "at most one prefix"),
        (lambda: session.adapter(short, 0.5), "no other scale than 1"),
        (lambda: session.adapter(short, 0.0, True), "can't be kept"),
        (lambda: session.adapter(None, 1.0, True), "can't be kept"),
        (lambda: session.adapter(prefixed.model()[1][0]), "another model"),
        (session.selftest, "take the adapters off"),
    ):
        with pytest.raises(RuntimeFault, match=said):
            change()
        assert session.tokens() == (len(TOKENS), TOKENS)
    session.adapter(None)
    with pytest.raises(
        RuntimeFault, match="a prefix of 70 tokens and the session's 30 do not fit its context of 90"
    ):
        session.adapter(long)
    with pytest.raises(
        RuntimeFault, match="a prefix of 70 tokens and the session's 0 do not fit its context of 70"
    ):
        session_of(model, long, context=70)
    session.adapter(short)
    session.adapter(factors)
    assert rows_of(session, []) == row
    kept = session_of(model, short, context=90)
    rows_of(kept, TOKENS[:-1])
    kept.adapter(factors, 1.0, True)  # what stands behind the same prefix may be
    assert kept.tokens()[0] == len(TOKENS) - 1


def test_damaged_prefixes(prefixed: Prefixed) -> None:
    """Cut short anywhere, or with any bit of its head turned, it is refused or works within its bounds."""
    model, _ = prefixed.model()
    whole = bytes(prefixed.data[0])
    for size in [*range(0, 400, 7), len(whole) - 1, len(whole) - 64]:
        with pytest.raises(RuntimeFault):
            _core.Adapter(model, aligned(whole[:size]))
    with pytest.raises(RuntimeFault, match="bytes; .* are due"):
        _core.Adapter(model, aligned(whole + bytes(64)))
    head = 64 + 16 * (len(listing(prefixed).caches) + len(listing(prefixed).states))
    for bit in range(8 * head):
        turned = bytearray(whole)
        turned[bit // 8] ^= 1 << bit % 8
        try:
            adapter = _core.Adapter(model, aligned(bytes(turned)))
        except RuntimeFault:
            continue
        assert 24 <= bit // 8 < 64  # what is reserved, and the source, which this model does not know
        assert rows_of(session_of(model, adapter), TOKENS[:3])
    for value in (b"\0\0\x80\x7f", b"\0\0\xc0\xff", b"\0\0\x80\x47"):  # infinity, not a number, 65536
        with pytest.raises(RuntimeFault, match="not below 65504"):
            _core.Adapter(model, aligned(whole[:-4] + value))
    foreign = build_image(tiny_spec("llama"))
    with pytest.raises(RuntimeFault, match="belongs to another"):
        _core.Adapter(_core.Model(foreign), aligned(whole))


def test_a_prefix_as_long_as_the_context() -> None:
    image = build_image(tiny_spec("llama", max_position_embeddings=64))
    model = _core.Model(image)
    _core.Adapter(model, aligned(random_prefix(image, 63)))
    with pytest.raises(RuntimeFault, match="a prefix of 64 tokens; the model's context has 64"):
        _core.Adapter(model, aligned(random_prefix(image, 64)))


def test_a_model_answers_behind_its_prefixes(prefixed: Prefixed) -> None:
    """In any order of turns, many at once or one by one."""
    model = Model(_core.Model(prefixed.image), prefixed.image, threads=1)
    for name, data in zip(("short", "long", "factors"), prefixed.data, strict=True):
        model.adapters.add(name, data)
    assert (model.adapters["long"].prefix, model.adapters["factors"].prefix) == (70, 0)
    chosen: list[Any] = [None, "short", "long", {"long": 1, "factors": 0.5}, "short", "factors", {"short": 0}]
    prompts = [TOKENS[k:] + TOKENS for k in range(len(chosen))]
    options: dict[str, Any] = {"max_tokens": 6, "constraint": None}
    alone = []
    for prompt, one in zip(prompts, chosen, strict=True):
        first = np.asarray(model.logits(prompt, adapter=one))[-1].argmax()
        answer = model.generate(prompt, adapter=one, **options)
        alone.append(answer.token_ids)
        assert answer.token_ids[:1] in ([first], [])
        assert model.generate(prompt, adapter=one, **options).token_ids == answer.token_ids
        assert (
            model.generate(prompt, adapter=one, draft=answer.token_ids, **options).token_ids == answer.token_ids
        )
    assert len(set(map(tuple, alone))) > 2
    for prompt, one, wanted in reversed(list(zip(prompts, chosen, alone, strict=True))):
        assert model.generate(prompt, adapter=one, **options).token_ids == wanted
    many = model.generate_many(prompts, adapter=chosen, concurrency=3, **options)
    assert [answer.token_ids for answer in many] == alone
    with pytest.raises(InputError, match="short and long are prefixes; choose one of them"):
        model.generate(TOKENS, adapter={"short": 1, "long": 1})
    with pytest.raises(InputError, match="short is a prefix, whose scale is always 1"):
        model.generate(TOKENS, adapter={"short": 0.5})
    with pytest.raises(FormatError, match="adapter broken: "):
        model.adapters.add("broken", bytes(prefixed.data[0])[:-64])
