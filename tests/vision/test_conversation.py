"""Images in a conversation by the C library alone: the tokens, images and logits that Python's runtime has,
in slices or in one go, on every instruction set; and files that say odd things of images."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.models import c_programs
from tests.vision.chat_models import photo, png, with_words
from tinsmith import _core, models, targets
from tinsmith.compiler import build_image, build_tin
from tinsmith.plan import Options, memory_of
from tinsmith.plan.contents import Base, of_tin
from tinsmith.plan.memory import image_bytes
from tinsmith.runtime import Model
from tinsmith.runtime.image_prompt import ImagePrompt

np = pytest.importorskip("numpy")
pytest.importorskip("torch")
pytest.importorskip("PIL")

CASES = ("smolvlm", "lfm2_vl", "gemma3", "qwen35", "qwen3vl")
HERE = Path(__file__).parent
SIZES = ((50, 40), (90, 40), (33, 61))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{k}.png" for k in range(3)]
    for k, (path, size) in enumerate(zip(paths, SIZES, strict=True)):
        path.write_bytes(png(photo(*size, k)))
    return paths


def built(folder_of: Callable[[str], Path], case: str, path: Path) -> Model:
    image = build_image(with_words(case, models.load(folder_of(case))))
    path.write_bytes(image)
    return Model(_core.Model(image), image, threads=1)


def conversation(images: list[Path]) -> list[dict[str, Any]]:
    first, second, third = ({"type": "image", "path": path} for path in images)
    return [
        {"role": "user", "content": [first, second, {"type": "text", "text": " what is it? "}]},
        {"role": "assistant", "content": "the thing"},
        {"role": "user", "content": [third, {"type": "text", "text": "and here?"}]},
    ]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = [HERE / "vision.c", c_programs.core()]
    return c_programs.program(tmp_path_factory.mktemp("vision") / "vision", sources, "-pthread")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path, list[Path]], str]:
    """What the program prints of a model and images, by the name of a processor, on that."""
    if importlib.util.find_spec("ziglang") is None or shutil.which("qemu-aarch64") is None:
        pytest.skip("ziglang or qemu-aarch64 (Debian: qemu-user) is not installed")
    wasmtime = pytest.importorskip("wasmtime")
    folder = tmp_path_factory.mktemp("elsewhere")
    sources = [HERE / "vision.c", c_programs.KERNELS / "tin_all.c"]

    @cache
    def program(target: str, *flags: str) -> Path:
        return c_programs.for_target(target, folder / target, sources, "-O1", "-DTIN_NO_POOL", *flags)

    def run(processor: str, tin: Path, images: list[Path]) -> str:
        if processor.startswith("cortex"):
            there = ["qemu-aarch64", "-cpu", processor, program("aarch64-linux-musl")]
            return subprocess.check_output([*there, tin, "-", "0", *images], text=True)
        for path in (tin, *images):
            shutil.copy(path, folder)
        engine = wasmtime.Engine()
        linker, store, wasi = wasmtime.Linker(engine), wasmtime.Store(engine), wasmtime.WasiConfig()
        linker.define_wasi()
        wasi.argv = ["vision", tin.name, "-", "0", *(path.name for path in images)]
        wasi.preopen_dir(str(folder), ".")
        wasi.stdout_file = str(folder / "said")
        store.set_wasi(wasi)
        wasm = program("wasm32-wasi", "-mcpu=generic+simd128")
        module = wasmtime.Module(engine, wasm.read_bytes())
        linker.instantiate(store, module).exports(store)["_start"](store)
        return (folder / "said").read_text()

    return run


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["cortex-a72", "cortex-a76", "wasmsimd"])
def test_a_file_of_an_image_gives_the_same_logits_everywhere(
    folder_of: Callable[[str], Path],
    elsewhere: Callable[[str, Path, list[Path]], str],
    program: Path,
    images: list[Path],
    processor: str,
    tmp_path: Path,
) -> None:
    """From the bytes of PNG files, by each family's decoder, cutting, encoder, projector and language model."""
    for case in CASES:
        built(folder_of, case, tmp_path / "m.tin")
        here = subprocess.check_output([program, tmp_path / "m.tin", "-", "0", *images], text=True)
        assert here.count("logits") == 2
        assert elsewhere(processor, tmp_path / "m.tin", images) == here, case


