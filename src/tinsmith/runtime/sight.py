"""What a model with eyes makes of pictures: the rows that stand in a prompt for them, and the text around."""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.errors import FormatError, InputError, RuntimeFault
from tinsmith.runtime.images import Image
from tinsmith.runtime.vision import Vision
from tinsmith.system import reading
from tinsmith.vision import pixels
from tinsmith.vision.facts import from_facts
from tinsmith.vision.parts import connectors

MOST_BYTES = 1 << 29  # that a picture may take once it is read
_URL = "data:"
FindControl = Callable[[str], str | None]


@dataclass(frozen=True)
class Picture:
    """rgb: uint8, height rows of width pixels."""

    width: int
    height: int
    rgb: bytes


def picture_of(part: Mapping[str, Any], where: str, most: int = MOST_BYTES) -> Picture:
    """Of a message's part: its "path", "bytes" (a PNG's or JPEG's), "pixels" (a buffer of uint8 [height, width,
    3], such as a NumPy array, or a Picture), or "image_url" with a data: URL. most: bytes that reading it may
    take, and its file have. Raises InputError for another, FormatError for one that can't be read."""
    given = [key for key in ("path", "bytes", "pixels", "image_url") if part.get(key) is not None]
    if len(given) != 1:
        raise InputError(
            f"{where}: an image has one of path, bytes, pixels and image_url; it has {given or 'none'}"
        )
    kind, value = given[0], part[given[0]]
    if kind == "pixels":
        return _of_pixels(value, where)
    if kind == "path":
        if not isinstance(value, str | os.PathLike):
            raise InputError(f"{where}: path of an image is {type(value).__name__}; give the path of a file")
        where = f"{where}: {value!s}"
        value = reading.read_bytes(Path(value), most=most)
    elif kind == "image_url":
        value = _of_url(value, where)
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InputError(f"{where}: bytes of an image are {type(value).__name__}; give a PNG's or JPEG's bytes")
    try:
        return Picture(*_core.picture_read(value, most))
    except RuntimeFault as fault:
        raise FormatError(f"{where}: {fault}") from None


def _of_pixels(value: Any, where: str) -> Picture:
    if isinstance(value, Picture):
        return value
    try:
        view = memoryview(value)
    except TypeError:
        raise InputError(
            f"{where}: pixels are {type(value).__name__}; give a buffer of uint8 of shape (height, width, 3), "
            "as numpy.asarray(image) of an RGB image is"
        ) from None
    if view.format != "B" or view.ndim != 3 or view.shape is None or view.shape[2] != 3 or not view.nbytes:
        raise InputError(
            f"{where}: pixels of shape {view.shape} and type {view.format}; give uint8 of shape "
            "(height, width, 3)"
        )
    return Picture(view.shape[1], view.shape[0], view.tobytes())


def _of_url(value: Any, where: str) -> bytes:
    import base64
    import binascii

    url = value.get("url") if isinstance(value, Mapping) else value
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not comma or not head.startswith(_URL) or not head.endswith(";base64"):
        raise InputError(
            f"{where}: image_url is no data: URL in base64; nothing is fetched, so give the bytes so"
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{where}: image_url: {error}") from None


def control_of(texts: Iterable[str]) -> FindControl:
    """What finds the first of some control tokens' texts in another text."""
    longest = sorted(filter(None, texts), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest)) or r"(?!)")

    def find(text: str) -> str | None:
        found = pattern.search(text)
        return found[0] if found else None

    return find


class Sight:
    """A model's tower, and how its prompts have images."""

    def __init__(self, core: _core.Model, facts: Mapping[str, Any], threads: int, pace: int) -> None:
        """facts: the manifest's of its vision. Raises FormatError where they are damaged."""
        self._core, self._threads, self._pace = core, threads, pace
        self.vision = from_facts(facts, "manifest.json: vision")
        self.connector = connectors()[self.vision.connector]
        self.word = {
            name: core.token(token)[0].decode("utf-8", "replace") for name, token in self.vision.tokens.items()
        }

    @cached_property
    def _tower(self) -> Vision:
        return Vision(self._core, threads=self._threads, pace=self._pace)

    @property
    def memory(self) -> int:
        """Bytes that seeing takes, which are planned now at the latest."""
        return self._tower.memory

    @cached_property
    def _rule(self) -> bytes:
        return pixels.rules(self.vision, self._tower.patches)

    def tokenize(self, text: str) -> list[int]:
        """Control tokens written in it are taken as such."""
        return self._core.tokenize(text.encode("utf-8", "surrogatepass"), _core.TEXT_SPECIAL)

    @cached_property
    def control(self) -> FindControl:
        tokens = map(self._core.token, range(self._core.info()["vocab"]))
        return control_of(data.decode("utf-8", "replace") for data, control, _ in tokens if control)

    def look(self, picture: Picture) -> tuple[str, list[Image]]:
        """The text that stands for it, the image token for each row; and its tiles, one after the other."""
        cut = pixels.cut(self.vision, self._rule, picture.width, picture.height)
        size = struct.pack("<2I", picture.width, picture.height)
        key = hashlib.sha256(self._rule + size + picture.rgb).digest()
        tiles, merge = _Tiles(self, picture), self.vision.joint.merge
        images = [
            Image(
                tile.height * tile.width // merge**2,
                tile.width // merge,
                hashlib.sha256(key + struct.pack("<I", number)).digest(),
                lambda tile=tile: tiles.states(tile),  # type: ignore[misc]
            )
            for number, tile in enumerate(cut.tiles)
        ]
        try:
            return self.connector.written(self.word, cut.views), images
        except KeyError as missing:
            raise FormatError(
                f"manifest.json: vision: tokens have no {missing}, which an image begins with"
            ) from None

    def patches(self, picture: Picture) -> list[memoryview]:
        sizes = picture.width, picture.height
        return list(pixels.patches(self._rule, picture.rgb, *sizes, self._tower.patch))

    def states(self, patches: Sequence[memoryview], height: int, width: int) -> bytes:
        """What the tower and the connector make of an image's patches."""
        return self._tower.see(b"".join(patches), height, width)

    def placed(self, ids: Sequence[int], images: Sequence[Image]) -> list[int | Image]:
        """A prompt's tokens with images in the places of their tokens."""
        token, parts, rest = self.vision.tokens["image"], list[int | Image](), list(images)
        tokens = iter(ids)
        for one in tokens:
            if one != token or not rest:
                parts.append(one)
                continue
            image = rest.pop(0)
            taken = [one, *islice(tokens, image.count - 1)]
            if taken != [token] * image.count:
                raise FormatError(f"the tokenizer has no room for an image's {image.count} tokens in a row")
            parts.append(image)
        if rest:
            raise FormatError(f"{self.word['image']!r} is no token of this tokenizer's")
        return parts


class _Tiles:
    """A picture's patches, made once for all of its tiles."""

    def __init__(self, sight: Sight, picture: Picture) -> None:
        self._sight, self._picture = sight, picture

    @cached_property
    def _patches(self) -> list[memoryview]:
        return self._sight.patches(self._picture)

    def states(self, tile: pixels.Tile) -> bytes:
        end = tile.first + tile.height * tile.width
        return self._sight.states(self._patches[tile.first : end], tile.height, tile.width)
