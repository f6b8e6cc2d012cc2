"""The qwen35 family: the order of its value heads, what is left out of its checkpoints, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import config_of, tiny_spec, tiny_tokenizer
from tests.models.transformers_models import CHATML, IDS, logits_of, scatter, some_tokens
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.models.qwen35 import family
from tinsmith.runtime import Model
from tinsmith.tokenizer import tokenizer_json

np = pytest.importorskip("numpy")


def floats(tensor: models.Tensor) -> Any:
    return np.frombuffer(tensor.data, np.float32).reshape(tensor.rows, tensor.inputs)


def test_gguf_interleaves_value_heads_of_a_key_head() -> None:
    """A folder has the value heads of a key head together: [key head][one of its value heads]."""
    spec = tiny_spec("qwen35")
    names = {name.role: name for name in family.tensors(spec.hyper)}
    keys, each, dim = 2, 2, 16  # of the tiny config

    def spread(values: Any, size: int) -> Any:
        """Along the first axis, value heads of `size` elements."""
        parts = values.reshape(keys, each, size, *values.shape[1:])
        return parts.swapaxes(0, 1).reshape(values.shape)

    def given(part: str) -> tuple[Any, Any]:
        """A folder's values, and what becomes of them."""
        name = names[f"layers.0.{part}"]
        ours = spec.tensors[name.role]
        folder = name.to_folder(ours)
        again = name.from_folder(folder)
        assert (again.format, again.rows, again.inputs) == (ours.format, ours.rows, ours.inputs)
        return floats(folder), floats(ours)

    for part, size in (("z", dim), ("beta", 1), ("alpha", 1)):
        folder, ours = given(part)
        assert np.array_equal(spread(folder, size), ours), part
    for part in ("qkv", "conv"):
        folder, ours = given(part)
        before = 2 * keys * dim
        assert np.array_equal(folder[:before], ours[:before])
        assert np.array_equal(spread(folder[before:], dim), ours[before:]), part
    folder, ours = given("o")
    assert np.array_equal(spread(folder.T.copy(), dim).T, ours)
    folder, ours = given("dt_bias")
    assert np.array_equal(spread(folder[0], 1), ours[0])
    folder, ours = given("rate")
    assert np.allclose(-np.exp(spread(folder[0], 1)), ours[0], rtol=1e-6)
    folder, ours = given("attn_norm")
    assert np.array_equal(folder + 1, ours)


def test_a_checkpoint_with_a_vision_encoder_gives_its_text_model(tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    text = config_of("qwen35") | IDS
    text.pop("architectures")
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 64}
    config = transformers.Qwen3_5Config(text_config=text, vision_config=vision, tie_word_embeddings=True)
    torch.manual_seed(5)
    theirs = transformers.Qwen3_5ForConditionalGeneration(config).to(torch.float32).eval()
    scatter(theirs)
    theirs.save_pretrained(tmp_path)
    tokenizer_json.write(tmp_path, tiny_tokenizer(266), CHATML, 512)
    spec = models.load(tmp_path)
    assert spec.notes and "vision encoder is left out" in spec.notes[0]
    image = build_image(spec)
    tokens = some_tokens(266, 60)
    expected = logits_of(theirs, tokens)
    got = np.asarray(Model(_core.Model(image), image, threads=1).logits(tokens))
    assert np.abs(got - expected).max() <= 1e-3 * (expected.max() - expected.min())


def test_multi_token_prediction_layers_are_left_out(tmp_path: Path) -> None:
    spec = tiny_spec("qwen35")
    models.save_gguf(spec, tmp_path / "a.gguf")
    file = gguf.read(tmp_path / "a.gguf")
    metadata = file.metadata | {
        "qwen35.block_count": gguf.value(spec.hyper.layers + 1),
        "qwen35.nextn_predict_layers": gguf.value(1),
    }
    more = [
        gguf.Tensor(f"blk.4.{name}.weight", gguf.tensor_type("F32"), (64,), bytes(256))
        for name in ("attn_norm", "nextn.hnorm")
    ]
    gguf.write(tmp_path / "mtp.gguf", metadata, [*file.tensors.values(), *more])
    again = models.load(tmp_path / "mtp.gguf")
    assert again.hyper == spec.hyper
    assert again.notes == ("the multi-token prediction layers are left out (2 tensors)",)
    assert again.tensors.keys() == spec.tensors.keys()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"attention_bias": True}, UnsupportedError, "attention_bias"),
        ({"attn_output_gate": False}, UnsupportedError, "attn_output_gate"),
        ({"hidden_act": "gelu"}, UnsupportedError, "hidden_act"),
        ({"linear_value_head_dim": 32}, UnsupportedError, "linear_value_head_dim"),
        ({"linear_num_value_heads": 3}, FormatError, "3 value heads can't share 2 key heads"),
        (
            {"linear_key_head_dim": 24, "linear_value_head_dim": 24},
            UnsupportedError,
            "24 values.*multiples of 16",
        ),
        ({"layer_types": ["full_attention", "linear_attention"] * 2}, UnsupportedError, "in each nth layer"),
        ({"layer_types": ["linear_attention"] * 4}, UnsupportedError, "no layer is attention"),
        ({"layer_types": ["linear_attention"]}, FormatError, "layer_types.*list of 4"),
        ({"head_dim": 64}, FormatError, "mrope_section"),
    ],
)
def test_unsupported_features_are_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        family.hyper_from_hf(config_of(family) | change)
