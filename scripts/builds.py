"""The C core as others may build it, each build put through the checks of tests/kernels: the kernels of every
instruction set, self-tests of tiny models, damaged files, the fuzzers' corpora. scripts/builds calls it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNELS, TESTS = ROOT / "kernels", ROOT / "tests" / "kernels"
sys.path.insert(0, str(ROOT))

INCLUDES = (f"-I{KERNELS}", f"-I{KERNELS}/include")
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-D_GNU_SOURCE", *INCLUDES)
SCALAR = "-DTIN_SCALAR_ONLY"
FUZZERS = ("file", "text", "restore", "chat", "constraint", "seal", "image", "vision")
DAMAGES = ("loaders", "corpora")
EVERYTHING = ("kernels", "selftests", "blocks", "images", *DAMAGES)
ENDIAN = "tinsmith runs on little-endian machines"
EXCESS = "tinsmith needs float arithmetic without excess precision"

MEMORY = ("-g", "-O1", "-fsanitize=memory", "-fsanitize-memory-track-origins", "-fno-sanitize-recover=all")
# Of the scalar kernels: the constants of vector ones are bits. Not unsigned-shift-base: a shift that drops bits
# is how codes and hashes are taken apart.
INTEGER = ("-g", "-O1", "-fsanitize=undefined,float-cast-overflow,local-bounds,implicit-conversion")
INTEGER += ("-fsanitize=signed-integer-overflow,unsigned-integer-overflow", "-fno-sanitize-recover=all")
INTEGER += (f"-fsanitize-ignorelist={TESTS / 'wraparound.txt'}",)
SSE = ("-m32", "-msse2", "-mfpmath=sse", "-Wno-psabi", "-O2")


@dataclass(frozen=True)
class Build:
    """compiler: a program, or zig's name of a machine. emulator: runs the programs. checks: of EVERYTHING.
    sets: the instruction sets to check, where not all. refusal: what the compiler must say instead of building.
    brief: whether tests/kernels/test_builds.py makes it, too."""

    compiler: str
    flags: tuple[str, ...]
    emulator: str = ""
    checks: tuple[str, ...] = EVERYTHING
    sets: tuple[str, ...] = ()
    refusal: str = ""
    brief: bool = False

    @property
    def zig(self) -> bool:
        return self.compiler.count("-") == 2 and not shutil.which(self.compiler)


def _levels(compiler: str) -> dict[str, Build]:
    checks = ("kernels", "selftests", "blocks", "images")
    return {f"{compiler}-{level}": Build(compiler, (f"-{level}",), checks=checks) for level in ("O0", "O3")}


BUILDS = {
    # MemorySanitizer takes each lane that a mask of AVX-512 leaves out for one that was used.
    "msan": Build("clang-19", (*MEMORY, SCALAR), brief=True),
    "msan-avx2": Build("clang-19", MEMORY, checks=("kernels", "selftests"), sets=("avx2", "avxvnni")),
    "integers": Build("clang-19", (*INTEGER, SCALAR), brief=True),
    "i686": Build("x86-linux-musl", ("-O2",), brief=True),
    "i686-gcc": Build("gcc-14", SSE),
    "i686-x87": Build("gcc-14", ("-m32", "-mno-sse", "-mfpmath=387"), refusal=EXCESS),
    "arm32": Build("arm-linux-musleabihf", ("-O2",), "qemu-arm", brief=True),
    "s390x": Build("s390x-linux-musl", ("-O2",), refusal=ENDIAN, brief=True),
    "musl": Build("x86_64-linux-musl", ("-O2",), brief=True),
    **_levels("gcc-12"),
    **_levels("gcc-14"),
    **_levels("clang-14"),
    **_levels("clang-19"),
}
PYTHONS = {f"cpython-{version}": f"python{version}" for version in ("3.11", "3.13", "3.13t")}


class Failed(Exception):
    """What went wrong, with the end of what the program said."""


def lacking(name: str) -> str:
    """Which tool this machine lacks for a build; "" where it has them all."""
    if name in PYTHONS:
        return "" if _runs(PYTHONS[name]) else f"{PYTHONS[name]} is not installed"
    build = BUILDS[name]
    if build.zig and not importlib.util.find_spec("ziglang"):
        return "ziglang is not installed"
    for program in [] if build.zig else [build.compiler]:
        if not shutil.which(program):
            return f"{program} is not installed"
    if build.emulator and not shutil.which(build.emulator):
        return f"{build.emulator} is not installed (Debian: qemu-user)"
    if not build.refusal and "-m32" in build.flags and not _compiles(build):
        return f"{build.compiler} has no 32-bit C library (Debian: {build.compiler}-multilib)"
    if "-fsanitize=memory" in build.flags and not _compiles(build):
        return f"{build.compiler} has no MemorySanitizer (Debian: libclang-rt-19-dev)"
    return ""


def _runs(python: str) -> bool:
    if not shutil.which(python):
        return False
    return subprocess.run([python, "-c", "import venv"], capture_output=True).returncode == 0


def _compiles(build: Build) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        command = [*_command(build), "-x", "c", "-", "-o", f"{folder}/empty"]
        done = subprocess.run(command, input=b"int main(void) { return 0; }\n", capture_output=True)
        return done.returncode == 0


def _command(build: Build) -> list[str]:
    compiler = [build.compiler]
    if build.zig:
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", build.compiler]
    return [*compiler, *STRICT, *build.flags]


def check(name: str, folder: Path, brief: bool = False) -> dict[str, object]:
    """Makes a build and checks it. folder: an empty one for what that takes. brief: fewer damages and models.
    Raises Failed."""
    began = time.monotonic()
    if name in PYTHONS:
        figures = _check_python(PYTHONS[name], folder)
    elif BUILDS[name].refusal:
        figures = {"refused": _refused(BUILDS[name])}
    else:
        figures = Checks(BUILDS[name], folder, brief).all()
    return {"build": name, **figures, "seconds": round(time.monotonic() - began)}


def _refused(build: Build) -> str:
    command = [*_command(build), "-c", str(KERNELS / "tin_all.c"), "-o", os.devnull]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0 or build.refusal not in done.stderr:
        raise Failed(f"should be refused with {build.refusal!r}, but:\n{done.stderr[-3000:]}")
    return build.refusal


class Checks:
    """The programs of one build, and what they say."""

    def __init__(self, build: Build, folder: Path, brief: bool) -> None:
        self.build, self.folder, self.brief = build, folder, brief
        self.figures: Counter[str] = Counter()
        self.core = folder / "core.o"
        self._compile(["-c", str(KERNELS / "tin_all.c"), "-o", str(self.core)])

    def all(self) -> dict[str, object]:
        self.sets = self._sets()
        for name in self.build.checks:
            getattr(self, f"_check_{name}")()
        return {"sets": self.sets, **self.figures}

    def _compile(self, arguments: Sequence[str]) -> None:
        done = subprocess.run([*_command(self.build), *arguments], capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"does not compile:\n{done.stderr[-4000:]}")

    def _program(self, name: str, *others: str) -> Path:
        program = self.folder / name
        if not program.exists():
            sources = [str(TESTS / f"{source}.c") for source in (name, *others)]
            libraries = ["-lm"] if not self.build.zig else []
            self._compile([*sources, str(self.core), "-o", str(program), "-pthread", *libraries])
        return program

    def _run(self, program: Path, *arguments: object, base: Path | None = None) -> str:
        command = [self.build.emulator] if self.build.emulator else []
        command += [str(program), *map(str, arguments)]
        more = {} if base is None else {"TIN_BASE": str(base)}
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | more)
        if done.returncode or "runtime error" in done.stderr:
            said = f"{done.stdout[-1000:]}{done.stderr[:6000]}"
            raise Failed(f"{' '.join(command)}: status {done.returncode}\n{said}")
        return done.stdout

    def _sets(self) -> list[str]:
        """Those that this build and processor have, of those that are to be checked."""
        has = self._run(self._program("kernel_check"), "scalar").splitlines()[0].split()[1:]
        wanted = [one for one in has if not self.build.sets or one in self.build.sets]
        if not wanted:
            raise Failed(f"has none of {', '.join(self.build.sets)}, but {', '.join(has)}")
        return wanted

    def _check_kernels(self) -> None:
        """Each kernel of each set against the scalar one, which itself has the self-tests."""
        if vectors := [one for one in self.sets if one != "scalar"]:
            said = self._run(self._program("kernel_check"), *vectors)
            self.figures["kernels"] += said.count("ok ")

    def _check_selftests(self) -> None:
        """The digests that this machine's library wrote into tiny models."""
        digest = self._program("digest")
        for tin in tins(self.brief):
            for isa in self.sets:
                for options in ([], ["--threads", 3, "--chunk", 7], ["--slices"]):
                    said = self._run(digest, tin, "--selftest", "--isa", isa, *options)
                    if "selftest ok" not in said:
                        raise Failed(f"{tin.name} on {isa}: {said}")
                    self.figures["selftests"] += 1

    def _check_blocks(self) -> None:
        """Every block of memory that is too small, misaligned or missing."""
        said = self._run(self._program("memory_check"), small(), "blocks")
        if said != "all refused\n":
            raise Failed(f"memory_check: {said}")

    def _check_images(self) -> None:
        """The pixels of odd images as this machine's compiler has them."""
        files = images(6 if self.brief else 2)
        pairs = zip(self._run(self._program("image_digest"), *files).splitlines(), pixels(files), strict=True)
        for file, (ours, wanted) in zip(files, pairs, strict=True):
            # How much memory reading takes is told with the refusal, and is less where pointers are smaller.
            if re.sub(r"takes \d+", "takes", ours) != re.sub(r"takes \d+", "takes", wanted):
                raise Failed(f"image_digest of {file.name}: {ours}, but here {wanted}")
        self.figures["images"] += len(files)

    def _check_loaders(self) -> None:
        """Damaged tins, adapters, prefixes and routers."""
        from tests.models.random_adapters import random_adapter, random_prefix

        tin, loader = small(), self._program("loader_fuzz")
        given = [(loader, tin, 200 if self.brief else 3000)]
        if not self.brief:
            adapters = self._program("adapter_fuzz")
            given += [(loader, small(one), 500) for one in ("lfm2", "qwen35_moe")]
            given.append((adapters, tin, random_adapter(tin, self.folder / "random.adapter")))
            (self.folder / "random.prefix").write_bytes(random_prefix(tin, 2))
            given.append((adapters, tin, self.folder / "random.prefix"))
            given.append((self._program("router_fuzz"), tin, router(tin, self.folder / "router.bin")))
        for program, *arguments in given:
            refused, worked = map(int, self._run(program, *arguments).split())
            self.figures["refused"] += refused
            self.figures["worked"] += worked

    def _check_corpora(self) -> None:
        """The inputs that the fuzzers found worth keeping, here and by scripts/fuzz."""
        for name in FUZZERS:
            base = with_vision() if name == "vision" else small()
            program = self._program(f"{name}_fuzz", "corpus_main")
            folders = [TESTS / "corpus" / name]
            found = ROOT / "build" / "fuzz" / "corpus" / name
            if found.is_dir() and not self.brief:
                folders.append(found)
            self.figures["inputs"] += int(self._run(program, *folders, base=base))


