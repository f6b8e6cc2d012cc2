"""Predictions follow the data; nothing here looks at a clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.models.tiny_models import cases, tiny_spec
from tinsmith import plan, targets
from tinsmith.plan import contents, host, memory, speed
from tinsmith.plan.memory import Options


def rates(**changes: object) -> speed.Rates:
    base = speed.rates_of(targets.load("raspberrypi-5"))
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", cases())
def test_decoding_reads_every_matrix_and_every_key_once(case: str) -> None:
    program = contents.Base(tiny_spec(case)).contents("Q8_0").program
    cost = speed.one_pass(program, rates(), rows=1, depth=10, kv="f16")
    matrices = sum(tensor.bytes for tensor in program.tensors.values() if tensor.rows > 1)
    assert 0 < cost.weights <= matrices
    if case == "llama":
        # The embedding is read as a row of a token only, where the head is another matrix.
        read = [
            k for op in program.ops if op.kind in ("MATMUL", "LOGITS") for k in op.tensors[:3] if k is not None
        ]
        assert cost.weights == sum(list(program.tensors.values())[k].bytes for k in set(read))
    read_caches = [
        program.caches[op.cache] for op in program.ops if op.kind == "ATTENTION" and op.cache is not None
    ]
    places = sum(
        min(11, cache.window + 1 if cache.window else 11) * 4 * cache.heads * cache.head_dim
        for cache in read_caches
    )
    assert cost.kv == places
    assert cost.states == 2 * memory.states_bytes(program)
    assert cost.seconds == pytest.approx(sum(cost.parts.values()))


def test_twice_the_bandwidth_is_twice_as_fast_where_reading_is_all() -> None:
    program = contents.Base(tiny_spec("llama")).contents("Q4_0").program
    free = {"sync": 0.0, "op": 0.0, "elements": 1e30, "floats": 1e30, "many": {"": 1e30, "f32": 1e30}}
    free |= {"one": free["many"], "memory": 1e30}
    slow, fast = (
        speed.one_pass(program, rates(weights={"": width}, **free), rows=1, depth=0, kv="f16").seconds
        for width in (1e9, 2e9)
    )
    assert slow == pytest.approx(2 * fast)
    assert slow == pytest.approx(speed.one_pass(program, rates(), rows=1, depth=0, kv="f16").weights / 1e9)


def test_a_depth_and_a_wide_cache_cost_time() -> None:
    program = contents.Base(tiny_spec("qwen3")).contents("Q8_0").program
    near, far = (speed.one_pass(program, rates(), rows=1, depth=d, kv="f16").seconds for d in (0, 100))
    assert near < far
    narrow = speed.one_pass(program, rates(), rows=1, depth=100, kv="q8").kv
    assert narrow < speed.one_pass(program, rates(), rows=1, depth=100, kv="f16").kv


def test_a_prompt_is_read_in_chunks() -> None:
    program = contents.Base(tiny_spec("llama")).contents("Q4_0").program
    by_one, by_many = (
        speed.speed(program, rates(), context=100, chunk=chunk, depth=0, kv="f16").prompt_tok_s
        for chunk in (1, 50)
    )
    assert by_many > by_one


@pytest.mark.parametrize("name", targets.names())
def test_every_target_has_a_prediction_with_its_assumptions(name: str) -> None:
    target = targets.load(name)
    planned = plan.make(contents.Base(tiny_spec("llama")).contents("Q4_0"), target, Options(context=32))
    assert planned.fits and planned.speed.decode_tok_s > 0 and planned.speed.prompt_tok_s > 0
    assumptions = "\n".join(planned.assumptions)
    assert target.cpu.isa[-1] in assumptions and "MB of weights" in assumptions and "GB/s" in assumptions


def test_the_host_is_measured() -> None:
    program = contents.Base(tiny_spec("qwen35")).contents("Q4_K_M").program
    measured = host.rates(program, 1)
    assert set(measured.many) >= {tensor.format for tensor in program.tensors.values() if tensor.rows > 1}
    numbers = [
        *measured.many.values(),
        *measured.one.values(),
        *measured.weights.values(),
        measured.memory,
        measured.floats,
    ]
    assert all(0 < number < 1e16 for number in numbers)
