"""Runs a tin's self-test with a target's code, under an emulator of its processor."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.compiler import selftest
from tinsmith.cross import library, runtime
from tinsmith.errors import FormatError, InputError, MissingExtraError, RuntimeFault, UnsupportedError
from tinsmith.hub import cache_folder
from tinsmith.system.files import locked, map_file
from tinsmith.system.parallel import in_order
from tinsmith.system.progress import Display
from tinsmith.targets import Target

WINE = "wine"
_LINE = re.compile(r"(\w+) (\d+) ([0-9a-f]{64}) (equal|different)")


@dataclass(frozen=True)
class Ran:
    """isa: the instruction set, as the library reports it. digests: of each prompt's logits, hexadecimal, and
    of the image's. without_image: the board has no memory for the image."""

    isa: str
    digests: list[str]
    without_image: bool = False


def verify(tin: Path, target: Target, expected: Sequence[str], display: Display) -> list[Ran]:
    """The results of each of the target's instruction sets, all equal to `expected`, the host's digests.

    Raises RuntimeFault for a different digest or a set that did not run, UnsupportedError for a target without
    an emulator."""
    emulator = target.run.emulator
    if emulator is None:
        raise UnsupportedError(f"{target.name}: has no emulator; run `tin verify` on the device")
    runs = EMULATORS[emulator](tin, target, display)
    missing = [isa for isa in target.cpu.isa if isa not in [ran.isa for ran in runs]]
    if missing:
        raise _fault(f"{target.name}: {', '.join(missing)} did not run under {emulator}")
    has_vision = selftest.vision_test(_core.Model(map_file(tin))) is not None
    for ran in runs:
        wanted = expected[:-1] if ran.without_image else expected
        for number, (ours, theirs) in enumerate(zip(wanted, ran.digests, strict=True)):
            if ours != theirs:
                what = "the image" if has_vision and number == len(expected) - 1 else f"prompt {number}"
                raise _fault(
                    f"{target.name}: {what} of the self-test gives the logits {theirs[:12]} by {ran.isa} "
                    f"there, and {ours[:12]} here; report this, with the target"
                )
    return runs


def how(target: Target) -> str:
    """The emulator with its machine and processor, in words."""
    words = [target.run.emulator or "nothing", target.run.machine, target.run.cpu]
    return " ".join(word for word in words if word)


def _fault(text: str) -> RuntimeFault:
    return RuntimeFault("TIN_ERR_UNSUPPORTED", text)


def _by_program(emulator: str | None, tin: Path, target: Target, display: Display) -> list[Ran]:
    """Runs the program `tin`: under qemu, under wine, or natively."""
    here = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    if emulator in (None, WINE) and here != target.cpu.arch:
        raise UnsupportedError(f"{target.name}: its code runs on {target.cpu.arch}; this machine is {here}")
    if emulator is not None and not shutil.which(emulator):
        package = "wine" if emulator == WINE else "qemu-user"
        raise InputError(f"{emulator} is not installed; install it (Debian: apt-get install {package})")
    processor = ["-cpu", target.run.cpu] if emulator and target.run.cpu else []
    (program,) = library.program(runtime.machines(target)[0])
    command = [*([emulator] if emulator else []), *processor, str(program), "verify", str(tin), "--isa"]
    return list(in_order(partial(_program, [*command, isa], target, isa) for isa in target.cpu.isa))


def _program(command: list[str], target: Target, isa: str) -> Ran:
    # Two wines fail to create their folder at once; and wine prints much.
    folder = cache_folder() / "wine"
    settings = {**os.environ, "WINEPREFIX": str(folder), "WINEDEBUG": "-all"}
    with locked(folder.with_name("wine.lock")) if command[0] == WINE else nullcontext():
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=settings)
    lines = [match for line in done.stdout.splitlines() if (match := _LINE.fullmatch(line))]
    if done.returncode not in (0, 1) or not lines or {match[1] for match in lines} != {isa}:
        reason = done.stderr.strip() or f"status {done.returncode}"
        raise _fault(f"{target.name}: the self-test could not run by {isa} under {how(target)}: {reason}")
    return Ran(isa, [match[3] for match in lines])


