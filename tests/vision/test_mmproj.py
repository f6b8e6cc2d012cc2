"""Vision halves as mmproj files: through them and back, against the gguf package and llama.cpp's mtmd."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.vision import mtmd
from tests.vision.vision_models import CASES, IMAGE, features, save_random
from tinsmith import models
from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.models.mmproj import OWN
from tinsmith.quant import vision as quantized
from tinsmith.spec import Spec
from tinsmith.vision.image_rules import Tiles
from tinsmith.vision.parts import tensors_of
from tinsmith.vision.siglip import DEEP

np = pytest.importorskip("numpy")

# llama.cpp's projector of LFM2-VL must have biases; the vision model of qwen35_moe is that of qwen35.
WRITTEN = [case for case in CASES if case not in ("lfm2_vl_bare", "qwen35_moe")]
# [height, width] that llama.cpp and the processors leave as they are.
SIZES = {
    "smolvlm": (32, 32),
    "gemma3": (32, 32),
    "qwen35": (48, 80),
    "qwen3vl": (48, 80),
    "lfm2_vl": (128, 160),
}


@pytest.fixture
def files(folder_of: Callable[[str], Path], tmp_path: Path) -> Callable[[str], tuple[Spec, Path, Path]]:
    """By case: the model, its language model's file and its vision model's."""

    def written(case: str) -> tuple[Spec, Path, Path]:
        spec = models.load(folder_of(case))
        models.save_gguf(spec, tmp_path / "model.gguf")
        models.save_mmproj(spec, tmp_path / "mmproj.gguf")
        return spec, tmp_path / "model.gguf", tmp_path / "mmproj.gguf"

    return written


@pytest.mark.parametrize("case", WRITTEN)
def test_a_file_holds_every_tensor_as_it_was(
    case: str, files: Callable[[str], tuple[Spec, Path, Path]], tmp_path: Path
) -> None:
    spec, model, mmproj = files(case)
    through = models.load(model, mmproj)
    assert through.vision == spec.vision
    models.save_mmproj(through, tmp_path / "again.gguf")
    assert (tmp_path / "again.gguf").read_bytes() == mmproj.read_bytes()


@pytest.mark.parametrize("case", WRITTEN)
def test_the_gguf_package_reads_the_same(case: str, files: Callable[[str], tuple[Spec, Path, Path]]) -> None:
    package = pytest.importorskip("gguf")
    spec, _, mmproj = files(case)
    assert spec.vision is not None
    reader = package.GGUFReader(mmproj)
    names = [part for name in tensors_of(spec.vision) for part in name.gguf_parts]
    stored = {tensor.name: tensor for tensor in reader.tensors}
    assert stored.keys() == {name.gguf for name in names}
    for name in names:
        assert tuple(map(int, stored[name.gguf].shape)) == name.gguf_shape
        tensor = spec.vision.tensors[name.role]
        data = memoryview(tensor.data).cast("B")
        row = len(data) // tensor.rows
        first = name.first_row * row
        assert stored[name.gguf].data.tobytes() == data[first : first + name.rows * row]
    projectors = {kind.value for kind in vars(package.VisionProjectorType).values() if hasattr(kind, "value")}
    assert reader.get_field("clip.projector_type").contents() in projectors or not projectors


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Spec, Any, Any]]:
    """By case: the model, an image that is cut nowhere, and transformers' states of it."""

    @cache
    def of(case: str) -> tuple[Spec, Any, Any]:
        folder = tmp_path_factory.mktemp(case)
        model = save_random(case, folder)
        spec = models.load(folder)
        vision = spec.vision
        assert vision is not None
        if isinstance(vision.image_rules, Tiles):
            one = dataclasses.replace(vision.image_rules, longest=vision.image_rules.edge)
            vision = dataclasses.replace(vision, image_rules=one)
        image = np.random.default_rng(1).integers(0, 256, (*SIZES[case], 3), np.uint8)
        mean, std = np.float32(vision.image_rules.mean), np.float32(vision.image_rules.std)
        pixels = (image / np.float32(255) - mean) / std
        return dataclasses.replace(spec, vision=vision), image, features(case, model, pixels)

    return of


