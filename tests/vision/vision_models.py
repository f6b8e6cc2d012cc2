"""Random tiny vision-language models by transformers' own classes, as folders that it wrote."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import config_of, tiny_tokenizer
from tests.models.transformers_models import CHATML, IDS, scatter
from tinsmith.tokenizer import tokenizer_json

ENCODER: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}
PATCH = 8
IMAGE = 100  # the id of the placeholder
# As Lfm2VlImageProcessor writes it, which can't be made without torchvision.
LFM2_PROCESSOR: dict[str, Any] = {
    "do_image_splitting": True,
    "do_normalize": True,
    "do_pad": True,
    "do_rescale": True,
    "do_resize": True,
    "downsample_factor": 2,
    "encoder_patch_size": PATCH,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "Lfm2VlImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "max_image_tokens": 16,
    "max_pixels_tolerance": 2.0,
    "max_tiles": 4,
    "min_image_tokens": 4,
    "min_tiles": 2,
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": 32, "width": 32},
    "tile_size": 32,
    "use_thumbnail": True,
}


def smolvlm(transformers: Any) -> tuple[Any, Any]:
    config = transformers.SmolVLMConfig(
        text_config=transformers.LlamaConfig(**config_of("llama") | IDS),
        vision_config=transformers.SmolVLMVisionConfig(**ENCODER, image_size=32, patch_size=PATCH).to_dict(),
        scale_factor=2,
        image_token_id=IMAGE,
        tie_word_embeddings=config_of("llama").get("tie_word_embeddings", False),
    )
    processor = transformers.SmolVLMImageProcessor(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    return transformers.SmolVLMForConditionalGeneration(config), processor


def lfm2_vl(transformers: Any, **changes: Any) -> tuple[Any, Any]:
    config = transformers.Lfm2VlConfig(
        text_config=transformers.Lfm2Config(**config_of("lfm2") | IDS),
        vision_config=transformers.Siglip2VisionConfig(
            **ENCODER, num_patches=16, patch_size=PATCH, vision_use_head=False
        ),
        downsample_factor=2,
        image_token_id=IMAGE,
        projector_hidden_size=48,
        **changes,
    )
    return transformers.Lfm2VlForConditionalGeneration(config), LFM2_PROCESSOR


def lfm2_vl_bare(transformers: Any) -> tuple[Any, Any]:
    return lfm2_vl(transformers, projector_bias=False, projector_use_layernorm=False)


def gemma3(transformers: Any) -> tuple[Any, Any]:
    config = transformers.Gemma3Config(
        text_config=transformers.Gemma3TextConfig(**config_of("gemma3") | IDS),
        vision_config=transformers.SiglipVisionConfig(
            **ENCODER, image_size=32, patch_size=PATCH, vision_use_head=False
        ),
        mm_tokens_per_image=4,
        boi_token_index=98,
        eoi_token_index=99,
        image_token_index=IMAGE,
        **IDS,
    )
    processor = transformers.Gemma3ImageProcessor(size={"height": 32, "width": 32}, image_seq_length=4)
    return transformers.Gemma3ForConditionalGeneration(config), processor


def qwen35(transformers: Any, case: str = "qwen35", kind: str = "Qwen3_5") -> tuple[Any, Any]:
    text = getattr(transformers, f"{kind}TextConfig")(**config_of(case) | IDS)
    config = getattr(transformers, f"{kind}Config")(
        text_config=text.to_dict(),
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_heads": 2,
            "num_position_embeddings": 16,
            "out_hidden_size": text.hidden_size,
            "patch_size": PATCH,
        },
        image_token_id=IMAGE,
        vision_start_token_id=98,
        vision_end_token_id=99,
        tie_word_embeddings=config_of(case).get("tie_word_embeddings", False),
    )
    return getattr(transformers, f"{kind}ForConditionalGeneration")(config), qwen_processor(transformers)


def qwen_processor(transformers: Any) -> Any:
    return transformers.Qwen2VLImageProcessor(
        patch_size=PATCH, size={"shortest_edge": 256, "longest_edge": 4096}
    )


def qwen3vl(transformers: Any) -> tuple[Any, Any]:
    text = {
        key: value for key, value in config_of("qwen3vl").items() if key not in ("architectures", "model_type")
    }
    config = transformers.Qwen3VLConfig(
        text_config=transformers.Qwen3VLTextConfig(**text | IDS).to_dict(),
        vision_config={
            "deepstack_visual_indexes": [0, 2],
            "depth": 4,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_heads": 2,
            "num_position_embeddings": 16,
            "out_hidden_size": text["hidden_size"],
            "patch_size": PATCH,
        },
        image_token_id=IMAGE,
        vision_start_token_id=98,
        vision_end_token_id=99,
        tie_word_embeddings=text["tie_word_embeddings"],
    )
    return transformers.Qwen3VLForConditionalGeneration(config), qwen_processor(transformers)


def qwen35_moe(transformers: Any) -> tuple[Any, Any]:
    return qwen35(transformers, "qwen35_moe", "Qwen3_5Moe")


CASES: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "smolvlm": smolvlm,
    "lfm2_vl": lfm2_vl,
    "lfm2_vl_bare": lfm2_vl_bare,
    "gemma3": gemma3,
    "qwen35": qwen35,
    "qwen35_moe": qwen35_moe,
    "qwen3vl": qwen3vl,
}


def save_random(case: str, folder: Path) -> Any:
    """Writes the folder of a case; the model of random weights that is in it, float32."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(zlib.crc32(case.encode()))
    model, processor = CASES[case](transformers)
    scatter(model)
    model.eval()
    model.save_pretrained(folder)
    if isinstance(processor, dict):
        (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    else:
        processor.save_pretrained(folder)
    text = json.loads((folder / "config.json").read_text())["text_config"]
    tokenizer_json.write(folder, tiny_tokenizer(text["vocab_size"]), CHATML, text["max_position_embeddings"])
    return model


def features(case: str, model: Any, pixels: Any) -> Any:
    """What transformers' model puts in the place of an image's tokens: float32 [tokens, width]. pixels:
    float32 [height, width, 3], normalized, of whole tokens."""
    np, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    height, width = (edge // PATCH for edge in pixels.shape[:2])
    cut = pixels.reshape(height, PATCH, width, PATCH, 3)
    if case.startswith("lfm2"):
        rows = cut.transpose(0, 2, 1, 3, 4).reshape(1, height * width, -1)
        given = rows, [[height, width]], np.ones((1, height * width), np.int64)
    elif case.startswith("qwen3"):  # patches by squares of 2 by 2, each as two equal frames
        rows = cut.reshape(height // 2, 2, PATCH, width // 2, 2, PATCH, 3).transpose(0, 3, 1, 4, 6, 2, 5)
        given = (
            np.repeat(rows[:, :, :, :, :, None], 2, axis=5).reshape(height * width, -1),
            [[1, height, width]],
        )
    else:
        whole = pixels.transpose(2, 0, 1)[None]
        given = (whole[None] if case == "smolvlm" else whole,)
    with torch.no_grad():
        out = model.model.get_image_features(*(torch.tensor(np.ascontiguousarray(one)) for one in given))
    return given_rows(out)


def given_rows(out: Any) -> Any:
    """Of what get_image_features makes, all that the language model takes: float32 [tokens, parts * width]."""
    torch = pytest.importorskip("torch")
    parts = [out.pooler_output, *(getattr(out, "deepstack_features", None) or ())]
    flat = [torch.cat(list(part)) if isinstance(part, (list, tuple)) else part for part in parts]
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in flat], -1).numpy()
