"""A vision model at run time: encodes images to rows of a prompt, and writes the text around them."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property, partial
from itertools import islice
from typing import Any

from tinsmith import _core
from tinsmith.chat.turns import IMAGE, TurnTable, stripped
from tinsmith.errors import FormatError, InputError
from tinsmith.runtime.image_prompt import ImagePrompt, Tile
from tinsmith.runtime.images import Image, image_of
from tinsmith.runtime.messages import Message, parts_of
from tinsmith.spec import Buffer
from tinsmith.vision import pixels
from tinsmith.vision.facts import from_facts
from tinsmith.vision.parts import projectors

FindControl = Callable[[str], str | None]


def control_of(texts: Iterable[str]) -> FindControl:
    """Finds the first of these control tokens' texts in a text."""
    longest = sorted(filter(None, texts), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest)) or r"(?!)")

    def find(text: str) -> str | None:
        found = pattern.search(text)
        return found[0] if found else None

    return find


class VisionEncoder:
    """core: a model with vision; else raises RuntimeFault (TIN_ERR_UNSUPPORTED). patches: most of an image, for
    which it plans memory; 0: the model's maximum. Not thread-safe.

    patch: floats of a patch, [row][column][red, green, blue]; side: of the square of patches per state; width:
    floats of a state; memory: planned bytes, all that it takes."""

    def __init__(self, core: _core.Model, *, patches: int = 0, threads: int = 1, duty_cycle: int = 100) -> None:
        self._core = _core.Encoder(core, patches, threads, duty_cycle)
        info = self._core.info()
        self.patch, self.side, self.width = info["patch"], info["side"], info["width"]
        self.patches = patches or info["patches"]
        self.memory = info["memory_bytes"]

    def begin(self, patches: Buffer, height: int, width: int) -> None:
        """patches: float32 [height * width][patch], in rows from the top left; drops the previous image."""
        self._core.begin(patches, height, width)

    def step(self, budget_ns: int = 0) -> bool:
        """Computes for this long (0: to the end); returns whether the states are complete."""
        return self._core.step(budget_ns) == _core.STEP_DONE

    @property
    def states(self) -> bytes:
        """float32 [height * width / side^2][width] of the image; b"" before they are complete."""
        return self._core.states() or b""

    def encode(self, patches: Buffer, height: int, width: int) -> bytes:
        """The states of an image."""
        self.begin(patches, height, width)
        self.step()
        return self.states


