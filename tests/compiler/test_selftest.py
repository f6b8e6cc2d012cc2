"""The image in the self-test: sealed with the logits that a conversation gives from file to
logits, told where they are others, and no part of a file with image input nothing or is older."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec, with_vision
from tinsmith import _core
from tinsmith.compiler import build_tin, selftest
from tinsmith.compiler.build import build_image
from tinsmith.errors import RuntimeFault
from tinsmith.formats import tin as tins
from tinsmith.formats.tin import Tin
from tinsmith.runtime.vision import VisionEncoder
from tinsmith.system.files import map_file

HEADER = struct.Struct("<2I96s2I32s")  # magic, version, tin_pixels_rules, tokens, bytes of the image, digest
Tested = Callable[[bytes | None], _core.Model]


@pytest.fixture(scope="module")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("eyes") / "vision.tin"
    build_tin(with_vision(tiny_spec("llama", hidden_size=64, intermediate_size=96)), path)
    return path


@pytest.fixture
def tested(tin: Path, tmp_path: Path) -> Tested:
    """The model of a tin that has this test of its eyes."""

    def made(test: bytes | None) -> _core.Model:
        old = Tin(tin)
        kept = [name for name in old.names if name not in (tins.MANIFEST, selftest.VISION_TEST)]
        entries = {name: bytes(old.entry(name)) for name in kept}
        if test is not None:
            entries[selftest.VISION_TEST] = test
        tins.write(tmp_path / "other.tin", entries.items(), old.manifest)
        return _core.Model(map_file(tmp_path / "other.tin"))

    return made


def test_the_digest_is_of_the_logits_behind_the_image(tin: Path) -> None:
    """By the steps that a conversation with images takes."""
    core = _core.Model(map_file(tin))
    test = core.entry(selftest.VISION_TEST)
    _, _, rules, count, size, sealed = HEADER.unpack_from(test)
    tokens = list(struct.unpack_from(f"<{count}i", test, HEADER.size))
    width, height, rgb = _core.image_read(test[-size:], 1 << 20)
    (view,) = _core.pixels_plan(rules, width, height)[3]
    vision = VisionEncoder(core)
    states = vision.encode(_core.pixels(rules, rgb, 3 * width, width, height), view[1] // 8, view[0] // 8)
    rows = tokens.count(_core.EMBEDDED)
    assert rows == len(states) // (4 * vision.width) == 3
    at = tokens.index(_core.EMBEDDED)
    session = _core.Session(core, tiles=1, image_rows=rows)
    session.append(tokens, [(at, rows, rows, bytes(32), states)])
    session.want_logits(at + rows)
    digest = hashlib.sha256()
    while session.step() == _core.STEP_LOGITS:
        digest.update(session.logits()[1])
    assert digest.digest() == sealed
    for isa in _core.isa_names():
        assert selftest.check(_core.Model(map_file(tin), isa))[2:] == [sealed.hex()]


def test_other_logits_are_told(tin: Path, tested: Tested) -> None:
    test = bytearray(Tin(tin).entry(selftest.VISION_TEST))
    test[HEADER.size - 1] ^= 1
    with pytest.raises(RuntimeFault, match="the image of the self-test gives the logits"):
        selftest.check(tested(bytes(test)))


def test_a_file_without_is_checked_by_its_prompts(tin: Path, tested: Tested) -> None:
    assert selftest.check(tested(None)) == selftest.check(_core.Model(map_file(tin)))[:2]
    core = _core.Model(build_image(tiny_spec("llama", hidden_size=64, intermediate_size=96)))
    assert selftest.vision_test(core) is None
    with pytest.raises(RuntimeFault, match="has no image input"):
        core.vision_test(Tin(tin).entry(selftest.VISION_TEST))


@pytest.mark.parametrize(
    ("at", "value", "complaint"),
    [
        (0, 0, "does not begin as one"),
        (4, 9, "version 9"),
        (48, 9, "damaged"),  # pixels along a patch
        (104, 5, "damaged"),  # tokens
        (108, 5, "damaged"),  # bytes of the image
        (144, 1 << 20, "damaged"),  # a token outside the vocabulary
        (144, 0xFFFFFFFF, "damaged"),  # a row of the image that stands alone
    ],
)
def test_what_is_odd_is_refused(tin: Path, at: int, value: int, complaint: str) -> None:
    core = _core.Model(map_file(tin))
    test = bytearray(core.entry(selftest.VISION_TEST))
    assert core.vision_test(bytes(test))[1] == bytes(test[112:144])
    test[at : at + 4] = struct.pack("<I", value)
    with pytest.raises(RuntimeFault, match=complaint):
        core.vision_test(bytes(test))
