"""The base model in torch with a LoRA adapter, computing only the loss of answers.

Three things make a step fast. Sequences are packed into one row without padding, and the prefix that all
prompts share is computed once a batch (batches/packing.py). The output head, a tiny model's largest matrix, is
applied to labelled positions only. Where bfloat16 products are measured faster (devices.py), weights and
activations of the matrices are bfloat16, with a float32 residual stream.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from tinsmith.errors import InputError
from tinsmith.models import family
from tinsmith.spec import Spec
from tinsmith.train.batches.packing import Packing, pack, pad
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.layers import attention, fused, mixing
from tinsmith.train.layers.blocks import Blocks, times_matrix
from tinsmith.train.layers.head import AnswerLoss
from tinsmith.train.model import packed
from tinsmith.train.model.devices import CPU
from tinsmith.train.options import TrainOptions
from tinsmith.train.tensors import to_folder
from tinsmith.train.vision import CAUSAL
from tinsmith.vision.parts import parts_of

VISION = "vision"  # the module of a trunk that encodes images
# Linear layers that are not adapted, by model type: peft refuses those whose kernels bypass its layers, and
# llama.cpp supports no adapter before the layers.
_UNADAPTED = {"falcon_h1": {"out_proj"}, "gemma4_text": {"per_layer_model_projection"}}


class _LoraLinear(torch.autograd.Function):
    """x W^T + scale (x A^T) B^T with a frozen W, computed in W's type; A and B and their gradients are float32.

    x [batch, rows, inputs], W [outputs, inputs], maybe in blocks, A [rank, inputs], B [outputs, rank]. peft's
    own module computes the same in more passes over memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | Blocks, a: Tensor, b: Tensor, scale: float) -> Tensor:
        rows, a, b = x.flatten(0, -2).to(weight.dtype), a.to(weight.dtype), b.to(weight.dtype)
        low = rows @ a.T
        ctx.save_for_backward(rows, a, b, low)
        ctx.weight, ctx.scale, ctx.dtype, ctx.shape = weight, scale, x.dtype, x.shape
        return times_matrix(rows, weight).addmm_(low, b.T, alpha=scale).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, a, b, low = ctx.saved_tensors
        out = gradients[0].flatten(0, -2).to(rows.dtype)
        d_low = (out @ b) * ctx.scale
        d_a = (d_low.T @ rows).float()
        d_b = (low.T @ out).T.float() * ctx.scale
        if not ctx.needs_input_grad[0]:
            return None, None, d_a, d_b, None
        d_x = times_matrix(out, ctx.weight, transposed=True).addmm_(d_low, a)
        return d_x.view(ctx.shape).to(ctx.dtype), None, d_a, d_b, None