# llama.cpp keeps attention's keys and values, and a convolution's pixels, in half width.
@pytest.mark.parametrize(
    ("preset", "bound"), [("F32", 1e-3), ("BF16", 1e-2), ("Q8_0", 2e-2)], ids=lambda value: str(value)
)
@pytest.mark.parametrize("case", WRITTEN)
def test_llama_cpp_sees_what_transformers_sees(
    case: str,
    preset: str,
    bound: float,
    seen: Callable[[str], tuple[Spec, Any, Any]],
    tmp_path: Path,
) -> None:
    spec, image, expected = seen(case)
    assert spec.vision is not None
    spec = dataclasses.replace(spec, vision=quantized.apply(spec.vision, preset))
    models.save_gguf(spec, tmp_path / "model.gguf")
    models.save_mmproj(spec, tmp_path / "mmproj.gguf")
    chunks = mtmd.states(tmp_path / "model.gguf", tmp_path / "mmproj.gguf", image)
    assert chunks
    for states in chunks:
        assert np.abs(states - expected).max() <= bound * np.ptp(expected)


def rewritten(
    mmproj: Path, into: Path, change: Callable[[dict[str, Any], dict[str, gguf.Tensor]], Any]
) -> Path:
    """The file with other metadata, as plain values, or tensors."""
    file = gguf.read(mmproj)
    meta: dict[str, Any] = dict(file.metadata)
    tensors = dict(file.tensors)
    change(meta, tensors)
    values = {key: entry if isinstance(entry, gguf.Value) else gguf.value(entry) for key, entry in meta.items()}
    gguf.write(into, values, tensors.values())
    return into


def test_files_of_others_are_read_by_what_llama_cpp_has_built_in(
    files: Callable[[str], tuple[Spec, Path, Path]], tmp_path: Path
) -> None:
    for case in WRITTEN:
        spec, model, mmproj = files(case)
        assert spec.vision is not None
        bare = rewritten(mmproj, tmp_path / "bare.gguf", lambda meta, _: meta.pop(OWN))
        with pytest.raises(FormatError, match="placeholder token '.*' of images is missing"):
            models.load(model, bare)
        kinds = json.dumps({"tokens": {"image": IMAGE}})
        given = rewritten(bare, tmp_path / "given.gguf", lambda meta, _, own=kinds: meta.update({OWN: own}))
        vision = models.load(model, given).vision
        assert vision is not None
        assert vision.tensors == spec.vision.tensors
        assert (vision.image_rules.filter, vision.joint) == (spec.vision.image_rules.filter, spec.vision.joint)
        assert np.float32(vision.image_rules.mean).tolist() == np.float32(spec.vision.image_rules.mean).tolist()


def test_what_the_two_halves_say_of_earlier_layers_must_agree(
    files: Callable[[str], tuple[Spec, Path, Path]], tmp_path: Path
) -> None:
    _, model, mmproj = files("qwen3vl")
    for flags, says in (
        ([True, False, False, False], "states of 1 layers; the language model takes 2"),
        ([True] + [False] * 8 + [True], r"layers \[0, 9\]; give some of 4"),
        (7, "must be a list of true and false"),
    ):
        odd = rewritten(
            mmproj, tmp_path / "odd.gguf", lambda m, _, f=flags: m.update({"clip.vision." + DEEP: f})
        )
        with pytest.raises(FormatError, match=says):
            models.load(model, odd)