@pytest.mark.parametrize("case", CASES)
def test_the_c_library_sees_what_python_sees(
    folder_of: Callable[[str], Path], program: Path, images: list[Path], case: str, tmp_path: Path
) -> None:
    model = built(folder_of, case, tmp_path / "m.tin")
    prompt = model.render(conversation(images))
    assert isinstance(prompt, ImagePrompt)
    session = model.open_session(prompt, 8)
    assert session.step() == _core.STEP_LOGITS
    logits = hashlib.sha256(session.logits()[1]).hexdigest()
    tiles = [f"tile {at} {tile.count} {tile.columns} {tile.digest.hex()}" for at, tile in prompt.tiles]
    rows = sum(tile.count for _, tile in prompt.tiles)
    wanted = [
        f"takes {len(prompt)} {len(tiles)} {rows}",
        "tokens " + " ".join(map(str, prompt.ids)),
        *tiles,
        *[f"logits {logits}"] * 2,
        "image 3 stands before message 2; it must be one of the user's, of 3 messages",
        "image 2 stands before the one given before it",
    ]
    sets = [name for name in _core.isa_names() if name]
    for isa, budget in (("-", 0), ("-", 2500), *((name, 0) for name in sets)):
        told = subprocess.check_output([program, tmp_path / "m.tin", isa, str(budget), *images], text=True)
        calls, *lines = told.splitlines()
        assert lines == wanted, (isa, budget)
        first, rest = map(int, calls.split()[1:])
        # What the first turn saw is not seen again, or the second would take more calls.
        assert (first > rest > 0) == (budget > 0), calls


@pytest.mark.parametrize("case", CASES)
def test_a_plan_has_what_an_image_takes(
    folder_of: Callable[[str], Path], program: Path, case: str, tmp_path: Path
) -> None:
    """Of any size, of a file and of what a folder would become: what the C library asks for, and its RGB."""
    path = tmp_path / "m.tin"
    spec = with_words(case, models.load(folder_of(case)))
    build_tin(spec, path)
    for width, height in ((50, 40), (640, 480), (1920, 1080), (33, 61)):
        command = [program, path, "size", str(width), str(height)]
        asked = int(subprocess.check_output(command, text=True)) + 3 * width * height
        for there in (of_tin(path), Base(spec).contents()):
            assert sum(image_bytes(there, width, height)) == asked, (width, height)
    planned = memory_of(of_tin(path), targets.load("raspberrypi-5"), Options(context=64, image=(640, 480)))
    assert (planned.vision, planned.pixels) == image_bytes(of_tin(path), 640, 480)
    held = planned.weights + planned.tables + planned.model + planned.session.bytes
    assert planned.ram == held + planned.vision + planned.pixels


@pytest.mark.slow
def test_files_that_say_odd_things_of_images(
    folder_of: Callable[[str], Path], images: list[Path], tmp_path: Path
) -> None:
    program = c_programs.program(
        tmp_path / "vision", [HERE / "vision.c", c_programs.KERNELS / "tin_all.c"], *c_programs.SANITIZED
    )
    build_tin(with_words("lfm2_vl", models.load(folder_of("lfm2_vl"))), tmp_path / "m.tin")
    for entry in ("vision/images.bin", "vision/selftest.bin"):
        command = [program, tmp_path / "m.tin", "-", entry, "300", *images]
        told = subprocess.check_output(command, text=True, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        assert 0 < int(told.split()[0]) < 300, (entry, told)


def test_the_example_answers_as_python_does(
    folder_of: Callable[[str], Path], images: list[Path], tmp_path: Path
) -> None:
    model = built(folder_of, "qwen35", tmp_path / "m.tin")
    sources = [c_programs.ROOT / "examples" / "c" / "see.c", c_programs.core()]
    flags = ("-O1", "-pthread", f"-I{c_programs.KERNELS / 'include'}")
    program = c_programs.program(tmp_path / "see", sources, *flags)
    parts = [{"type": "image", "path": images[0]}, {"type": "text", "text": "what is the thing?"}]
    answer = model.chat([{"role": "user", "content": parts}], max_tokens=64)
    command = [program, tmp_path / "m.tin", images[0], "what is the thing?"]
    told = subprocess.check_output(command, stderr=subprocess.DEVNULL)
    assert told == b"".join(_text(model, token) for token in answer.token_ids) + b"\n"
    cut = tmp_path / "cut.png"
    cut.write_bytes(images[0].read_bytes()[:20])
    done = subprocess.run([program, tmp_path / "m.tin", cut, "what?"], capture_output=True, text=True)
    assert (done.returncode, done.stderr[:31]) == (1, "error: the image can't be read:")


def _text(model: Model, token: int) -> bytes:
    data, control, _ = model.core.token(token)
    return b"" if control else data


def test_an_image_where_none_can_be_is_refused(
    folder_of: Callable[[str], Path], images: list[Path], program: Path, tmp_path: Path
) -> None:
    """A model with image input none, and one whose file does not say how they are written."""
    spec = with_words("qwen35", models.load(folder_of("qwen35")))
    assert spec.vision is not None
    mute = replace(spec.vision, tokens={"image": spec.vision.tokens["image"]})
    for odd, complaint in ((None, "has no image input"), (mute, "vision/images.bin")):
        (tmp_path / "m.tin").write_bytes(build_image(replace(spec, vision=odd)))
        done = subprocess.run([program, tmp_path / "m.tin", "-", "0", *images], capture_output=True, text=True)
        assert done.returncode == 1
        assert complaint in done.stderr