@dataclass(frozen=True)
class Network:
    """model: peft's wrapper around transformers' model; trained parameters are float32. linears: peft's
    modules, by the role of the tensor that each adapts. packs: whether sequences may share a row; scale, cap:
    applied to the head's logits; matrices: the type of products with frozen matrices."""

    model: Any
    trunk: nn.Module
    head: Tensor | Blocks
    linears: dict[str, Any]
    packs: bool
    scale: float
    cap: float | None
    matrices: torch.dtype

    @property
    def device(self) -> torch.device:
        return self.head.data.device

    def pack(self, batch: Sequence[TokenSequence], shared: int) -> Packing:
        """On the network's device. shared: the length of the prefix that the prompts have in common."""
        images = self.vision.image_attention if self.has_vision else CAUSAL
        return (pack(batch, shared, images) if self.packs else pad(batch, images)).to(self.device)

    def answer_states(self, packing: Packing) -> Tensor:
        """The head's input at each labelled position; [labels, dim]."""
        states = self.trunk(
            **self.given(packing), position_ids=packing.rotary, use_cache=False, packing=packing
        ).last_hidden_state
        labelled: Tensor = states.flatten(0, 1).index_select(0, packing.labelled)
        return labelled

    @property
    def has_vision(self) -> bool:
        return hasattr(self.trunk, VISION)

    @property
    def vision(self) -> Any:
        """The vision model, a submodule of the trunk."""
        return self.trunk.get_submodule(VISION)

    def given(self, packing: Packing) -> dict[str, Any]:
        """The trunk's input: tokens; or with images embeddings [rows, width, dim], image rows in place of their
        tokens, and the rows that DeepStack adds in the first layers."""
        if packing.seen is None:
            return {"input_ids": packing.tokens}
        model: Any = self.trunk
        embeddings = model.get_input_embeddings()(packing.tokens)
        rows, *deep = self.vision.rows(packing.images).to(embeddings.dtype).split(embeddings.shape[-1], -1)
        flat = embeddings.flatten(0, 1).index_put((packing.seen,), rows)
        given: dict[str, Any] = {"inputs_embeds": flat.view_as(embeddings)}
        if deep:  # added in the order of the tokens
            places = torch.zeros_like(packing.tokens, dtype=torch.bool)
            places.view(-1)[packing.seen] = True
            order = packing.seen.argsort()
            given |= {"visual_pos_masks": places, "deepstack_visual_embeds": [part[order] for part in deep]}
        return given

    def logits(self, states: Tensor) -> Tensor:
        """The head's logits of states [rows, dim], float32 [rows, vocabulary]."""
        logits = times_matrix(states.to(self.head.dtype), self.head).float() * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def answer_losses(self, packing: Packing) -> tuple[Tensor, Tensor]:
        """Loss and most likely token at each labelled position; [labels] each."""
        labelled = self.answer_states(packing)
        losses, best = AnswerLoss.apply(  # type: ignore[no-untyped-call]
            labelled, self.head, packing.targets, self.scale, self.cap, torch.is_grad_enabled()
        )
        return losses, best

    def parameters(self) -> dict[str, nn.Parameter]:
        """The trained parameters by name, in a fixed order."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}


@dataclass(frozen=True)
class Whole(Network):
    """A model all of whose weights are trained; model and trunk are transformers' own, and float32. matrices:
    the type of all matrix products."""

    def answer_losses(self, packing: Packing) -> tuple[Tensor, Tensor]:
        narrow: AbstractContextManager[Any] = nullcontext()
        if self.matrices != torch.float32:  # concurrent passes must not share casts
            narrow = torch.autocast(self.device.type, self.matrices, cache_enabled=False)
        with narrow:
            logits = self.logits(self.answer_states(packing))
        losses = nn.functional.cross_entropy(logits, packing.targets, reduction="none")
        return losses, logits.detach().argmax(-1)


def whole(spec: Spec, matrices: torch.dtype = torch.float32, device: torch.device = CPU) -> Whole:
    """The model with every weight trained."""
    base = base_model(spec).to(device)
    base.requires_grad_(True)
    roles, head = roles_of(spec), base.get_output_embeddings()
    linears = {roles[path]: module for path, module in linears_of(base).items()}
    packs = mixing.install(base)
    open_vision(spec, base).requires_grad_(True)
    return Whole(base, base.base_model, head.weight, linears, packs, *after_head(base.config), matrices)


def linears_of(base: Any) -> dict[str, nn.Linear]:
    """The linear layers of transformers' model but its head, by path."""
    head = base.get_output_embeddings()
    return {
        path: module
        for path, module in base.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }


def open_vision(spec: Spec, base: Any) -> nn.Module:
    """A model's vision encoder and projector, frozen, as a module of its trunk; empty without vision."""
    if spec.vision is None:
        return nn.Module()
    from tinsmith.train.vision.model import VisionModel

    vision = VisionModel(spec).to(next(base.parameters()).device)
    base.base_model.add_module(VISION, vision)
    return vision


def after_head(config: Any) -> tuple[float, float | None]:
    """The logits' scale and cap."""
    return 1 / getattr(config, "logits_scaling", 1), getattr(config, "final_logit_softcapping", None)


