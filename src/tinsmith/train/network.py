"""The base model in torch with a LoRA adapter on it, computing no more than a loss on answers needs.

Three things keep a step short. Sequences are packed into one row without padding, and the prefix that all
prompts share (the system prompt) is computed once a batch; only attention sees them side by side. The output
head, the largest matrix of a tiny model, is applied to the positions that have a label. And where the processor
multiplies bfloat16, weights and activations of the matrices are bfloat16, the residual stream float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from tinsmith.models import family
from tinsmith.models.spec import Spec
from tinsmith.train.sequences import TokenSequence
from tinsmith.train.tensors import to_float32

_ATTENTION = "tinsmith_packed"
# Rows of logits that are held at once: 64 x 50,000 floats stay in the cache of most processors.
_LOGIT_ROWS = 64


@dataclass(frozen=True)
class Packing:
    """How a batch lies in one row of tokens: the shared prefix, then the rest of each sequence.

    tokens, positions  [1, row]
    places   [sequences * longest]: the row's index of each sequence's tokens, padded by repeating the first
    valid    [sequences * longest]: False for padding
    labelled [labels]: the row's indices that predict an answer's token; targets [labels]: those tokens
    owner    [labels]: the number of the sequence
    bias     [longest, shared + longest]: what attention adds to scores, 0 or -inf
    """

    tokens: Tensor
    positions: Tensor
    places: Tensor
    valid: Tensor
    labelled: Tensor
    targets: Tensor
    owner: Tensor
    bias: Tensor
    shared: int
    sequences: int
    longest: int


def pack(batch: Sequence[TokenSequence], shared: int) -> Packing:
    """shared: the length of the prefix that the sequences' prompts have in common."""
    tokens = list(batch[0].prompt[:shared])
    positions = list(range(shared))
    longest = max(len(sequence) for sequence in batch) - shared
    places = torch.zeros(len(batch), longest, dtype=torch.long)
    valid = torch.zeros(len(batch), longest, dtype=torch.bool)
    labelled: list[int] = []
    targets: list[int] = []
    owner: list[int] = []
    for number, sequence in enumerate(batch):
        begin, rest = len(tokens), len(sequence) - shared
        tokens += [*sequence.prompt[shared:], *sequence.answer[:-1]]
        positions += range(shared, shared + rest)
        places[number] = begin
        places[number, :rest] = torch.arange(begin, begin + rest)
        valid[number, :rest] = True
        labelled += range(begin + rest - len(sequence.answer), begin + rest)
        targets += sequence.answer
        owner += [number] * len(sequence.answer)
    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    seen = torch.cat([torch.ones(longest, shared, dtype=torch.bool), causal], dim=1)
    # Padding follows a sequence's tokens, so that the causal mask alone hides it from them.
    bias = torch.zeros(longest, shared + longest).masked_fill(~seen, float("-inf"))
    return Packing(
        tokens=torch.tensor([tokens]),
        positions=torch.tensor([positions]),
        places=places.flatten(),
        valid=valid.flatten(),
        labelled=torch.tensor(labelled),
        targets=torch.tensor(targets),
        owner=torch.tensor(owner),
        bias=bias,
        shared=shared,
        sequences=len(batch),
        longest=longest,
    )


