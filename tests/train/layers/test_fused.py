"""What the core's C functions compute of packed rows, beside float64 written out."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM, FalconH1Config, LlamaConfig  # noqa: E402
from transformers.models.falcon_h1.modeling_falcon_h1 import FalconH1MLP  # noqa: E402
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm  # noqa: E402

from tests.models.tiny_models import cases, config_of  # noqa: E402
from tests.models.transformers_models import IDS  # noqa: E402
from tinsmith import _core  # noqa: E402
from tinsmith.train.batches.packing import Packing, Scoring, pack  # noqa: E402
from tinsmith.train.batches.sequences import TokenSequence  # noqa: E402
from tinsmith.train.layers import attention, flex, fused, mixing  # noqa: E402
from tinsmith.train.vision import ImageAttention, PromptTile  # noqa: E402

SCALE = 0.3


def packing_of(shared: int, count: int, seed: int = 0, images: bool = False) -> Packing:
    """images: each sequence has two, whose tokens see each other."""
    source = random.Random(seed)

    def tokens(least: int, most: int) -> tuple[int, ...]:
        return tuple(source.randrange(9) for _ in range(source.randrange(least, most)))

    prefix = tuple(range(shared))
    if not images:
        return pack([TokenSequence((*prefix, *tokens(1, 20)), tokens(2, 15)) for _ in range(count)], shared)
    shown = (PromptTile(shared, 1, 2), PromptTile(shared + 3, 2, 6))
    sequences = [TokenSequence((*prefix, *tokens(16, 30)), tokens(2, 15), (), (), shown) for _ in range(count)]
    return pack(sequences, shared, ImageAttention(together=True))


def written_out(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, window: int | None, cap: float | None
) -> Tensor:
    """[row, heads, width], a sequence at a time; rows of the filler 0."""
    out = torch.zeros_like(query)
    share = query.shape[1] // key.shape[1]
    prefix = list(range(packing.shared))
    for begin, end in packing.all_spans:
        rows = list(range(begin, end)) if begin < packing.shared else [*prefix, *range(begin, end)]
        keys, values = (one[rows].repeat_interleave(share, 1) for one in (key, value))
        scores = torch.einsum("ihw,jhw->hij", query[rows], keys) * SCALE
        if cap is not None:
            scores = cap * torch.tanh(scores / cap)
        apart = torch.arange(len(rows))[:, None] - torch.arange(len(rows))[None]
        hidden = (apart < 0) if window is None else (apart < 0) | (apart >= window)
        if packing.together is not None and begin >= packing.shared:
            for first, end_of in {tuple(one) for one in packing.together[begin:end].tolist()}:
                image = slice(len(prefix) + first - begin, len(prefix) + end_of - begin)
                hidden[image, image] = False
        weights = scores.masked_fill(hidden, -math.inf).softmax(-1)
        own = torch.einsum("hij,jhw->ihw", weights, values)
        out = out.index_copy(0, torch.arange(begin, end), own[len(rows) - (end - begin) :])
    return out


@pytest.mark.parametrize("passed_over", [0, 1, 2])
@pytest.mark.parametrize(
    ("heads", "groups", "width", "shared", "window", "cap", "images"),
    [
        (9, 3, 64, 6, None, None, False),
        (4, 2, 20, 0, None, None, False),
        (4, 1, 8, 5, 3, None, False),
        (2, 2, 128, 70, None, 30.0, False),
        (4, 2, 65, 40, 7, 5.0, False),
        (4, 1, 8, 5, 3, None, True),
        (2, 2, 20, 0, None, 30.0, True),
    ],
)
def test_outputs_and_gradients(
    heads: int,
    groups: int,
    width: int,
    shared: int,
    window: int | None,
    cap: float | None,
    images: bool,
    passed_over: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fused, "PASSED_OVER", passed_over)
    packing = packing_of(shared, 11, images=images)
    rows, source = packing.tokens.shape[1], torch.Generator().manual_seed(4)
    shapes = [(rows, heads, width), (rows, groups, width), (rows, groups, width)]
    wide = [torch.randn(shape, generator=source, dtype=torch.float64, requires_grad=True) for shape in shapes]
    slope = torch.randn(shapes[0], generator=source, dtype=torch.float64)
    want = written_out(*wide, packing, window, cap)
    narrow = [one.detach().float().requires_grad_(True) for one in wide]
    got = fused.attend(*narrow, packing, Scoring(SCALE, window, cap))
    assert (got - want).abs().max() < 2e-5
    by_torch = attention.attend_by_torch(*narrow, packing, Scoring(SCALE, window, cap))
    assert (by_torch - want)[: rows - packing.filler].abs().max() < 2e-5
    if images:
        given = (one.detach().transpose(0, 1)[None] for one in narrow)
        by_flex = flex.attend(*given, packing, Scoring(SCALE, window, cap))[0].transpose(0, 1)
        assert (by_flex - want)[: rows - packing.filler].abs().max() < 2e-5
    assert not got[rows - packing.filler :].any()
    expected = torch.autograd.grad((want * slope).sum(), wide)
    for one, other in zip(torch.autograd.grad((got * slope).sum(), narrow), expected, strict=True):
        assert (one - other).abs().max() < 1e-5 * other.abs().max()


def test_threads_do_not_change_it() -> None:
    packing = packing_of(7, 60)
    rows, source = packing.tokens.shape[1], torch.Generator().manual_seed(4)
    given = [torch.randn(rows, heads, 64, generator=source, requires_grad=True) for heads in (9, 3, 3)]
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            out = fused.attend(*given, packing, Scoring(SCALE))
            found.append([out, *torch.autograd.grad(out.square().sum(), given)])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for run in found[1:] for one, other in zip(found[0], run, strict=True))


@pytest.mark.parametrize(
    ("spans", "change"),
    [([0, 4], {"heads": 5}), ([0, 9], {}), ([5, 4], {}), ([0, 4], {"width": 3}), ([1, 4], {"shared": 2})],
)
def test_sizes_that_disagree_are_refused(spans: list[int], change: dict[str, int]) -> None:
    sizes = {"rows": 8, "heads": 4, "groups": 2, "width": 2, "shared": 0, "window": 0} | change
    query, key = torch.zeros(8, 4, 2).numpy(), torch.zeros(8, 2, 2).numpy()
    extents = torch.tensor(spans, dtype=torch.int32).numpy()
    row = (*sizes.values(), 0, 1.0, 0.0)
    with pytest.raises(ValueError, match="don't agree"):
        _core.attend(row, 0, 1, extents, b"", query, key, key, query.copy())


@pytest.mark.parametrize("together", [[(0, 1)], [(0, 1), (0, 5)], [(1, 2), (1, 2)], [(0, 1), (0, 1)]])
def test_what_is_seen_together_lies_in_its_sequence(together: list[tuple[int, int]]) -> None:
    """A row is of those that it sees, and they are of its sequence's four."""
    query, row = torch.zeros(8, 2, 2).numpy(), (8, 2, 2, 2, 0, 0, 0, 1.0, 0.0)
    given = [*together, *((k, k + 1) for k in range(len(together), 8 if len(together) > 1 else 7))]
    extents, pairs = (torch.tensor(one, dtype=torch.int32).numpy() for one in ([0, 4], given))
    with pytest.raises(ValueError, match="don't agree"):
        _core.attend(row, 0, 1, extents, pairs, query, query, query, query.copy())


