"""What sessions can do beyond one prompt, held to the bits of plain sessions."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Sequence

import pytest

from tests.runtime.plain_sessions import fed, generated, plainly, row
from tinsmith import _core
from tinsmith.compiler import build_image
from tinsmith.constraint import makers
from tinsmith.errors import RuntimeFault
from tinsmith.models import Spec

Image = Callable[[str], memoryview]
PENDING, LOGITS, IDLE = _core.STEP_PENDING, _core.STEP_LOGITS, _core.STEP_IDLE
TOKEN, DONE = _core.STEP_TOKEN, _core.STEP_DONE
LENGTHS = (1, 17, 64, 90, 150)


@pytest.mark.parametrize("budget", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("rows", [0, 3, 20])
def test_a_batch_gives_each_session_its_own_bits(core: _core.Model, rows: int, budget: int) -> None:
    batch = _core.Batch(core, rows=rows, threads=2)
    prompts = [row(core, length, seed) for seed, length in enumerate(LENGTHS)]
    sessions = [_core.Session(core, context=400, batched=True) for _ in prompts]
    got: list[list[bytes]] = [[] for _ in prompts]
    for session, prompt in zip(sessions, prompts, strict=True):
        session.append(prompt)
        batch.add(session)
    while not all(len(logits) == 12 for logits in got):
        for k, event in enumerate(batch.step(budget)):
            assert event in (PENDING, LOGITS, IDLE)
            if event == LOGITS and len(got[k]) < 12:
                got[k].append(sessions[k].logits()[1])
                sessions[k].append([sessions[k].sample()])
    for prompt, logits in zip(prompts, got, strict=True):
        alone = fed(core, prompt)
        for expected in logits:
            assert alone.logits()[1] == expected
            alone.append([alone.sample()])
            alone.step()


def test_a_budget_is_any_number_of_64_bits(core: _core.Model) -> None:
    wanted = generated(fed(core, row(core, 25)), 9)
    for budget in (1, 2**63 - 1, 2**63, 2**64 - 1):
        assert generated(fed(core, row(core, 25)), 9, budget=budget) == wanted
    session, batch = fed(core, row(core, 5)), _core.Batch(core)
    for budget in (-1, -(2**63), 2**64, 2**64 + 1):
        for stepped in (session, batch):
            with pytest.raises(OverflowError):
                stepped.step(budget)


def test_a_batch_generates_with_drafts_and_newcomers(core: _core.Model) -> None:
    batch = _core.Batch(core, rows=12, logit_rows=7)
    prompts = [row(core, 25 + seed, seed) * 2 for seed in range(4)]
    sessions = [_core.Session(core, context=400, logit_rows=5, batched=True) for _ in prompts]
    texts: list[list[int]] = [[] for _ in prompts]
    done = added = 0
    while done < len(prompts):
        if added < len(prompts):  # one more with every step
            sessions[added].append(prompts[added])
            sessions[added].generate(30, 4, 0.8 * (added % 2), 0, 1.0, 0.0, 1.0, 0, added)
            batch.add(sessions[added])
            added += 1
        for k, event in enumerate(batch.step()):
            if event == TOKEN:
                texts[k].append(sessions[k].token())
            done += event == DONE
    for k, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        assert text == plainly(core, prompt, 30, temperature=0.8 * (k % 2), seed=k), k


def test_a_batch_holds_its_sessions_until_cancelled(core: _core.Model) -> None:
    batch = _core.Batch(core)
    session = _core.Session(core, context=200)
    batch.add(session)
    session.append(row(core, 50))
    assert batch.step(1) == [PENDING]
    for refused in (session.step, session.save, lambda: session.rewind(10)):
        with pytest.raises(RuntimeFault):
            refused()
    batch.remove(session)
    session.rewind(40)
    assert session.step() == LOGITS
    assert session.logits()[1] == fed(core, row(core, 40)).logits()[1]
    with pytest.raises(ValueError):
        batch.remove(session)
    other = _core.Session(core, context=200)
    batch.add(other)
    other.append([1, 2])
    other.step(1)
    with pytest.raises(RuntimeFault, match="under way elsewhere"):
        batch.step()


@pytest.mark.parametrize("kv_type", [_core.KV_F16, _core.KV_Q8])
@pytest.mark.parametrize("name", ["core", "windowed"])
@pytest.mark.parametrize("count", [1, 30, 64, 65, 150, 230])
def test_copies_and_restored_sessions_go_on_with_the_same_bits(
    request: pytest.FixtureRequest, name: str, count: int, kv_type: int
) -> None:
    model = request.getfixturevalue(name)
    tokens = row(model, 230)
    original = fed(model, tokens[:count], kv_type=kv_type)
    saved = original.save()
    for options in ({}, {"chunk": 7}, {"context": 256, "threads": 2}):
        copied, restored = (
            _core.Session(model, kv_type=kv_type, **{"context": 400, **options}) for _ in range(2)
        )
        copied.copy_from(original)
        restored.restore(saved)
        for session in (copied, restored):
            assert session.tokens() == (count - 1, tokens[:count])
            assert session.save() == saved
            session.append(tokens[count : count + 20])
            while session.step() != LOGITS:
                pass
        assert copied.logits()[1] == restored.logits()[1]
        assert copied.logits()[1] == fed(model, tokens[: count + 20], kv_type=kv_type).logits()[1]
    fresh = _core.Session(model, context=400, kv_type=kv_type)
    fresh.append(tokens[:count])
    fresh.step()
    assert fresh.save() == saved


def test_a_prefix_is_computed_once(core: _core.Model, wide_heads: Spec) -> None:
    system = fed(core, row(core, 100))
    for seed in (2, 3):
        session = _core.Session(core, context=200)
        session.append(row(core, 10))  # what it held is forgotten
        session.step()
        session.copy_from(system, 80)
        session.append(row(core, 20, seed))
        session.step()
        assert session.logits()[1] == fed(core, row(core, 80) + row(core, 20, seed)).logits()[1]
    with pytest.raises(RuntimeFault, match="do not fit the session's context of 64"):
        _core.Session(core, context=64).copy_from(system)
    with pytest.raises(RuntimeFault, match="the session to copy has 100"):
        _core.Session(core, context=200).copy_from(system, 101)
    other = _core.Model(build_image(wide_heads))
    with pytest.raises(RuntimeFault, match="of one model"):
        _core.Session(other, context=200).copy_from(system)


def test_queued_tokens_and_generations_survive_saving(core: _core.Model) -> None:
    session = fed(core, row(core, 90), logit_rows=9)
    session.append(row(core, 100, 2))
    session.step(1)
    saved = session.save()
    again = _core.Session(core, context=400, logit_rows=9)
    again.restore(saved)
    assert again.tokens()[1] == session.tokens()[1]
    assert generated(again, 20, 8, seed=5, temperature=0.9) == generated(
        session, 20, 8, seed=5, temperature=0.9
    )

    session.generate(40, 8)
    first = []
    while len(first) < 15:
        if session.step() == TOKEN:
            first.append(session.token())
    again.restore(session.save())
    rest = generated(again, 25, 8)
    whole = first
    while (event := session.step()) != DONE:
        whole = [*whole, session.token()] if event == TOKEN else whole
    assert whole == first[:15] + rest


def test_damaged_saved_sessions_are_refused(core: _core.Model) -> None:
    saved = fed(core, row(core, 40)).save()
    session = _core.Session(core, context=400)
    session.append([1, 2, 3])
    for size in (0, 39, 40, 41, len(saved) - 1):
        with pytest.raises(RuntimeFault, match="cut short|are due"):
            session.restore(saved[:size])
    for at in (*range(40), *range(40, len(saved), 101)):
        damaged = bytearray(saved)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(RuntimeFault):
            session.restore(damaged)
    with pytest.raises(RuntimeFault, match="do not fit"):
        _core.Session(core, context=39).restore(saved)
    assert session.tokens() == (0, [1, 2, 3])
    session.restore(saved)
    assert session.tokens()[0] == 39


def test_caches_of_8_bits_take_half_the_memory_and_need_whole_blocks(core: _core.Model, image: Image) -> None:
    sizes = [
        _core.Session(core, context=512, kv_type=kv_type).size() for kv_type in (_core.KV_F16, _core.KV_Q8)
    ]
    kv = core.info()["kv_bytes"] * 512
    assert sizes[0] - sizes[1] == kv - kv * 34 // 64
    eight, sixteen = (fed(core, row(core, 100), kv_type=kv_type) for kv_type in (_core.KV_Q8, _core.KV_F16))
    assert eight.logits()[1] != sixteen.logits()[1]
    with pytest.raises(RuntimeFault, match="not whole blocks of 32"):
        _core.Session(_core.Model(image("Q4_0")), kv_type=_core.KV_Q8)
    with pytest.raises(RuntimeFault, match="the session was saved with kv_type 1"):
        sixteen.restore(eight.save())


def test_a_saved_session_of_another_model_is_refused(image: Image, core: _core.Model) -> None:
    saved = fed(core, [1, 2, 3]).save()
    other = _core.Session(_core.Model(image("Q8_0")), context=64)
    with pytest.raises(RuntimeFault, match="another model"):
        other.restore(saved)


@pytest.mark.parametrize("name", ["core", "windowed"])
def test_a_shifted_session_is_one_that_never_had_the_tokens(request: pytest.FixtureRequest, name: str) -> None:
    model = request.getfixturevalue(name)
    tokens = row(model, 300)
    session = _core.Session(model, context=300)
    session.append(tokens)
    session.step()
    with pytest.raises(RuntimeFault, match="do not fit"):
        session.append([5])
    session.shift(20, 150)
    kept = tokens[:20] + tokens[170:]
    assert session.tokens()[1] == kept
    session.append([5])
    session.step()
    assert session.logits()[1] == fed(model, [*kept, 5]).logits()[1]
    with pytest.raises(RuntimeFault, match="can't drop 200 tokens"):
        session.shift(10, 200)


def digest_by_chunks(model: _core.Model, tokens: Sequence[int], chunk: int, budget: int = 0) -> str:
    session = _core.Session(model, context=400, chunk=chunk, logit_rows=chunk)
    session.want_logits(0)
    session.append(tokens)
    digest = hashlib.sha256()
    while (event := session.step(budget)) != IDLE:
        if event == LOGITS:
            digest.update(session.logits()[1])
    return digest.hexdigest()


def test_windows_give_the_same_bits_by_any_chunk(windowed: _core.Model, core: _core.Model) -> None:
    tokens = row(windowed, 330)
    digests = {digest_by_chunks(windowed, tokens, chunk) for chunk in (1, 7, 64)}
    digests.add(digest_by_chunks(windowed, tokens, 30, budget=1))
    assert len(digests) == 1


def test_a_window_forgets_what_it_does_not_see(windowed: _core.Model) -> None:
    """Logits depend on the last positions alone once two layers' windows are past: 40 - 1 + 100 - 1 back."""
    model = windowed
    ends = row(model, 200)
    one, other = fed(model, [*row(model, 60), *ends]), fed(model, [*row(model, 60, 5), *ends])
    assert one.logits()[1] == other.logits()[1]
    near = fed(model, [*row(model, 60, 5), *ends[:30]])
    assert near.logits()[1] != fed(model, [*row(model, 60), *ends[:30]]).logits()[1]


