"""A vision model in torch: images to pixels, and pixels to rows in place of a prompt's image tokens.

Encoder and projector are their own graph (graph.py). The core and the projector decide how an image is cut and
which tokens it gets, as at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain

import torch
from torch import Tensor

from tinsmith import _core
from tinsmith.chat.turns import TurnTable
from tinsmith.compiler.build import turns_of
from tinsmith.compiler.vision import graph_of, most_patches, own_tensors
from tinsmith.data.images import ImageSource
from tinsmith.errors import DataError, FormatError, RuntimeFault
from tinsmith.graph import GraphBuilder
from tinsmith.models import family
from tinsmith.runtime.vision import FindControl, filled, marked
from tinsmith.spec import Spec, Vision
from tinsmith.tasks import Message
from tinsmith.train.vision import ImageAttention, PromptTile
from tinsmith.train.vision.graph import GraphModule
from tinsmith.vision import pixels
from tinsmith.vision.parts import parts_of
from tinsmith.vision.pixels import Cut, Tile

KEPT = 1 << 30  # bytes of pixels that are cached for an image's next use


class Preprocessor:
    """A vision model's image input, by the core's own functions, as at run time."""

    def __init__(self, vision: Vision) -> None:
        self.vision = vision
        self.rule = pixels.rules(vision, most_patches(vision))
        self._kept: dict[ImageSource, Tensor] = {}
        self._bytes = 0

    def cut(self, image: ImageSource) -> Cut:
        """Raises DataError for an image that is too long and narrow."""
        width, height = image.upright_size()
        try:
            return pixels.cut(self.vision, self.rule, width, height)
        except RuntimeFault as fault:
            raise DataError(f"{image.name}: {fault}") from None

    def patches(self, image: ImageSource) -> Tensor:
        """Of all its tiles in sequence, float32 [patches, floats of a patch], pixel by pixel. Raises DataError
        for a damaged image."""
        if image in self._kept:
            return self._kept[image]
        shown = image.pixels()
        made = _core.pixels(self.rule, shown.tobytes(), 3 * shown.width, *shown.size)
        found = torch.frombuffer(bytearray(made), dtype=torch.float32).view(-1, 3 * self.vision.sizes.patch**2)
        self._bytes += found.nbytes
        if self._bytes <= KEPT:
            self._kept[image] = found
        return found


class VisionModel(GraphModule):
    """Encoder and projector, frozen. image_attention: the language model's, for their rows."""

    def __init__(self, spec: Spec) -> None:
        assert spec.vision
        super().__init__(graph_of(spec.vision)[0])
        self.preprocessor, self.vision = Preprocessor(spec.vision), spec.vision
        self.image_attention = _image_attention(spec)
        self.requires_grad_(False)

    def rows(self, images: Sequence[ImageSource]) -> Tensor:
        """The rows of all their tokens, float32 [tokens, width of all parts], in prompt order. Tiles of one
        shape are computed together."""
        tiles: list[tuple[Tile, Tensor]] = []
        for image in images:
            patches = self.preprocessor.patches(image)
            for tile in self.preprocessor.cut(image).tiles:
                tiles.append((tile, patches[tile.first : tile.first + tile.height * tile.width]))
        device = next(self.parameters()).device
        made: dict[int, Tensor] = {}
        for shape in dict.fromkeys((tile.height, tile.width) for tile, _ in tiles):
            own = [number for number, (tile, _) in enumerate(tiles) if (tile.height, tile.width) == shape]
            together = torch.stack([tiles[number][1] for number in own]).to(device)
            made |= zip(own, self(together, *shape), strict=True)
        return torch.cat([made[number] for number in range(len(tiles))])

    def trained(self) -> Vision:
        """The vision model with the current weights."""
        return replace(self.vision, tensors=own_tensors(self.vision, self.weights()))


def _image_attention(spec: Spec) -> ImageAttention:
    """As the language model's graph says it."""
    builder = GraphBuilder(spec.tensors, images=True)
    family.by_name(spec.family).graph(spec.hyper, builder)
    ops = builder.graph.ops
    return ImageAttention(
        graded=any(op.kind == "ROPE_TABLE" and len(op.tensors) > 1 for op in ops),
        together=any(op.kind == "ATTENTION" and op.u[1:] == (1,) for op in ops),
    )


def weights(vision: Vision, prefix: str = "") -> dict[str, Tensor]:
    """By the names of VisionModel's parameters, float32."""
    return {prefix + name: value for name, value in GraphModule(graph_of(vision)[0]).state_dict().items()}


class ImagePrompts:
    """Renders prompts with images, as at run time: each image's number of tokens, and the text around them.
    control: finds a control token in a text."""

    def __init__(self, spec: Spec, control: FindControl) -> None:
        assert spec.vision
        self.preprocessor = Preprocessor(spec.vision)
        self.projector = parts_of(spec.vision)[1]
        self.image = spec.vision.tokens["image"]
        self.texts = {word: spec.tokenizer.tokens[token] for word, token in spec.vision.tokens.items()}
        self._tokenizer, self._template, self._control = spec.tokenizer, spec.chat_template, control

    @cached_property
    def _table(self) -> TurnTable:
        return turns_of(self._tokenizer, self._template).default

    def written(
        self, messages: Sequence[Message], images: Sequence[ImageSource], answer: str
    ) -> tuple[str, str]:
        """The prompt, and the prompt with its answer. Raises InputError for messages that the template does not
        accept, or with a control token's text."""
        contents, _ = marked(messages, self._table, self._control)
        shown = [self._shown(image) for image in images]
        answered = [*contents, {"role": "assistant", "content": answer}]
        prompt, whole = (
            filled(self._table.pieces(said, generate), shown, self.projector.dropped)
            for said, generate in ((contents, True), (answered, False))
        )
        return prompt, whole

    def _shown(self, image: ImageSource) -> str:
        try:
            return self.projector.written(self.texts, self.preprocessor.cut(image).views)
        except KeyError as missing:
            raise FormatError(f"the base's vision model has no {missing}, which an image begins with") from None

    def tiles(self, tokens: Sequence[int], images: Sequence[ImageSource]) -> tuple[PromptTile, ...]:
        """The images' tiles in a prompt."""
        merge = self.preprocessor.vision.joint.merge
        places = iter([place for place, token in enumerate(tokens) if token == self.image])
        found = []
        for tile in chain.from_iterable(self.preprocessor.cut(image).tiles for image in images):
            down, across = tile.height // merge, tile.width // merge
            own = [next(places) for _ in range(down * across)]
            assert own == list(range(own[0], own[0] + len(own)))
            found.append(PromptTile(own[0], down, across))
        return tuple(found)
