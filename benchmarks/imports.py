"""What the installed package costs: the wheel's bytes, and the milliseconds of imports and of its command line.

    python benchmarks/imports.py [--wheel FILE.whl] [--repeat 20]

Builds the wheel of this tree unless one is given, installs it with click alone into a fresh environment, and
prints JSON. Times are medians over a bare `python -c pass`, measured in turn with it.

- `runtime`: `import tinsmith.runtime`, which imports the rest when a name is first asked for
- `load`: `from tinsmith.runtime import Model, load`, all that loading a .tin imports
- `help`, `verb_help`: `tinsmith --help`, `tinsmith run --help`
- `complete_verb`, `complete_option`, `complete_target`: what a shell waits for at `tinsmith ru`,
  `tinsmith run --t` and `tinsmith build MODEL --target rasp`
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

from tinsmith.cross import needed

ROOT = Path(__file__).resolve().parents[1]
BARE = "pass"
CODES = {"runtime": "import tinsmith.runtime", "load": "from tinsmith.runtime import Model, load"}
# Command lines by name; the last word of those to complete is what is typed so far.
LINES = {"help": "--help", "verb_help": "run --help"}
COMPLETED = {
    "complete_verb": "tinsmith ru",
    "complete_option": "tinsmith run --t",
    "complete_target": "tinsmith build m.gguf --target rasp",
}


def build(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("tinsmith-*.whl")
    return wheel


def install(wheels: list[Path], folder: Path) -> Path:
    """The interpreter of a new environment that has these wheels and nothing else, not even pip."""
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-index", *map(str, wheels)], check=True)
    return python


def commands(python: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    """What is measured, by name: arguments, and what the environment has beside its own."""
    tinsmith = str(python.with_name("tinsmith"))
    measured: dict[str, tuple[list[str], dict[str, str]]] = {"bare": ([str(python), "-c", BARE], {})}
    measured |= {name: ([str(python), "-c", code], {}) for name, code in CODES.items()}
    measured |= {name: ([tinsmith, *line.split()], {}) for name, line in LINES.items()}
    for name, line in COMPLETED.items():
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
        measured[name] = ([tinsmith], {"_TINSMITH_COMPLETE": "bash_complete", **asked})
    return measured


def seconds(command: list[str], more: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(
        command, check=True, cwd=Path(command[0]).parent, env={**os.environ, **more}, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="a wheel that is built already")
    parser.add_argument("--repeat", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tinsmith-imports-") as scratch:
        wheel = args.wheel or build(Path(scratch) / "wheel")
        needed.write("any", Path(scratch) / "needed")
        wheels = [wheel.resolve(), *(Path(scratch) / "needed").iterdir()]
        measured = commands(install(wheels, Path(scratch) / "venv"))
        times: dict[str, list[float]] = {name: [] for name in measured}
        for command in measured.values():
            seconds(*command)  # compiles, and brings the files into the page cache
        for _ in range(args.repeat):
            for name, command in measured.items():
                times[name].append(1000 * seconds(*command))
        size = wheel.stat().st_size
    over = {name: median(values) - median(times["bare"]) for name, values in times.items() if name != "bare"}
    result = {
        "wheel": wheel.name,
        "wheel_bytes": size,
        "bare_ms": round(median(times["bare"]), 2),
        **{f"{name}_ms": round(value, 2) for name, value in over.items()},
        "repeat": args.repeat,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
