"""Cycles a multiply-add of the ARM64 matmuls' inner loops, as llvm-mca computes them: prints JSON.

    python benchmarks/arm_mca.py [--formats q4_0,q8_0] [--show]

Each loop is compiled for Cortex-A76 by zig cc as the library is, and cut out of the assembly. `prompt` has
several rows of activations, `decode` one. Cycles of Q4_K and Q5_K have those of the small scales, which neondot
unpacks before; what lays activations out for many tiles is left out. No cache misses: decode is bound by memory
where this says more bytes a cycle than memory gives.

Models. LLVM has none of its own for Cortex-A76: it takes Cortex-A57's, an older core with three decoders.
Neoverse N1 is the server form of Cortex-A76, with the same pipelines, so `neoverse-n1` is the one to read for
neondot; `cortex-a72` (Cortex-A57's model as well) for neon, which is what such a core runs. Neoverse N2 is the
server form of Cortex-A710, with two vector pipes too, and has the int8 matrices of neoni8mm.

Peaks. Cortex-A76 begins two 128-bit SDOT a cycle: 32 multiply-adds; Cortex-A710 two SMMLA: 64. Without them,
SMULL and SMLAL go to one pipe of two, 8 multiply-adds each: 8 a cycle; the other pipe adds pairs (SADALP)
meanwhile.

`ratio` is cycles over the peak's. The two vector pipes also do the float32 steps of the bit contract, unfused:
a product of scales, a conversion, a multiply and an add for each output and 32 inputs, one for every two SDOT.
`contract_ratio` is what those and the multiplies alone would take: neondot can't come below 1.5, nor neoni8mm
below 2.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
ITERATIONS = 200

SOURCES = {
    "neondot": """#include "isa/neon/widen.c"
#include "isa/neondot/blocks.h"
TINI_REGION_NEONDOT
void prompt(float32x4_t *sums, const uint8_t *w, const tini_neondot_x *x, const tini_neon_smalls *s,
            uint32_t n) {{
    tini_neondot_panel(sums, w, x, s, n, 1, TINI_NEONDOT_COLUMNS, TINI_FORMAT_{0});
}}
void decode(const tini_matmul *m, uint32_t k) {{ tini_neondot_stream(m, k, 0, TINI_FORMAT_{0}); }}
TINI_REGION_END
""",
    "neoni8mm": """#include "isa/neoni8mm/blocks.h"
TINI_REGION_NEONI8MM
void prompt(float32x4_t (*sums)[2], const uint8_t *w, const tini_neoni8mm_x *x, uint32_t n) {{
    tini_neoni8mm_panel(sums, w, x, n, 1, TINI_NEONI8MM_PAIRS, TINI_FORMAT_{0});
}}
void decode(const tini_matmul *m, uint32_t k) {{ tini_neoni8mm_stream(m, k, 0, TINI_FORMAT_{0}); }}
TINI_REGION_END
""",
    "neon": """#include "isa/neon/blocks.h"