# ---- What all builds are checked with, made once by this machine's library ----


def _made(name: str, make: Callable[[Path], object]) -> Path:
    from tests.models import c_programs
    from tests.models.kept import digest, kept

    sources = sorted([*ROOT.glob("src/tinsmith/**/*.py"), *KERNELS.rglob("*.[ch]"), Path(c_programs.__file__)])
    return kept(name, [digest(*sources)], make)


def small(family: str = "llama") -> Path:
    from tests.kernels import safety

    def make(folder: Path) -> None:
        folder.mkdir()
        safety.small_tin(folder / "small.tin", "Q8_0" if family != "llama" else "Q4_0", family)

    return _made(f"small-{family}", make) / "small.tin"


def with_vision() -> Path:
    from tests.kernels import safety

    return _made("vision.tin", safety.vision_tin)


def by_name(case: str) -> Path:
    from tests.models.tiny_models import tiny_spec

    from tinsmith import compiler

    return _made(f"{case}.tin", lambda path: compiler.build_tin(tiny_spec(case), path))


def tins(brief: bool) -> list[Path]:
    """Models of every kind of op and of every weight format."""
    from tests.kernels import safety
    from tests.models.tiny_models import cases

    from tinsmith.formats.weights import WEIGHT_FORMATS

    if brief:
        return [small(), with_vision(), *map(by_name, ("gemma4", "qwen35", "lfm2_moe"))]
    formats = [
        _made(f"{name}.tin", lambda path, name=name: safety.format_tin(path, name)) for name in WEIGHT_FORMATS
    ]
    return [small(), with_vision(), *map(by_name, cases()), *formats]


