"""What the installed package costs a Python program: the wheel's bytes, and the milliseconds of importing it.

    python benchmarks/imports.py [--wheel FILE.whl] [--repeat 20]

Builds the wheel of this tree unless one is given, installs it alone into a fresh environment, and prints JSON.
Times are over a bare `python -c pass`, measured in turn with it.

- `runtime`: `import tinsmith.runtime`, which imports the rest when a name is first asked for
- `load`: `from tinsmith.runtime import Model, load`, all that loading a .tin imports
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
BARE = "pass"
CODES = {"runtime": "import tinsmith.runtime", "load": "from tinsmith.runtime import Model, load"}


def build(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("tinsmith-*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """The interpreter of a new environment that has this wheel and nothing else, not even pip."""
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-index", str(wheel)], check=True)
    return python


def seconds(python: Path, code: str) -> float:
    began = time.perf_counter()
    subprocess.run([python, "-c", code], check=True, cwd=python.parent)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="a wheel that is built already")
    parser.add_argument("--repeat", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tinsmith-imports-") as scratch:
        wheel = args.wheel or build(Path(scratch) / "wheel")
        python = install(wheel.resolve(), Path(scratch) / "venv")
        times: dict[str, list[float]] = {code: [] for code in (BARE, *CODES.values())}
        for code in times:
            seconds(python, code)  # compiles, and brings the files into the page cache
        for _ in range(args.repeat):
            for code, found in times.items():
                found.append(1000 * seconds(python, code))
        size = wheel.stat().st_size
    over = {name: median(times[code]) - median(times[BARE]) for name, code in CODES.items()}
    result = {
        "wheel": wheel.name,
        "wheel_bytes": size,
        "bare_ms": round(median(times[BARE]), 2),
        **{f"{name}_ms": round(value, 2) for name, value in over.items()},
        "repeat": args.repeat,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
