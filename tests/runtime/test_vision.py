"""Encoders and projectors against transformers' own, and their bits against their own bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.vision.vision_models import CASES, given_rows, save_random
from tinsmith import _core, models
from tinsmith.compiler.build import build_image
from tinsmith.compiler.program import read_program
from tinsmith.compiler.vision import PROGRAM, WEIGHTS
from tinsmith.errors import RuntimeFault
from tinsmith.formats.tin import Tin
from tinsmith.plan import contents, memory
from tinsmith.plan.memory import encoder_kv, vision_bytes
from tinsmith.quant import vision as quant_vision
from tinsmith.runtime.vision import VisionEncoder
from tinsmith.spec import Spec

PATCH, SIDE = 8, 2
# Patches of an image: down and across. Some encoders take one shape only.
SHAPES = {"smolvlm": [(4, 4)], "gemma3": [(4, 4)]}
ANY_SHAPES = [(4, 4), (2, 6), (8, 4)]

Seen = Callable[[str], tuple[Any, Spec, memoryview]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """By case: transformers' model, its spec, and the tin's image."""

    @cache
    def of(case: str) -> tuple[Any, Spec, memoryview]:
        folder = tmp_path_factory.mktemp(case)
        model = save_random(case, folder)
        spec = models.load(folder)
        return model, spec, build_image(spec)

    return of


def some_pixels(height: int, width: int) -> np.ndarray:
    """[channels][rows][columns] of so many patches."""
    return np.random.default_rng(height).normal(0, 1, (3, height * PATCH, width * PATCH)).astype(np.float32)


def patches_of(pixels: np.ndarray) -> np.ndarray:
    """As the runtime takes them: [patch][row][column][channel]."""
    c, h, w = pixels.shape
    cut = pixels.reshape(c, h // PATCH, PATCH, w // PATCH, PATCH).transpose(1, 3, 2, 4, 0)
    return np.ascontiguousarray(cut).reshape(-1, PATCH * PATCH * c)


def squares_of(pixels: np.ndarray) -> np.ndarray:
    """As Qwen's processor has them: square after square, [channel][frame][row][column] of each patch."""
    c, h, w = pixels.shape
    step = SIDE * PATCH
    cut = pixels.reshape(c, h // step, SIDE, PATCH, w // step, SIDE, PATCH).transpose(1, 4, 2, 5, 0, 3, 6)
    return np.repeat(cut.reshape(-1, c, 1, PATCH * PATCH), 2, axis=2).reshape(-1, 2 * c * PATCH * PATCH)


def features(model: Any, case: str, pixels: np.ndarray) -> np.ndarray:
    """transformers' states of an image."""
    torch = pytest.importorskip("torch")
    height, width = (size // PATCH for size in pixels.shape[1:])
    see = model.model.get_image_features
    with torch.no_grad():
        if case == "smolvlm":
            out = see(torch.tensor(pixels)[None, None])
        elif case == "gemma3":
            out = see(torch.tensor(pixels)[None])
        elif case.startswith("qwen3"):
            out = see(torch.tensor(squares_of(pixels)), torch.tensor([[1, height, width]]))
        else:
            ones, shape = torch.ones(1, height * width), torch.tensor([[height, width]])
            out = see(torch.tensor(patches_of(pixels))[None], shape, ones)
    return np.asarray(given_rows(out))


def our_states(vision: VisionEncoder, pixels: np.ndarray) -> np.ndarray:
    height, width = (size // PATCH for size in pixels.shape[1:])
    states = vision.encode(patches_of(pixels), height, width)
    return np.frombuffer(states, np.float32).reshape(-1, vision.width)


@pytest.mark.parametrize("case", CASES)
def test_states_are_those_of_transformers(seen: Seen, case: str) -> None:
    model, _, image = seen(case)
    vision = VisionEncoder(_core.Model(image))
    for shape in SHAPES.get(case, ANY_SHAPES):
        pixels = some_pixels(*shape)
        theirs, ours = features(model, case, pixels), our_states(vision, pixels)
        assert ours.shape == theirs.shape
        worst, reach = float(np.abs(ours - theirs).max()), float(theirs.max() - theirs.min())
        print(f"{case} {shape}: worst {worst:.3g} of {reach:.3g}, {worst / reach:.2g}")
        assert worst <= 1e-3 * reach


@pytest.mark.parametrize("case", CASES)
def test_the_bits_are_those_of_any_set_threads_and_slices(seen: Seen, case: str) -> None:
    _, _, image = seen(case)
    pixels = some_pixels(*SHAPES.get(case, ANY_SHAPES)[-1])
    height, width = (size // PATCH for size in pixels.shape[1:])
    want = our_states(VisionEncoder(_core.Model(image, "scalar")), pixels).tobytes()
    for isa in _core.isa_names():
        core = _core.Model(image, isa)
        assert our_states(VisionEncoder(core), pixels).tobytes() == want
        # In memory for no more than the image, on two threads, in slices, after another image.
        vision = VisionEncoder(core, patches=height * width, threads=2)
        assert vision.memory <= VisionEncoder(core).memory
        vision.encode(patches_of(pixels * 3), height, width)
        vision.begin(patches_of(pixels), height, width)
        assert vision.states == b""
        steps = 1
        while not vision.step(1000):
            steps += 1
        assert steps > 1 and vision.states == want


def test_an_image_of_several_parts_of_rows(seen: Seen) -> None:
    """612 patches, and 256 of them at most an item of a matmul."""
    model, spec, _ = seen("qwen35")
    assert spec.vision is not None
    large = replace(spec.vision.image_rules, max_pixels=1024 * PATCH**2)  # type: ignore[call-arg]
    image = build_image(replace(spec, vision=replace(spec.vision, image_rules=large)))
    pixels = some_pixels(34, 18)
    ours, theirs = (
        our_states(VisionEncoder(_core.Model(image, "scalar")), pixels),
        features(model, "qwen35", pixels),
    )
    assert np.abs(ours - theirs).max() <= 1e-3 * np.ptp(theirs)
    for isa in _core.isa_names():
        vision = VisionEncoder(_core.Model(image, isa), threads=2)
        assert our_states(vision, pixels).tobytes() == ours.tobytes()
        vision.begin(patches_of(pixels), 34, 18)
        while not vision.step(1000):
            pass
        assert vision.states == ours.tobytes()


@pytest.mark.parametrize("kv", [None, "f16"])
@pytest.mark.parametrize("case", ["smolvlm", "lfm2_vl", "qwen35"])
def test_a_quantized_encoder_is_near_and_keeps_its_bits(seen: Seen, case: str, kv: str | None) -> None:
    _, spec, image = seen(case)
    assert spec.vision is not None
    pixels = some_pixels(4, 4)
    whole = our_states(VisionEncoder(_core.Model(image)), pixels)
    quantized = build_image(replace(spec, vision=replace(quant_vision.apply(spec.vision, "Q8_0"), kv=kv)))
    states = [our_states(VisionEncoder(_core.Model(quantized, isa)), pixels) for isa in _core.isa_names()]
    assert 0 < np.abs(states[0] - whole).max() < 0.03 * np.ptp(whole)
    assert all(one.tobytes() == states[0].tobytes() for one in states)
    encoder = read_program(Tin(quantized).entry(PROGRAM))
    assert encoder_kv(encoder) == (kv or "q8")
    assert vision_bytes(encoder) == VisionEncoder(_core.Model(quantized)).memory
    assert encoder_kv(read_program(Tin(image).entry(PROGRAM))) == "f16"


def test_attention_by_integers_over_several_tiles(seen: Seen) -> None:
    """612 patches are two whole tiles of positions and a part; heads of 8 and 16 fill up blocks of 32."""
    _, spec, _ = seen("qwen35")
    assert spec.vision is not None
    large = replace(spec.vision.image_rules, max_pixels=1024 * PATCH**2)  # type: ignore[call-arg]
    pixels = some_pixels(34, 18)
    for heads in (8, 4, 1):
        sizes = replace(spec.vision.sizes, heads=heads)
        float_encoder = replace(spec.vision, image_rules=large, sizes=sizes)
        whole = our_states(VisionEncoder(_core.Model(build_image(replace(spec, vision=float_encoder)))), pixels)
        image = build_image(replace(spec, vision=quant_vision.apply(float_encoder, "Q8_0")))
        want = our_states(VisionEncoder(_core.Model(image, "scalar")), pixels)
        assert 0 < np.abs(want - whole).max() < 0.03 * np.ptp(whole)
        encoder = read_program(Tin(image).entry(PROGRAM))
        assert encoder_kv(encoder) == "q8" and vision_bytes(encoder) == VisionEncoder(_core.Model(image)).memory
        for isa in _core.isa_names():
            vision = VisionEncoder(_core.Model(image, isa), threads=2)
            assert our_states(vision, pixels).tobytes() == want.tobytes()
            vision.begin(patches_of(pixels), 34, 18)
            while not vision.step(1000):
                pass
            assert vision.states == want.tobytes()


@pytest.mark.parametrize("case", ["smolvlm", "gemma3", "qwen35", "qwen3vl"])
def test_memory_is_as_planned(seen: Seen, case: str) -> None:
    _, spec, image = seen(case)
    file = Tin(image)
    encoder = read_program(file.entry(PROGRAM))
    for patches in (4, 12, 16):
        assert vision_bytes(encoder, patches) == VisionEncoder(_core.Model(image), patches=patches).memory
    assert vision_bytes(encoder) == VisionEncoder(_core.Model(image)).memory
    planned = contents.Base(spec).contents()
    assert planned.encoder == encoder
    room = {"context": 64, "tiles": 3, "image_rows": 20}
    session = _core.Session(_core.Model(image), **room)
    assert memory.session(planned.program, memory.Options(**room)).bytes == session.size()
    assert all(planned.entries[name] == len(file.entry(name)) for name in (PROGRAM, WEIGHTS))
    assert contents.Base(spec).contents("Q8_0").weights < planned.weights


def test_invalid_patches_are_rejected(seen: Seen) -> None:
    vision = VisionEncoder(_core.Model(seen("qwen35")[2]), patches=16)
    for height, width, said in ((3, 4, "squares of 2 by 2"), (4, 6, "room for 16"), (0, 4, "no patches")):
        with pytest.raises(RuntimeFault, match=said):
            vision.begin(np.zeros((height * width, vision.patch), np.float32), height, width)
    with pytest.raises(RuntimeFault, match="192 floats each"):
        vision.begin(np.zeros((4, 191), np.float32), 2, 2)
    assert not vision.step() and vision.states == b""
    with pytest.raises(RuntimeFault, match="at most 64"):
        VisionEncoder(_core.Model(seen("qwen35")[2]), patches=128)
