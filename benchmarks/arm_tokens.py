"""Instructions a token on ARM64 cores, beside llama.cpp's own ARM build, counted by one emulator: prints JSON.

    python benchmarks/arm_tokens.py FOLDER --kernel VMLINUZ --llama LLAMA_CPP [--formats q4_0,q8_0]
        [--cores cortex-a76] [--prompt 32] [--generate 2] [--work DIR]

FOLDER    of `tinsmith build smollm2-135m-instruct --format q4_0 q8_0 --out FOLDER`: a tin and a GGUF file of
          the same weights
VMLINUZ   of Debian's linux-image-cloud-arm64
LLAMA_CPP llama.cpp's source: vendor/llama.cpp in llama-cpp-python's source distribution. Of its models llama
          alone is compiled.

benchmarks/arm_tokens.c is built with each engine by the same zig cc for the core, and runs on one thread as the
first program of a machine of qemu-system-aarch64 with -icount shift=0, where an instruction takes a nanosecond
of the guest's clock. The interrupts of the guest's kernel are counted too: less than a hundredth. A row a line:
core, engine, format, and millions of instructions a token of a prompt and a further token. They are no cycles:
benchmarks/arm_mca.py has those of the loops. What is compiled is kept in DIR (default: build/arm-tokens).

Cortex-A78AE (Jetson Orin) has Cortex-A76's instructions, so its counts are these; `i8mm` is what qemu calls
max, without SVE. Needs llvm-nm and qemu-system-aarch64.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tinsmith.cross import library
from tinsmith.cross.zig import Machine

ROOT = Path(__file__).resolve().parents[1]
TRIPLE = "aarch64-linux-musl"
CORES = {  # zig's processor for both engines, and qemu's
    "cortex-a72": ("cortex_a72", "cortex-a72"),
    "cortex-a76": ("cortex_a76", "cortex-a76"),
    "i8mm": ("cortex_a76+i8mm", "max,pauth=off,sve=off,sme=off"),
}
PLACES = ("include", "src", "ggml/include", "ggml/src", "ggml/src/ggml-cpu")
DEFINES = ("_GNU_SOURCE", "NDEBUG", "GGML_USE_CPU", "GGML_USE_CPU_REPACK", "GGML_USE_LLAMAFILE")


def zig(tool: str, *words: object) -> None:
    command = [sys.executable, "-m", "ziglang", tool, "-target", TRIPLE, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: zig {tool} {words[-1]}\n{done.stderr[-2000:]}")


def compiled(source: Path, made: Path, *flags: str) -> Path:
    if not made.exists():
        tool, standard = ("c++", "c++17") if source.suffix == ".cpp" else ("cc", "gnu11")
        partial = made.with_suffix(".part.o")
        options = (f"-std={standard}", "-w", "-fno-sanitize=all", *(f"-D{name}" for name in DEFINES))
        zig(tool, *options, *flags, "-c", source, "-o", partial)
        partial.rename(made)
    return made


def llama_objects(llama: Path, cpu: str, work: Path) -> list[Path]:
    """ggml's CPU backend for the processor as llama.cpp's CMakeLists.txt has it, with its repacked weights and
    llamafile's products; of what is not in the way of a token, less is optimized."""
    versions = work / "versions"
    versions.mkdir(exist_ok=True)
    for name in ("ggml", "llama"):
        text = f'#define {name.upper()}_VERSION "0"\n#define {name.upper()}_COMMIT "0"\n'
        (versions / f"{name}-version.h").write_text(text)
    places = [f"-I{versions}", *(f"-I{llama / place}" for place in PLACES)]
    ggml, cpu_folder = llama / "ggml/src", llama / "ggml/src/ggml-cpu"
    backend = [
        p for folder in ("", "arch/arm", "llamafile", "tiled") for p in (cpu_folder / folder).glob("*.c*")
    ]
    backend = [p for p in backend if p.suffix in (".c", ".cpp") and p.name != "cpu-feats.cpp"]
    common = [p for p in ggml.glob("*.c*") if p.suffix in (".c", ".cpp")]
    rest = [*(llama / "src").glob("*.cpp"), llama / "src/models/llama.cpp"]

    def made(source: Path, tag: str = "") -> Path:
        return work / ("_".join((tag, *source.relative_to(llama).parts)) + ".o")

    return [
        *(compiled(p, made(p, cpu), "-O3", f"-mcpu={cpu}", *places) for p in sorted(backend)),
        *(compiled(p, made(p), "-O3", *places) for p in sorted(common)),
        *(compiled(p, made(p), "-O1", *places) for p in sorted(rest)),
    ]