def router(tin: Path, path: Path) -> Path:
    from tinsmith import _core
    from tinsmith.formats.router import Router
    from tinsmith.system.files import map_file

    dim = _core.Model(map_file(tin)).info()["dim"]
    path.write_bytes(Router(("a", "b"), dim, [0.01] * 3 * dim, [0.0] * 3, [0.5] * 2).pack())
    return path


def images(step: int) -> list[Path]:
    """One in `step` of the odd images, and of those that are refused."""
    from tests.kernels.odd_images import images as odd
    from tests.kernels.odd_images import refused

    def make(folder: Path) -> None:
        folder.mkdir()
        for k, data in enumerate([*(data for _, data in odd()), *(data for _, data, _ in refused())]):
            (folder / f"{k:03}").write_bytes(data)

    return sorted(_made("images", make).iterdir())[::step]


def pixels(files: Sequence[Path]) -> list[str]:
    from tests.models import c_programs

    with tempfile.TemporaryDirectory() as folder:
        sources = [TESTS / "image_digest.c", KERNELS / "tin_all.c"]
        program = c_programs.program(Path(folder) / "here", sources, *c_programs.TOOL)
        return subprocess.run([program, *files], capture_output=True, text=True, check=True).stdout.splitlines()


# ---- Pythons ----

