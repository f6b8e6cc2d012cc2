"""Decodes a request's images within limits: a hostile file of a few bytes may claim gigabytes of pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.checks import UINT64, whole
from tinsmith.errors import FormatError, InputError, RuntimeFault
from tinsmith.system import reading

if TYPE_CHECKING:
    from tinsmith.runtime.messages import Message

MOST_BYTES = 1 << 29  # of a decoded image


@dataclass(frozen=True)
class ImageLimits:
    """images: of a request; image: bytes that decoding one may take; pixels: of all of them."""

    images: int = 16
    image: int = 64 << 20
    pixels: int = 80_000_000

    def __post_init__(self) -> None:
        whole("images", self.images)
        whole("image", self.image, 0, UINT64)
        whole("pixels", self.pixels, 0, UINT64)


@dataclass(frozen=True)
class Image:
    """rgb: uint8, height rows of width pixels."""

    width: int
    height: int
    rgb: bytes


def image_of(part: Mapping[str, Any], where: str, most: int = MOST_BYTES) -> Image:
    """Decodes a message's part, which has one of "path", "bytes" (of a PNG or JPEG), "pixels" (a buffer of
    uint8 [height, width, 3], such as a NumPy array, or an Image) and "image_url" (a data: URL). most: bytes
    that the file may have and decoding may take. Raises InputError for an invalid part, FormatError for a
    damaged file."""
    given = [key for key in ("path", "bytes", "pixels", "image_url") if part.get(key) is not None]
    if len(given) != 1:
        has = " and ".join(given) or "none"
        raise InputError(f"{where}: an image has one of path, bytes, pixels and image_url; it has {has}")
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
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise InputError(
            f"{where}: {url!r:.40} is not a data: URL in base64, and nothing is fetched; send the image as "
            "data:image/png;base64,…"
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{where}: invalid base64: {error}") from None


def images_in(messages: Sequence[Message]) -> list[str]:
    """The name in errors of each image: its part's "where", or else its message."""
    return [
        part.get("where", f"message {number}")
        for number, message in enumerate(messages, 1)
        for part in _parts(message)
        if _is_image(part)
    ]


def decode_images(messages: Sequence[Message], limits: ImageLimits) -> list[Message]:
    """The messages with their images decoded. Raises InputError for an invalid image and for images over the
    limits; its message begins with the image's name."""
    names = images_in(messages)
    if not names:
        return list(messages)
    if len(names) > limits.images:
        raise InputError(f"{names[limits.images]}: {len(names)} images; give {limits.images} at most")
    remaining, pixels = iter(names), 0
    decoded: list[Message] = []
    for message in messages:
        parts = list(_parts(message))
        for at, part in enumerate(parts):
            if _is_image(part):
                where = next(remaining)
                image = image_of(part, where, limits.image)
                pixels += image.width * image.height
                if pixels > limits.pixels:
                    raise InputError(
                        f"{where}: {pixels:,} pixels in all with this image; give {limits.pixels:,} at most"
                    )
                parts[at] = {"type": "image", "pixels": image}
        decoded.append({**message, "content": parts} if parts else message)
    return decoded


def _parts(message: Message) -> Sequence[Any]:
    content = message.get("content")
    return content if isinstance(content, list | tuple) else ()


def _is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("image", "image_url")
