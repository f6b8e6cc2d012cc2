"""A mixture of experts by its ops alone, against NumPy and against an ordinary feed-forward."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.models.tiny_models import HALVES, drawn, tiny_tokenizer
from tinsmith import _core
from tinsmith.compiler.passes import lower
from tinsmith.compiler.program import pack_weights, read_program, write_program
from tinsmith.compiler.selftest import logits_digest
from tinsmith.errors import RuntimeFault, UnsupportedError
from tinsmith.formats import tin
from tinsmith.formats.weights import WEIGHT_FORMATS
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import Tensor
from tinsmith.tokenizer import packed as tokenizer_file

np = pytest.importorskip("numpy")

Layer = Callable[[GraphBuilder, Value], Value]

VOCAB, DIM, FFN, EXPERTS = 266, 256, 512, 6
TOKENS = [(7 * k * k + 3 * k) % VOCAB for k in range(90)]


def matrix(name: str, rows: int, inputs: int, spread: float = 0.05) -> Tensor:
    source = np.random.default_rng(list(name.encode()))
    return Tensor("F32", rows, inputs, source.normal(0, spread, rows * inputs).astype(np.float32).tobytes())


def experts_of(one: Tensor) -> Tensor:
    """The same matrix for every expert."""
    return Tensor(one.format, one.rows * EXPERTS, one.inputs, bytes(one.data) * EXPERTS)


def weights(format: str = "F32", ffn: int = FFN) -> dict[str, Tensor]:
    def made(name: str, rows: int, inputs: int) -> Tensor:
        tensor = matrix(name, rows, inputs)
        if format in HALVES:
            return drawn(name, tensor, format)
        return Tensor(format, rows, inputs, _core.quantize(format, tensor.data, rows, inputs))

    return {
        "embed": matrix("embed", VOCAB, DIM, 1.0),
        "router": matrix("router", EXPERTS, DIM, 0.2),
        "router_bias": matrix("router_bias", 1, EXPERTS, 0.5),
        "shared_gate": matrix("shared_gate", 1, DIM, 0.2),
        "gate": made("gate", ffn, DIM),
        "up": made("up", ffn, DIM),
        "down": made("down", DIM, ffn),
    }


def model_of(tensors: dict[str, Tensor], layer: Layer, isa: str | None = None) -> _core.Model:
    g = GraphBuilder(tensors)
    g.logits(layer(g, g.embed("embed")), "embed")
    lower(g.graph)
    program = write_program(g.graph, vocab=VOCAB, context=512, chunk=64)
    encoded = tokenizer_file.encode(tiny_tokenizer(VOCAB))
    entries = [
        ("program.bin", program),
        ("weights.bin", b"".join(pack_weights(g.graph, read_program(program).tensors))),
        ("tokenizer.bin", encoded),
        ("trie.bin", _core.make_trie(encoded)),
    ]
    return _core.Model(tin.pack_bytes(entries, {}), isa)


def logits_of(model: _core.Model, tokens: list[int]) -> Any:
    session = _core.Session(model, context=512, chunk=64, logit_rows=64)
    session.want_logits(0)
    session.append(tokens)
    rows = []
    while session.step() == _core.STEP_LOGITS:
        rows.append(np.frombuffer(session.logits()[1], np.float32).reshape(-1, VOCAB))
    return np.concatenate(rows)


def mixture(
    chosen: int,
    *,
    normalize: bool = True,
    scale: float = 1.0,
    shared: bool = False,
    added: float | None = None,
) -> Layer:
    """added: to the sum of sigmoids, by which experts are chosen and weighed then."""

    def layer(g: GraphBuilder, x: Value) -> Value:
        logits = g.matmul(x, "router")
        if added is None:
            routes = g.route(logits, chosen, normalize=normalize, scale=scale)
        else:
            kinds = {"normalize": normalize, "scale": scale, "added": added}
            routes = g.route_sigmoid(logits, "router_bias", chosen, **kinds)
        rows = g.expert_gather(x, routes)
        gate, up = (g.expert_matmul(rows, routes, f"{name}s", EXPERTS) for name in ("gate", "up"))
        y = g.expert_sum(g.expert_matmul(g.gated(gate, up), routes, "downs", EXPERTS), routes, x)
        if not shared:
            return y
        gate, up = g.matmuls(x, "gate", "up")
        return g.shared_expert(g.matmul(g.gated(gate, up), "down"), g.dot(x, "shared_gate"), y)

    return layer


def dense(g: GraphBuilder, x: Value) -> Value:
    gate, up = g.matmuls(x, "gate", "up")
    return g.matmul(g.gated(gate, up), "down", residual=x)


@pytest.fixture(scope="module")
def floats() -> dict[str, Tensor]:
    made = weights()
    made["gates"] = matrix("gates", EXPERTS * FFN, DIM)
    made["ups"] = matrix("ups", EXPERTS * FFN, DIM)
    made["downs"] = matrix("downs", EXPERTS * DIM, FFN)
    return made


def silu(x: Any) -> Any:
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize(
    "options",
    [
        {"chosen": 1},
        {"chosen": 3},
        {"chosen": 2, "normalize": False, "scale": 2.5},
        {"chosen": EXPERTS, "normalize": False},
        {"chosen": 2, "shared": True},
        {"chosen": 3, "added": 0.25},
        {"chosen": 2, "normalize": False, "scale": 2.5, "added": 0.0},
    ],
    ids=str,
)
def test_a_mixture_is_what_numpy_computes(floats: dict[str, Tensor], options: dict[str, Any]) -> None:
    w = {
        role: np.frombuffer(t.data, np.float32).reshape(t.rows, t.inputs).astype(np.float64)
        for role, t in floats.items()
    }
    gates, ups, downs = (w[name].reshape(EXPERTS, -1, w[name].shape[1]) for name in ("gates", "ups", "downs"))
    x = w["embed"][TOKENS]
    p = np.exp(x @ w["router"].T)
    if "added" in options:
        p /= 1 + p
        best = np.argsort(-(p + w["router_bias"]), axis=1, kind="stable")[:, : options["chosen"]]
        assert (best != np.argsort(-p, axis=1)[:, : options["chosen"]]).any()  # the bias counts
    else:
        p /= p.sum(axis=1, keepdims=True)
        best = np.argsort(-p, axis=1, kind="stable")[:, : options["chosen"]]
    weight = np.take_along_axis(p, best, axis=1)
    if options.get("normalize", True):
        weight /= weight.sum(axis=1, keepdims=True) + options.get("added", 0.0)
    weight *= options.get("scale", 1.0)
    y = x.copy()
    for row, experts in enumerate(best):
        for k, e in enumerate(experts):
            y[row] += weight[row, k] * (downs[e] @ (silu(gates[e] @ x[row]) * (ups[e] @ x[row])))
    if options.get("shared"):
        part = (silu(x @ w["gate"].T) * (x @ w["up"].T)) @ w["down"].T
        y += part / (1 + np.exp(-(x @ w["shared_gate"].T)))
    expected = y @ w["embed"].T
    computed = logits_of(model_of(floats, mixture(**options)), TOKENS)
    assert len({tuple(sorted(row)) for row in best}) > 1 or options["chosen"] == EXPERTS
    assert np.abs(computed - expected).max() <= 1e-5 * np.ptp(expected)


def test_equal_logits_go_to_the_lower_experts(floats: dict[str, Tensor]) -> None:
    """With no difference between logits, experts 0 and 1 have half a say each."""
    level = {**floats, "router": Tensor("F32", EXPERTS, DIM, bytes(4 * EXPERTS * DIM))}
    lower_two = dict(level)
    for name, rows in (("gates", FFN), ("ups", FFN), ("downs", DIM)):
        data = bytes(floats[name].data)
        kept = 2 * len(data) // EXPERTS
        zeros = bytes(len(data) - kept)
        lower_two[name] = Tensor("F32", EXPERTS * rows, floats[name].inputs, data[:kept] + zeros)
    one, other = (logits_of(model_of(tensors, mixture(2)), TOKENS[:5]) for tensors in (level, lower_two))
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", WEIGHT_FORMATS)
def test_experts_that_are_all_alike_are_one_feed_forward_bit_for_bit(name: str) -> None:
    """The weight of one expert is exactly 1; however work is cut, the bits are those of ordinary matmuls."""
    tensors = weights(name)
    tensors |= {f"{role}s": experts_of(tensors[role]) for role in ("gate", "up", "down")}
    digests = {logits_digest(model_of(tensors, dense), TOKENS)}
    for isa in _core.isa_names():
        model = model_of(tensors, mixture(1), isa)
        digests |= {logits_digest(model, TOKENS, threads=t, chunk=c) for t, c in ((1, 1), (1, 64), (3, 7))}
    assert len(digests) == 1


@pytest.mark.parametrize("added", [None, 1e-6])
def test_one_digest_however_the_work_is_cut(floats: dict[str, Tensor], added: float | None) -> None:
    layer = mixture(3, shared=True, added=added)
    digests = {
        logits_digest(model_of(floats, layer, isa), TOKENS, threads=threads, chunk=chunk)
        for isa in _core.isa_names()
        for threads, chunk in ((1, 1), (1, 7), (1, 64), (2, 64), (5, 7))
    }
    assert len(digests) == 1


def test_slices_and_batches_change_no_bit(floats: dict[str, Tensor]) -> None:
    model = model_of(floats, mixture(2))
    whole, sliced = (_core.Session(model, context=128) for _ in range(2))
    for session in (whole, sliced):
        session.append(TOKENS)
    assert whole.step() == _core.STEP_LOGITS
    slices = 1
    while sliced.step(1) == _core.STEP_PENDING:
        slices += 1
    assert slices > 50
    assert sliced.logits() == whole.logits()


def test_logits_that_are_no_numbers_choose_experts_that_exist(floats: dict[str, Tensor]) -> None:
    for bad in (float("nan"), float("inf"), float("-inf")):
        router = Tensor("F32", EXPERTS, DIM, struct.pack("<f", bad) * (EXPERTS * DIM))
        for layer in (mixture(2), mixture(2, added=1e-6)):
            assert logits_of(model_of({**floats, "router": router}, layer), TOKENS[:9]).shape == (9, VOCAB)


@pytest.mark.parametrize("experts", [1, EXPERTS - 1, EXPERTS + 1])
def test_a_bias_of_other_experts_is_refused(floats: dict[str, Tensor], experts: int) -> None:
    wrong = {**floats, "router_bias": matrix("router_bias", 1, experts)}
    with pytest.raises(RuntimeFault, match=r"\(route_sigmoid\) needs a bias an expert"):
        model_of(wrong, mixture(2, added=0.0))


def test_quantized_experts_read_a_row_that_was_quantized_once() -> None:
    tensors = weights("Q8_0")
    tensors |= {f"{role}s": experts_of(tensors[role]) for role in ("gate", "up", "down")}
    g = GraphBuilder(tensors)
    g.logits(mixture(2)(g, g.embed("embed")), "embed")
    lower(g.graph)
    gathered = [op.inputs[0] for op in g.graph.ops if op.kind == "EXPERT_GATHER"]
    assert [(value.type, value.width) for value in gathered if value] == [("Q8", DIM)]


def test_an_expert_of_part_tiles_is_refused_by_name() -> None:
    tensors = {"gates": matrix("gates", EXPERTS * 24, 64)}
    g = GraphBuilder(tensors)
    routes = Value(4 * 2)
    with pytest.raises(UnsupportedError, match="gates: an expert has 24 rows; supported: multiples of 16"):
        g.expert_matmul(Value(128), routes, "gates", EXPERTS)