def other_models(objects: list[Path], work: Path) -> Path:
    """Names of the models that are not compiled, which none may call."""
    listed = subprocess.run(["llvm-nm", *objects], capture_output=True, text=True, check=True).stdout
    names: dict[bool, set[str]] = {False: set(), True: set()}
    for kind, name in re.findall(r"^[0-9a-f ]* ([A-Za-z]) (\S+)$", listed, re.MULTILINE):
        names[kind == "U"].add(name)
    missing = sorted(name for name in names[True] - names[False] if "llama_model_" in name)
    path = work / "other_models.s"
    path.write_text("".join(f".globl {name}\n{name}:\n" for name in missing) + "brk #1\n")
    return path


def program(engine: str, cpu: str, llama: Path, work: Path) -> Path:
    made = work / f"{engine}-{cpu}"
    source = Path(__file__).with_suffix(".c")
    if engine == "tinsmith":
        (built,) = library.static(Machine(TRIPLE, cpu))
        zig("cc", "-O2", "-s", "-static", f"-I{ROOT / 'kernels/include'}", source, built, "-o", made)
        return made
    objects = llama_objects(llama, cpu, work)
    places = [f"-I{llama / place}" for place in PLACES]
    driver = compiled(source, work / "driver.o", "-O2", "-DLLAMA", *places)
    zig("c++", "-O2", "-s", "-static", driver, *objects, other_models(objects, work), "-o", made)
    return made


def archive(files: dict[str, bytes]) -> bytes:
    """An initial file system (cpio's newc) with a console."""
    entries = [("dev", 0o40755, b"", 0), ("dev/console", 0o20600, b"", 5)]
    entries += [(name, 0o100755, data, 0) for name, data in files.items()]
    whole = bytearray()
    for number, (name, mode, data, major) in enumerate([*entries, ("TRAILER!!!", 0, b"", 0)], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, major, 1 if major else 0, len(name) + 1, 0)
        whole += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        whole += bytes(-len(whole) % 4) + data
        whole += bytes(-len(whole) % 4)
    return bytes(whole)


def count(init: Path, model: Path, core: str, options: argparse.Namespace) -> dict[str, Any]:
    initial = options.work / "initial.cpio"
    initial.write_bytes(archive({"init": init.read_bytes(), "model": model.read_bytes()}))
    said = f"console=ttyAMA0 quiet panic=-1 -- /model {options.prompt} {options.generate}"
    machine = ["-M", "virt", "-cpu", CORES[core][1], "-m", "1536", "-nographic", "-no-reboot", "-net", "none"]
    files = ["-kernel", options.kernel, "-initrd", initial, "-append", said]
    command = ["qemu-system-aarch64", *machine, "-icount", "shift=0,sleep=off", *files]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    initial.unlink()
    match = re.search(r"counted (\d+) (\d+)", done.stdout)
    if not match:
        sys.exit(f"error: {init.name} on {core}: {done.stdout[-1000:]}")
    prompt, generated = int(match[1]) / options.prompt, int(match[2]) / options.generate
    isa = re.search(r"isa (\w+)", done.stdout)
    counted = {"prompt": round(prompt / 1e6, 2), "generated": round(generated / 1e6, 2)}
    return {**({"isa": isa[1]} if isa else {}), **counted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kernel", type=Path, required=True)
    parser.add_argument("--llama", type=Path, required=True)
    parser.add_argument("--formats", default="q4_0,q8_0")
    parser.add_argument("--cores", default=",".join(CORES), help=f"of {', '.join(CORES)}; default: all")
    parser.add_argument("--engines", default="tinsmith,llama.cpp", help="default: tinsmith,llama.cpp")
    parser.add_argument("--prompt", type=int, default=32, help="tokens (default 32)")
    parser.add_argument("--generate", type=int, default=2, help="tokens (default 2)")
    parser.add_argument("--work", type=Path, default=ROOT / "build/arm-tokens")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for core in options.cores.split(","):
        for engine in options.engines.split(","):
            init = program(engine, CORES[core][0], options.llama, options.work)
            for name in options.formats.split(","):
                (model,) = options.folder.glob(f"*-{name}.{'tin' if engine == 'tinsmith' else 'gguf'}")
                row = {"core": core, "engine": engine, "format": name, **count(init, model, core, options)}
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