def test_rings_take_less_memory_and_refuse_to_rewind_past_them(
    windowed: _core.Model, core: _core.Model
) -> None:
    sizes = [_core.Session(model, context=512).size() for model in (core, windowed)]
    assert sizes[1] < sizes[0]
    tokens = row(windowed, 400)
    session = fed(windowed, tokens, context=512, chunk=16)
    with pytest.raises(RuntimeFault, match="no longer there; rewind to 0"):
        session.rewind(200)
    session.rewind(395)
    session.append(tokens[395:])
    session.step()
    assert session.logits()[1] == fed(windowed, tokens, context=512).logits()[1]
    session.rewind(0)
    session.append(tokens[:50])
    session.step()
    assert session.logits()[1] == fed(windowed, tokens[:50]).logits()[1]


def test_logprobs_are_of_the_ready_rows(core: _core.Model) -> None:
    vocab = core.info()["vocab"]
    session = _core.Session(core, context=64, logit_rows=8)
    session.want_logits(12)
    session.append(row(core, 20))
    session.step()
    rows = struct.unpack(f"<{8 * vocab}f", session.logits()[1])
    ids = [5, vocab - 1, 0, 7, 7, 9, 2, 1]
    for k, (token, got) in enumerate(zip(ids, session.logprobs(ids), strict=True)):
        logits = rows[k * vocab : (k + 1) * vocab]
        assert got == pytest.approx(logits[token] - math.log(sum(map(math.exp, logits))), abs=1e-6)
    assert session.logprobs(ids[:3]) == session.logprobs(ids)[:3]
    with pytest.raises(RuntimeFault, match="fewer rows of logits than tokens"):
        session.logprobs([0] * 9)
    with pytest.raises(RuntimeFault, match="not in the vocabulary"):
        session.logprobs([vocab])


