"""Firmware for Cortex-M: builds an image that runs one tin from memory-mapped flash, with arm-none-eabi-gcc,
and runs it on qemu's emulation of a board.

The image never allocates: its session has the planned bytes, which are the same on every machine. The linker
lays them out with the rest of the RAM, and fails where the target's regions are too small.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import subprocess
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tinsmith
from tinsmith import _core, plan
from tinsmith.compiler import selftest
from tinsmith.cross import sources
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats.tin import ADAPTERS
from tinsmith.plan.contents import MASKS, Contents, of_tin
from tinsmith.plan.memory import STACK, adapter_bytes
from tinsmith.runtime import Model
from tinsmith.system.files import atomic_write, map_file, write_fault, write_text
from tinsmith.system.progress import Display
from tinsmith.targets import Firmware, Target

GCC = "arm-none-eabi-gcc"
OBJCOPY = "arm-none-eabi-objcopy"
QEMU = "qemu-system-arm"
DEBIAN = {
    GCC: "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    OBJCOPY: "binutils-arm-none-eabi",
    QEMU: "qemu-system-arm",
}
_FLAGS = (
    "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fno-math-errno",
    "-ffunction-sections", "-fdata-sections", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables",
)  # fmt: skip
_SOURCES = ("tin_all.c", "firmware/start.c", "firmware/semihosting.c", "firmware/main.c")
_SECONDS = 3600
CONSTRAINED_TOKENS = 64  # of the self-test's constrained answer, at most


@dataclass(frozen=True)
class Image:
    """elf: with symbols, for debuggers and emulators. binary: the same bytes, to be written to `code`. sizes:
    bytes by use, as the image prints them. has_vision: its self-test includes the tin's image."""

    elf: Path
    binary: Path
    sizes: dict[str, int]
    has_vision: bool = False


def image(tin: Path, target: Target, out: Path, display: Display, *, context: int = 0) -> Image:
    """Builds `out`/firmware.elf, .bin, .map, .json (bytes by use) and the linker's scripts, for a tin at the
    target's flash address.

    context: positions of its session; 0 for the target's default, limited by its RAM. Raises InputError for a
    tin or session too large for the target, UnsupportedError for a target that is no Cortex-M.
    """
    firmware = _firmware(target)
    contents = of_tin(tin)
    if contents.file > firmware.flash.size:
        raise InputError(
            f"{tin}: {contents.file:,} bytes, but {target.name} has {firmware.flash.size:,} of memory-mapped "
            "flash; build a smaller model, or choose a target with more"
        )
    context = context or longest_context(contents, target)
    planned = _memory_of(contents, target, context)
    if planned.ram > firmware.ram.size:
        raise InputError(
            f"{target.name}: a context of {context} takes {planned.ram:,} bytes of RAM, but there are "
            f"{firmware.ram.size:,}; choose a shorter context or a smaller model"
        )
    model = _core.Model(map_file(tin))
    vision_test = selftest.vision_test(model)
    test_bytes = 0 if vision_test is None else model.vision_test(vision_test)[0]
    if planned.ram - planned.vision + max(test_bytes - planned.session.bytes, 0) > firmware.ram.size:
        test_bytes = 0
        display.line(f"{target.name}: too little RAM for the self-test's image, which is left out")
    defines = {
        "TIN_FILE_BYTES": contents.file,
        "TIN_CONTEXT": context,
        "TIN_CHUNK": planned.session.chunk,
        "TIN_SESSION_BYTES": planned.session.bytes,
        "TIN_ADAPTER_RANK": contents.adapter_rank,
        "TIN_ADAPTER_BYTES": adapter_bytes(contents.program) if contents.adapter_rank else 0,
        "TIN_VISION_TEST_BYTES": test_bytes,
        "TIN_CONSTRAINT_BYTES": contents.constraint,
        "TIN_CONSTRAINT_MASKS": MASKS,
        "TIN_CONSTRAINED_TOKENS": CONSTRAINED_TOKENS,
    }
    display.line(f"{target.name}: an image for {tin.name}, context {context}")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sealed.h").write_text(_sealed(tin, context))
        _compile(Path(folder), firmware, [f"-D{name}={value}" for name, value in defines.items()])
        for path in sorted(Path(folder).iterdir()):
            with atomic_write(out / path.name) as file:
                file.write(path.read_bytes())
    sizes = _sizes(out / "firmware.elf", defines)
    write_text(out / "firmware.json", json.dumps(sizes, indent=2) + "\n")
    return Image(out / "firmware.elf", out / "firmware.bin", sizes, test_bytes > 0)