def build(
    spec: Spec,
    matrices: torch.dtype,
    rank: int,
    alpha: float,
    targets: Sequence[str] = (),
    device: torch.device = CPU,
    keep_packed: bool = False,
) -> Network:
    """The base with a new adapter: A is random by torch's seed, B is 0.

    targets: the linear layers to adapt, by the last part of their names in transformers ("q_proj"); none for
    all but the head and gates with one output, which choose and do not compute; keep_packed: matrices stay in
    the spec's blocks. Raises InputError for a name that the family does not have.
    """
    base = base_model(spec, keep_packed=keep_packed).to(device)
    wanted = _targets(spec.family, base, targets)
    frozen = _frozen(base)
    _cast(base, wanted | frozen, matrices)
    others = _multiplies_elsewhere(base, wanted | frozen)
    model = _adapted(base, wanted, r=rank, lora_alpha=alpha)
    origin = spec.general.get("name")
    model.peft_config["default"].base_model_name_or_path = origin if isinstance(origin, str) else ""
    packs = mixing.install(base)
    roles, linears = roles_of(spec), {}
    for name in sorted(wanted):
        module = base.get_submodule(name)
        # A layer that is not adapted keeps its type, and takes no other.
        module.forward = partial(_lora_forward, module, narrow=packs and not targets)
        linears[roles[name]] = module
    for module in map(base.get_submodule, frozen):
        module.forward = partial(_plain_forward, module)
    if device.type == "cpu":
        fused.install(base, matrices if packs and not (targets or others) else None)
    open_vision(spec, base)
    head = _head(base, matrices)
    return Network(model, base.base_model, head, linears, packs, *after_head(base.config), matrices)


def _head(base: Any, matrices: torch.dtype) -> Tensor | Blocks:
    """The output head, in the type of its products."""
    head = packed.weight_of(base.get_output_embeddings())
    if isinstance(head, Blocks):
        head.dtype = matrices
        return head
    return head.detach().to(matrices)


def _cast(base: Any, names: Collection[str], matrices: torch.dtype) -> None:
    """Casts the matrices of these layers to the type of their products."""
    for name in names:
        weight = packed.weight_of(base.get_submodule(name))
        if isinstance(weight, Blocks):
            weight.dtype = matrices
        else:
            weight.data = weight.data.to(matrices)


def _multiplies_elsewhere(base: Any, wanted: set[str]) -> bool:
    """Whether a layer has a matrix that is not adapted, and so takes float32 alone. Before peft's wrapper."""
    others = (nn.Embedding, nn.Conv1d)
    return any(
        isinstance(module, packed.Experts)
        or (
            not (path in wanted or isinstance(module, others))
            and any(one.ndim > 1 for one in module.parameters(recurse=False))
        )
        for path, module in base.named_modules()
        if module is not base.get_output_embeddings()
    )


