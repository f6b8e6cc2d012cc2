"""A vision half in torch: pictures to pixels, and pixels to rows that stand where a prompt has image tokens.

Tower and connector are transformers' own modules; how a picture is cut, and what stands for it in a prompt, is
asked of the core and of the connector, as every runtime does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tinsmith import _core
from tinsmith.errors import DataError, RuntimeFault, UnsupportedError
from tinsmith.spec import Spec, Vision
from tinsmith.train.tensors import from_folder, to_folder
from tinsmith.vision import pixels
from tinsmith.vision.parts import parts_of, tensors_of
from tinsmith.vision.pixels import Cut

if TYPE_CHECKING:
    from tinsmith.data.pictures import Picture

KEPT = 1 << 30  # bytes of pixels that are kept for the next time that a picture is seen
CONNECTORS = ("idefics3",)  # whose torch modules are known here


class Sight:
    """How a vision half sees pictures: by the core's own functions, as it will when it has been trained. Raises
    UnsupportedError for a connector that has no module here."""

    def __init__(self, vision: Vision) -> None:
        if vision.connector not in CONNECTORS:
            raise UnsupportedError(
                f"the connector {vision.connector} is not trained on pictures; {', '.join(CONNECTORS)} is"
            )
        self.vision = vision
        self.rule = pixels.rules(vision, vision.sizes.side**2)
        self._kept: dict[Picture, Tensor] = {}
        self._bytes = 0

    def cut(self, picture: Picture) -> Cut:
        """Raises DataError for a picture that is too long and narrow."""
        width, height = picture.upright_size()
        try:
            return pixels.cut(self.vision, self.rule, width, height)
        except RuntimeFault as fault:
            raise DataError(f"{picture.name}: {fault}") from None

    def patches(self, pictures: Sequence[Picture]) -> Tensor:
        """Of all their tiles, one after the other, float32 [tiles, patches, 3 * patch * patch], the channels of
        a patch one after the other. Raises DataError for a damaged picture."""
        found = torch.cat([self._patches(picture) for picture in pictures])
        return found.view(-1, self.vision.sizes.side**2, found.shape[-1])

    def _patches(self, picture: Picture) -> Tensor:
        if picture in self._kept:
            return self._kept[picture]
        image = picture.pixels()
        made = _core.pixels(self.rule, image.tobytes(), 3 * image.width, *image.size)
        inner = torch.frombuffer(bytearray(made), dtype=torch.float32).view(-1, self.vision.sizes.patch**2, 3)
        found = inner.transpose(1, 2).flatten(1)  # the core has the three of a pixel side by side
        self._bytes += found.nbytes
        if self._bytes <= KEPT:
            self._kept[picture] = found
        return found


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
        patches = self.sight.patches(pictures).to(inner.patch_embedding.weight)
        states = nn.functional.linear(
            patches, inner.patch_embedding.weight.flatten(1), inner.patch_embedding.bias
        )
        states = states + inner.position_embedding.weight
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
    """Writes a prompt's image tokens: as many as each picture has, and what stands around them."""

    def __init__(self, spec: Spec) -> None:
        assert spec.vision
        self.sight = Sight(spec.vision)
        self.connector = parts_of(spec.vision)[1]
        self.image = spec.vision.tokens["image"]
        self.texts = {word: spec.tokenizer.tokens[token] for word, token in spec.vision.tokens.items()}

    def written(self, prompt: str, pictures: Sequence[Picture]) -> str | None:
        """The prompt with each placeholder's tokens; None where it has not one for each picture."""
        before, *after = prompt.split(self.texts["image"])
        if len(after) != len(pictures):
            return None
        shown = (self.connector.written(self.texts, self.sight.cut(picture).views) for picture in pictures)
        return before + "".join(one + part for one, part in zip(shown, after, strict=True))
