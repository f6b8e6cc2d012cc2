"""Images of a request: their limits and how they are read. The sender may be a stranger: a file of a few bytes
may claim to hold gigabytes of pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tinsmith.checks import UINT64, whole
from tinsmith.errors import FormatError, InputError, RuntimeFault
from tinsmith.system import reading

if TYPE_CHECKING:
    from tinsmith.runtime.messages import Message

MOST_BYTES = 1 << 29  # of an image once it is read
_URL = "data:"


@dataclass(frozen=True)
class ImageLimits:
    """images: of a question; image: bytes that reading one may take; pixels: of all of them."""

    images: int = 16
    image: int = 64 << 20
    pixels: int = 80_000_000

    def __post_init__(self) -> None:
        whole("images", self.images)
        whole("image", self.image, 0, UINT64)
        whole("pixels", self.pixels, 0, UINT64)

    def too_many(self, count: int, where: str) -> str:
        return f"{where}: {count} images; give {self.images} at most"

    def too_large(self, pixels: int, where: str) -> str:
        return f"{where}: {pixels:,} pixels in all with this image; give {self.pixels:,} at most"


@dataclass(frozen=True)
class Image:
    """rgb: uint8, height rows of width pixels."""

    width: int
    height: int
    rgb: bytes


def image_of(part: Mapping[str, Any], where: str, most: int = MOST_BYTES) -> Image:
    """Of a message's part: its "path", "bytes" (a PNG's or JPEG's), "pixels" (a buffer of uint8 [height, width,
    3], such as a NumPy array, or a Image), or "image_url" with a data: URL. most: bytes that reading it may
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
    from tinsmith import _core  # not for the limits, which the command line's completion reads

    try:
        return Image(*_core.image_read(value, most))
    except RuntimeFault as fault:
        raise FormatError(f"{where}: {fault}") from None


def _of_pixels(value: Any, where: str) -> Image:
    if isinstance(value, Image):
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
    return Image(view.shape[1], view.shape[0], view.tobytes())


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


class HasVision(Protocol):
    """A model whose `vision` raises InputError where it takes no images."""

    @property
    def vision(self) -> object: ...


def within(model: HasVision, messages: Sequence[Message], limits: ImageLimits) -> list[Message]:
    """The messages with their images read. Raises InputError where the model sees none, for an image that
    can't be read, and for more than the limits say."""
    shown = [
        number
        for number, message in enumerate(messages, 1)
        if isinstance(content := message.get("content"), list | tuple)
        for part in content
        if _is_image(part)
    ]
    if not shown:
        return list(messages)
    _ = model.vision  # before anything is read
    if len(shown) > limits.images:
        raise InputError(limits.too_many(len(shown), f"message {shown[limits.images]}"))

    def read(part: Message, number: int) -> tuple[Image, str]:
        return image_of(part, f"message {number}", limits.image), f"message {number}"

    return read_all(messages, limits, read)


def read_all(
    messages: Sequence[Message], limits: ImageLimits, read: Callable[[Message, int], tuple[Image, str]]
) -> list[Message]:
    """read: of a part and its message's number the image, and what errors call it. Raises InputError for more
    pixels than the limits say."""
    known: list[Message] = []
    pixels = 0
    for number, message in enumerate(messages, 1):
        content = message.get("content")
        if isinstance(content, list | tuple):
            parts = list(content)
            for at, part in enumerate(parts):
                if _is_image(part):
                    image, where = read(part, number)
                    pixels += image.width * image.height
                    if pixels > limits.pixels:
                        raise InputError(limits.too_large(pixels, where))
                    parts[at] = {"type": "image", "pixels": image}
            message = {**message, "content": parts}
        known.append(message)
    return known


def _is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("image", "image_url")
