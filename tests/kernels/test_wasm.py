"""The C core as WebAssembly: the bytes of scalar, the digests of this machine, small, no relaxed SIMD."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kernels.kernel_library import implementations
from tests.models import c_programs
from tests.models.tiny_models import in_format, tiny_spec
from tinsmith import _core, compiler
from tinsmith.compiler import selftest
from tinsmith.formats.weights import WEIGHT_FORMATS, weight_format
from tinsmith.models import family
from tinsmith.system.files import map_file

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"
CORE = sorted(KERNELS.glob("core/*/*.c"))
SIMD = [*CORE, *sorted(KERNELS.glob("isa/scalar/*.c")), *sorted(KERNELS.glob("isa/wasmsimd/*.c"))]
EVERY = [*CORE, *sorted(KERNELS.glob("isa/*/*.c"))]
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{KERNELS}"]
SIMD128 = ["-mcpu=generic+simd128", "-O3", "-fvisibility=hidden"]
BARE = ["-target", "wasm32-freestanding", "-mcpu=generic+simd128", "-Os", "-fvisibility=hidden"]
LIBRARY = ["-DTIN_SHARED", "-DTIN_BUILDING", "-Wl,--no-entry", "-Wl,--export-dynamic", "-Wl,--strip-all"]
STRING_H = """#include <stddef.h>
void *memcpy(void *, const void *, size_t);
void *memmove(void *, const void *, size_t);
void *memset(void *, int, size_t);
int memcmp(const void *, const void *, size_t);
"""
TOKENS = 150

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("ziglang") and importlib.util.find_spec("wasmtime")),
    reason="ziglang or wasmtime is not installed; both are in the dev extra",
)


class Answer(NamedTuple):
    status: int
    stdout: str
    stderr: str


class Program:
    """A WASI program, compiled once; run in a folder that it sees as "." with arguments of its own."""

    def __init__(self, path: Path) -> None:
        import wasmtime

        config = wasmtime.Config()
        config.wasm_relaxed_simd = False  # a module that uses it is refused
        self.engine = wasmtime.Engine(config)
        self.module = wasmtime.Module(self.engine, path.read_bytes())
        self.linker = wasmtime.Linker(self.engine)
        self.linker.define_wasi()

    def __call__(self, folder: Path, *arguments: object) -> Answer:
        import wasmtime

        wasi = wasmtime.WasiConfig()
        wasi.argv = ["program", *map(str, arguments)]
        wasi.preopen_dir(str(folder), ".")
        out, err = folder / "stdout", folder / "stderr"
        wasi.stdout_file, wasi.stderr_file = str(out), str(err)
        store = wasmtime.Store(self.engine)
        store.set_wasi(wasi)
        start = self.linker.instantiate(store, self.module).exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)
        try:
            start(store)
            status = 0
        except wasmtime.ExitTrap as end:
            status = end.code
        return Answer(status, out.read_text(), err.read_text())


def wasi(output: Path, sources: list[Path], *flags: str) -> Program:
    return Program(c_programs.for_target("wasm32-wasi", output, sources, f"-I{KERNELS}", *flags))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wasm")


@pytest.fixture(scope="session")
def digest(folder: Path) -> Program:
    return wasi(folder / "digest.wasm", [HERE / "digest.c", *SIMD], *SIMD128)


@pytest.fixture(scope="session")
def tin(folder: Path) -> Callable[[str], Path]:
    """A tiny llama in one weight format, with its self-test, in `folder`."""
    llama = family.by_name("llama")
    spec = tiny_spec(llama, hidden_size=64, intermediate_size=96, max_position_embeddings=512)
    sizes = {"hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 16, "num_hidden_layers": 1}
    wide = tiny_spec(llama, max_position_embeddings=512, **sizes)  # for blocks of 256 inputs

    def build(name: str) -> Path:
        made = in_format(wide if weight_format(name).block > 32 else spec, name)
        compiler.build_tin(made, folder / f"{name}.tin")
        return folder / f"{name}.tin"

    return cache(build)


def native(path: Path) -> str:
    model = _core.Model(map_file(path))
    vocab = model.info()["vocab"]
    return selftest.logits_digest(model, [(7 * k * k + 3 * k) % vocab for k in range(TOKENS)])


def test_every_kernel_gives_the_bytes_of_the_scalar_one(folder: Path) -> None:
    check = wasi(folder / "check.wasm", [HERE / "kernel_check.c", *SIMD], *SIMD128)
    answer = check(folder)
    assert answer.status == 0, answer.stdout
    first, *lines = answer.stdout.splitlines()
    assert first == "sets scalar wasmsimd"
    passed = {line.split()[1] for line in lines if line.startswith("ok ") and line.split()[2] == "wasmsimd"}
    assert passed >= {impl.op for impl in implementations() if impl.isa == "wasmsimd"}
    assert len(passed) >= 12


@pytest.mark.parametrize("name", WEIGHT_FORMATS)
def test_a_model_gives_the_digest_it_gives_here(
    digest: Program, tin: Callable[[str], Path], folder: Path, name: str
) -> None:
    expected = native(tin(name))
    for arguments in (["--chunk", 1], ["--chunk", 7], ["--chunk", 64], ["--chunk", 64, "--slices"]):
        answer = digest(folder, f"{name}.tin", "--count", TOKENS, *arguments)
        assert answer.stdout == f"wasmsimd {expected}\n", answer.stderr
    answer = digest(folder, f"{name}.tin", "--count", TOKENS, "--isa", "scalar")
    assert answer.stdout == f"scalar {expected}\n", answer.stderr


@pytest.mark.parametrize("case", ["qwen35", "lfm2", pytest.param("gemma4", marks=pytest.mark.slow)])
def test_a_model_with_states_gives_the_digest_it_gives_here(digest: Program, folder: Path, case: str) -> None:
    compiler.build_tin(tiny_spec(case), folder / f"{case}.tin")
    expected = native(folder / f"{case}.tin")
    for arguments in (["--chunk", 1], ["--chunk", 64, "--slices"], ["--chunk", 7, "--isa", "scalar"]):
        answer = digest(folder, f"{case}.tin", "--count", TOKENS, *arguments)
        assert answer.stdout.split() == [arguments[-1] if "--isa" in arguments else "wasmsimd", expected]


def test_the_self_test_of_a_tin_passes_and_notices_a_wrong_digest(
    digest: Program, tin: Callable[[str], Path], folder: Path
) -> None:
    path = tin("Q8_0")
    answer = digest(folder, path.name, "--selftest")
    assert answer == (0, "selftest ok: 2 prompts on wasmsimd\n", "")
    image = path.read_bytes()
    _, second = selftest.read(_core.Model(map_file(path)).entry("selftest.bin"))
    wrong = bytes.fromhex(second[1])
    assert image.count(wrong) == 1
    (folder / "wrong.tin").write_bytes(image.replace(wrong, wrong[::-1]))
    answer = digest(folder, "wrong.tin", "--selftest")
    assert answer.status == 1
    assert f"prompt 1 on wasmsimd: {second[1]}" in answer.stderr


def test_the_program_refuses_what_it_can_not_do(
    digest: Program, tin: Callable[[str], Path], folder: Path
) -> None:
    name = tin("Q8_0").name
    for arguments, message in (
        (["--threads", 2], "no pool"),
        (["--isa", "avx2"], "no instruction set 'avx2'"),
        (["--tokens", "1,2,x"], "commas"),
        (["--tokens", "-1"], "not in the vocabulary"),
    ):
        answer = digest(folder, name, *arguments)
        assert answer.status == 2
        assert message in answer.stderr


@pytest.mark.slow
def test_the_library_is_small_and_needs_four_functions_of_libc(folder: Path) -> None:
    """For a bare engine: nothing is imported, tin.h's functions are exported, and one of them runs."""
    import wasmtime

    (folder / "bare").mkdir()
    (folder / "bare" / "string.h").write_text(STRING_H)
    path = folder / "bare.wasm"
    command = [sys.executable, "-m", "ziglang", "cc", *STRICT, *BARE, "-isystem", folder / "bare", *LIBRARY]
    done = subprocess.run([*command, "-o", path, *SIMD], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(f"libtin as WebAssembly: {path.stat().st_size} bytes")
    assert path.stat().st_size <= 434_000  # of it the image of the self-test 3,000

    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, path.read_bytes())
    assert [item.name for item in module.imports] == []
    exports = wasmtime.Instance(store, module, []).exports(store)
    header = (KERNELS / "include" / "tin.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"^TIN_API [^()]*?(tin_\w+)\(", header, flags=re.M))
    missing = {name for name in declared if name not in exports}
    assert {name for name in missing if not name.startswith("tin_pool_")} == set()
    assert len(declared - missing) > 15
    check = exports["tin_selfcheck"]
    assert isinstance(check, wasmtime.Func)
    assert check(store, 0) == 0


@pytest.mark.slow
def test_a_build_without_simd_has_the_scalar_set_and_the_same_digest(
    tin: Callable[[str], Path], folder: Path
) -> None:
    """All sources, as a build system that takes every file would give them."""
    plain = wasi(folder / "plain.wasm", [HERE / "digest.c", *EVERY], "-mcpu=mvp", "-O2")
    for name in ("F16", "Q4_0"):
        answer = plain(folder, tin(name).name, "--count", TOKENS)
        assert answer.stdout == f"scalar {native(tin(name))}\n", answer.stderr
