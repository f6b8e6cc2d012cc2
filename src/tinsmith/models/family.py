"""The base class of the model families, and their registry.

A family is one module of this folder with an instance of a Family subclass named `family`. The class has the
hyper-parameters, tensor names and forward pass of llama; a family overrides what differs. Adding a module adds
the family; no table lists them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import METADATA, is_string
from tinsmith.fields import Fields as Fields
from tinsmith.fields import shortest_float32 as shortest_float32
from tinsmith.formats.safetensors import Tensor as Stored
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.decoder import CONFIG, MOST_LAYERS, Key
from tinsmith.spec import Hyper, Spec, Tensor
from tinsmith.system.plugins import instances
from tinsmith.tensor_names import Change as Change
from tinsmith.tensor_names import TensorName as TensorName


@dataclass(frozen=True)
class StandIn:
    """A family, the config for it, the conversion of the folder's tensors to its names and values, and notes
    for the user."""

    family: Family
    config: dict[str, Any]
    changed: Callable[[Mapping[str, Stored]], dict[str, Stored]]
    notes: tuple[str, ...] = ()


class Family:
    """An architecture. Readers of hyper-parameters raise FormatError for missing or invalid ones, and
    UnsupportedError for a feature that the graph does not compute. `h` is an instance of `hyper`.

    model_type, gguf_architecture: its names in transformers and in GGUF, by default `name`. text_models: model
    types of text_config in multimodal configs. keys: of the family's own fields. defaults: transformers' values
    for keys missing from a config. only, only_gguf: supported values of keys in a config and in GGUF.
    keeps_head_dim: GGUF always states the head width. mixture: the family has experts. ignored_hf: tensors left
    out on purpose, by a regular expression of their whole name, and a note for the user. head_norms: attention
    has norms of query and key heads. act: the feed-forward's activation. post_norms: attention and feed-forward
    have norms of their outputs."""

    name: ClassVar[str]
    model_type: ClassVar[str]
    hf_architectures: ClassVar[tuple[str, ...]]
    gguf_architecture: ClassVar[str]
    text_models: ClassVar[tuple[str, ...]] = ()
    hyper: ClassVar[type[Hyper]] = Hyper
    keys: ClassVar[tuple[Key, ...]] = ()
    defaults: ClassVar[Mapping[str, Any]] = {}
    only: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "hidden_act": ("silu", "swish"),
        "attention_bias": (False,),
    }
    only_gguf: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "rope.scaling.type": ("none",),
        "rope.scale_linear": (1.0,),
        "rope.scaling.factor": (1.0,),
        "rope.scaling.attn_factor": (1.0,),
        "attention.sliding_window": (0,),
    }
    keeps_head_dim: ClassVar[bool] = False
    mixture: ClassVar[bool] = False
    ignored_hf: ClassVar[tuple[tuple[str, str], ...]] = ()
    head_norms: ClassVar[bool] = False
    act: ClassVar[str] = "silu"
    post_norms: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        for attribute in ("model_type", "gguf_architecture"):
            if "name" in vars(cls) and attribute not in vars(cls):
                setattr(cls, attribute, cls.name)

    def stand_in(self, config: Mapping[str, Any]) -> StandIn | None:
        """The equivalent family that reads a folder of this config instead, if any."""
        return None

    def hyper_from_hf(self, config: Mapping[str, Any]) -> Hyper:
        """From config.json."""
        config = {**self.defaults, **config}
        fields = Fields(config, CONFIG)
        for key, allowed in self.only.items():
            fields.refuse(key, *allowed)
        fields.refuse("is_causal", True)
        fields.count("num_hidden_layers", most=MOST_LAYERS)
        known = decoder.from_hf(fields, decoder.COUNTS)
        known["head_dim"] = fields.count("head_dim", max(known["dim"] // known["heads"], 1))
        rope = self.rope_from_hf(config)
        known |= {
            "kv_heads": fields.count("num_key_value_heads", known["heads"]),
            "vocab": fields.count("vocab_size"),
            "norm_eps": fields.real("rms_norm_eps", 1e-6),
            "rope_base": rope.real("rope_theta", 10000.0),
            "rope_dim": decoder.rotated(rope, known["head_dim"]),
            "tied": bool(config.get("tie_word_embeddings", False)),
        }
        known |= decoder.from_hf(fields, self.keys) | self.more_from_hf(fields, rope)
        return self._checked(self.hyper(**known), CONFIG)

    def rope_from_hf(self, config: Mapping[str, Any]) -> Fields:
        return Fields(decoder.rope_settings(config, "default"), CONFIG)

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        """Fields that neither `keys` nor the common ones cover, from a config and its RoPE settings."""
        return {}

    def hyper_to_hf(self, h: Any) -> dict[str, Any]:
        """The whole config.json except token ids and the tensors' type."""
        common = decoder.to_hf(h, decoder.COUNTS) | {key: allowed[0] for key, allowed in self.only.items()}
        common |= {
            "architectures": [self.hf_architectures[0]],
            "attention_dropout": 0.0,
            "head_dim": h.head_dim,
            "initializer_range": 0.02,
            "model_type": self.model_type,
            "num_key_value_heads": h.kv_heads,
            "rms_norm_eps": h.norm_eps,
            "rope_scaling": None,
            "rope_theta": h.rope_base,
            "tie_word_embeddings": h.tied,
            "use_cache": True,
            "vocab_size": h.vocab,
        }
        return common | decoder.to_hf(h, self.keys) | self.more_to_hf(h)

    def more_to_hf(self, h: Any) -> dict[str, Any]:
        """Further keys of config.json, and other values of common ones."""
        return {}

    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        """From metadata as plain values, plus GGUF's RoPE vectors as lists, by tensor name. tied: the file has
        no separate head."""
        fields = Fields(meta, METADATA, f"{self.gguf_architecture}.")
        if not self.mixture:
            fields.refuse("expert_count", 0)
        for key, allowed in self.only_gguf.items():
            fields.refuse(key, *allowed)
        fields.refuse("attention.causal", True)
        fields.count("block_count", most=MOST_LAYERS)
        tokens = Fields(meta, METADATA).items("tokenizer.ggml.tokens", "texts", is_string)
        known = decoder.from_gguf(fields, decoder.COUNTS)
        known["head_dim"] = fields.count("attention.key_length", max(known["dim"] // known["heads"], 1))
        fields.refuse("attention.value_length", known["head_dim"])
        known |= {
            "kv_heads": fields.count("attention.head_count_kv", known["heads"]),
            "vocab": fields.count("vocab_size", len(tokens)),
            "norm_eps": shortest_float32(fields.real("attention.layer_norm_rms_epsilon")),
            "rope_base": shortest_float32(fields.real("rope.freq_base", 10000.0)),
            "rope_dim": fields.count("rope.dimension_count", known["head_dim"]),
            "tied": tied,
        }
        known |= decoder.from_gguf(fields, self.keys)
        return self._checked(self.hyper(**(known | self.more_from_gguf(fields, known))), METADATA)

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        """As more_from_hf, from GGUF metadata. h: the fields read so far."""
        return {}

    def hyper_to_gguf(self, h: Any) -> dict[str, Any]:
        """The keys under the architecture's prefix; int is stored as UINT32, float as FLOAT32."""
        common = decoder.to_gguf(h, decoder.COUNTS) | {
            "attention.head_count_kv": h.kv_heads,
            "rope.freq_base": h.rope_base,
            "attention.layer_norm_rms_epsilon": h.norm_eps,
        }
        if self.keeps_head_dim or h.head_dim != h.dim // h.heads:
            common |= {"attention.key_length": h.head_dim, "attention.value_length": h.head_dim}
        common |= self.more_to_gguf(h)
        common |= decoder.to_gguf(h, self.keys)
        return {f"{self.gguf_architecture}.{key}": value for key, value in common.items()}

    def more_to_gguf(self, h: Any) -> dict[str, Any]:
        """Further GGUF metadata, keys without the architecture's prefix, before those of `keys`."""
        return {}

    def hyper_from_facts(self, facts: Mapping[str, Any], where: str) -> Hyper:
        """From a tin's manifest: the fields by name, tuples as lists."""
        known: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()
        }
        try:
            return self._checked(self.hyper(**known), where)
        except TypeError as error:
            raise FormatError(f"{where}: hyper-parameters do not fit the family {self.name}: {error}") from None

    def _checked(self, h: Hyper, where: str) -> Hyper:
        if h.heads % h.kv_heads:
            raise FormatError(f"{where}: {h.heads} attention heads can't share {h.kv_heads} key-value heads")
        if h.rope_dim % 2:
            raise FormatError(f"{where}: a head's {h.rope_dim} rotated values are not pairs")
        if h.rope_dim > h.head_dim:
            raise FormatError(f"{where}: a head of {h.head_dim} values has no {h.rope_dim} to rotate")
        if (taps := getattr(h, "taps", 2)) < 2:
            raise UnsupportedError(f"{where}: a convolution of {taps} tokens; supported: 2 and more")
        self.check(h, where)
        return h

    def check(self, h: Any, where: str) -> None:
        """Checks the family's hyper-parameters; by default, that whole heads are rotated."""
        if h.rope_dim != h.head_dim:
            raise UnsupportedError(
                f"{where}: {h.rope_dim} of a head's {h.head_dim} values are rotated (partial_rotary_factor, "
                "rope.dimension_count), which is not supported; supported: all"
            )

    def context(self, h: Hyper) -> int:
        """The longest text that the graph computes correctly, in tokens."""
        return h.context

    def with_mtp(self, h: Hyper, layers: int, where: str) -> Hyper:
        """h with 0 or 1 multi-token prediction layers. Raises UnsupportedError for 1 if it has none or
        several."""
        if layers:
            raise UnsupportedError(f"{where}: {self.name} has no multi-token prediction layer; leave out mtp")
        return h

    def predicts(self, h: Any) -> bool:
        """Whether it has a multi-token prediction layer, which mtp_graph computes."""
        return False

    def notes(self, h: Any) -> tuple[str, ...]:
        """Notes for the user of a model of this size, a line each."""
        return ()

    def tensors(self, h: Any) -> list[TensorName]:
        """Every tensor of the family at this size, in file order."""
        names = [TensorName("embed", "model.embed_tokens.weight", "token_embd.weight", h.vocab, h.dim)]
        for i in range(h.layers):
            for part in self.layer(h, i):
                names.append(
                    replace(
                        part,
                        role=f"layers.{i}.{part.role}",
                        hf=f"model.layers.{i}.{part.hf}",
                        stored=part.stored and f"model.layers.{i}.{part.stored}",
                        gguf=f"blk.{i}.{part.gguf}",
                        gguf_more=tuple(f"blk.{i}.{more}" for more in part.gguf_more),
                    )
                )
        names.append(self.final_norm(h))
        if not h.tied:
            names.append(TensorName("head", "lm_head.weight", "output.weight", h.vocab, h.dim))
        return names

    def layer(self, h: Any, i: int) -> list[TensorName]:
        """The tensors of layer i, named without the layer's prefix."""
        return [*decoder.two_norms(h), *decoder.attention(h, permuted=True), *self.feed_forward(h, i)]

    def feed_forward(self, h: Any, i: int) -> list[TensorName]:
        return decoder.feed_forward(h)

    def final_norm(self, h: Any) -> TensorName:
        return TensorName("final_norm", "model.norm.weight", "output_norm.weight", 1, h.dim)

    def derive(self, h: Any) -> dict[str, Tensor]:
        """By role, the tensors that follow from the hyper-parameters: those whose TensorName has no hf."""
        return {}

    def ignored_in_folder(self, h: Any) -> tuple[tuple[str, str], ...]:
        """ignored_hf, if it depends on the size."""
        return self.ignored_hf

    def ignored_in_gguf(self, h: Any) -> tuple[tuple[str, str], ...]:
        """As ignored_in_folder, of a GGUF file."""
        return ()

    def graph(self, h: Any, g: GraphBuilder) -> None:
        """The forward pass, from the embedding to the logits. With multi-token prediction, the last state is
        the hidden state of the logits, and mtp_graph attends to the last cache."""
        x = g.embed("embed", scale=self.embedding_scale(h))
        table = self.rope_table(h, g)
        for i in range(h.layers):
            x = self.block(h, g, i, x, table)
        self.logits(h, g, g.norm(x, "final_norm", h.norm_eps))

    def embedding_scale(self, h: Any) -> float:
        return 1.0

    def rope_table(self, h: Any, g: GraphBuilder) -> Any:
        """The table, or all tables, that `mix` takes."""
        return g.rope_table(decoder.frequencies(h.rope_base, h.rope_dim))

    def logits(self, h: Any, g: GraphBuilder, x: Value) -> None:
        g.logits(x, h.head)

    def block(self, h: Any, g: GraphBuilder, i: int, x: Value, table: Any) -> Value:
        """Layer i."""
        y = self.mix(h, g, i, g.norm(x, f"layers.{i}.attn_norm", h.norm_eps), table)
        return self.feed(h, g, f"layers.{i}", self.add(h, g, f"layers.{i}.o", y, x))

    def mix(self, h: Any, g: GraphBuilder, i: int, y: Value, table: Any) -> Value:
        """Layer i's attention, or what it has instead, before the last projection."""
        q, k, v = decoder.heads(h, g, f"layers.{i}", y, normed=self.head_norms)
        return decoder.attend(h, g, q, k, v, table, **self.attention_options(h, i))

    def attention_options(self, h: Any, i: int) -> dict[str, Any]:
        """Further arguments of decoder.attend for layer i."""
        return {}

    def feed(self, h: Any, g: GraphBuilder, layer: str, x: Value) -> Value:
        """x + the layer's feed-forward of x."""
        y = g.norm(x, f"{layer}.ffn_norm", h.norm_eps)
        gate, up = self.gate_and_up(h, g, layer, y)
        return self.add(h, g, f"{layer}.down", g.gated(gate, up, act=self.act), x)

    def gate_and_up(self, h: Any, g: GraphBuilder, layer: str, y: Value) -> tuple[Value, ...]:
        return g.matmuls(y, f"{layer}.gate", f"{layer}.up")

    def add(self, h: Any, g: GraphBuilder, weight: str, y: Value, x: Value) -> Value:
        """x + a block's last projection of y."""
        if not self.post_norms:
            return g.matmul(y, weight, residual=x)
        layer, _, part = weight.rpartition(".")
        norm = f"{layer}.attn_post_norm" if part == "o" else f"{layer}.ffn_post_norm"
        return g.norm(g.matmul(y, weight), norm, h.norm_eps, residual=x)

    def mtp_graph(self, h: Any, g: GraphBuilder) -> None:
        """From a token and the hidden state before it, the only state, to the logits of the token after."""
        raise NotImplementedError


@cache
def families() -> tuple[Family, ...]:
    """All families, ordered by name."""
    return tuple(instances("tinsmith.models", "family", Family))


def by_name(name: str) -> Family:
    return _find(name, lambda family: (family.name,), "family", "this model")


def names_of(spec: Spec) -> list[TensorName]:
    return by_name(spec.family).tensors(spec.hyper)


def by_gguf_architecture(architecture: str, where: str) -> Family:
    return _find(architecture, lambda family: (family.gguf_architecture,), "GGUF architecture", where)


def by_hf_architecture(architecture: str, where: str) -> Family:
    return _find(architecture, lambda family: family.hf_architectures, "Hugging Face architecture", where)


def by_text_model(model_type: str, where: str) -> Family:
    return _find(model_type, lambda family: family.text_models, "text_config of model type", where)


def _find(name: str, names: Callable[[Family], tuple[str, ...]], kind: str, where: str) -> Family:
    for family in families():
        if name in names(family):
            return family
    known = ", ".join(name for family in families() for name in names(family))
    raise UnsupportedError(f"{where}: {kind} {name!r} is not supported; supported: {known}")


def without_ignored(
    stored: Iterable[str], ignored: tuple[tuple[str, str], ...]
) -> tuple[list[str], tuple[str, ...]]:
    """The names of a file's tensors except ignored ones, and a note for each reason."""
    kept: list[str] = []
    counts: Counter[str] = Counter()
    for name in stored:
        note = next((note for pattern, note in ignored if re.fullmatch(pattern, name)), None)
        if note is None:
            kept.append(name)
        else:
            counts[note] += 1
    return kept, tuple(f"{note} ({count} tensors)" for note, count in counts.items())
