"""Images in the core beside Pillow: the same pixels, the same resizing, and one line for what is not read."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.kernels import broken_images, odd_images
from tests.kernels.odd_images import noise, saved
from tests.models import c_programs
from tinsmith import _core
from tinsmith.data.images import ImageSource
from tinsmith.errors import RuntimeFault

LIMIT = 1 << 26
FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}


def read(data: bytes) -> np.ndarray:
    width, height, rgb = _core.image_read(data, LIMIT)
    assert _core.image_look(data, LIMIT) == (width, height)
    return np.frombuffer(rgb, np.uint8).reshape(height, width, 3)


def test_images_are_read_as_pillow_reads_them() -> None:
    count = 0
    for name, data in odd_images.images():
        count += 1
        ours, theirs = read(data), odd_images.seen(data)
        assert ours.shape == theirs.shape, name
        assert (ours == theirs).all(), name
    assert count > 200


def test_training_sees_the_pixels_that_the_runtime_sees() -> None:
    for name, data in odd_images.images():
        image = ImageSource(data=data).pixels()
        assert (*image.size, image.tobytes()) == _core.image_read(data, 1 << 26), name


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [*odd_images.refused(), *broken_images.pngs(), *broken_images.streams(), *broken_images.jpegs()],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_is_not_read_is_refused_in_a_line(name: str, data: bytes, said: str) -> None:
    with pytest.raises(RuntimeFault, match=said) as raised:
        read(data)
    assert "\n" not in str(raised.value)


def small() -> dict[str, bytes]:
    image = Image.fromarray(noise(13, 9))
    return {
        "png": saved(image.quantize(16), "PNG"),
        "sequential": saved(image, "JPEG", quality=30, optimize=True),
        "progressive": saved(image, "JPEG", quality=30, progressive=True),
    }


@pytest.mark.parametrize("kind", small())
def test_every_end_and_every_bit(kind: str) -> None:
    """A file cut anywhere, or with a bit turned anywhere, is read or refused in a line. test_fuzz.py does this
    under sanitizers."""
    data = small()[kind]
    whole = read(data)
    for end in range(len(data)):
        try:
            assert (read(data[:end]) == whole).all()
        except RuntimeFault as error:
            assert "\n" not in str(error)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            read(bytes(flipped))
        except RuntimeFault as error:
            assert "\n" not in str(error)


def test_memory_is_bounded_before_anything_is_read() -> None:
    data = saved(Image.fromarray(noise(64, 48)), "JPEG", progressive=True)
    with pytest.raises(RuntimeFault, match="64 x 48 takes [0-9]+ bytes to read; the limit is 9216"):
        _core.image_look(data, 64 * 48 * 3)
    assert _core.image_look(data, 64 * 48 * 3 + 60_000) == (64, 48)


def test_a_refined_coefficient_past_its_band_is_dropped() -> None:
    """Where libjpeg writes the next band's first."""
    assert (read(odd_images.refined(5)) == 128).all()
    assert (read(odd_images.refined(4)) != 128).any()


@pytest.mark.parametrize(("subsampling", "most"), [("4:4:4", 8), ("4:2:0", 16)])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_takes_memory_for_whole_blocks(subsampling: str, most: int, progressive: bool) -> None:
    """The same for each height from one whole row of blocks to the next, and for each width alike."""

    def taken(width: int, height: int) -> int:
        image = Image.new("RGB", (width, height))
        data = saved(image, "JPEG", subsampling=subsampling, progressive=progressive)
        with pytest.raises(RuntimeFault) as raised:
            _core.image_look(data, 1)
        return int(re.search(r"takes (\d+) bytes", str(raised.value))[1]) - 3 * width * height  # type: ignore[index]

    def steps(size: Callable[[int], tuple[int, int]]) -> list[int]:
        rows = [{taken(*size(n)) for n in range(k * most + 1, (k + 1) * most + 1)} for k in range(4)]
        assert [len(row) for row in rows] == [1] * 4
        return [max(row) - max(before) for before, row in itertools.pairwise(rows)]

    samples = 64 * (3 if most == 8 else 6) * (3 if progressive else 1)  # a byte, and a coefficient of two
    assert steps(lambda n: (most, n)) == [samples] * 3
    assert min(steps(lambda n: (n, most))) >= samples  # rows of samples are beside them


def test_scans_cost_no_more_than_some_passes_over_a_large_image() -> None:
    """A scan is a few bytes, and takes all blocks of its component."""

    def least(count: int) -> float:
        data, times = odd_images.scans(count, 2048), []
        for _ in range(5):
            began = time.process_time()
            with pytest.raises(RuntimeFault, match="more than 32 times"):
                read(data)
            times.append(time.process_time() - began)
        return min(times)

    assert least(240) < 2 * least(60)