def test_old_files_have_the_feed_forward_s_names_swapped(
    files: Callable[[str], tuple[Spec, Path, Path]], tmp_path: Path
) -> None:
    spec, model, mmproj = files("smolvlm")

    def swap(_: Any, tensors: dict[str, gguf.Tensor]) -> None:
        words = {".ffn_up.": ".ffn_down.", ".ffn_down.": ".ffn_up."}
        for name, tensor in list(tensors.items()):
            for word, other in words.items():
                if word in name:
                    tensors[name] = dataclasses.replace(tensor, name=name.replace(word, other))

    old = rewritten(mmproj, tmp_path / "old.gguf", swap)
    assert models.load(model, old).vision == spec.vision


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (
            lambda m, t: m.update({"clip.projector_type": "resampler"}),
            UnsupportedError,
            "'resampler'.*idefics3",
        ),
        (
            lambda m, t: m.update({"clip.has_audio_encoder": True}),
            UnsupportedError,
            "has_audio_encoder is True",
        ),
        (lambda m, t: m.pop("clip.use_gelu"), UnsupportedError, "use_gelu"),
        (
            lambda m, t: m.update({"clip.vision.projection_dim": 7}),
            FormatError,
            "projection_dim is 7.*width is 48",
        ),
        (lambda m, t: m.update({"clip.vision.block_count": 10**9}), FormatError, "layers 1000000000"),
        (lambda m, t: m.update({"clip.vision.patch_size": 10**9}), FormatError, "patch|image_size"),
        (lambda m, t: m.update({"clip.vision.image_mean": [0.5]}), FormatError, "image_mean.*3 numbers"),
        (
            lambda m, t: m.update({"clip.vision.is_deepstack_layers": [True, False]}),
            UnsupportedError,
            "deepstack.*siglip has no such layers",
        ),
        (lambda m, t: m.update({OWN: "{"}), FormatError, "tinsmith.vision is not JSON"),
        (
            lambda m, t: m.update({OWN: '{"tokens": {"image": 9}, "images": {}}'}),
            FormatError,
            "missing or unknown fields of Tiles",
        ),
        (lambda m, t: m.update({"general.architecture": "llama"}), FormatError, "give a vision model"),
        (lambda m, t: t.pop("mm.model.fc.weight"), FormatError, "mm.model.fc.weight.*missing"),
        (lambda m, t: m.update({"clip.vision.feed_forward_length": 32}), FormatError, "shape"),
    ],
)
def test_what_is_no_mmproj_file_is_one_clear_line(
    change: Callable[[dict[str, Any], dict[str, gguf.Tensor]], Any],
    error: type[TinsmithError],
    says: str,
    files: Callable[[str], tuple[Spec, Path, Path]],
    tmp_path: Path,
) -> None:
    _, model, mmproj = files("smolvlm")
    odd = rewritten(mmproj, tmp_path / "odd.gguf", change)
    with pytest.raises(error, match=says) as raised:
        models.load(model, odd)
    assert str(raised.value).startswith(str(odd))
    assert "\n" not in str(raised.value)


def test_a_half_is_refused_where_a_model_is_wanted(files: Callable[[str], tuple[Spec, Path, Path]]) -> None:
    spec, _, mmproj = files("smolvlm")
    with pytest.raises(UnsupportedError, match="this is a vision model"):
        models.load(mmproj)
    with pytest.raises(UnsupportedError, match="no vision model to write"):
        models.save_mmproj(dataclasses.replace(spec, vision=None), mmproj)


def test_a_projector_that_llama_cpp_lacks_is_refused(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="projector_bias is false"):
        models.save_mmproj(models.load(folder_of("lfm2_vl_bare")), tmp_path / "mmproj.gguf")


@pytest.mark.parametrize("preset", ["F16", "BF16", "Q8_0", "Q4_K_M"])
def test_formats_reach_matrices_and_go_through_files(
    preset: str, files: Callable[[str], tuple[Spec, Path, Path]], tmp_path: Path
) -> None:
    spec, model, _ = files("gemma3")
    assert spec.vision is not None
    vision = quantized.apply(spec.vision, preset)
    assert vision.tensors["layers.0.q"].format != "F32"
    assert {vision.tensors[role].format for role in ("layers.0.q_bias", "projector.norm")} == {"F32"}
    models.save_mmproj(dataclasses.replace(spec, vision=vision), tmp_path / "quantized.gguf")
    through = models.load(model, tmp_path / "quantized.gguf").vision
    assert through is not None
    wide = {"patch", "positions", "projector.project_t"}
    for role, tensor in vision.tensors.items():
        assert through.tensors[role] == tensor or role in wide, role
        assert role not in wide or through.tensors[role].format in ("F32", "F16")
