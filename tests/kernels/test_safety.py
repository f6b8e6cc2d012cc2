"""libtin allocates nothing after creation, stays within the memory it tells, and refuses what it can't use."""

from __future__ import annotations

import gc
import mmap
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kernels import safety
from tests.models import c_programs
from tests.models.kept import kept
from tests.models.tiny_models import HALVES
from tinsmith import _core, compiler, quant
from tinsmith.errors import RuntimeFault
from tinsmith.models import load

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and closes system calls")
CC = os.environ.get("CC", "cc")
# digest.c keeps its blocks until it ends; the fuzzers, which give theirs back, run with leak detection.
SANITIZED = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safety")


@pytest.fixture(scope="module")
def parts() -> list[Path]:
    """The C core as one file, as engines take it."""
    return [c_programs.core()]


@pytest.fixture(scope="module")
def tin(folder: Path) -> Path:
    return safety.small_tin(folder / "small.tin")


@pytest.fixture(scope="module")
def alloc_check(folder: Path, parts: list[Path]) -> Path:
    return safety.link(CC, folder / "alloc_check", "alloc_check.c", parts, "-O2")


@LINUX
@pytest.mark.parametrize("threads", ["1", "3"])
def test_nothing_allocates_after_creation(alloc_check: Path, tin: Path, threads: str) -> None:
    """Neither the allocator nor the kernel is asked for memory, a file or a thread, whatever is called."""
    done = subprocess.run([alloc_check, tin, threads], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    words = done.stdout.split()
    counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert counts["moves"] > 2000
    assert min(counts["pending"], counts["logits"], counts["tokens"], counts["done"], counts["ended"]) > 50
    assert counts["kernel"] == 1


@LINUX
@pytest.mark.parametrize(
    ("threads", "plant", "seen"), [("1", "malloc", "malloc"), ("1", "mmap", "mmap"), ("3", "job", "malloc")]
)
def test_an_allocation_would_be_seen(alloc_check: Path, tin: Path, threads: str, plant: str, seen: str) -> None:
    done = subprocess.run([alloc_check, tin, threads, plant], capture_output=True, text=True)
    assert (done.returncode, done.stderr.split()[:1]) == (70, [seen])


@pytest.fixture(scope="module")
def memory_check(folder: Path, parts: list[Path]) -> Path:
    return safety.link(CC, folder / "memory_check", "memory_check.c", parts, "-O2")


def check_memory(program: Path, tin: Path) -> None:
    done = subprocess.run([program, tin], capture_output=True, text=True, check=True)
    peak, file, block, size, weights, bound = map(int, done.stdout.split())
    print(f"peak {peak}, file {file}, block {block} of {size}, weights {weights}, bound {bound}")
    assert file > 0
    assert 0 < block <= (size + 4095) // 4096 * 4096
    assert file + block < peak <= bound


@LINUX
def test_memory_is_what_was_told(memory_check: Path, tin: Path) -> None:
    """Peak resident bytes <= weights + caches + arena + 5.1 MiB for all else in the process."""
    check_memory(memory_check, tin)


@LINUX
@pytest.mark.slow
def test_memory_of_the_base_model_is_what_was_told(memory_check: Path, folder: Path, base_gguf: Path) -> None:
    tin = folder / "base.tin"
    compiler.build_tin(quant.apply(load(base_gguf), "Q4_0"), tin)
    check_memory(memory_check, tin)


@LINUX
def test_bad_blocks_are_refused(memory_check: Path, tin: Path) -> None:
    """One byte too few, one byte out of line, NULL: for all that takes memory. Texts over the limit, too."""
    done = subprocess.run([memory_check, tin, "blocks"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "all refused\n")


FAILING = """
import mmap, sys, _testcapi
from tinsmith import _core
with open(sys.argv[1], "rb") as file:
    image = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
def use():
    model = _core.Model(image)
    first, second = _core.Session(model, batched=True), _core.Session(model, threads=2)
    batch = _core.Batch(model)
    batch.add(first)
    ids = model.tokenize("hello there") + model.chat([(1, b"hello")])
    first.append(ids)
    second.append(ids)
    batch.step()
    second.step()
    second.restore(second.save())
    return second.tokens()
expected, failed = use(), 0
for start in range(4000):
    _testcapi.set_nomemory(start, start + 1)
    try:
        result = use()
    except MemoryError:
        failed += 1
        result = None
    finally:
        _testcapi.remove_mem_hooks()
    assert result in (None, expected)
    if result and start > failed + 20:
        break
print(failed)
"""


def test_the_extension_survives_each_failing_allocation(tin: Path) -> None:
    """Each of Python's allocations fails once: MemoryError, and no crash."""
    pytest.importorskip("_testcapi")
    done = subprocess.run([sys.executable, "-c", FAILING, tin], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 10


@pytest.fixture
def model(tin: Path) -> _core.Model:
    with tin.open("rb") as file:
        return _core.Model(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def test_logits_end_with_their_batch(model: _core.Model) -> None:
    """They lie in the batch's memory, which the next pass writes anew and the batch's end gives back."""
    first, second = _core.Session(model, batched=True), _core.Session(model, batched=True)
    batch = _core.Batch(model, rows=8)
    batch.add(first)
    batch.add(second)
    first.append([1, 2, 3])
    second.append([4, 5])
    assert batch.step() == [_core.STEP_LOGITS] * 2
    assert first.logits()[0] == 2
    first.append([7])
    batch.step()
    with pytest.raises(RuntimeFault):
        second.logits()
    with pytest.raises(RuntimeFault):
        second.generate(3)
    assert first.logits()[0] == 3
    del batch
    gc.collect()
    with pytest.raises(RuntimeFault):
        first.sample()


def test_a_generation_outlives_the_batch_whose_logits_it_begins_with(model: _core.Model) -> None:
    alone = _core.Session(model)
    alone.append([1, 2, 3])
    alone.step()
    first = alone.sample()
    session, batch = _core.Session(model, batched=True), _core.Batch(model, rows=8)
    session.append([1, 2, 3])
    batch.add(session)
    assert batch.step() == [_core.STEP_LOGITS]
    session.generate(3)
    del batch
    gc.collect()
    other = _core.Batch(model, rows=8)
    other.add(session)
    assert other.step() == [_core.STEP_TOKEN]
    assert session.token() == first


def test_a_message_about_damage_is_ascii(tin: Path) -> None:
    """A damaged name is quoted, and its bytes need not be UTF-8."""
    data = bytearray(tin.read_bytes())
    at = data.index(b"smollm\0")
    data[at : at + 3] = b"\xff\n\xfe"
    image = mmap.mmap(-1, len(data))
    image[:] = bytes(data)
    with pytest.raises(RuntimeFault, match=r"\?\?\?llm"):
        _core.Model(image)


@pytest.fixture(scope="module")
def sanitized() -> list[Path]:
    return safety.sanitized()


@pytest.fixture(scope="module")
def sanitized_digest(folder: Path, sanitized: list[Path]) -> Path:
    return safety.link(safety.clang(), folder / "digest", "digest.c", sanitized, *safety.SANITIZE)


@pytest.fixture(scope="module")
def sanitized_memory(folder: Path, sanitized: list[Path]) -> Path:
    return safety.link(safety.clang(), folder / "memory", "memory_check.c", sanitized, *safety.SANITIZE)


def run_sanitized(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=SANITIZED, timeout=400)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "runtime error" not in done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_kernel_under_sanitizers(folder: Path, sanitized: list[Path]) -> None:
    program = safety.link(safety.clang(), folder / "kernels", "kernel_check.c", sanitized, *safety.SANITIZE)
    assert run_sanitized(program).count("\n") > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", *HALVES])
def test_every_format_under_sanitizers(folder: Path, sanitized_digest: Path, name: str) -> None:
    """The digest program on one and three threads, whole and in slices."""
    program = sanitized_digest
    tin = safety.format_tin(folder / f"{name}.tin", name)
    want = run_sanitized(program, tin, "--count", "60")
    for more in (["--threads", "3"], ["--slices"], ["--chunk", "7", "--threads", "3"]):
        assert run_sanitized(program, tin, "--count", "60", *more) == want


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["Q4_0", "F16"])
def test_sessions_under_sanitizers(folder: Path, sanitized_memory: Path, preset: str) -> None:
    """What memory_check refuses, and its session of 250 tokens."""
    program = sanitized_memory
    tin = safety.small_tin(folder / f"{preset}.tin", preset)
    assert run_sanitized(program, tin)
    assert run_sanitized(program, tin, "blocks") == "all refused\n"


@pytest.mark.slow
def test_clang_tidy_finds_nothing() -> None:
    """With the checks of .clang-tidy, over the core, the scalar kernels and the packing, and their headers. A
    source is not checked again while it and what it includes are as they were."""
    tidy = shutil.which("clang-tidy-19")
    if tidy is None:
        pytest.skip("clang-tidy-19 is not installed")
    sources = [
        path
        for folder in ("core/*", "pack", "train", "writer", "isa/scalar")
        for path in sorted(safety.KERNELS.glob(f"{folder}/*.c"))
    ]
    flags = [f"--config-file={safety.KERNELS.parent / '.clang-tidy'}", "--quiet"]
    checks = [c_programs.version(tidy), (safety.KERNELS.parent / ".clang-tidy").read_text()]
    reading = [safety.clang(), "-std=c11", f"-I{safety.KERNELS}"]

    def check(source: Path) -> None:
        def make(path: Path) -> None:
            done = subprocess.run([tidy, *flags, source, "--", *reading[1:]], capture_output=True, text=True)
            assert done.returncode == 0, done.stdout[-6000:]
            path.write_text(done.stdout)

        kept(f"{source.stem}.tidy", [*checks, c_programs.read_by(reading, f'#include "{source}"')], make)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check, sources))
