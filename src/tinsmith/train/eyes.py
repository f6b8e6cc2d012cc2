"""A vision half in torch: pictures to pixels, and pixels to rows that stand where a prompt has image tokens.

Tower and connector are transformers' own modules, and so is the processor that cuts pictures; what is trained
here is what transformers loads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tinsmith.errors import UnsupportedError
from tinsmith.spec import Spec, Tokenizer, Vision
from tinsmith.train.tensors import from_folder, to_folder
from tinsmith.vision.parts import parts_of, tensors_of

if TYPE_CHECKING:
    from tinsmith.data.pictures import Picture

KEPT = 1 << 30  # bytes of pixels that are kept for the next time that a picture is seen
CONNECTORS = ("idefics3",)  # whose torch modules are known here


class Sight:
    """How a vision half sees pictures. tokens: of one tile; splits: whether a picture may be several."""

    def __init__(self, vision: Vision) -> None:
        if vision.connector not in CONNECTORS:
            raise UnsupportedError(
                f"the connector {vision.connector} is not trained on pictures; {', '.join(CONNECTORS)} is"
            )
        from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

        _, connector = parts_of(vision)
        facts: Any = vision.pictures
        given = connector.pictures_to_hf(facts, vision.sizes, vision.joint)
        names = ("do_image_splitting", "max_image_size", "size")
        resample = {"lanczos": 1, "bilinear": 2, "bicubic": 3}[facts.filter]
        self.processor = Idefics3ImageProcessorPil(
            **{name: given[name] for name in names}, resample=resample, do_rescale=False, do_normalize=False
        )
        self.splits = bool(given["do_image_splitting"])
        self.tokens = (vision.sizes.side // vision.joint.merge) ** 2
        self.mean, self.std = (torch.tensor(three).view(1, 3, 1, 1) for three in (facts.mean, facts.std))
        self._kept: dict[Picture, tuple[Tensor, int, int]] = {}
        self._bytes = 0

    def tiles(self, picture: Picture) -> tuple[Tensor, int, int]:
        """Levels, uint8 [tiles, 3, edge, edge], and in how many rows and columns they were cut: 0 for a picture
        that is one tile. Raises DataError for a damaged one."""
        if picture in self._kept:
            return self._kept[picture]
        made = self.processor(picture.pixels(), return_row_col_info=True, return_tensors="pt")
        levels = made["pixel_values"][0].to(torch.uint8)
        found = levels, int(made["rows"][0][0]), int(made["cols"][0][0])
        self._bytes += levels.numel()
        if self._bytes <= KEPT:
            self._kept[picture] = found
        return found

    def pixels(self, pictures: Sequence[Picture]) -> Tensor:
        """Of all their tiles, one after the other, float32 [tiles, 3, edge, edge]."""
        levels = torch.cat([self.tiles(picture)[0] for picture in pictures])
        return (levels.float() / 255 - self.mean) / self.std


class Eyes(nn.Module):
    """Tower and connector. Raises UnsupportedError for a connector that has no module here."""

    def __init__(self, vision: Vision) -> None:
        from transformers.models.idefics3.configuration_idefics3 import Idefics3Config
        from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector, Idefics3VisionTransformer

        super().__init__()
        self.sight, self.vision = Sight(vision), vision
        tower, connector = parts_of(vision)
        text = {"model_type": "llama", "hidden_size": vision.joint.dim}
        config = Idefics3Config(
            vision_config=tower.to_hf(vision.sizes),
            text_config=text,
            **connector.to_hf(vision.sizes, vision.joint),
        )
        config.vision_config._attn_implementation = "sdpa"
        self.vision_model = Idefics3VisionTransformer(config.vision_config)
        self.connector = Idefics3Connector(config)
        self.load_state_dict(weights(vision), strict=True)
        self.requires_grad_(False)

    def forward(self, pictures: Sequence[Picture]) -> Tensor:
        """The rows of all their tokens, float32 [tokens, width], in the order in which a prompt has them. A
        tile fills its square, so that its patches' positions are the table's, in order."""
        inner = self.vision_model.embeddings
        weight = inner.patch_embedding.weight
        patches = inner.patch_embedding(self.sight.pixels(pictures).to(weight)).flatten(2).transpose(1, 2)
        states = patches + inner.position_embedding.weight
        states = self.vision_model.encoder(inputs_embeds=states, attention_mask=None).last_hidden_state
        rows: Tensor = self.connector(self.vision_model.post_layernorm(states)).flatten(0, 1)
        return rows

    def trained(self) -> Vision:
        """The vision half with the weights that it has now."""
        held = self.state_dict()
        tensors = {
            name.role: from_folder(name, held[name.hf.removeprefix("model.")].cpu().numpy())
            for name in tensors_of(self.vision)
        }
        return replace(self.vision, tensors=tensors)


def weights(vision: Vision, prefix: str = "") -> dict[str, Tensor]:
    """As the module has them, float32."""
    return {
        prefix + name.hf.removeprefix("model."): torch.from_numpy(to_folder(name, vision.tensors[name.role]))
        for name in tensors_of(vision)
    }


class Places:
    """Writes a prompt's image tokens: as many as each picture has, and what stands around them, as Idefics3's
    processor does."""

    def __init__(self, spec: Spec) -> None:
        assert spec.vision
        self.vision, self.sight = spec.vision, Sight(spec.vision)
        self.image = spec.vision.tokens["image"]
        self.texts = _texts(spec.vision, spec.tokenizer)

    def written(self, prompt: str, pictures: Sequence[Picture]) -> str | None:
        """The prompt with each placeholder's tokens; None where it has not one for each picture."""
        before, *after = prompt.split(self.texts["image"])
        if len(after) != len(pictures):
            return None
        return before + "".join(
            self._tokens(picture) + part for picture, part in zip(pictures, after, strict=True)
        )

    def _tokens(self, picture: Picture) -> str:
        around, tokens = self.texts["around"], self.texts["image"] * self.sight.tokens
        whole = around + self.texts["whole"] + tokens + around
        if not self.sight.splits:
            return whole
        _, rows, columns = self.sight.tiles(picture)
        if not rows:
            return whole
        cut = (
            "".join(f"{around}<row_{r + 1}_col_{c + 1}>{tokens}" for c in range(columns)) + "\n"
            for r in range(rows)
        )
        return "".join(cut) + "\n" + whole


def _texts(vision: Vision, tokenizer: Tokenizer) -> dict[str, str]:
    """What stands in a prompt for each of the connector's words; nothing where the vocabulary lacks it."""
    known = {word: tokenizer.tokens[token] for word, token in vision.tokens.items()}
    return {word: known.get(word, "") for word in ("image", "around", "whole")}