TINI_REGION_NEON
void prompt(const tini_matmul *m, uint32_t k) {{ tini_neon_patch(m, k, 1, 0, 1, 4, TINI_FORMAT_{0}); }}
void decode(const tini_matmul *m, uint32_t k) {{ tini_neon_patch(m, k, 0, 0, 2, 1, TINI_FORMAT_{0}); }}
TINI_REGION_END
""",
}
MULTIPLIES = {  # and the multiply-adds of one
    "neondot": {"sdot": 16},
    "neoni8mm": {"sdot": 16, "usdot": 16, "smmla": 32, "usmmla": 32},
    "neon": {"smull": 8, "smull2": 8, "smlal": 8, "smlal2": 8},
}
SMALLS = {"neondot": ("q4_k", "q5_k")}  # whose small scales are unpacked before the loop
A_CYCLE = {"neondot": 2, "neoni8mm": 2, "neon": 1}  # of these instructions
MODELS = {
    "neondot": ("neoverse-n1", "cortex-a76"),
    "neoni8mm": ("neoverse-n2",),
    "neon": ("neoverse-n1", "cortex-a72"),
}


def newest_mca() -> tuple[str, str]:
    """The newest llvm-mca and its version; before 17 it had no model of Neoverse N1."""
    versions = []
    for name in ("llvm-mca", *(f"llvm-mca-{major}" for major in range(17, 40))):
        if path := shutil.which(name):
            text = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
            if match := re.search(r"LLVM version ((\d+)\S*)", text):
                versions.append((int(match[2]), path, match[1]))
    if not versions or max(versions)[0] < 17:
        sys.exit("error: llvm-mca 17 or newer is not installed (Debian: apt-get install llvm-19)")
    return max(versions)[1:]


def assembly(isa: str, name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "loops.c"), Path(folder, "loops.s")
        source.write_text(SOURCES[isa].format(name.upper()))
        command = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", "-mcpu=cortex_a76"]
        flags = ["-std=c11", "-O3", "-ffp-contract=off", f"-I{KERNELS}", "-S", "-o", str(output), str(source)]
        done = subprocess.run([*command, *flags], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return output.read_text()


def functions(text: str) -> dict[str, list[str]]:
    """Labels and instructions of each function."""
    bodies: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        line = line.split("//")[0].rstrip()
        if match := re.match(r"([a-z]\w*):", line):
            lines = bodies.setdefault(match[1], [])
        elif re.match(r"\.LBB\w+:|\t[a-z]", line):
            lines.append(line.strip())
    return bodies


def hot_loop(lines: list[str], multiplies: Iterable[str]) -> list[str]:
    """The innermost loop with the most multiplies."""
    labels = {line[:-1]: at for at, line in enumerate(lines) if line.endswith(":")}
    loops = []
    for at, line in enumerate(lines):
        target = line.split()[-1]
        if re.match(r"(b|b\.\w+|cbn?z|tbn?z)\s", line) and labels.get(target, at) < at:
            loops.append((labels[target], at + 1))
    inner = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    bodies = [[line for line in lines[a:b] if not line.endswith(":")] for a, b in inner]
    return max(bodies, key=lambda body: sum(line.split()[0] in multiplies for line in body))


def cycles(mca: str, model: str, loop: list[str]) -> float:
    """A loop's cycles an iteration, in a long run."""
    options = ["-mtriple=aarch64-linux-gnu", f"-mcpu={model}", "-mattr=+dotprod,+i8mm", "-instruction-info=0"]
    text = "\n".join(loop) + "\n"
    totals = []
    for iterations in (ITERATIONS, 2 * ITERATIONS):
        command = [mca, *options, f"-iterations={iterations}", "-resource-pressure=0"]
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        match = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
        assert match
        totals.append(int(match[1]))
    return (totals[1] - totals[0]) / ITERATIONS


def measure(mca: str, isa: str, name: str, show: bool) -> list[dict[str, Any]]:
    rows = []
    bodies = functions(assembly(isa, name))
    smalls = hot_loop(bodies["tini_neon_small_tile"], {"ucvtf"}) if name in SMALLS.get(isa, ()) else []
    for use in ("prompt", "decode"):
        lines = bodies[use]
        loop = hot_loop(lines, MULTIPLIES[isa])
        words = [line.split()[0] for line in loop]
        multiplies = sum(word in MULTIPLIES[isa] for word in words)
        work = sum(MULTIPLIES[isa].get(word, 0) for word in words)
        floats = 4 * work / 32 / 4  # steps of four outputs at once, for each 32 inputs
        peak = multiplies / A_CYCLE[isa]
        least = max(peak, (multiplies + floats) / 2)
        if show:
            print(f"# {isa} {name} {use}", *loop, sep="\n", file=sys.stderr)
        for model in MODELS[isa]:
            taken = cycles(mca, model, loop)
            if smalls:  # of a tile, of which prompt takes a quarter
                taken += cycles(mca, model, smalls) / (4 if use == "prompt" else 1)
            rows.append(
                {
                    "isa": isa,
                    "format": name,
                    "use": use,
                    "model": model,
                    "instructions": len(loop),
                    "stores": sum(word in ("str", "stp", "stur") for word in words),
                    "multiply_adds": work,
                    "cycles": taken,
                    "cycles_a_multiply_add": round(taken / work, 5),
                    "peak": peak / work,
                    "ratio": round(taken / peak, 3),
                    "contract_ratio": round(least / peak, 3),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", default="q4_0,q8_0", help="comma-separated, default q4_0,q8_0")
    parser.add_argument("--show", action="store_true", help="the loops, on stderr")
    options = parser.parse_args()
    mca, version = newest_mca()
    rows = []
    for isa in SOURCES:
        for name in options.formats.split(","):
            rows += measure(mca, isa, name, options.show)
    print(json.dumps({"llvm_mca": version, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