def run(built: Image, tin: Path, target: Target, words: Iterable[str] = (), options: Iterable[str] = ()) -> str:
    """The image's output on qemu's emulation of the target's board. words: a prompt, or "/selftest SET"; none
    test the tin and its adapters on all of the image's instruction sets. options: more of qemu's.

    Raises InputError with the image's own error, such as results other than the sealed ones.
    """
    flash = f"loader,file={_escaped(str(tin))},addr={_firmware(target).flash.base:#x},force-raw=on"
    command = [_tool(QEMU), *board_options(target, built.elf, ["firmware", *words]), "-device", flash, *options]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{target.name}: {QEMU} did not end within {_SECONDS} s") from error
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        lines = (text + done.stderr.decode("utf-8", "replace")).strip().splitlines() or ["no output"]
        raise InputError(f"{target.name}: the image ended with status {done.returncode}: {lines[-1]}")
    return text


def board_options(target: Target, elf: Path, words: Iterable[str]) -> list[str]:
    """qemu's options for an image on the target's board. words: semihosting's arguments, from a program name.

    Raises UnsupportedError for a target without a board of qemu's.
    """
    if target.run.emulator != QEMU or not target.run.machine:
        raise UnsupportedError(f"{target.name}: its code can't run here; [run] names no board of {QEMU}")
    arguments = "".join(f",arg={_escaped(word)}" for word in words)
    return [
        "-machine", target.run.machine, "-display", "none", "-monitor", "none", "-serial", "none",
        "-chardev", "stdio,id=text",
        "-semihosting-config", "enable=on,target=native,chardev=text" + arguments,
        "-kernel", str(elf),
    ]  # fmt: skip


# ---- building ----


def _firmware(target: Target) -> Firmware:
    if target.firmware is None:
        raise UnsupportedError(f"{target.name}: has no [firmware] table, which Cortex-M targets need")
    return target.firmware


def longest_context(contents: Contents, target: Target) -> int:
    """The most positions that fit the target's RAM, up to its default and the model's context; 1 where none
    fits."""
    ram = _firmware(target).ram.size
    contexts = range(1, plan.context_of(contents, target) + 1)
    return max(1, bisect_left(contexts, True, key=lambda one: _memory_of(contents, target, one).ram > ram))


def _memory_of(contents: Contents, target: Target, context: int) -> plan.Memory:
    return plan.memory_of(contents, target, plan.Options(context=context))


def _compile(folder: Path, firmware: Firmware, defines: Sequence[str]) -> None:
    """Builds the image and its map, without this machine's paths: the same bytes on every machine."""
    kernels = sources.folder()
    shutil.copy(kernels / "firmware" / "image.ld", folder)
    (folder / "memory.ld").write_text(_memory(firmware))
    flags = [*firmware.gcc_cpu, *_FLAGS, *defines, "-DTIN_NO_POOL", f"-I{kernels / 'include'}", "-I."]
    flags.append(f"-ffile-prefix-map={kernels}=kernels")
    objects = [f"{Path(source).stem}.o" for source in _SOURCES]
    for source, made in zip(_SOURCES, objects, strict=True):
        _checked(folder, GCC, *flags, "-c", str(kernels / source), "-o", made)
    _checked(
        folder, GCC, *firmware.gcc_cpu, *objects, "-nostartfiles", "-L.", "-Timage.ld",
        "-Wl,--gc-sections,--no-warn-rwx-segments,-Map=firmware.map", "-o", "firmware.elf",
    )  # fmt: skip
    _checked(folder, OBJCOPY, "-O", "binary", "firmware.elf", "firmware.bin")
    for made in objects:
        (folder / made).unlink()