def _by_wasmtime(tin: Path, target: Target, display: Display) -> list[Ran]:
    module, _ = library.wasm(runtime.machines(target)[0])
    return list(in_order(partial(_module, module, tin, isa) for isa in target.cpu.isa))


def _module(path: Path, tin: Path, isa: str) -> Ran:
    guest = _Guest(path)
    image = map_file(tin)
    file = guest.put(image)
    model = guest.some(guest.call("tinw_open", file, len(image), guest.put(f"{isa}\0".encode())))
    ran = guest.text(guest.call("tinw_isa", model), 32)
    entry = guest.put(b"selftest.bin\0")
    size = guest.call("tinw_entry_size", model, entry)
    if not size:
        raise FormatError(f"{tin}: the tin has no selftest.bin; build it again")
    data = guest.get(guest.some(guest.call("tinw_entry", model, entry)), size)
    digests = []
    for tokens, _ in selftest.read(data):
        ids = guest.put(b"".join(token.to_bytes(4, "little") for token in tokens))
        digests.append(guest.digest("tinw_digest", model, ids, len(tokens)))
    if guest.call("tinw_entry_size", model, guest.put(f"{selftest.VISION_TEST}\0".encode())):
        digests.append(guest.digest("tinw_vision_test", model))
    return Ran(ran, digests)


class _Guest:
    """tin.wasm under wasmtime."""

    def __init__(self, path: Path) -> None:
        try:
            import wasmtime
        except ImportError:
            raise MissingExtraError("wasmtime", "cross") from None
        config = wasmtime.Config()
        config.wasm_relaxed_simd = False  # refuses modules whose results may differ by host
        engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(engine)
        module = wasmtime.Module(engine, path.read_bytes())
        self.exports: Any = wasmtime.Instance(self.store, module, []).exports(self.store)

    def call(self, name: str, *arguments: int) -> int:
        return int(self.exports[name](self.store, *arguments))

    def put(self, data: bytes | memoryview) -> int:
        address = self.some(self.call("tinw_alloc", len(data)))
        self.exports["memory"].write(self.store, data, address)
        return address

    def get(self, address: int, size: int) -> bytes:
        return bytes(self.exports["memory"].read(self.store, address, address + size))

    def text(self, address: int, most: int) -> str:
        return self.get(address & 0xFFFFFFFF, most).split(b"\0")[0].decode()

    def some(self, address: int) -> int:
        if address == 0:
            raise _fault(self.text(self.call("tinw_error"), 252))
        return address & 0xFFFFFFFF

    def digest(self, name: str, *arguments: int) -> str:
        """The hexadecimal digest that a function writes to its last argument."""
        into = self.put(bytes(32))
        if self.call(name, *arguments, into) < 0:
            raise _fault(self.text(self.call("tinw_error"), 252))
        return self.get(into, 32).hex()


def _by_board(tin: Path, target: Target, display: Display) -> list[Ran]:
    """Runs a firmware image with this tin on qemu's emulation of the board."""
    from tinsmith.cross import firmware
    from tinsmith.plan.contents import of_tin

    model, contents = _core.Model(map_file(tin)), of_tin(tin)
    longest = max(len(tokens) for tokens, _ in selftest.read(model.entry("selftest.bin")))
    if contents.constraint:
        longest = min(longest + firmware.CONSTRAINED_TOKENS, contents.program.context)
    with tempfile.TemporaryDirectory() as folder:
        image = firmware.image(tin, target, Path(folder), display, context=longest)
        without_image = selftest.vision_test(model) is not None and not image.has_vision
        digests: dict[str, list[str]] = {}
        for line in firmware.run(image, tin, target).splitlines():
            match line.split():
                case ["digest", isa, _, digest, _]:
                    digests.setdefault(isa, []).append(digest)
    return [Ran(isa, found, without_image) for isa, found in digests.items()]


EMULATORS: dict[str, Callable[[Path, Target, Display], list[Ran]]] = {
    "native": partial(_by_program, None),
    "qemu-aarch64": partial(_by_program, "qemu-aarch64"),
    "qemu-riscv64": partial(_by_program, "qemu-riscv64"),
    WINE: partial(_by_program, WINE),
    "wasmtime": _by_wasmtime,
    "qemu-system-arm": _by_board,
}
