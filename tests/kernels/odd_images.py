"""Some 200 images as they come in the world, and what Pillow and an image processor make of each."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageOps

SIZES = [(1, 1), (2, 3), (3, 2), (8, 8), (17, 13), (33, 1), (1, 33), (48, 31)]
SUBSAMPLING = ["4:4:4", "4:2:2", "4:2:0"]
# Of three components, how many samples across and down each has where the fullest has the most.
FACTORS = [
    ("12", "11", "11"), ("41", "11", "11"), ("42", "11", "11"), ("22", "12", "21"), ("14", "12", "11"),
    ("11", "22", "11"), ("21", "12", "11"),
]  # fmt: skip


def noise(width: int, height: int, channels: int = 3) -> np.ndarray:
    """uint8[height][width][channels]: waves with noise over them, so that no coefficient stays 0."""
    rng = np.random.default_rng(width * 1000 + height)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 7 + k) * 60 + np.cos(y / 11 * (k + 1)) * 60 + 128 for k in range(channels)]
    return np.clip(np.stack(waves, -1) + rng.normal(0, 12, (height, width, channels)), 0, 255).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def seen(data: bytes) -> np.ndarray:
    """uint8[height][width][3]: turned as EXIF says, over white, as transformers' processors have it. Of 16-bit
    grey, the upper bits: Pillow's own conversion makes white of all but the darkest 255."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def interlaced(width: int, height: int, depth: int, kind: int, channels: int) -> bytes:
    """A PNG in Adam7's seven passes, which Pillow reads and does not write; every row has another filter."""
    rng = np.random.default_rng(depth * 10 + kind)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for x, y, across, down in passes:
        if x >= width or y >= height:
            continue
        bits = -(-(width - x) // across) * depth * channels
        for row in range(-(-(height - y) // down)):
            rows += bytes([row % 5]) + rng.integers(0, 256, -(-bits // 8), dtype=np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 1)
    palette = chunk(b"PLTE", rng.integers(0, 256, 3 << depth, dtype=np.uint8).tobytes()) if kind == 3 else b""
    data = zlib.compress(rows)
    parts = [chunk(b"IHDR", header), palette, chunk(b"IDAT", data[:20]), chunk(b"IDAT", data[20:])]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def blocks(width: int, height: int) -> bytes:
    """A PNG whose compressed data are made of every kind of block in turn, empty ones among them."""
    rows = b"".join(b"\0" + row.tobytes() for row in noise(width, height))
    size, data = -(-len(rows) // 6), b"\x78\x01"
    for k in range(6):
        level, strategy = [(9, zlib.Z_DEFAULT_STRATEGY), (9, zlib.Z_FIXED), (0, zlib.Z_DEFAULT_STRATEGY)][k % 3]
        made = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
        data += made.compress(rows[k * size : k * size + size]) + made.flush(zlib.Z_SYNC_FLUSH)
        data += (0b010 * (1 + (1 << 10) + (1 << 20) + (1 << 30))).to_bytes(
            5, "little"
        ) * 3  # empty, fixed codes
    data += b"\x03\0" + struct.pack(">I", zlib.adler32(rows))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def scans(count: int, side: int = 8) -> bytes:
    """A grey, square JPEG in so many scans, all in order: the constant, then each coefficient bit by bit. All
    are zeros, and of each coefficient 32,767 blocks take two bytes."""
    blocks = ((side + 7) // 8) ** 2
    ends = "0" if blocks == 1 else ("0" + "1" * 14) * -(-blocks // 32767)  # the code's one symbol, and how many
    bits = [(k, low + 1 if low < 13 else 0, low) for k in range(1, 64) for low in range(13, -1, -1)]
    parts = [(k, k, high, low, ends) for k, high, low in bits[: count - 1]]
    return progressive(side, [0 if blocks == 1 else 0xE0], [(0, 0, 0, 0, "0" * blocks), *parts])


def progressive(side: int, symbols: list[int], scans: list[tuple[int, int, int, int, str]]) -> bytes:
    """A grey, square JPEG. symbols: of the coefficients' code, as 0, 10, 110 and so on; the constant's code has
    one, no difference, as 0. Each scan: first and last coefficient, high and low bit, and its data's bits."""
    parts = [
        segment(0xDB, bytes([0, *[64] * 64])),
        segment(0xC2, struct.pack(">BHHB3B", 8, side, side, 1, 1, 0x11, 0)),
        segment(0xC4, bytes([0, 1, *[0] * 15, 0])),
        segment(0xC4, bytes([0x10, *[1] * len(symbols), *[0] * (16 - len(symbols)), *symbols])),
    ]
    for first, last, high, low, bits in scans:
        parts += [segment(0xDA, bytes([1, 1, 0, first, last, high << 4 | low])), entropy(bits)]
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


def lonely() -> bytes:
    """A grey progressive JPEG of blocks with one coefficient, the last, which only the last scan brings: past
    sixteen and more that stay 0."""
    wave = np.cos((2 * np.arange(16) + 1) * 7 * np.pi / 16)
    image = Image.fromarray(np.round(128 + 24.75 * np.outer(wave, wave)).astype(np.uint8))
    return saved(image, "JPEG", quality=50, progressive=True)


def unrefined(data: bytes) -> bytes:
    """A progressive JPEG without the scan that brings the last bit of the constants."""
    for found in re.finditer(b"\xff\xda", data):
        at = found.start() + 2 + int.from_bytes(data[found.end() : found.end() + 2], "big")
        if data[at - 3] == 0 and data[at - 1] >> 4:
            return data[: found.start()] + data[data.index(b"\xff", at) :]
    raise ValueError("it has no such scan")


def refined(run: int) -> bytes:
    """A block whose coefficients 1 to 5 are zeros, and then, behind a run of zeros more, one that is not."""
    first = [(0, 0, 0, 0, "0"), (6, 63, 0, 0, "0"), (1, 5, 0, 1, "0")]
    return progressive(8, [0, run << 4 | 1], [*first, (1, 5, 1, 0, "101" + "0")])


def entropy(bits: str) -> bytes:
    """A scan's bits, with ones behind them up to a byte, and a zero behind each byte of ones."""
    filled = bits + "1" * (-len(bits) % 8)
    return int(filled, 2).to_bytes(len(filled) // 8, "big").replace(b"\xff", b"\xff\0")


def sampled(width: int, height: int, factors: tuple[str, str, str]) -> bytes:
    """A JPEG of ratios that Pillow does not write: the blocks of another, whose components share their tables,
    dealt out anew. Little contrast, since each is added to what happens to come before it."""
    data = bytearray(saved(Image.fromarray(noise(96, 96) // 24 + 122), "JPEG", keep_rgb=True, quality=90))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    for k, factor in enumerate(factors):
        data[frame + 11 + 3 * k] = int(factor, 16)
    return bytes(data)


def jpegs(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    for k, subsampling in enumerate(SUBSAMPLING):
        for progressive in (False, True):
            options = {"quality": (10, 60, 95)[k % 3], "restart_marker_blocks": 2 * (k % 2)}
            data = saved(image, "JPEG", subsampling=subsampling, progressive=progressive, **options)
            yield f"jpeg {subsampling} {'progressive' if progressive else 'sequential'}", data
    yield "jpeg RGB", saved(image, "JPEG", keep_rgb=True)
    for mode in ("L", "CMYK"):
        yield f"jpeg {mode}", saved(image.convert(mode), "JPEG", progressive=mode == "L")


def pngs(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA"):
        yield f"png {mode}", saved(image.convert(mode), "PNG")
    width, height = image.size
    clear = Image.fromarray(np.concatenate([np.asarray(image), noise(width, height, 1)], -1))
    yield "png with alpha", saved(clear, "PNG")
    yield "png LA with alpha", saved(clear.convert("LA"), "PNG")
    for bits in (1, 2, 4):
        yield f"png of {1 << bits} colours", saved(image.quantize(1 << bits), "PNG", bits=bits)
    yield "png of clear colours", saved(image.convert("P"), "PNG", transparency=bytes(range(256)))
    yield (
        "png of a clear grey",
        saved(image.convert("L"), "PNG", transparency=image.convert("L").getpixel((0, 0))),
    )
    yield "png of a clear colour", saved(image, "PNG", transparency=image.getpixel((0, 0)))
    deep = Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    yield "png of 16 bits", saved(deep, "PNG")


def images() -> Iterator[tuple[str, bytes]]:
    """(name, file) of those that must be read."""
    for width, height in SIZES:
        image = Image.fromarray(noise(width, height))
        for name, data in [*jpegs(image), *pngs(image)]:
            yield f"{name} {width}x{height}", data
    image = Image.fromarray(noise(19, 11))
    for orientation in range(1, 9):
        for kind in ("JPEG", "PNG"):
            yield f"{kind} turned {orientation}", saved(image, kind, exif=turned(orientation))
    for depth, colour, channels in [
        (1, 0, 1),
        (2, 0, 1),
        (8, 0, 1),
        (4, 3, 1),
        (8, 2, 3),
        (16, 2, 3),
        (8, 4, 2),
        (16, 6, 4),
    ]:
        yield f"interlaced {depth} {colour}", interlaced(13, 21, depth, colour, channels)
    for factors in FACTORS:
        for width, height in [(2, 5), (23, 17), (31, 32)]:
            yield f"jpeg {' '.join(factors)} {width}x{height}", sampled(width, height, factors)
    yield "png of every kind of block", blocks(61, 47)
    for run in range(5):
        yield f"jpeg refined behind {run}", refined(run)
    yield "jpeg of 256 scans", scans(256)
    yield "jpeg of last coefficients", lonely()
    yield "larger jpeg of 127 scans", scans(127, 640)
    yield "interlaced 1x1", interlaced(1, 1, 8, 2, 3)
    frames = [Image.fromarray(noise(9, 9)[..., ::-1]), Image.fromarray(noise(9, 9))]
    yield "animated png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield "two images in a jpeg", saved(frames[0], "MPO", save_all=True, append_images=frames[1:])
    yield "long png", saved(Image.fromarray(noise(20000, 1)), "PNG")
    yield "high jpeg", saved(Image.fromarray(noise(1, 20000)), "JPEG")


def refused() -> Iterator[tuple[str, bytes, str]]:
    """(name, file, what the line must say) of those that must not be."""
    image = Image.fromarray(noise(16, 12))
    for kind in ("GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"):
        yield kind, saved(image, kind), "neither PNG nor JPEG"
    yield "text", b"not an image", "neither PNG nor JPEG"
    png, jpeg = saved(image, "PNG"), saved(image, "JPEG")
    yield "half a png", png[: len(png) // 2], "cut short"
    yield "half a jpeg", jpeg[: len(jpeg) // 2], "cut short"
    progressive, flat = saved(image, "JPEG", progressive=True), Image.new("RGB", (8, 8))
    yield "a progressive jpeg's first scans", progressive[: len(progressive) * 2 // 3], "cut short"
    yield (
        "a progressive jpeg without a bit of its constants",
        unrefined(saved(flat, "JPEG", progressive=True)),
        "cut short",
    )
    bad = bytearray(png)
    bad[png.index(b"IDAT") + 8] ^= 1
    yield "a changed byte", bytes(bad), "checksum"
    header = struct.pack(">IIBBBBB", 60000, 60000, 16, 6, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    yield "a png that claims 60000 x 60000", bomb, "the limit is"
    wide = jpeg.replace(struct.pack(">HH", 12, 16), struct.pack(">HH", 65535, 65535), 1)
    yield "a jpeg that claims 65535 x 65535", wide, "the limit is"
    twelve = bytearray(jpeg)
    twelve[jpeg.index(b"\xff\xc0") + 4] = 12
    yield "a jpeg of 12 bits", bytes(twelve), "more than 8 bits"
    arithmetic = jpeg.replace(b"\xff\xc0", b"\xff\xc9", 1)
    yield "a jpeg of arithmetic coding", arithmetic, "arithmetic"
    for counts in ([2, *[0] * 15], [3, *[0] * 15], [1, 2, *[0] * 14]):
        code = segment(0xC4, bytes([0, *counts, *range(sum(counts))]))
        yield f"a jpeg's code of {counts[:8]}", jpeg[:2] + code + jpeg[2:], "a Huffman table is damaged"
    yield "a jpeg of 257 scans", scans(257), "more than 256 scans"
    yield "a large jpeg of 33 scans", scans(33, 2048), "over its blocks more than 32 times"
