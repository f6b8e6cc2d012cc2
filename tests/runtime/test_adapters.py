"""Adapters beside the base in the native runtime: what they compute, and what they are refused for."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import cases, in_format, tiny_spec
from tests.models.transformers_models import logits_of, save_random, some_tokens
from tests.runtime.plain_sessions import generated, together
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.errors import FormatError, InputError, RuntimeFault
from tinsmith.formats.tin import Tin
from tinsmith.runtime import Model

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")


def aligned(data: bytes) -> memoryview:
    """The bytes at a multiple of the alignment, as a mapped file has them."""
    room = np.zeros(len(data) + _core.ALIGNMENT, np.uint8)
    begin = -room.ctypes.data % _core.ALIGNMENT
    room[begin : begin + len(data)] = np.frombuffer(data, np.uint8)
    return memoryview(room)[begin : begin + len(data)]


def with_adapter(theirs: Any, folder: Path, rank: int = 6, seed: int = 7) -> Any:
    """Their model with a random adapter on every linear layer, saved in a folder."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    layers = {name.split(".")[-1] for name, part in theirs.named_modules() if isinstance(part, torch.nn.Linear)}
    refused = {"out_proj"} if theirs.config.model_type == "falcon_h1" else set()  # by peft
    targets = sorted(layers - {"lm_head"} - refused)
    config = LoraConfig(r=rank, lora_alpha=rank / 2, target_modules=targets, init_lora_weights=False)
    adapted = get_peft_model(theirs, config)
    for part in adapted.parameters():
        if part.requires_grad:
            part.data = part.data.half().float()  # what F16 holds exactly
    adapted.save_pretrained(folder)
    return adapted.eval()


def logits(session: _core.Session, tokens: list[int], vocab: int) -> Any:
    session.append(tokens)
    session.want_logits(0)
    rows = bytearray()
    while session.step() == _core.STEP_LOGITS:
        rows += session.logits()[1]
    return np.frombuffer(rows, np.float32).reshape(-1, vocab)


@pytest.mark.parametrize("case", cases())
def test_logits_are_those_of_peft(case: str, tmp_path: Path) -> None:
    from tinsmith.train.adapters import bin as adapter_bin
    from tinsmith.train.adapters import gguf as adapter_gguf

    theirs = save_random(case, tmp_path)
    spec = models.load(tmp_path)
    image = build_image(spec)
    model = _core.Model(image)
    tokens = some_tokens(spec.hyper.vocab)
    adapted = with_adapter(theirs, tmp_path / "adapter")
    wanted = logits_of(adapted, tokens)
    session = _core.Session(model, adapter_rank=32, logit_rows=64)
    plain = logits(session, tokens, spec.hyper.vocab)
    adapter_gguf.write(tmp_path / "adapter", spec, tmp_path / "adapter.gguf")
    for format in ("F16", "Q8_0"):
        data = adapter_bin.compiled(tmp_path / "adapter", Tin(image), format)
        assert adapter_bin.compiled(tmp_path / "adapter.gguf", Tin(image), format) == data
        session.rewind(0)
        session.adapter(None)
        session.adapter(_core.Adapter(model, aligned(data)))
        ours = logits(session, tokens, spec.hyper.vocab)
        apart, change = (float(np.sqrt(np.mean((one - wanted) ** 2))) for one in (ours, plain))
        worst, reach = float(np.abs(ours - wanted).max()), float(wanted.max() - wanted.min())
        print(f"{case}: {apart / change:.2g} of the change, worst {worst / reach:.2g}")
        if format == "F16":
            assert worst <= 1e-3 * reach  # as of the base's own logits
        assert apart <= 0.2 * change
    session.adapter(None)
    session.rewind(0)
    assert logits(session, tokens, spec.hyper.vocab).tobytes() == plain.tobytes()


RANK = 3 * 32  # what the three take
TOKENS = [3, 17, 5, 40, 2, 9, 11, 23, 8, 31, 4, 7, 19]


class Adapted:
    """A small model and three adapters for it, of other ranks and formats."""

    def __init__(self, folder: Path) -> None:
        from tinsmith.train.adapters import bin as adapter_bin

        base = save_random("qwen3", folder)
        spec = in_format(models.load(folder), "Q4_0")
        self.folder, self.image, self.vocab = folder, build_image(spec), spec.hyper.vocab
        self.data: list[memoryview] = []
        for number, (rank, format) in enumerate(((6, "Q8_0"), (32, "Q8_0"), (20, "F16"))):
            base = with_adapter(base, folder / str(number), rank, number).unload()
            self.data.append(aligned(adapter_bin.compiled(folder / str(number), Tin(self.image), format)))

    def model(self, isa: str | None = None) -> tuple[_core.Model, list[_core.Adapter]]:
        model = _core.Model(self.image, isa)
        return model, [_core.Adapter(model, data) for data in self.data]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    return Adapted(tmp_path_factory.mktemp("adapted"))


