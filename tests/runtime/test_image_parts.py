"""Images in messages: their forms, their limits and the errors."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.kernels.odd_images import noise, saved
from tinsmith.errors import FormatError, InputError
from tinsmith.runtime import images
from tinsmith.runtime.images import ImageLimits, decode_images, image_of

PIXELS = noise(4, 3)
PNG = saved(Image.fromarray(PIXELS), "PNG")
URL = f"data:image/png;base64,{b64encode(PNG).decode()}"


def test_each_form_gives_the_same_pixels(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    forms: list[dict[str, Any]] = [
        *({"path": path} for path in (tmp_path / "a.png", str(tmp_path / "a.png"))),
        *({"bytes": kind(PNG)} for kind in (bytes, bytearray, memoryview)),
        *({"pixels": pixels} for pixels in (PIXELS, images.Image(4, 3, PIXELS.tobytes()))),
        *({"image_url": url} for url in (URL, {"url": URL})),
        {"path": None, "pixels": PIXELS},
    ]
    for part in forms:
        assert image_of(part, "a") == images.Image(4, 3, PIXELS.tobytes())


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({}, "a: an image has one of path, bytes, pixels and image_url; it has none"),
        ({"bytes": PNG, "path": "a"}, "image_url; it has path and bytes"),
        ({"path": 3}, "a: path of an image is int; give the path of a file"),
        ({"bytes": "abc"}, "a: bytes of an image are str; give a PNG's or JPEG's bytes"),
        ({"pixels": 3}, "a: pixels are int; give a buffer of uint8 of shape (height, width, 3)"),
        ({"pixels": PIXELS.astype(np.int16)}, "a: pixels of shape (3, 4, 3) and type h; give uint8"),
        ({"pixels": PIXELS[0]}, "a: pixels of shape (4, 3) and type B; give uint8"),
        ({"pixels": PIXELS[..., :2]}, "a: pixels of shape (3, 4, 2) and type B; give uint8"),
        ({"pixels": PIXELS[:0]}, "a: pixels of shape (0, 4, 3) and type B; give uint8"),
        ({"image_url": 3}, "a: 3 is not a data: URL in base64, and nothing is fetched"),
        ({"image_url": "https://a.example/b.png"}, "is not a data: URL in base64"),
        ({"image_url": f"https:{URL}"}, "is not a data: URL in base64"),
        ({"image_url": URL.partition(",")[0]}, "is not a data: URL in base64"),
        ({"image_url": "data:image/png,abcd"}, "is not a data: URL in base64"),
        ({"image_url": "data:;base64,a"}, "a: invalid base64"),
        ({"image_url": "data:;base64,YW\n=="}, "a: invalid base64"),
    ],
    ids=str,
)
def test_another_part_is_refused(part: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        image_of(part, "a")


def test_a_file_over_the_limit_is_not_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(InputError, match=f"a.png: .*{len(PNG) - 1:,} bytes"):
        image_of({"path": tmp_path / "a.png"}, "a", len(PNG) - 1)
    with pytest.raises(FormatError, match=r"a: .*the limit is 100"):
        image_of({"bytes": PNG}, "a", 100)


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "b"}, *parts]}


def test_limits_are_reached_and_not_passed() -> None:
    limits, part = ImageLimits(images=2, pixels=24), {"type": "image", "pixels": PIXELS}
    two = decode_images([message(part), {"role": "assistant", "content": "c"}, message(part)], limits)
    assert [len(one["content"]) for one in two] == [2, 1, 2]
    assert two[0]["content"][1] == {"type": "image", "pixels": images.Image(4, 3, PIXELS.tobytes())}
    with pytest.raises(InputError, match="^message 2: 3 images; give 2 at most$"):
        decode_images([message(part, part), message(part)], limits)
    with pytest.raises(InputError, match="^here: 24 pixels in all with this image; give 23 at most$"):
        decode_images([message(part), message({**part, "where": "here"})], ImageLimits(images=2, pixels=23))


@pytest.mark.parametrize("limits", [{"images": -1}, {"image": -1}, {"pixels": -1}, {"pixels": 1 << 64}])
def test_limits_out_of_range_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(limits))):
        ImageLimits(**limits)
