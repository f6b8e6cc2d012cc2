"""PNG and JPEG files with one fault each, and the words of the error."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.kernels.odd_images import chunk, noise, progressive, saved, segment

DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # by colour type
Broken = tuple[str, bytes, str]


def png(*header: int, before: bytes = b"", rows: bytes = bytes(9)) -> bytes:
    """header: width, height, depth, colour type, compression, filter, interlace."""
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", *header)), before]
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pngs() -> Iterator[Broken]:
    for kind in (*range(8), 255):
        for depth in {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 32} - {*DEPTHS.get(kind, ())}:
            yield f"a png of {depth} bits and kind {kind}", png(2, 2, depth, kind, 0, 0, 0), "does not exist"
    for fields in ((1, 0, 0), (0, 1, 0), (0, 0, 2)):
        yield f"a png of compression, filter, interlace {fields}", png(2, 2, 8, 0, *fields), "does not exist"
    for width, height in ((0, 2), (2, 0), (65536, 1), (1, 65536)):
        yield f"a png of {width} x {height}", png(width, height, 8, 0, 0, 0, 0), "is 0 or more than 65535"
    sound = png(2, 2, 8, 0, 0, 0, 0, rows=bytes(6))
    yield "a png without a header", sound.replace(b"IHDR", b"iHDR"), "its header is damaged"
    yield (
        "a png whose header is changed",
        sound.replace(b"\x08\0\0\0\0", b"\x10\0\0\0\0", 1),
        "header is damaged",
    )
    for size in (12, 14):
        header = chunk(b"IHDR", struct.pack(">IIBBBBBB", 2, 2, 8, 0, 0, 0, 0, 0)[:size])
        yield f"a png's header of {size} bytes", sound[:8] + header + sound[33:], "its header is damaged"
    for size in (0, 4, 771):
        palette = chunk(b"PLTE", bytes(size))
        yield f"a palette of {size} bytes", png(2, 2, 8, 3, 0, 0, 0, before=palette), "its palette is damaged"
    yield "a png without its palette", png(2, 2, 8, 3, 0, 0, 0), "it has no palette"
    two = chunk(b"PLTE", bytes(6))
    more = two + chunk(b"tRNS", bytes(3))
    yield "a palette of more transparencies", png(2, 2, 8, 3, 0, 0, 0, before=more), "fewer colours than"
    outside = png(2, 2, 8, 3, 0, 0, 0, before=two, rows=bytes([0, 0, 1, 0, 0, 2]))
    yield "a colour that the palette lacks", outside, "a colour that its palette has not"
    changed = bytearray(two)
    changed[-1] ^= 1
    yield "a changed palette", png(2, 2, 8, 3, 0, 0, 0, before=bytes(changed)), "a chunk's checksum is wrong"
    for kind, size in ((0, 1), (0, 3), (2, 2), (2, 7), (4, 2), (4, 4), (6, 6), (6, 8)):
        key = chunk(b"tRNS", bytes(size))
        what = f"a transparent colour of {size} bytes in kind {kind}"
        yield what, png(2, 2, 8, kind, 0, 0, 0, before=key), "its transparent colour is damaged"
    unknown = png(2, 2, 8, 0, 0, 0, 0, before=chunk(b"ABCD", b""))
    yield "an unknown chunk that counts", unknown, "no reader may pass over"
    for filter_ in (5, 255):
        rows = bytes([0, 1, 2, filter_, 3, 4])
        yield f"a row of filter {filter_}", png(2, 2, 8, 0, 0, 0, 0, rows=rows), "a row has an unknown filter"
    data = zlib.compress(bytes(6))
    for end in range(1, len(data)):
        parts = [chunk(b"IDAT", data[:end]), chunk(b"tEXt", b"a"), chunk(b"IDAT", data[end:])]
        yield f"a png whose data is parted at {end}", sound[:33] + b"".join(parts), "compressed data end early"
    yield "a png without data", sound[:33] + chunk(b"IEND", b""), "it is cut short"


def stream(*fields: tuple[int, int], pixels: bytes = bytes(6), header: bytes = b"\x78\x01") -> bytes:
    """A PNG of 2 x 2 whose zlib stream has these fields, (value, bits) each, and the pixels' checksum."""
    number = place = 0
    for value, bits in fields:
        number |= value << place
        place += bits
    data = header + number.to_bytes(-(-place // 8), "little") + struct.pack(">I", zlib.adler32(pixels))
    start = png(2, 2, 8, 0, 0, 0, 0)[:33]
    return start + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def reversed_bits(value: int, bits: int) -> tuple[int, int]:
    """A Huffman code, which deflate writes from its first bit."""
    return int(f"{value:0{bits}b}"[::-1], 2), bits


LAST, FIXED, DYNAMIC = (1, 1), (1, 2), (2, 2)
ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
ZERO, END = reversed_bits(0x30, 8), reversed_bits(0, 7)  # of the fixed code


def dynamic(lengths: dict[int, int], *rest: tuple[int, int], counts: tuple[int, int] = (257, 1)) -> bytes:
    """A block that begins with the lengths of the code of lengths. counts: of literals and of distances."""
    head = [(counts[0] - 257, 5), (counts[1] - 1, 5), (15, 4)]
    return stream(LAST, DYNAMIC, *head, *((lengths.get(symbol, 0), 3) for symbol in ORDER), *rest)


TWO_LITERALS = [(0, 1), (1, 1), (127, 7), (1, 1), (117 - 11, 7), (0, 1)]  # 0 and 256, one bit each
FEW_CODES = dynamic({18: 1, 1: 1}, *TWO_LITERALS, (0, 1), *[(0, 1)] * 6, (1, 1))


def streams() -> Iterator[Broken]:
    """Faults of zlib streams (RFC 1950 and 1951)."""
    sound = stream(LAST, FIXED, *[ZERO] * 6, END)
    assert zlib.decompress(sound[41:-16]) == bytes(6)
    for header in (b"\x77\x09", b"\x88\x1c", b"\x78\x02", b"\x78\x20", b"\x78\x3f"):
        yield (
            f"a stream of {header.hex()}",
            stream(LAST, FIXED, *[ZERO] * 6, END, header=header),
            "no zlib stream",
        )
    yield "an unknown block", stream(LAST, (3, 2), (0, 8)), "an unknown block"
    yield "a stored block's length", stream(LAST, (0, 2), (0, 5), (6, 16), (6, 16), (0, 48)), "length is wrong"
    yield "an unknown length", stream(LAST, FIXED, ZERO, reversed_bits(0xC6, 8), (0, 5)), "an unknown length"
    match = reversed_bits(1, 7)  # of 3 bytes
    yield "an unknown distance", stream(LAST, FIXED, ZERO, match, reversed_bits(30, 5)), "an unknown code"
    before = stream(LAST, FIXED, ZERO, match, reversed_bits(1, 5))
    yield "a copy from before", before, "from before their beginning"
    yield "fewer bytes than pixels", stream(LAST, FIXED, *[ZERO] * 5, END), "fewer than its pixels"
    yield "more bytes than pixels", stream(LAST, FIXED, *[ZERO] * 7, END), "more than its pixels"
    yield "another checksum", stream(LAST, FIXED, *[ZERO] * 6, END, pixels=bytes(7)), "another checksum"
    for counts in ((287, 1), (288, 1), (257, 31), (257, 32)):
        yield f"codes of {counts} symbols", dynamic({0: 1, 1: 1}, counts=counts), "too many codes"
    for lengths in ({}, {0: 1}, {0: 2, 1: 2}, {0: 1, 1: 1, 2: 1}, {0: 7, 1: 1}):
        yield f"a code of lengths {lengths}", dynamic(lengths), "a bad code of lengths"
    yield (
        "a repeated length at first",
        dynamic({16: 1, 1: 1}, (1, 1), (0, 2)),
        "repeat a length before the first",
    )
    zeros = {18: 1, 1: 1}  # 1 is coded as 0, eleven and more zeros as 1
    much = [(1, 1), (127, 7)]  # 138 zeros
    yield "too many lengths", dynamic(zeros, *much, *much), "too many lengths"
    endless = [(0, 1), *much, (1, 1), (118 - 11, 7), (0, 1)]
    yield "a block without an end", dynamic(zeros, *endless), "a block without an end"
    three = dynamic(zeros, (0, 1), (0, 1), *much, (1, 1), (116 - 11, 7), (0, 1), (0, 1))
    yield "a code of too many literals", three, "have a bad code"
    distances = dynamic(zeros, *TWO_LITERALS, *[(0, 1)] * 3, counts=(257, 3))
    yield "a code of too many distances", distances, "a bad code of distances"


def jpegs() -> Iterator[Broken]:
    sound = saved(Image.fromarray(noise(16, 16)), "JPEG", subsampling="4:4:4")
    frame, scan = sound.index(b"\xff\xc0"), sound.index(b"\xff\xda")

    def changed(at: int, *values: int) -> bytes:
        return sound[:at] + bytes(values) + sound[at + len(values) :]

    for count in (0, 2, 4, 255):
        yield f"a frame of {count} components", changed(frame + 9, count), "its frame header is damaged"
    for count in (2, 5):
        body = struct.pack(">BHHB", 8, 16, 16, count) + bytes([1, 0x11, 0]) * count
        data = sound[:frame] + segment(0xC0, body) + sound[scan:]
        yield f"a jpeg of {count} components", data, "other than 1, 3 or 4 components"
    yield (
        "a frame of five bytes",
        sound[:frame] + segment(0xC0, bytes(5)) + sound[scan:],
        "frame header is damaged",
    )
    for sides in (0x00, 0x01, 0x10, 0x15, 0x51, 0x1F):
        yield f"a component of {sides:02x} blocks", changed(frame + 11, sides), "its frame header is damaged"
    yield "a component's table 4", changed(frame + 12, 4), "its frame header is damaged"
    yield "a jpeg of no height", changed(frame + 5, 0, 0), "its width or height is 0"
    yield "a jpeg of no width", changed(frame + 7, 0, 0), "its width or height is 0"
    for one, other in ((0x31, 0x21), (0x13, 0x12)):
        data = changed(frame + 11, one, 0, 2, other)
        yield f"components of {one:02x} and {other:02x} blocks", data, "sizes of no whole ratio"
    yield "two frames", sound[:scan] + sound[frame:], "it has two frames"
    yield "a scan before the frame", sound[:2] + sound[scan:], "data before its frame header"
    for given in (
        bytes([0x20, *[1] * 192]),
        bytes([4, *[1] * 64]),
        bytes([0, *[1] * 63]),
        bytes([0x10, *[1] * 127]),
    ):
        what = f"a quantization table {given[0]:02x} of {len(given) - 1} bytes"
        yield what, sound[:frame] + segment(0xDB, given) + sound[frame:], "a quantization table is damaged"
    for given in (
        bytes([0, *[0] * 15]),
        bytes([0x20, 1, *[0] * 16]),
        bytes([4, 1, *[0] * 16]),
        bytes([0, 2, *[0] * 16]),
    ):
        what = f"a code {given[0]:02x} of {len(given) - 1} bytes"
        yield what, sound[:frame] + segment(0xC4, given) + sound[frame:], "a Huffman table is damaged"
    for at, values in (
        (4, (0,)),
        (4, (2,)),
        (4, (4,)),
        (5, (9,)),
        (5, (2, 0, 1)),
        (6, (0x40,)),
        (6, (0x80,)),
        (6, (4,)),
        (6, (8,)),
    ):
        data = changed(scan + at, *values)
        yield f"a scan's header of {values} at {at}", data, "a scan's header is damaged"
    blocks = changed(frame + 11, 0x42, 0, 2, 0x21)  # 8 + 2 + 1
    yield "a scan of 11 blocks", blocks, "a scan's blocks are more than JPEG allows"
    yield "no quantization table", _without(sound, 0xDB), "a quantization table is missing"
    yield "no Huffman table", _without(sound, 0xC4), "a Huffman table is missing"
    for first, last, high, low in (
        (0, 1, 0, 0),
        (2, 1, 0, 0),
        (1, 64, 0, 0),
        (0, 0, 0, 14),
        (0, 0, 2, 0),
        (0, 0, 1, 1),
    ):
        data = progressive(8, [0], [(first, last, high, low, "0")])
        yield f"a scan of {first} to {last}, bits {high} to {low}", data, "a scan's header is damaged"
    order = [(0, 0, 0, 1, "0"), (1, 63, 0, 0, "0"), (0, 0, 3, 2, "0")]
    yield "a scan of bits out of order", progressive(8, [0], order), "in another order than their headers say"


def _without(data: bytes, marker: int) -> bytes:
    """Without the segments of a marker."""
    parts, at = [data[:2]], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != marker:
            parts.append(data[at:end])
        at = end
    return b"".join([*parts, data[at:]])