@pytest.mark.parametrize("passed_over", [0, 1, 2])
@pytest.mark.parametrize("width", [1, 33, 576])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_and_gates(dtype: Any, width: int, passed_over: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "PASSED_OVER", passed_over)
    source = torch.Generator().manual_seed(4)
    monkeypatch.setattr(fused, "_ALONE", 0)  # by all threads
    near = 1e-5 if dtype == torch.float32 else 1e-2

    def drawn(size: float) -> Tensor:
        return (size * torch.randn(2, 5, width, generator=source)).to(dtype)

    def compare(got: Tensor, want: Tensor, narrow: list[Tensor], wide: list[Tensor]) -> None:
        assert got.dtype == dtype and (got - want).abs().max() <= near * want.abs().max()
        slope = drawn(1.0)
        given = torch.autograd.grad((got.double() * slope).sum(), narrow)
        expected = torch.autograd.grad((want * slope).sum(), wide)
        for one, other in zip(given, expected, strict=True):
            # Of a norm of one value there is next to none.
            assert (one - other).abs().max() <= near * max(1.0, float(other.abs().max()))

    x, weight = drawn(3.0).float().requires_grad_(True), torch.rand(width, generator=source) + 0.5
    wide = x.detach().double().requires_grad_(True)
    want = wide * (wide.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * weight
    compare(fused.rms_norm(x, weight, 1e-5, dtype), want, [x], [wide])

    narrow = [drawn(30.0).requires_grad_(True), drawn(1.0).requires_grad_(True)]
    doubles = [one.detach().double().requires_grad_(True) for one in narrow]
    want = torch.nn.functional.silu(doubles[0]) * doubles[1]
    compare(fused.gated(*narrow), want, narrow, doubles)

    for way in (fused.gated_norm, mixing.gated_norm):
        inverse = (doubles[1].square().mean(-1, keepdim=True) + 1e-5).rsqrt()
        want = torch.nn.functional.silu(doubles[0]) * doubles[1] * inverse * weight
        near *= 1 if way is fused.gated_norm else 3  # which rounds more often
        compare(way(narrow[1], narrow[0], weight, 1e-5), want, narrow, doubles)


def computed_in_c(model: torch.nn.Module) -> set[str]:
    """The classes of the modules that fused.install changed."""
    fused.install(model, None)
    return {type(module).__name__ for module in model.modules() if "forward" in vars(module)}


def test_a_layer_of_an_unknown_class_stays_as_it_is() -> None:
    class OtherRMSNorm(LlamaRMSNorm):  # type: ignore[misc]
        pass

    class OtherMLP(LlamaMLP):  # type: ignore[misc]
        pass

    config = LlamaConfig(hidden_size=8, intermediate_size=8, num_attention_heads=2)
    known, other = [LlamaRMSNorm(8), LlamaMLP(config)], [OtherRMSNorm(8), OtherMLP(config)]
    assert computed_in_c(torch.nn.ModuleList([*known, *other])) == {"LlamaRMSNorm", "LlamaMLP"}


def test_a_feed_forward_layer_of_another_activation_or_with_factors_stays_as_it_is() -> None:
    config = LlamaConfig(hidden_size=8, intermediate_size=8, num_attention_heads=2, hidden_act="gelu")
    scaled, plain = (
        FalconH1Config(hidden_size=8, intermediate_size=8, num_attention_heads=2, mlp_multipliers=factors)
        for factors in ([0.5, 1.0], [1.0, 1.0])
    )
    gelu = LlamaMLP(config)
    gelu.gate_proj.weight.data *= 0.01  # near 0 it is much like silu
    assert not computed_in_c(torch.nn.ModuleList([gelu, FalconH1MLP(scaled)]))
    assert computed_in_c(FalconH1MLP(plain)) == {"FalconH1MLP"}


@pytest.mark.parametrize("case", cases())
def test_norms_and_gates_by_silu_of_every_family_are_known(case: str) -> None:
    """One that is not is trained as well, and slower."""
    settings = config_of(case) | IDS
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    others = {type(module).__name__ for module in model.modules() if is_norm(module) or is_gate(module)}
    assert others == computed_in_c(model)


def is_norm(module: torch.nn.Module) -> bool:
    return type(module).__name__.endswith("RMSNorm") and hasattr(module, "weight")


def is_gate(module: torch.nn.Module) -> bool:
    """Of feed-forward layers whose gate and up are matrices by themselves."""
    by_silu = "SiLU" in type(getattr(module, "act_fn", None)).__name__ or hasattr(module, "w1")
    return by_silu and isinstance(getattr(module, "up_proj", getattr(module, "w3", None)), torch.nn.Linear)


def convolved(row: Tensor, taps: Tensor, bias: Tensor, packing: Packing, silu: bool) -> Tensor:
    out = torch.zeros_like(row)
    for begin, end in packing.all_spans:
        before = [] if begin < packing.shared else list(range(packing.shared))
        x = row[[*before, *range(begin, end)]]
        padded = torch.cat([x.new_zeros(len(taps) - 1, x.shape[1]), x])
        own = bias + sum(padded[place : place + len(x)] * tap for place, tap in enumerate(taps))
        own = torch.nn.functional.silu(own) if silu else own
        out = out.index_copy(0, torch.arange(begin, end), own[len(before) :])
    return out


@pytest.mark.parametrize("passed_over", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("channels", "count", "shared", "silu"),
    [(768, 4, 9, True), (40, 3, 2, False), (21, 4, 0, True), (66, 8, 5, False), (32, 1, 3, True)],
)
def test_convolutions_and_their_gradients(
    channels: int,
    count: int,
    shared: int,
    silu: bool,
    dtype: torch.dtype,
    passed_over: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fused, "PASSED_OVER", passed_over)
    packing, source = packing_of(shared, 7), torch.Generator().manual_seed(2)
    rows = packing.tokens.shape[1]
    row = torch.randn(rows, channels, generator=source).to(dtype)
    taps, bias = (torch.randn(rows, channels, generator=source) for rows in (count, 1))
    slope = torch.randn(rows, channels, generator=source).to(dtype)
    results = []
    for way in (fused.convolve, mixing.convolve_by_torch, convolved):
        kind = torch.float64 if way is convolved else dtype
        wide = torch.promote_types(kind, torch.float32)
        given = [row.to(kind), taps.to(wide), bias[0].to(wide)]
        given = [one.requires_grad_(True) for one in given]
        out = way(*given, packing, silu)  # type: ignore[operator]
        results.append([out, *torch.autograd.grad((out * slope).sum(), given)])
    bound = 1e-5 if dtype == torch.float32 else 0.02
    for found in results[:2]:
        for one, other in zip(found, results[2], strict=True):
            assert (one.double() - other).abs().max() <= bound * other.abs().max()


def delta_ruled(
    mixed: Tensor, rates: Tensor, steps: Tensor, sizes: tuple[int, int], packing: Packing, epsilon: float
) -> Tensor:
    """A token at a time."""
    groups, keys = sizes
    rows, heads = rates.shape
    query, key = (
        part.view(rows, groups, keys).repeat_interleave(heads // groups, 1)
        for part in mixed[:, : 2 * groups * keys].chunk(2, 1)
    )
    query, key = (one * (one.square().sum(-1, keepdim=True) + epsilon).rsqrt() for one in (query, key))
    value = mixed[:, 2 * groups * keys :].view(rows, heads, -1)
    out, states = [value.new_zeros(heads, value.shape[2])] * rows, value.new_zeros(heads, keys, value.shape[2])
    left = states
    for begin, end in packing.all_spans:
        state = states if begin < packing.shared else left
        for t in range(begin, end):
            state = state * rates[t].exp()[:, None, None]
            lacks = value[t] - torch.einsum("hk,hkv->hv", key[t], state)
            state = state + torch.einsum("h,hk,hv->hkv", steps[t], key[t], lacks)
            out[t] = torch.einsum("hk,hkv->hv", query[t], state) * keys**-0.5
        left = state if begin < packing.shared else left
    return torch.stack(out)


def drawn_delta(
    rows: int, heads: int, sizes: tuple[int, int], values: int, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """mixed, rates and steps."""
    source, (groups, keys) = torch.Generator().manual_seed(5), sizes
    mixed = torch.randn(rows, 2 * groups * keys + heads * values, generator=source).to(dtype)
    rates = -torch.rand(rows, heads, generator=source)
    return [mixed, rates, torch.rand(rows, heads, generator=source)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("heads", "groups", "keys", "values", "shared", "own"),
    [
        (2, 2, 128, 128, 9, (30, 1, 3)),  # all in a chunk
        (4, 2, 20, 33, 0, (70, 130, 2)),  # shared keys, several chunks
        (2, 1, 16, 8, 62, (1, 2, 90)),  # the prefix ends within a chunk
        (3, 3, 8, 24, 128, (65, 5)),  # and at the end of one
        (1, 1, 7, 5, 100, (64,)),
    ],
)
def test_delta_rules_and_their_gradients(
    heads: int,
    groups: int,
    keys: int,
    values: int,
    shared: int,
    own: tuple[int, ...],
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packing = pack([TokenSequence((0,) * (shared + length), (1,)) for length in own], shared)
    sizes, rows = (groups, keys), packing.tokens.shape[1]
    given = drawn_delta(rows, heads, sizes, values, dtype)
    slope = torch.randn(rows, heads, values, generator=torch.Generator().manual_seed(1)).to(dtype)
    slope[rows - packing.filler :] = 0
    wide = [one.double().requires_grad_(True) for one in given]
    want = delta_ruled(*wide, sizes, packing, 1e-6)
    wanted = [want, *torch.autograd.grad((want * slope).sum(), wide)]
    narrow = [one.requires_grad_(True) for one in given]
    ways = [(passed_over, fused.delta_rule) for passed_over in range(3)]
    for passed_over, rule in [*ways, (0, mixing.delta_rule_by_torch)]:
        monkeypatch.setattr(fused, "PASSED_OVER", passed_over)
        out = rule(*narrow, sizes, packing, 1e-6)
        found = [out, *torch.autograd.grad((out * slope).sum(), narrow)]
        in_c = rule is fused.delta_rule
        bound = 1e-5 if dtype == torch.float32 else 0.01 if in_c else 0.05
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype != torch.float64 and not one[rows - packing.filler :].any()
            assert (one.double() - other).abs().max() <= bound * other.abs().max()


def test_convolutions_and_delta_rules_are_the_same_by_any_number_of_threads() -> None:
    packing, source = packing_of(7, 60), torch.Generator().manual_seed(4)
    rows, sizes = packing.tokens.shape[1], (5, 256)
    mixed, *decays = (one.requires_grad_(True) for one in drawn_delta(rows, 10, sizes, 256))
    taps = [torch.randn(shape, generator=source, requires_grad=True) for shape in [(4, 5120), (5120,)]]
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            middle = fused.convolve(mixed, *taps, packing, True)
            out = fused.delta_rule(middle, *decays, sizes, packing, 1e-6)
            total = out.square().sum()
            found.append([middle, out, *torch.autograd.grad(total, [mixed, *decays, *taps])])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for run in found[1:] for one, other in zip(found[0], run, strict=True))


BAD_SPANS = [([0, 9], 0), ([5, 4], 0), ([0, 4], 2), ([1, 2, 2, 4], 2), ([], 2), ([], 0)]


@pytest.mark.parametrize(
    ("spans", "change"),
    [
        *((spans, {"shared": shared}) for spans, shared in BAD_SPANS),
        ([0, 4], {"channels": 7}),
        ([0, 4], {"taps": 9}),
    ],
)
def test_a_convolution_of_sizes_that_disagree_is_refused(spans: list[int], change: dict[str, int]) -> None:
    sizes = {"rows": 8, "channels": 8, "taps": 4, "shared": 0} | change
    row, taps = torch.zeros(8, 8).numpy(), torch.zeros(sizes["taps"] + 1, 8).numpy()
    given = (torch.tensor(spans, dtype=torch.int32).numpy(), row, taps, row.copy())
    convolution = (*sizes.values(), 0, False, True)
    with pytest.raises(ValueError, match="don't agree"):
        _core.convolve(convolution, 0, 1, *given)
    with pytest.raises(ValueError, match="don't agree"):
        _core.convolve_back(convolution, 0, 1, *given, row.copy(), taps.copy())


@pytest.mark.parametrize(
    ("spans", "change"),
    [
        *((spans, {"shared": shared}) for spans, shared in BAD_SPANS),
        *(
            ([0, 4], change)
            for change in ({"groups": 3}, {"groups": 0}, {"keys": 3}, {"values": 2000}, {"rows": 7})
        ),
    ],
)
def test_a_delta_rule_of_sizes_that_disagree_is_refused(spans: list[int], change: dict[str, int]) -> None:
    sizes = {"rows": 8, "heads": 4, "groups": 2, "keys": 2, "values": 3, "shared": 0} | change
    mixed, rates, out = (torch.zeros(8, width).numpy() for width in (20, 4, 12))
    given = (torch.tensor(spans, dtype=torch.int32).numpy(), mixed, rates, rates, out)
    delta = (*sizes.values(), 0, False, 1e-6)
    with pytest.raises(ValueError, match="don't agree"):
        _core.delta_rule(delta, 0, 1, *given)
    with pytest.raises(ValueError, match="don't agree"):
        _core.delta_rule_back(delta, 0, 1, *given, mixed.copy(), rates.copy(), rates.copy())


@pytest.mark.parametrize("passed_over", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_softmax_by_tiles(dtype: torch.dtype, passed_over: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "PASSED_OVER", passed_over)
    monkeypatch.setattr(fused, "_ALONE", 0)
    scale, labels, source = 0.5, 7, torch.Generator().manual_seed(1)
    products = (20 * torch.randn(labels, 90, generator=source)).to(dtype)
    products[0, 33] = 4000.0  # as good as certain
    targets = torch.tensor([33, 0, 15, 16, 40, 41, 89])
    floats = [torch.full((labels, 1), start) for start in (-math.inf, 0.0, 0.0)]
    seen, weights = (*floats, torch.zeros_like(targets)), torch.zeros(labels, 0)
    for tile in products.clone().split([16, 1, 24, 49], 1):
        tile = tile.contiguous()
        shrink = fused.weigh_logits(tile, scale, weights.shape[1], targets, seen)
        weights = torch.cat([weights * shrink, tile], 1)
    logits = products.double() * scale
    wanted = (logits - logits.max(-1, keepdim=True).values).exp().scatter(1, targets[:, None], 0.0)
    near = {"rtol": 1e-5, "atol": 1e-30} if dtype == torch.float32 else {"rtol": 1e-2, "atol": 1e-30}
    torch.testing.assert_close(weights.double(), wanted, **near)
    torch.testing.assert_close(seen[1].double(), wanted.sum(-1, keepdim=True), rtol=1e-5, atol=1e-30)
    assert torch.equal(seen[0].double()[:, 0], logits.max(-1).values)
    assert torch.equal(seen[2].double(), logits.gather(1, targets[:, None]))
    assert torch.equal(seen[3], logits.argmax(-1))


@pytest.mark.parametrize("change", [{"rows": 4}, {"width": 4}, {"width": 0}, {"narrow": True}])
def test_a_softmax_of_sizes_that_disagree_is_refused(change: dict[str, int]) -> None:
    sizes = {"rows": 3, "width": 5, "begin": 0, "passed_over": 0, "narrow": False} | change
    logits, numbers = (torch.zeros(3, width).numpy() for width in (5, 1))
    tokens = torch.zeros(3, dtype=torch.int64).numpy()
    with pytest.raises(ValueError, match="don't agree"):
        _core.weigh_logits((*sizes.values(), 1.0), logits, tokens, *[numbers] * 4, tokens)  # type: ignore[arg-type]
