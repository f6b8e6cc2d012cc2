"""Matmul kernels beside what the machine can do: prints JSON.

For each instruction set, weight format, shape (outputs x inputs; only those that the format's blocks
divide) and number of activation rows: `gops` (operations, two a multiply-add) and `gb_s` (weight bytes read
a second). Up to eight rows, weights are taken in turn from copies that together exceed the caches, as in
decoding; more rows use one copy. `machine` holds the read bandwidth of one core and each set's peak of
8-bit operations, measured in the same run. Every figure is the best of several rounds, which alternate over
all cases so that a busy spell of the machine hits them alike.

    python benchmarks/matmul.py --isa avx512vnni --format q4_0,q8_0 --rows 1,64
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.kernels.kernel_library import FORMATS, Q8, Library, Matmul  # noqa: E402

SHAPES = {"576x576": (576, 576), "1536x576": (1536, 576), "576x1536": (576, 1536), "49152x576": (49152, 576)}
FEW_ROWS = 8
SAMPLE_SECONDS = 0.001
LARGER_THAN_CACHES = 192 << 20
READ_BYTES = 256 << 20


class Case(NamedTuple):
    isa: str
    format: str
    shape: str
    rows: int


def build(folder: Path, compiler: str) -> Library:
    kernels = ROOT / "kernels"
    sources = [
        *sorted(kernels.glob("isa/*/*.c")),
        kernels / "core/base/isa.c",
        kernels / "core/base/grids.c",
        kernels / "core/base/words.c",
        *sorted(kernels.glob("pack/*.c")),
    ]
    flags = ["-std=c11", "-O3", "-ffp-contract=off", "-shared", "-fPIC"]
    path = folder / "kernels.so"
    command = [compiler, *flags, *map(str, sources), str(ROOT / "benchmarks/matmul.c"), "-o", str(path)]
    subprocess.run(command, check=True)
    library = Library(path)
    for name in ("bench_matmul", "bench_read", "bench_int8_peak"):
        getattr(library.c, name).restype = ctypes.c_double
    return library


def pointer(array: np.ndarray, offset: int = 0) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data + offset)


class Bench:
    """The buffers that all cases share: weight bytes of which every float is small and finite."""

    def __init__(self, library: Library, tiles: int) -> None:
        rng = np.random.default_rng(1)
        self.c = library.c
        self.tiles = tiles
        self.calls: dict[Case, int] = {}  # that fill a sample
        self.called: dict[Case, int] = {}
        self.memory = np.tile(rng.integers(0x30, 0x3C, 1 << 20, dtype=np.uint8), READ_BYTES >> 20)
        self.out = np.zeros(64 * 49152, np.float32)
        self.f32 = rng.normal(0, 1, 64 * 1536).astype(np.float32)
        self.q8 = np.zeros(64 * 48, Q8)
        self.q8["q"] = rng.integers(-127, 128, self.q8["q"].shape)
        self.q8["sum"] = self.q8["q"].sum(axis=1, dtype=np.int32)
        self.q8["scale"] = 1e-3

    def seconds(self, case: Case, at_least: float) -> tuple[float, int]:
        """Seconds of one matmul, and the bytes of its weights."""
        outputs, inputs = SHAPES[case.shape]
        line = FORMATS[case.format]
        size: int = self.c.tini_packed_size(line.id, outputs, inputs)
        x, stride = (self.q8, inputs // 32 * 40) if line.activations == "q8" else (self.f32, inputs * 4)
        m = Matmul(
            weights=pointer(self.memory, -self.memory.ctypes.data % 64), x=pointer(x), out=pointer(self.out),
            x_stride=stride, out_stride=outputs, rows=case.rows, inputs=inputs, outputs=outputs,
        )  # fmt: skip
        copies = max(1, LARGER_THAN_CACHES // size) if case.rows <= FEW_ROWS else 1
        tiles = self.tiles or (outputs + 15) // 16
        while True:
            calls, first = self.calls.setdefault(case, 1), self.called.get(case, 0)
            self.called[case] = (first + calls) % copies
            taken: float = self.c.bench_matmul(
                case.isa.encode(), f"matmul_{case.format}".encode(), ctypes.byref(m),
                ctypes.c_size_t(size), copies, first, calls, tiles,
            )  # fmt: skip
            if taken >= at_least:
                return taken / calls, size
            self.calls[case] *= 2

    def machine(self, isas: list[str]) -> dict[str, float]:
        read = READ_BYTES / self.c.bench_read(pointer(self.memory), ctypes.c_size_t(READ_BYTES)) / 1e9
        peaks = {f"int8_gops_{isa}": 2 * self.c.bench_int8_peak(isa.encode(), 400_000) / 1e9 for isa in isas}
        return {"read_gb_s": read} | {name: peak for name, peak in peaks.items() if peak}


def measure(bench: Bench, cases: list[Case], isas: list[str], rounds: int) -> dict[str, Any]:
    machine: dict[str, float] = {}
    best: dict[Case, tuple[float, int]] = {}
    for _ in range(rounds):
        for name, value in bench.machine(isas).items():
            machine[name] = max(value, machine.get(name, 0))
        for case in cases:
            best[case] = min(bench.seconds(case, SAMPLE_SECONDS), best.get(case, (np.inf, 0)))
    rows = []
    for case, (taken, size) in best.items():
        outputs, inputs = SHAPES[case.shape]
        figures = {"gops": 2 * outputs * inputs * case.rows / taken / 1e9, "gb_s": size / taken / 1e9}
        rows.append(case._asdict() | {name: round(value, 1) for name, value in figures.items()})
    return {"machine": {name: round(value, 1) for name, value in machine.items()}, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", help="comma-separated; default: all that this processor runs, but scalar")
    parser.add_argument("--format", default=",".join(FORMATS), help="comma-separated; default: all")
    parser.add_argument("--shape", default=",".join(SHAPES), help="comma-separated; default: all")
    parser.add_argument("--rows", default="1,4,64", help="activation rows, comma-separated; at most 64")
    parser.add_argument("--tiles", type=int, default=0, help="tiles a call, as threads get them; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cc", default="cc", help="the compiler")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder), given.cc)
        isas = given.isa.split(",") if given.isa else [isa for isa in library.isas() if isa != "scalar"]
        for option, names, known in (
            ("isa", isas, library.isas()),
            ("format", given.format.split(","), list(FORMATS)),
            ("shape", given.shape.split(","), list(SHAPES)),
        ):
            if unknown := set(names) - set(known):
                parser.error(f"--{option} {','.join(sorted(unknown))}: there are {', '.join(known)}")
        cases = [
            Case(isa, name, shape, int(rows))
            for isa in isas
            for name in given.format.split(",")
            for shape in given.shape.split(",")
            for rows in given.rows.split(",")
            if SHAPES[shape][1] % FORMATS[name].block == 0
        ]
        print(json.dumps(measure(Bench(library, given.tiles), cases, isas, given.rounds), indent=1))


if __name__ == "__main__":
    main()