def _packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    packing: Packing,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query [1, heads, row, width], key and value [1, kv heads, row, width]
    to [1, row, heads, width]."""
    query, key = query.to(value.dtype), key.to(value.dtype)
    groups, width = key.shape[1], query.shape[3]
    q = query[0].transpose(0, 1).flatten(1)
    k = key[0].transpose(0, 1).flatten(1)
    v = value[0].transpose(0, 1).flatten(1)
    count, longest, shared = packing.sequences, packing.longest, packing.shared

    def side_by_side(rows: Tensor, heads: int) -> Tensor:
        gathered = rows.index_select(0, packing.places).view(count, longest, heads, width)
        return gathered.transpose(1, 2)

    def with_prefix(rows: Tensor) -> Tensor:
        prefix = rows[:shared].view(1, shared, groups, width).transpose(1, 2).expand(count, -1, -1, -1)
        return torch.cat([prefix, side_by_side(rows, groups)], dim=2)

    own = _attend(side_by_side(q, query.shape[1]), with_prefix(k), with_prefix(v), packing.bias, scaling)
    rows = own.transpose(1, 2).reshape(count * longest, -1)[packing.valid]
    if shared:
        bias = torch.full((shared, shared), float("-inf")).triu(1)
        first = _attend(query[:, :, :shared], key[:, :, :shared], value[:, :, :shared], bias, scaling)
        rows = torch.cat([first.transpose(1, 2).reshape(shared, -1), rows])
    return rows.view(1, len(rows), query.shape[1], width), None


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scaling: float) -> Tensor:
    """[batch, heads, rows, width] attending to [batch, kv heads, columns, width]; bias [rows, columns].

    Written out: for short rows this is several times faster on a CPU than torch's fused function.
    """
    count, heads, rows, width = query.shape
    groups = key.shape[1]
    query = query.reshape(count, groups, heads // groups * rows, width)
    scores = (query @ key.transpose(2, 3)).float() * scaling
    scores = scores.view(count, heads, rows, -1) + bias
    weights = scores.softmax(-1).to(value.dtype).view(count, groups, heads // groups * rows, -1)
    return (weights @ value).view(count, heads, rows, width)


class _LoraLinear(torch.autograd.Function):
    """x W^T + scale (x A^T) B^T with a frozen W, computed in W's type; A and B and their gradients are float32.

    x [1, rows, inputs], W [outputs, inputs], A [rank, inputs], B [outputs, rank]. peft's own module does the
    same in more passes over memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        rows, a, b = x[0].to(weight.dtype), a.to(weight.dtype), b.to(weight.dtype)
        low = rows @ a.T
        ctx.save_for_backward(rows, weight, a, b, low)
        ctx.scale, ctx.dtype = scale, x.dtype
        return torch.addmm(rows @ weight.T, low, b.T, alpha=scale)[None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, a, b, low = ctx.saved_tensors
        out = gradients[0][0].to(weight.dtype)
        d_low = (out @ b) * ctx.scale
        d_a = (d_low.T @ rows).float()
        d_b = (out.T @ low).float() * ctx.scale
        d_x = torch.addmm(out @ weight, d_low, a)[None].to(ctx.dtype) if ctx.needs_input_grad[0] else None
        return d_x, None, d_a, d_b, None


class _AnswerLoss(torch.autograd.Function):
    """Cross entropy of each labelled row, and the token it finds likeliest.

    states [labels, dim], head [vocabulary, dim] (frozen), targets [labels] to losses [labels] float32 and
    tokens [labels]. The gradient is made while a few rows' logits are at hand, so that the whole matrix of
    logits never exists.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, head: Tensor, targets: Tensor, learn: bool) -> tuple[Tensor, Tensor]:
        losses = torch.empty(len(states))
        best = torch.empty(len(states), dtype=torch.long)
        gradient = torch.empty(states.shape if learn else (0,), dtype=head.dtype)
        for begin in range(0, len(states), _LOGIT_ROWS):
            part = slice(begin, begin + _LOGIT_ROWS)
            logits = (states[part].to(head.dtype) @ head.T).float()
            wanted = targets[part, None]
            best[part] = logits.argmax(-1)
            peak = logits.gather(1, best[part, None])
            right = logits.gather(1, wanted)
            weights = logits.sub_(peak).exp_()
            total = weights.sum(-1, keepdim=True)
            losses[part] = (total.log() + peak - right)[:, 0]
            if learn:
                weights /= total
                weights.scatter_add_(1, wanted, torch.full_like(right, -1.0))
                gradient[part] = weights.to(head.dtype) @ head
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(best)
        ctx.dtype = states.dtype
        return losses, best

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient.float() * gradients[0][:, None]).to(ctx.dtype), None, None, None


@dataclass(frozen=True)
class Network:
    """model: peft's wrapper around transformers' model; what it trains is float32. linears: peft's modules, by
    the role of the tensor that each adapts."""

    model: Any
    trunk: nn.Module
    head: Tensor
    linears: dict[str, Any]

    def answer_losses(self, packing: Packing) -> tuple[Tensor, Tensor]:
        """Loss and likeliest token at each labelled position; [labels] each."""
        states = self.trunk(
            input_ids=packing.tokens, position_ids=packing.positions, use_cache=False, packing=packing
        ).last_hidden_state
        labelled = states[0].index_select(0, packing.labelled)
        losses, best = _AnswerLoss.apply(  # type: ignore[no-untyped-call]
            labelled, self.head, packing.targets, torch.is_grad_enabled()
        )
        return losses, best

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name, in a fixed order."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware, as far as this torch can tell."""
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16"))


def build(spec: Spec, matrices: torch.dtype, rank: int, alpha: float, dropout: float) -> Network:
    """The base with a new adapter on every linear layer but the head; A is drawn by torch's seed, B is 0."""
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import Linear

    base = _base_model(spec, matrices)
    origin = spec.general.get("name")
    base.name_or_path = origin if isinstance(origin, str) else ""
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        model = get_peft_model(base, config)
    roles = {name.hf: name.role for name in family.by_name(spec.family).tensors(spec.hyper)}
    linears = {}
    for name, module in base.named_modules():
        if isinstance(module, Linear):
            module.forward = MethodType(_lora_forward, module)
            linears[roles[f"{name}.weight"]] = module
    head = base.get_output_embeddings().weight.detach().to(matrices)
    return Network(model, base.base_model, head, linears)


def _lora_forward(self: Any, x: Tensor) -> Tensor:
    weight, bias = self.base_layer.weight, self.base_layer.bias
    a, b = self.lora_A["default"].weight, self.lora_B["default"].weight
    scale, dropout = self.scaling["default"], self.lora_dropout["default"]
    if isinstance(dropout, nn.Dropout):
        rows = x.to(weight.dtype)
        low = dropout(rows) @ a.to(weight.dtype).T
        out = torch.add(rows @ weight.T, low @ b.to(weight.dtype).T, alpha=scale)
    else:
        out = _LoraLinear.apply(x, weight, a, b, scale)  # type: ignore[no-untyped-call]
    return out if bias is None else out + bias


def _base_model(spec: Spec, matrices: torch.dtype) -> Any:
    """transformers' model of the spec: matrices of `matrices`' type, everything else float32."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(_ATTENTION, _packed_attention)
    kind = family.by_name(spec.family)
    settings = kind.hyper_to_hf(spec.hyper)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=_ATTENTION, dtype=torch.float32)
    weights: dict[str, Tensor] = {}
    for name in kind.tensors(spec.hyper):
        tensor = torch.from_numpy(to_float32(spec.tensors[name.role]))
        if name.rows == 1:
            weights[name.hf] = tensor[0]
        else:
            weights[name.hf] = tensor if name.role == "embed" else tensor.to(matrices)
    missing, unexpected = model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    lost = [key for key in missing if not (spec.hyper.tied and key == "lm_head.weight")]
    if lost or unexpected:
        raise RuntimeError(f"{spec.family}: transformers wants {lost} and does not know {unexpected}")
    model.requires_grad_(False)
    return model