class VisionModel:
    """Turns images into the rows of a prompt, and writes the text around them."""

    def __init__(self, core: _core.Model, facts: Mapping[str, Any], threads: int, duty_cycle: int) -> None:
        """facts: the manifest's `vision`. Raises FormatError for damaged ones."""
        self._core, self._threads, self._duty_cycle = core, threads, duty_cycle
        self.vision = from_facts(facts, "manifest.json: vision")
        self.projector = projectors()[self.vision.projector]
        self.word = {
            name: core.token(token)[0].decode("utf-8", "replace") for name, token in self.vision.tokens.items()
        }

    @cached_property
    def _encoder(self) -> VisionEncoder:
        return VisionEncoder(self._core, threads=self._threads, duty_cycle=self._duty_cycle)

    @property
    def memory(self) -> int:
        """Bytes that the encoder takes; the first access plans them."""
        return self._encoder.memory

    @cached_property
    def _rule(self) -> bytes:
        return pixels.rules(self.vision, self._encoder.patches)

    @cached_property
    def control(self) -> FindControl:
        tokens = map(self._core.token, range(self._core.info()["vocab"]))
        return control_of(data.decode("utf-8", "replace") for data, control, _ in tokens if control)

    def tiles(self, image: Image) -> tuple[str, list[Tile]]:
        """The text for an image, with the image token for each row; and its tiles in order."""
        cut = pixels.cut(self.vision, self._rule, image.width, image.height)
        size = struct.pack("<2I", image.width, image.height)
        key = hashlib.sha256(self._rule + size + image.rgb).digest()
        merge = self.vision.joint.merge

        @cache
        def patches() -> list[memoryview]:
            return self.patches(image)

        def rows(tile: pixels.Tile) -> bytes:
            end = tile.first + tile.height * tile.width
            return self._encoder.encode(b"".join(patches()[tile.first : end]), tile.height, tile.width)

        tiles = [
            Tile(
                tile.height * tile.width // merge**2,
                tile.width // merge,
                hashlib.sha256(key + struct.pack("<I", number)).digest(),
                partial(rows, tile),
            )
            for number, tile in enumerate(cut.tiles)
        ]
        try:
            return self.projector.written(self.word, cut.views), tiles
        except KeyError as missing:
            raise FormatError(
                f"manifest.json: vision: tokens have no {missing}, which an image begins with"
            ) from None

    def patches(self, image: Image) -> list[memoryview]:
        sizes = image.width, image.height
        return list(pixels.patches(self._rule, image.rgb, *sizes, self._encoder.patch))

    def placed(self, ids: Sequence[int], tiles: Sequence[Tile]) -> list[int | Tile]:
        """A prompt's tokens with tiles in place of their image tokens."""
        token, parts, rest = self.vision.tokens["image"], list[int | Tile](), list(tiles)
        tokens = iter(ids)
        for one in tokens:
            if one != token or not rest:
                parts.append(one)
                continue
            tile = rest.pop(0)
            taken = [one, *islice(tokens, tile.count - 1)]
            if taken != [token] * tile.count:
                raise FormatError(f"the tokenizer has no room for an image's {tile.count} tokens in a row")
            parts.append(tile)
        if rest:
            raise FormatError(f"{self.word['image']!r} is no token of this tokenizer's")
        return parts

    def rendered(self, messages: Sequence[Message], table: TurnTable, generate: bool) -> list[int]:
        """Renders the conversation to tokens. Raises InputError as `marked`."""
        contents, parts = marked(messages, table, self.control)
        images = [self.tiles(image_of(part, where)) for where, part in parts]
        text = filled(table.pieces(contents, generate), [text for text, _ in images], self.projector.dropped)
        ids = self._core.tokenize(text.encode("utf-8", "surrogatepass"), _core.TEXT_SPECIAL)
        return ImagePrompt(self.placed(ids, [tile for _, tiles in images for tile in tiles]))


def marked(
    messages: Sequence[Message], table: TurnTable, control: FindControl
) -> tuple[list[Message], list[tuple[str, Message]]]:
    """The messages with IMAGE in place of each image, and the images' parts, each with its message's name.
    Raises InputError for the text of a control token, which the tokenizer would read as one."""
    contents, images = list[Message](), list[tuple[str, Message]]()
    for number, message in enumerate(messages, 1):
        where = f"message {number}"
        parts = parts_of(message.get("content"), where)
        first = number > 1 and messages[number - 2].get("role") == "system"
        strip = table.strip["first" if first else "user"] if message.get("role") == "user" else ""
        content = ""
        for part in parts:
            if part["type"] == "text":
                _refuse(IMAGE if IMAGE in part["text"] else None, where)
                content += stripped(part["text"], strip) if len(parts) > 1 else part["text"]
                continue
            if message.get("role") != "user":
                raise InputError(f"{where}: only a user's message has images")
            images.append((where, part))
            content += IMAGE
        _refuse(control(content), where)
        contents.append({**message, "content": content})
    return contents, images


def _refuse(found: str | None, where: str) -> None:
    if found:
        raise InputError(
            f"{where}: its content holds {found!r}, which means something to the model beside images; "
            "leave it out"
        )


def filled(pieces: Iterable[tuple[str, bool]], images: Sequence[str], dropped: str) -> str:
    """A conversation's text with the images' texts in place of their marks. pieces: of a turn table. dropped:
    of a projector."""
    text, rest = "", iter(images)
    for piece, own in pieces:
        if own:
            text += piece
            continue
        before, *behind = piece.split(IMAGE)
        if behind and not before:
            text = text.removesuffix(dropped)
        text += before + "".join(next(rest) + more for more in behind)
    return text
