"""The C core on 64-bit ARM processors that qemu plays: the sets that each has and no other, the bytes of the
scalar kernels, the digests of this machine, and a small library."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.kernel_library import implementations
from tests.models import c_programs
from tests.models.random_adapters import random_adapter, random_prefix
from tests.models.tiny_models import tiny_spec
from tinsmith import _core, compiler
from tinsmith.compiler import selftest
from tinsmith.formats.router import Router
from tinsmith.formats.weights import WEIGHT_FORMATS, weight_format
from tinsmith.models import Tensor, family
from tinsmith.system.files import map_file

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"
SETS = ["scalar", "neon", "neondot", "neoni8mm"]
# A Raspberry Pi 4, a Raspberry Pi 5, and all that qemu knows: how many of SETS each has. Signing pointers costs
# qemu half its speed and has nothing to do with kernels.
PROCESSORS = {"cortex-a72": 2, "cortex-a76": 3, "max,pauth=off": 4}
TOKENS = 100
TARGET, FLAGS = "aarch64-linux-musl", ("-O2", f"-I{KERNELS}")

pytestmark = [
    pytest.mark.skipif(
        not importlib.util.find_spec("ziglang"), reason="ziglang is not installed; it is in the dev extra"
    ),
    pytest.mark.skipif(
        not shutil.which("qemu-aarch64"),
        reason="qemu-aarch64 is not installed (Debian: apt-get install qemu-user)",
    ),
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arm64")


def core() -> list[Path]:
    return [
        path
        for part in ("core/*", *(f"isa/{name}" for name in SETS))
        for path in sorted(KERNELS.glob(f"{part}/*.c"))
    ]


@pytest.fixture(scope="session")
def programs(folder: Path) -> Path:
    """The folder with kernel_check and digest in it."""
    for name in ("kernel_check", "digest"):
        c_programs.for_target(TARGET, folder / name, [HERE / f"{name}.c", *core()], *FLAGS, "-pthread")
    return folder


def run(processor: str, program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """SIGILL, from an instruction that the processor lacks, shows as a negative status."""
    command = ["qemu-aarch64", "-cpu", processor, program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_kernel_gives_the_bytes_of_the_scalar_one(programs: Path, processor: str) -> None:
    """Each processor checks the best set it has; what sets share is checked on the first that has it."""
    known = SETS[: PROCESSORS[processor]]
    done = run(processor, programs / "kernel_check", known[-1])
    assert done.returncode == 0, done.stdout
    first, *lines = done.stdout.splitlines()
    assert first.split() == ["sets", *known]
    passed = {line.split()[1] for line in lines if line.startswith("ok ") and line.split()[2] == known[-1]}
    listed = {impl.op for impl in implementations() if impl.isa == known[-1]}
    assert passed == listed
    assert listed


@pytest.mark.parametrize("processor", [name for name, sets in PROCESSORS.items() if sets < len(SETS)])
def test_a_set_that_the_processor_lacks_is_refused(
    programs: Path, tin: Callable[[str], Path], processor: str
) -> None:
    for name in SETS[PROCESSORS[processor] :]:
        assert run(processor, programs / "kernel_check", name).returncode == 2
        done = run(processor, programs / "digest", tin("Q8_0"), "--isa", name)
        assert done.returncode == 2
        assert name in done.stderr


# Where GGUF's blocks of the formats that are only read hold float16 values.
HALVES = {
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
    "Q3_K": [108],
    "Q2_K": [80, 82],
    "IQ4_NL": [0],
    "IQ4_XS": [0],
    "TQ2_0": [64],
    "TQ1_0": [52],
    "IQ3_S": [0],
    "IQ3_XXS": [0],
    "IQ2_S": [0],
    "IQ2_XS": [0],
    "IQ2_XXS": [0],
    "IQ3_NL": [0],
}


def in_format(tensor: Tensor, name: str, rng: np.random.Generator) -> Tensor:
    """The tensor quantized, or random blocks where the format is only read."""
    kind = weight_format(name)
    if tensor.rows == 1 or tensor.format == name:
        return tensor
    if name not in HALVES:
        return Tensor(
            name, tensor.rows, tensor.inputs, _core.quantize(name, tensor.data, tensor.rows, tensor.inputs)
        )
    blocks = rng.integers(0, 256, (tensor.rows * tensor.inputs // kind.block, kind.bytes), dtype=np.uint8)
    for at in HALVES[name]:
        scales = rng.uniform(-1e-3, 1e-3, (len(blocks), 1)).astype(np.float16)
        blocks[:, at : at + 2] = scales.view(np.uint8)
    return Tensor(name, tensor.rows, tensor.inputs, blocks.tobytes())


@pytest.fixture(scope="session")
def tin(folder: Path) -> Callable[[str], Path]:
    """A tiny llama in one weight format, with its self-test."""

    def build(name: str) -> Path:
        sizes = {"hidden_size": 64, "intermediate_size": 96}
        if weight_format(name).block > 32:  # whole super-blocks of inputs
            sizes = {"hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 16}
        spec = tiny_spec(family.by_name("llama"), max_position_embeddings=512, **sizes)
        rng = np.random.default_rng(7)
        tensors = {role: in_format(tensor, name, rng) for role, tensor in spec.tensors.items()}
        path = folder / f"{name}.tin"
        compiler.build_tin(replace(spec, tensors=tensors), path)
        return path

    return cache(build)


@cache
def native(path: Path) -> str:
    model = _core.Model(map_file(path))
    vocab = model.info()["vocab"]
    return selftest.logits_digest(model, [(7 * k * k + 3 * k) % vocab for k in range(TOKENS)])


def check_digests(
    programs: Path, path: Path, processor: str, isa: str, options: Iterable[tuple[int, int]]
) -> None:
    """options: threads and chunk."""
    for threads, chunk in options:
        done = run(
            processor, programs / "digest", path, "--count", TOKENS, "--isa", isa,
            "--threads", threads, "--chunk", chunk,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{isa} {native(path)}\n", (processor, isa, threads, chunk)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_model_gives_the_digest_it_gives_here(
    programs: Path, tin: Callable[[str], Path], processor: str
) -> None:
    best = SETS[PROCESSORS[processor] - 1]
    check_digests(programs, tin("Q4_0"), processor, best, [(1, 7), (3, 7)])
    check_digests(programs, tin("Q8_0"), processor, best, [(2, 1), (2, 64)])
    done = run(processor, programs / "digest", tin("Q4_0"), "--selftest")
    assert done.returncode == 0, done.stderr
    assert "selftest ok" in done.stdout


@pytest.mark.parametrize("format", ["Q8_0", "F16"])
@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_model_with_an_adapter_gives_the_digest_it_gives_here(
    programs: Path, tin: Callable[[str], Path], folder: Path, processor: str, format: str
) -> None:
    best = SETS[PROCESSORS[processor] - 1]
    for name in ("F16", "Q4_0"):
        path = random_adapter(tin(name), folder / f"{name}-{format}.adapter", format)
        wanted = f"{best} {adapted_digest(tin(name), path)}\n"
        for options in (["--threads", 3, "--chunk", 7], ["--chunk", 1, "--slices"]):
            given = ["--count", TOKENS, "--isa", best, "--adapter", path, *options]
            done = run(processor, programs / "digest", tin(name), *given)
            assert done.stdout == wanted, done.stderr


def adapted_digest(path: Path, adapter: Path) -> str:
    """That of this machine, as digest.c scales it."""
    model = _core.Model(map_file(path))
    vocab = model.info()["vocab"]
    opened = _core.Adapter(model, map_file(adapter))
    session = _core.Session(model, logit_rows=64, adapter_rank=opened.info()["rank"])
    session.adapter(opened, 1.0 if opened.info()["prefix"] else 0.75)
    session.append([(7 * k * k + 3 * k) % vocab for k in range(TOKENS)])
    session.want_logits(0)
    digest = hashlib.sha256()
    while session.step() == _core.STEP_LOGITS:
        digest.update(session.logits()[1])
    return digest.hexdigest()


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_router_gives_the_scores_it_gives_here(
    programs: Path, tin: Callable[[str], Path], folder: Path, processor: str
) -> None:
    best = SETS[PROCESSORS[processor] - 1]
    for name in ("F16", "Q4_0"):  # heads that read floats, and those that read 8-bit activations
        model = _core.Model(map_file(tin(name)))
        session = _core.Session(model)
        session.append([(7 * k * k + 3 * k) % model.info()["vocab"] for k in range(TOKENS)])
        session.step()
        dim = len(session.state()) // 4
        weights = [((31 * k) % 97 - 48) / 97 for k in range(3 * dim)]
        path = folder / f"{name}.router"
        path.write_bytes(Router(("a", "b"), dim, weights, [0.1, 0.2, 0.3], [0.5, 0.5]).pack())
        scores = session.route(_core.Router(model, map_file(path)))[4]
        wanted = f"{best} {hashlib.sha256(scores).hexdigest()}\n"
        for options in (["--threads", 3, "--chunk", 7], ["--chunk", 1, "--slices"]):
            given = ["--count", TOKENS, "--isa", best, "--router", path, *options]
            done = run(processor, programs / "digest", tin(name), *given)
            assert done.stdout == wanted, done.stderr


@pytest.mark.parametrize("case", ["qwen35", "lfm2"])
@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_model_with_states_gives_the_digest_it_gives_here(
    programs: Path, folder: Path, processor: str, case: str
) -> None:
    path = folder / f"{case}.tin"
    if not path.exists():
        compiler.build_tin(tiny_spec(case), path)
    best = SETS[PROCESSORS[processor] - 1]
    check_digests(programs, path, processor, best, [(1, 7), (3, 7)])
    check_digests(programs, path, processor, best, [(2, 1)])


@pytest.mark.parametrize("case", ["gemma2", "qwen35", pytest.param("gemma4", marks=pytest.mark.slow)])
@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_model_behind_a_prefix_gives_the_digest_it_gives_here(
    programs: Path, folder: Path, processor: str, case: str
) -> None:
    path, prefix = folder / f"{case}.tin", folder / f"{case}.prefix"
    if not path.exists():
        compiler.build_tin(tiny_spec(case), path)
    prefix.write_bytes(random_prefix(path, 50))
    best = SETS[PROCESSORS[processor] - 1]
    wanted = f"{best} {adapted_digest(path, prefix)}\n"
    for options in (["--threads", 3, "--chunk", 7], ["--chunk", 1, "--slices"]):
        done = run(
            processor,
            programs / "digest",
            path,
            "--count",
            TOKENS,
            "--isa",
            best,
            "--adapter",
            prefix,
            *options,
        )
        assert done.stdout == wanted, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHT_FORMATS)
@pytest.mark.parametrize("processor", PROCESSORS)
def test_one_digest_for_every_set_thread_count_and_chunk(
    programs: Path, tin: Callable[[str], Path], processor: str, name: str
) -> None:
    """Each set on the first processor that has it, with each thread count and each chunk. Which of the two go
    together changes from one format to the next, so that each set sees each pair of them."""
    names, chunks = list(PROCESSORS), [1, 7, 64]
    first = names.index(processor)
    turn = list(WEIGHT_FORMATS).index(name) % 3
    for isa in SETS[PROCESSORS[names[first - 1]] if first else 0 : PROCESSORS[processor]]:
        options = zip([1, 2, 3], chunks[turn:] + chunks[:turn], strict=True)
        check_digests(programs, tin(name), processor, isa, options)


# Instruction words under a mask: fused multiply-adds of vectors, by element, of scalars; and a vector multiply.
FUSED = [(0xBF20FC00, 0x0E20CC00), (0xBF80B400, 0x0F801000), (0xFF80B400, 0x5F801000), (0xFF000000, 0x1F000000)]
MULTIPLY = (0xBF20FC00, 0x2E20DC00)


def words(path: Path) -> np.ndarray:
    """The instructions of an object file's executable sections."""
    data = path.read_bytes()
    (start,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQ", data, start + k * size) for k in range(count)]
    code = b"".join(data[s[4] : s[4] + s[5]] for s in sections if s[1] == 1 and s[2] & 4)
    return np.frombuffer(code, "<u4")


def uses(path: Path, patterns: Iterable[tuple[int, int]]) -> int:
    code = words(path)
    return sum(int(np.count_nonzero((code & mask) == word)) for mask, word in patterns)


def test_no_kernel_holds_a_fused_multiply_add(folder: Path) -> None:
    forms = {
        "vfmaq_f32(a, b, c)": "float32x4_t",
        "vfmsq_f32(a, b, c)": "float32x4_t",
        "vfmaq_laneq_f32(a, b, c, 3)": "float32x4_t",
        "vfmaq_f64(d, d, d)": "float64x2_t",
        "vfmas_laneq_f32(f, f, a, 2)": "float",
        "__builtin_fmaf(f, f, f)": "float",
    }
    arguments = "float32x4_t a, float32x4_t b, float32x4_t c, float64x2_t d, float f"
    lines = [f"{kind} f{k}({arguments}) {{ return {form}; }}" for k, (form, kind) in enumerate(forms.items())]
    source = folder / "fused.c"
    source.write_text("\n".join(["#include <arm_neon.h>", *lines, ""]))
    (fused,) = c_programs.objects_for(TARGET, [source], "-O2", "-Wno-unused-parameter")
    assert uses(fused, FUSED) == len(forms)
    objects = c_programs.objects_for(TARGET, core(), *FLAGS)
    for name in SETS:
        (kernels,) = (path for path in objects if path.name.endswith(f"-{name}.o"))
        assert uses(kernels, FUSED) == 0
        assert name == "scalar" or uses(kernels, [MULTIPLY]) > 0