def session_of(model: _core.Model, *applied: tuple[_core.Adapter, float], **options: Any) -> _core.Session:
    session = _core.Session(model, **{"adapter_rank": RANK, "logit_rows": 16, "chunk": 16, **options})
    for adapter, scale in applied:
        session.adapter(adapter, scale)
    return session


def test_whole_blocks_of_the_first_format_give_the_same(
    adapted: Adapted, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinsmith.compiler import adapter
    from tinsmith.train.adapters import bin as adapter_bin

    with monkeypatch.context() as before:
        before.setattr(adapter, "is_half", lambda rank, format: False)
        before.setattr(adapter, "_VERSION", 1)
        first = adapter_bin.compiled(adapted.folder / "0", Tin(adapted.image))
    assert len(first) > len(adapted.data[0])
    with pytest.raises(FormatError, match="its header"):
        adapter.factors_of(first, "")
    for isa in ("scalar", None):
        model, adapters = adapted.model(isa)
        digests = {
            logits(session_of(model, (one, 0.75)), TOKENS, adapted.vocab).tobytes()
            for one in (adapters[0], _core.Adapter(model, aligned(first)))
        }
        assert len(digests) == 1
        with pytest.raises(RuntimeFault, match="no halves to leave out"):
            _core.Adapter(model, aligned(halved(first)))


def halved(data: bytes) -> bytes:
    """The adapter with factors that are said to be half, of a rank or a format that has no halves."""
    held = bytearray(data)
    held[64 + 12 : 64 + 16] = (32).to_bytes(4, "little")
    held[64 + 28 : 64 + 32] = (1).to_bytes(4, "little")
    return bytes(held)


def rows_of(session: _core.Session, budget: int = 0) -> bytes:
    """The logits of all that is queued."""
    rows = b""
    while (event := session.step(budget)) != _core.STEP_IDLE:
        rows += session.logits()[1] if event == _core.STEP_LOGITS else b""
    return rows


def test_bits_are_the_same_everywhere(adapted: Adapted) -> None:
    """On every instruction set, with any number of threads, in chunks and in slices."""
    seen = set()
    for isa in _core.isa_names():
        model, (first, second, third) = adapted.model(isa)
        for options in ({}, {"threads": 3}, {"chunk": 5, "logit_rows": 5}, {"chunk": 1, "logit_rows": 1}):
            session = session_of(model, (first, 1.0), (third, 0.5), (second, -0.7), **options)
            for budget in (0, 1, 20_000):
                session.rewind(0)
                session.append(TOKENS)
                session.want_logits(0)
                seen.add(rows_of(session, budget))
    assert len(seen) == 1
    (row,) = seen
    assert len(row) == 4 * len(TOKENS) * adapted.vocab


def test_each_session_of_a_batch_has_its_own(adapted: Adapted) -> None:
    model, (first, second, third) = adapted.model()
    applied = [
        (),
        ((first, 1.0),),
        ((second, 1.0),),
        ((first, 1.0),),
        ((first, 0.5),),
        ((third, 1.0), (first, 1.0)),
    ]
    alone, batch = [], _core.Batch(model, rows=40, adapter_rank=RANK, threads=2)
    sessions = [session_of(model, *some, batched=True) for some in applied]
    for number, (some, session) in enumerate(zip(applied, sessions, strict=True)):
        tokens = TOKENS[number:]
        single = session_of(model, *some)
        single.append(tokens)
        alone.append(generated(single, 9))
        batch.add(session)
        session.append(tokens)
        session.generate(9)
    assert together(batch, sessions) == alone
    assert len({tuple(one) for one in alone}) > 3


def test_a_batch_without_room_refuses_the_session(adapted: Adapted) -> None:
    model, (first, second, _) = adapted.model()
    batch = _core.Batch(model, adapter_rank=32)
    session = session_of(model, (first, 1.0), batched=True)
    batch.add(session)
    session.append(TOKENS)
    batch.step()
    session.adapter(second)
    with pytest.raises(RuntimeFault, match="room"):
        batch.step()


def test_a_change_computes_the_conversation_anew(adapted: Adapted) -> None:
    model, (first, second, _) = adapted.model()
    wanted = {}
    for adapter in (first, second):
        session = session_of(model, (adapter, 1.0))
        session.append(TOKENS)
        wanted[adapter] = rows_of(session)
    session = session_of(model, (first, 1.0))
    session.append(TOKENS)
    assert rows_of(session) == wanted[first]
    session.adapter(first, 1.0)  # nothing changes
    assert session.tokens()[0] == len(TOKENS)
    session.adapter(first, 0.0)
    session.adapter(second)
    assert session.tokens() == (0, TOKENS)
    assert rows_of(session) == wanted[second]


def test_what_was_computed_may_be_kept(adapted: Adapted) -> None:
    model, (first, second, _) = adapted.model()
    session = session_of(model, (first, 1.0))
    session.append(TOKENS[:-1])
    rows_of(session)
    session.adapter(None, 1.0)
    session.adapter(second, 1.0, True)
    assert session.tokens()[0] == 0  # it was computed under the first, which is gone
    session.append(TOKENS[-1:])
    pure = rows_of(session)
    kept = session_of(model, (first, 1.0))
    kept.append(TOKENS[:-1])
    rows_of(kept)
    kept.adapter(second, 1.0, True)
    kept.adapter(first, 0.0, True)
    assert kept.tokens()[0] == len(TOKENS) - 1
    kept.append(TOKENS[-1:])
    assert rows_of(kept) != pure
    # What two adapters made is neither's.
    for taker in (session_of(model, (second, 1.0)), session_of(model, (first, 1.0)), session_of(model)):
        with pytest.raises(RuntimeFault, match="adapters"):
            taker.copy_from(kept)
        with pytest.raises(RuntimeFault, match="adapters"):
            taker.restore(kept.save())
    # From the beginning on it is the second's alone.
    kept.rewind(0)
    kept.append(TOKENS)
    assert rows_of(kept) == pure
    session_of(model, (second, 1.0)).copy_from(kept)


def test_a_change_amid_a_pass_begins_it_again(adapted: Adapted) -> None:
    model, (first, second, _) = adapted.model()

    def begun(count: int) -> _core.Session:
        session = session_of(model, (first, 1.0), chunk=4, logit_rows=4)
        session.append(TOKENS[:count])
        return session

    wanted = begun(4)
    rows_of(wanted)
    wanted.adapter(second, 1.0, True)
    wanted.append(TOKENS[4:])
    expected = rows_of(wanted)
    amid = begun(len(TOKENS))
    while amid.tokens()[0] < 4:
        amid.step(1)
    for _ in range(16):
        assert amid.step(1) == _core.STEP_PENDING
    assert amid.tokens()[0] == 4
    amid.adapter(second, 1.0, True)
    assert rows_of(amid) == expected


@pytest.mark.parametrize("way", ["copy", "save"])
def test_nothing_is_taken_over_from_other_adapters(adapted: Adapted, way: str) -> None:
    model, (first, second, _) = adapted.model()
    makers = {
        "none": (),
        "first": ((first, 1.0),),
        "weaker": ((first, 0.5),),
        "second": ((second, 1.0),),
        "both": ((first, 1.0), (second, 1.0)),
        "both, turned": ((second, 1.0), (first, 1.0)),
    }
    for name, applied in makers.items():
        source = session_of(model, *applied)
        source.append(TOKENS)
        wanted = rows_of(source)
        for other, theirs in makers.items():
            taker = session_of(model, *theirs)
            allowed = nullcontext() if name == other else pytest.raises(RuntimeFault, match="other adapters")
            with allowed:
                taker.copy_from(source) if way == "copy" else taker.restore(source.save())
            if name != other:
                continue
            assert taker.tokens() == (len(TOKENS) - 1, TOKENS)
            assert rows_of(taker) == wanted


def test_a_session_has_the_room_that_was_planned(adapted: Adapted) -> None:
    model, (first, second, _) = adapted.model()
    session = session_of(model, (second, 1.0), adapter_rank=40)
    with pytest.raises(RuntimeFault, match="ranks are 64 in all, and the session has room for 40"):
        session.adapter(first)
    with pytest.raises(RuntimeFault, match="room for 0"):
        _core.Session(model).adapter(first)
    for scale in (float("nan"), float("inf"), 1e9):
        with pytest.raises(RuntimeFault, match="scale"):
            session.adapter(second, scale)
    session.append(TOKENS)
    rows_of(session)
    with pytest.raises(RuntimeFault, match="another model"):
        session.adapter(adapted.model()[1][0])
    assert session.tokens()[0] == len(TOKENS)  # nothing changed
    with pytest.raises(RuntimeFault, match="take the adapters off"):
        session.selftest()


def test_damaged_adapters(adapted: Adapted) -> None:
    """Cut short anywhere, or with any bit of its head turned, it is refused or works within its bounds."""
    model, _ = adapted.model()
    whole = bytes(adapted.data[0])
    for size in [*range(0, 400, 7), len(whole) - 1, len(whole) - 64]:
        with pytest.raises(RuntimeFault):
            _core.Adapter(model, aligned(whole[:size]))
    with pytest.raises(RuntimeFault):
        _core.Adapter(model, aligned(whole + bytes(64)))
    refused = 0
    for bit in range(0, 8 * 1200, 7):
        turned = bytearray(whole)
        turned[bit // 8] ^= 1 << bit % 8
        try:
            adapter = _core.Adapter(model, aligned(bytes(turned)))
        except RuntimeFault:
            refused += 1
            continue
        session = session_of(model, (adapter, 1.0), adapter_rank=1024)
        session.append(TOKENS[:3])
        rows_of(session)
    assert refused > 500
    # An infinity: the last number of an F16 factor, and the first scale of a Q8_0 factor's last tile.
    for data, at in ((adapted.data[2], -1), (adapted.data[0], 1 - 18 * 16)):
        poisoned = bytearray(data)
        poisoned[at] = 0x7C
        with pytest.raises(RuntimeFault, match="not finite"):
            _core.Adapter(model, aligned(bytes(poisoned)))


@pytest.fixture
def loaded(adapted: Adapted) -> Model:
    model = Model(_core.Model(adapted.image), adapted.image, threads=1)
    for name, data in zip(("first", "second", "third"), adapted.data, strict=True):
        model.adapters.add(name, data)
    return model


def test_a_model_answers_under_its_adapters(loaded: Model) -> None:
    """In any order of turns, many at once or one by one."""
    chosen: list[Any] = [None, "first", {"second": 0.5, "first": 1.0}, "second", None, "first", {"third": 0}]
    prompts = [TOKENS[k:] + TOKENS for k in range(len(chosen))]
    options: dict[str, Any] = {"max_tokens": 6, "constraint": None}
    alone = []
    for prompt, one in zip(prompts, chosen, strict=True):
        fresh = loaded.logits(prompt, adapter=one)
        answer = loaded.generate(prompt, adapter=one, **options)
        alone.append(answer.token_ids)
        first = np.asarray(fresh)[-1].argmax()
        assert answer.token_ids[:1] in ([first], [])
        assert loaded.generate(prompt, adapter=one, **options).token_ids == answer.token_ids
    assert len(set(map(tuple, alone))) > 3
    for prompt, one, wanted in reversed(list(zip(prompts, chosen, alone, strict=True))):
        assert loaded.generate(prompt, adapter=one, **options).token_ids == wanted
    many = loaded.generate_many(prompts, adapter=chosen, concurrency=3, **options)
    assert [answer.token_ids for answer in many] == alone
    assert [one.token_ids for one in loaded.generate_many(prompts[:2], adapter="first", **options)] == [
        loaded.generate(prompt, adapter="first", **options).token_ids for prompt in prompts[:2]
    ]


def test_what_adapters_are_named(loaded: Model, adapted: Adapted) -> None:
    assert list(loaded.adapters) == ["first", "second", "third"]
    assert loaded.adapters["second"].rank == 32
    with pytest.raises(InputError, match=r"no adapter 'fourth'; it has: first, second, third"):
        loaded.generate(TOKENS, adapter="fourth")
    with pytest.raises(InputError, match="taken"):
        loaded.adapters.add("first", adapted.data[1])
    with pytest.raises(InputError, match="scale of adapter first"):
        loaded.generate(TOKENS, adapter={"first": float("nan")})
    for wrong in (["first"], 3):
        with pytest.raises(InputError, match="adapter is .*; give a name, or {name: its scale}"):
            loaded.generate(TOKENS, adapter=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="7 adapters for 1 prompts"):
        loaded.generate_many([TOKENS], adapter=["first"] * 7)
    with pytest.raises(FormatError, match="adapter broken: "):
        loaded.adapters.add("broken", bytes(adapted.data[0])[:-64])
    assert "broken" not in loaded.adapters
    other = build_image(tiny_spec("llama"))
    with pytest.raises(InputError, match="adapter foreign: .* belongs to another one|no matrix"):
        Model(_core.Model(other), other, threads=1).adapters.add("foreign", adapted.data[0])