def test_rows_of_logits_may_be_fewer_than_a_chunk(core: _core.Model) -> None:
    tokens = row(core, 100)
    session = _core.Session(core, context=128, logit_rows=5)
    session.want_logits(70)
    session.append(tokens)
    rows = b""
    firsts = []
    while session.step() == LOGITS:
        first, data = session.logits()
        firsts.append(first)
        rows += data
    assert firsts[0] == 70
    whole = _core.Session(core, context=128, chunk=64, logit_rows=64)
    whole.want_logits(0)
    whole.append(tokens)
    everything = b""
    while whole.step() == LOGITS:
        everything += whole.logits()[1]
    vocab = core.info()["vocab"]
    assert rows == everything[70 * vocab * 4 :]
    assert len(struct.unpack(f"<{30 * vocab}f", rows)) == 30 * vocab


def no_logits(session: _core.Session) -> None:
    for asked in (session.logits, session.sample):
        with pytest.raises(RuntimeFault, match="there are no logits"):
            asked()
    assert session.argmax() == []


@pytest.mark.parametrize("way", ["copy", "restore", "replace", "rewind", "under way"])
def test_forced_tokens_bring_back_no_logits_that_were_given_up(core: _core.Model, way: str) -> None:
    """What must come first under a constraint is taken up before anything is computed: what a session once had
    logits of does not count for it."""
    tokens = row(core, 150)
    session = _core.Session(core, context=400, chunk=16, logit_rows=16)
    session.want_logits(0)
    session.append(tokens[:10])
    assert session.step() == LOGITS  # of the positions from 0 on
    session.want_logits(2**32 - 1)
    if way == "copy":
        session.copy_from(fed(core, tokens))
    elif way == "restore":
        session.restore(fed(core, tokens).save())
    elif way == "replace":
        session.replace([*tokens[:8], 1])
    elif way == "rewind":
        session.rewind(8)
    else:
        session.append(tokens)
        assert session.step(1) == PENDING
    session.append([5, 6, 7])
    session.constrain(_core.Constraint(core, makers.regex("in the beginning[a-z ]{0,8}").data))
    no_logits(session)
    session.generate(30)
    computed = session.tokens()[0]
    event = session.step(1)
    while event in (TOKEN, PENDING) and session.tokens()[0] == computed:
        no_logits(session)
        event = session.step(1)
    assert session.tokens()[0] > computed  # the loop came to the first pass's end
