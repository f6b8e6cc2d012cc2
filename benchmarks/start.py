"""Cold start: milliseconds from exec of a C program to the first logits of a prompt, with a warm page cache.

    python benchmarks/start.py FILE.tin [--threads 2] [--tokens 32] [--repeat 20] [--isa S]

Builds libtin with CMake and benchmarks/start.c against it, runs that again and again, and prints JSON. The
clock starts before the process is made and stops when its answer, the likeliest next token, is read.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "benchmarks"


def build() -> Path:
    """The program, linked against a libtin of this tree."""
    cmake = shutil.which("cmake") or sys.exit("cmake is not installed: pip install cmake ninja")
    for command in (
        [cmake, "-S", str(ROOT), "-B", str(BUILD), "-DCMAKE_BUILD_TYPE=Release"],
        [cmake, "--build", str(BUILD), "--target", "tin"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    (library,) = BUILD.rglob("libtin.a")
    program = BUILD / "start"
    compiler = os.environ.get("CC", "cc")
    source = ROOT / "benchmarks" / "start.c"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'kernels' / 'include'}"]
    subprocess.run([compiler, *flags, str(source), str(library), "-pthread", "-o", str(program)], check=True)
    return program


def run(command: list[str]) -> tuple[float, int]:
    """Seconds until the answer was there, and the answer."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        answer = process.stdout.readline()
        seconds = time.perf_counter() - began
    if process.returncode:
        sys.exit(f"{command[0]} ended with status {process.returncode}")
    return seconds, int(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--isa")
    args = parser.parse_args()
    command = [str(build()), str(args.file), str(args.threads), str(args.tokens)]
    command += [args.isa] if args.isa else []
    run(command)  # brings the file into the page cache
    runs = [run(command) for _ in range(args.repeat)]
    if len({answer for _, answer in runs}) != 1:
        sys.exit("the answers differ, so the times mean nothing")
    milliseconds = sorted(1000 * seconds for seconds, _ in runs)
    result = {
        "file": args.file.name,
        "bytes": args.file.stat().st_size,
        "threads": args.threads,
        "tokens": args.tokens,
        "start_ms": round(median(milliseconds), 2),
        "start_ms_least": round(milliseconds[0], 2),
        "repeat": args.repeat,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