def test_a_buffer_that_another_thread_writes_to_is_read_as_it_was() -> None:
    """The frame's header, behind so many segments that the writer comes between two looks at it."""
    jpeg = saved(Image.fromarray(noise(64, 8)), "JPEG")
    file = bytearray(jpeg[:2] + odd_images.segment(0xE2, b"") * 500_000 + jpeg[2:])
    height, done = file.index(b"\xff\xc0") + 5, threading.Event()

    def write() -> None:
        while not done.is_set():
            for value in (2048, 8):
                struct.pack_into(">H", file, height, value)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            try:
                assert _core.image_read(file, LIMIT)[:2] == (64, 8)
            except RuntimeFault as error:  # of the other height
                assert "it is cut short" in str(error)
    finally:
        done.set()
        writer.join()


def test_numbers_of_64_bits_are_not_cut() -> None:
    data = saved(Image.fromarray(noise(8, 8)), "PNG")
    for most in (-1, 2**64, 2**64 + LIMIT):
        with pytest.raises(OverflowError):
            _core.image_read(data, most)
    assert _core.image_read(data, 2**64 - 1)[:2] == (8, 8)


def test_a_code_of_one_distance_is_read() -> None:
    """Incomplete, as zlib allows it where there is one code of one bit."""
    assert (read(broken_images.FEW_CODES) == 0).all()
    assert (odd_images.seen(broken_images.FEW_CODES) == 0).all()


def test_more_data_than_pixels_is_refused() -> None:
    header = odd_images.chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
    start = b"\x89PNG\r\n\x1a\n" + header
    for rows, said in (
        (bytes(6), None),
        (bytes(7), "more than its pixels"),
        (bytes(5), "fewer than its pixels"),
    ):
        data = start + odd_images.chunk(b"IDAT", zlib.compress(rows)) + odd_images.chunk(b"IEND", b"")
        if said is None:
            read(data)
            continue
        with pytest.raises(RuntimeFault, match=said):
            read(data)


def plain(number: int, width: int, height: int) -> bytes:
    """tin_pixels_rules: resized, a byte's value as it is, a row for each pixel."""
    rest = [0] * 8
    return struct.pack("d6f15If", 1, *[0] * 3, *[1] * 3, 1, number, 1, 1, 1, width, height, *rest, 0)


def resized(image: np.ndarray, number: int, width: int, height: int) -> np.ndarray:
    rows = _core.pixels(
        plain(number, width, height), image.data, image.strides[0], image.shape[1], image.shape[0]
    )
    return np.frombuffer(rows, np.float32).reshape(height, width, 3)


@pytest.mark.parametrize("number", FILTERS)
def test_resizing_is_pillows(number: int) -> None:
    rng, draw = random.Random(number), np.random.default_rng(number)
    for _ in range(150):
        width, height, to_width, to_height = (
            rng.choice([1, 2, 3, rng.randint(1, 60), rng.randint(1, 300)]) for _ in range(4)
        )
        image = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        theirs = np.asarray(Image.fromarray(image).resize((to_width, to_height), number))
        assert (resized(image, number, to_width, to_height) == theirs).all(), (
            width,
            height,
            to_width,
            to_height,
        )


def test_rows_lie_where_the_stride_says() -> None:
    """As in a camera's buffer: a part of a larger image, read in place."""
    whole = noise(40, 30)
    part = whole[5:25, 8:28]
    rgb = whole.reshape(-1)[5 * 120 + 24 :]
    rows = _core.pixels(plain(2, 10, 10), rgb.data, 120, 20, 20)
    theirs = np.asarray(Image.fromarray(part).resize((10, 10), 2))
    assert (np.frombuffer(rows, np.float32).reshape(10, 10, 3) == theirs).all()
    with pytest.raises(ValueError, match="take more"):
        _core.pixels(plain(2, 10, 10), rgb[: 19 * 120 + 59].data, 120, 20, 20)


@pytest.mark.slow
def test_the_same_bits_on_arm64(tmp_path: Path) -> None:
    """Every sixth image, cut in every way; here with fused products on offer, there under an emulator."""
    qemu, gcc = shutil.which("qemu-aarch64"), shutil.which("gcc")
    if not qemu or not gcc:
        pytest.skip("qemu-aarch64 and gcc are not installed")
    here = Path(__file__).parent
    core = here.parents[1] / "kernels" / "core"
    names = ("inflate", "jpeg", "jpeg_rows", "jpeg_scan", "image", "pixels", "png", "resample", "views")
    sources = [
        here / "image_digest.c",
        core / "base" / "error.c",
        *(core / "vision" / f"{n}.c" for n in names),
    ]
    subprocess.run([gcc, "-std=gnu11", "-O3", "-march=native", *sources, "-o", tmp_path / "here"], check=True)
    c_programs.for_target("aarch64-linux-musl", tmp_path / "there", sources, "-O2")
    images = [data for _, data in odd_images.images()] + [data for _, data, _ in odd_images.refused()]
    files = []
    for k, data in enumerate(images[::6]):
        files.append(tmp_path / f"{k}")
        files[-1].write_bytes(data)
    wanted = subprocess.check_output([tmp_path / "here", *files])
    assert wanted.count(b"\n") == len(files)
    assert subprocess.check_output([qemu, "-cpu", "cortex-a72", tmp_path / "there", *files]) == wanted