def _sealed(tin: Path, context: int) -> str:
    """The self-test's expected results: of the model, whose digests are in the file's entry, and of each
    adapter, whose digests are in the manifest, which the image can't read."""
    loaded = tinsmith.load(tin, threads=1)
    *_, (prompt, _) = selftest.read(loaded.core.entry("selftest.bin"))

    def row(adapter: str | None, digests: Sequence[str]) -> str:
        fits = loaded.skill_of(adapter).constraint and len(prompt) + CONSTRAINED_TOKENS <= context
        words = (adapter, "".join(digests), _constrained(loaded, prompt, adapter) if fits else "")
        return "{" + ", ".join(json.dumps(word) if word else "NULL" for word in words) + "}"

    # A prefix has no factors in flash.
    adapters = {
        name: facts for name, facts in loaded.tin.manifest.get(ADAPTERS, {}).items() if facts.get("rank")
    }
    rows = [row(None, ()), *(row(name, facts["selftest"]) for name, facts in adapters.items())]
    return f"#define SEALED {', '.join(rows)}\n"


def _constrained(loaded: Model, prompt: Sequence[int], adapter: str | None) -> str:
    """The digest of a constrained answer's tokens; "" where it does not end in time."""
    answer = loaded.generate(prompt, adapter=adapter, max_tokens=CONSTRAINED_TOKENS, lookup=0)
    if answer.finish != "stop":
        return ""
    return hashlib.sha256(struct.pack(f"<{len(answer.token_ids)}i", *answer.token_ids)).hexdigest()


def _memory(firmware: Firmware) -> str:
    regions = {"code (rx)": firmware.code, "ram (rwx)": firmware.ram, "flash (r)": firmware.flash}
    lines = (
        f"  {name} : ORIGIN = {region.base:#010x}, LENGTH = {region.size:#x}\n"
        for name, region in regions.items()
    )
    head = "/* The target's regions. */\nMEMORY\n{\n"
    return f"{head}{''.join(lines)}}}\nimage_stack_bytes = {STACK};\n"


def _sizes(elf: Path, defines: dict[str, int]) -> dict[str, int]:
    """Bytes by use, from the linker's symbols, as `report` in kernels/firmware/main.c prints them."""
    done = _checked(elf.parent, "arm-none-eabi-nm", "-S", elf.name)
    words = [line.split() for line in done.splitlines()]
    value = {line[-1]: int(line[0], 16) for line in words}
    size = {line[-1]: int(line[1], 16) for line in words if len(line) == 4}
    session, model = max(defines["TIN_SESSION_BYTES"], defines["TIN_VISION_TEST_BYTES"]), size["model_block"]
    return {
        "code_bytes": value["image_code_bytes"],
        "file_bytes": defines["TIN_FILE_BYTES"],
        "context": defines["TIN_CONTEXT"],
        "chunk": defines["TIN_CHUNK"],
        "session_bytes": session,
        "adapter_rank": defines["TIN_ADAPTER_RANK"],
        "constraint_bytes": defines["TIN_CONSTRAINT_BYTES"],
        "model_bytes": model,
        "static_bytes": value["image_static_bytes"] - model,
        "stack_bytes": STACK,
        "ram_bytes": session + value["image_static_bytes"] + STACK,
    }


# ---- tools ----


def _tool(name: str) -> str:
    path = shutil.which(name)
    if not path:
        package = DEBIAN.get(name, DEBIAN[OBJCOPY])
        raise InputError(f"{name} is not installed; Debian and Ubuntu: apt-get install {package}")
    return path


def _checked(folder: Path, name: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [_tool(name), *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise write_fault(Path(name), error) from error
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line or "region" in line]
        raise InputError(f"{name} failed: {(errors or done.stderr.splitlines() or ['no output'])[0]}")
    return done.stdout


def _escaped(word: str) -> str:
    """Escapes commas, which end values in qemu's options."""
    return word.replace(",", ",,")