# Of the Python side, by tests that need neither torch nor a peer.
PYTHON_TESTS = [f"tests/runtime/test_{name}.py" for name in (
    "session_machine", "sessions", "fork", "generation", "interleaving", "receipt", "families_bits", "memory"
)]  # fmt: skip
PYTHON_TESTS += [f"tests/formats/test_{name}.py" for name in ("tin", "minisign", "tampering", "gguf")]
PYTHON_NEEDS = ("numpy", "pytest>=8.4", "pytest-xdist>=3", "hypothesis>=6", "jinja2>=3.1")


def _check_python(python: str, folder: Path) -> dict[str, object]:
    """A wheel of this tree in an environment of its own, and the tests with it."""

    def run(*command: object) -> str:
        done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        return done.stdout

    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    made = folder / "python" / "bin" / "python"
    run(sys.executable, *pip, "wheel", "--no-build-isolation", "--no-deps", "-C", f"build-dir={folder}/build",
        "-w", folder / "wheel", ROOT)  # fmt: skip
    (wheel,) = (folder / "wheel").iterdir()
    run(python, "-m", "venv", folder / "python")
    run(made, *pip, "install", wheel, *PYTHON_NEEDS)
    said = run(made, "-m", "pytest", "-q", *PYTHON_TESTS)
    return {"wheel": wheel.name, "tests": int(re.findall(r"(\d+) passed", said)[-1])}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/builds", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a build; without one, all whose tools are here"
    )
    parser.add_argument("--brief", action="store_true", help="fewer models and damages, as in CI")
    parser.add_argument("--list", action="store_true", help="the builds, and which tools are not here")
    given = parser.parse_args()
    known = [*BUILDS, *PYTHONS]
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"unknown build {unknown[0]}; there are {', '.join(known)}")
    if given.list:
        for name in known:
            print(f"{name:14} {lacking(name)}".rstrip())
        return 0
    failed = False
    for name in given.names or known:
        if reason := lacking(name):
            print(json.dumps({"build": name, "skipped": reason}), flush=True)
            failed |= bool(given.names)
            continue
        try:
            with tempfile.TemporaryDirectory() as folder:
                print(json.dumps(check(name, Path(folder), given.brief)), flush=True)
        except Failed as error:
            failed = True
            print(json.dumps({"build": name, "failed": str(error).splitlines()[0]}), flush=True)
            print(error, file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
