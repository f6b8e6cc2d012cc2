"""Images of examples: their files, identity and pixels.

    (image,) = of_value("pages/3.png", folder, "train.jsonl:3", "image")
    image.size()    # (width, height), from its header alone
    image.pixels()  # an upright RGB image of Pillow's

A row names an image by its path from the row's folder, or holds its bytes, as Parquet and data URIs do. An
image may carry a change (tinsmith.data.image_changes), applied when its pixels are read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.data import image_changes
from tinsmith.data.image_changes import Change
from tinsmith.errors import DataError, MissingExtraError
from tinsmith.system import files, reading

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = ("image", "images", "picture", "pictures")  # of rows, in any shape
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
MOST_BYTES = 1 << 28  # of a file
MOST_PIXELS = 1 << 26
_FORM = 'a path, {"path": "…"}, {"bytes": …}, or a list of these'
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and its values for images on their side
_BACKGROUND = (255, 255, 255)  # of transparent images, as in Idefics3's processor


@dataclass(frozen=True)
class ImageSource:
    """path: of its file. data: its bytes, without a file. change: applied to its pixels."""

    path: str | None = None
    data: bytes | None = field(default=None, repr=False)
    change: Change = ()

    @property
    def name(self) -> str:
        return self.path or "the image's bytes"

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, before any change. Raises DataError for a file that can't be read."""
        try:
            stat = Path(self.path).stat() if self.path is not None else None
        except OSError:
            stat = None  # bytes() raises the DataError
        if self.path is None or stat is None:
            return hashlib.sha256(self.bytes()).hexdigest()
        return _digest(self.path, stat.st_mtime_ns, stat.st_size)

    @property
    def identity(self) -> str:
        """Equal for images that show the same."""
        return self.digest + (f" {dict(self.change)}" if self.change else "")

    def bytes(self) -> bytes:
        if self.path is None:
            assert self.data is not None
            return self.data
        return reading.read_bytes(self.path, DataError, most=MOST_BYTES)

    def size(self) -> tuple[int, int]:
        """Width and height in pixels, by the header. Raises DataError for no image, or a too large one."""
        with self._opened() as image:
            width, height = image.size
            return width, height

    def upright_size(self) -> tuple[int, int]:
        """The size of `pixels`, after EXIF's rotation, from the header alone."""
        with self._opened() as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in _TURNED
        return (height, width) if turned else (width, height)

    def suffix(self) -> str:
        """Of a file with these bytes, by their header."""
        with self._opened() as image:
            return {"JPEG": ".jpg", "TIFF": ".tif"}.get(str(image.format), f".{str(image.format).lower()}")

    def pixels(self) -> Image:
        """RGB, rotated by EXIF, on white, changed. Raises DataError as `size` does, and for an image that is
        cut off or damaged."""
        from PIL import ImageOps

        with self._opened() as image:
            try:
                shown = ImageOps.exif_transpose(image)
                if shown.mode.startswith("I"):  # 16 bits; Pillow would take the lower ones
                    shown = shown.convert("I").point(lambda level: level / 256).convert("L")
                if shown.has_transparency_data:
                    opaque = shown.convert("RGBA")
                    shown = opaque.copy()
                    shown.paste(_BACKGROUND, (0, 0, *opaque.size))
                    shown.alpha_composite(opaque)
                shown = shown.convert("RGB")
            except (OSError, SyntaxError, ValueError, EOFError) as error:
                raise DataError(f"{self.name}: is damaged ({_reason(error)}); get it again") from None
        return image_changes.apply(shown, self.change)

    def _opened(self) -> Image:
        try:
            from PIL import Image, UnidentifiedImageError
        except ImportError:
            raise MissingExtraError("Pillow", "vision") from None
        try:
            image = Image.open(io.BytesIO(self.bytes()))
        except UnidentifiedImageError:
            raise DataError(f"{self.name}: Pillow can't read this image; convert it to PNG or JPEG") from None
        except Image.DecompressionBombError:
            raise DataError(f"{self.name}: has {_TOO_MANY}; scale it down") from None
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{self.name}: is damaged ({_reason(error)}); get it again") from None
        if image.size[0] * image.size[1] > MOST_PIXELS:
            raise DataError(
                f"{self.name}: is {image.size[0]:,} x {image.size[1]:,}, {_TOO_MANY}; scale it down"
            )
        return image

    def as_value(self, folder: Path | None = None) -> Any:
        """The value in a row of `folder`: the path from there for a file below it, else the absolute path.
        Raises DataError for bytes without a file."""
        if self.path is None:
            raise DataError("an image that is bytes of a row can't be named; write it to a file first")
        path = self.path
        if folder is not None and Path(path).is_relative_to(folder.absolute()):
            path = Path(path).relative_to(folder.absolute()).as_posix()
        return {"path": path, "change": dict(self.change)} if self.change else path


_TOO_MANY = f"more than {MOST_PIXELS:,} pixels"


@lru_cache(maxsize=1 << 16)
def _digest(path: str, changed: int, size: int) -> str:
    return hashlib.sha256(reading.read_bytes(path, DataError, most=MOST_BYTES)).hexdigest()


def of_value(value: Any, folder: Path, where: Any, column: str) -> tuple[ImageSource, ...]:
    """The images in a row's column; none for an empty value. folder: the row's, to which paths are relative.
    Raises DataError, which begins with `where`, for another value."""
    if isinstance(value, str) and value.lstrip().startswith("["):  # a cell of CSV
        value = reading.json(value, f'{where}: "{column}"', DataError)
    if value is None or value == "":
        return ()
    values = value if isinstance(value, list) else [value]
    return tuple(_image(one, folder, f'{where}: "{column}"') for one in values)


def _image(value: Any, folder: Path, place: str) -> ImageSource:
    match value:
        case str() if value.startswith("data:"):
            return ImageSource(data=_of_uri(value, place))
        case str() if value.startswith(("http://", "https://")):
            raise DataError(f"{place}: {value} is an address; save the image, and give the path of its file")
        case str() if value.strip() and "\0" not in value:
            return ImageSource(str((folder / files.stated(value)).absolute()))
        case bytes() if value:
            return ImageSource(data=value)
        case {"bytes": bytes(data)} if data:
            return ImageSource(data=data)
        case {"path": str(path), **more} if path:
            found = _image(path, folder, place)
            return ImageSource(found.path, found.data, image_changes.checked(more.get("change") or {}, place))
    raise DataError(f"{place}: must be {_FORM}, got {reading.kind(value)}")


def _of_uri(text: str, place: str) -> bytes:
    head, _, data = text.partition(",")
    try:
        return base64.b64decode(data, validate=True) if head.endswith(";base64") else data.encode("latin-1")
    except (binascii.Error, ValueError):
        raise DataError(f"{place}: is no whole data URI; write data:image/png;base64, and base64") from None


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