def _adapted(base: Any, wanted: set[str], **settings: Any) -> Any:
    """peft's wrapper around the model, with LoRA on the wanted modules."""
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import Linear

    config = LoraConfig(
        target_modules=sorted({name.rpartition(".")[2] for name in wanted}), task_type="CAUSAL_LM", **settings
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        model = get_peft_model(base, config)
    adapted = {name for name, module in base.named_modules() if isinstance(module, Linear)}
    assert adapted == wanted, adapted ^ wanted
    return model


def _frozen(base: Any) -> set[str]:
    """The names of the linear layers that can't be adapted."""
    unadapted = _UNADAPTED.get(base.config.model_type, set())
    return {path for path, _ in base.named_modules() if path.rpartition(".")[2] in unadapted}


def _targets(name: str, base: Any, chosen: Sequence[str]) -> set[str]:
    """The names of the modules to adapt."""
    frozen = _frozen(base)
    linears = {path: module for path, module in linears_of(base).items() if path not in frozen}
    known = sorted({path.rpartition(".")[2] for path in linears})
    for one in chosen:
        if one not in known:
            raise InputError(f"[train] targets: {name} has no linear layer {one!r}; it has {', '.join(known)}")
    if chosen:
        return {path for path in linears if path.rpartition(".")[2] in chosen}
    return {path for path, module in linears.items() if module.out_features > 1}


def _plain_forward(module: Any, x: Tensor) -> Tensor:
    weight = packed.weight_of(module)
    return times_matrix(x.flatten(0, -2).to(weight.dtype), weight).view(*x.shape[:-1], -1)


def _lora_forward(module: Any, x: Tensor, *, narrow: bool) -> Tensor:
    """narrow: the result may stay in the weight's type; attention and feed-forward layers accept either."""
    weight, bias = packed.weight_of(module.base_layer), module.base_layer.bias
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    scale = module.scaling["default"]
    out: Tensor = _LoraLinear.apply(x, weight, a, b, scale)  # type: ignore[no-untyped-call]
    if bias is not None:
        out = out + bias.to(out.dtype)
    return out if narrow else out.to(x.dtype)


def base_model(spec: Spec, attend: str = attention.NAME, keep_packed: bool = False) -> Any:
    """transformers' model of the spec, frozen, with float32 weights except those that stay in blocks
    (packed.py). attend: the name of its attention."""
    attention.register()
    config = _config(spec)
    with quiet():
        bare = _bare(config)
        kept = packed.places(bare, spec) if keep_packed else []
        kind = packed.hollow(type(bare), kept) if kept else type(bare)
        model, report = kind.from_pretrained(
            None,
            config=config,
            state_dict=weights(spec, {place.name.role for place in kept}),
            attn_implementation=attend,
            dtype=torch.float32,
            output_loading_info=True,
        )
    wrong = {key: sorted(names) for key, names in report.items() if names}
    if wrong:
        raise RuntimeError(f"{spec.family}: transformers does not take the weights: {wrong}")
    packed.fill(model, spec, kept)
    model.requires_grad_(False)
    return model


def adapted(spec: Spec, options: TrainOptions) -> dict[str, tuple[int, int, int]]:
    """Outputs, inputs and rank of the adapted layers, by role; reads no weight. Raises InputError as build
    does."""
    with quiet():
        base = _bare(_config(spec))
    roles = roles_of(spec)
    layers = {path: base.get_submodule(path) for path in sorted(_targets(spec.family, base, options.targets))}
    return {
        roles[path]: (layer.out_features, layer.in_features, options.rank) for path, layer in layers.items()
    }


def roles_of(spec: Spec) -> dict[str, str]:
    """The roles of the spec's matrices, by the paths of transformers' modules."""
    tensors = family.by_name(spec.family).tensors(spec.hyper)
    return {name.hf.removesuffix(".weight"): name.role for name in tensors}


def _bare(config: Any) -> Any:
    """transformers' model, without weights."""
    from transformers import AutoModelForCausalLM

    _register_language_models()
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


@cache
def _register_language_models() -> None:
    """Makes models for AutoModelForCausalLM that transformers has only as parts of vision-language models."""
    from transformers import (
        AutoModelForCausalLM,
        PreTrainedModel,
        Qwen3ForCausalLM,
        Qwen3VLTextConfig,
        Qwen3VLTextModel,
    )

    class Qwen3VLForCausalLM(Qwen3ForCausalLM):  # type: ignore[misc]
        """Its trunk takes row and column positions, and image features for its first layers (DeepStack)."""

        config_class = Qwen3VLTextConfig

        def __init__(self, config: Any) -> None:
            PreTrainedModel.__init__(self, config)
            self.model = Qwen3VLTextModel(config)
            self.vocab_size = config.vocab_size
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
            self.post_init()

    AutoModelForCausalLM.register(Qwen3VLTextConfig, Qwen3VLForCausalLM, exist_ok=True)


def _config(spec: Spec) -> Any:
    from transformers import AutoConfig

    settings = family.by_name(spec.family).hyper_to_hf(spec.hyper)
    # A family's own defaults of these may lie outside the vocabulary.
    settings |= {f"{key}_token_id": getattr(spec.tokenizer, key) for key in ("bos", "eos", "pad")}
    model_type = settings.pop("model_type")
    if spec.vision:
        model_type = parts_of(spec.vision)[1].hf_text.get(model_type, model_type)
    try:
        return AutoConfig.for_model(model_type, **settings)
    except ValueError as error:
        text = " ".join(str(error).split())
        raise InputError(f"{spec.family} needs a newer transformers, or another config: {text}") from None


def weights(spec: Spec, elsewhere: Collection[str] = ()) -> dict[str, Tensor]:
    """In a Hugging Face folder's form, float32; without those of the roles `elsewhere`."""
    loaded: dict[str, Tensor] = {}
    for name in family.by_name(spec.family).tensors(spec.hyper):
        # A tensor that no folder has follows from the config, as the model's own tables do.
        if name.hf and name.role not in elsewhere:
            tensor = torch.from_numpy(to_folder(name, spec.tensors[name.role]))
            loaded |= zip(name.folder_names, tensor if name.experts else [tensor], strict=True)
    return loaded


@contextmanager
def quiet() -> Iterator[None]:
    """Hides transformers' progress bars, and its advice to install faster GPU kernels."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
