"""Line and branch coverage of kernels/ (clang's source-based) and src/tinsmith (coverage.py) by the tests.

    scripts/coverage [FOLDER...] [--report] [-- PYTEST-ARGUMENTS]

Runs the tests of each folder of tests/ (default: all; `.` is the files in tests/ itself; a file will do, too)
with an extension of its own, whose C is compiled for coverage; so is the C that tests compile by cc or clang.
What the tests of a folder reached is kept in build/coverage/folders/, and a folder is skipped while its tests,
src/ and kernels/ are as they were: an interrupted run resumes. --report runs nothing. Arguments behind `--` go
to pytest (`-m ""`: the slow tests too).

Marks exclude nothing. Instruction sets that this machine does not run count as unreached; so does a negative
count, which clang gives to what follows where a function was left in its middle. Writes each unreached line and
branch to build/coverage/unreached.txt and the figures to benchmarks/figures/coverage.json, and prints these.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import measured
from measured import ROOT

BUILD = ROOT / "build" / "coverage"
FOLDERS, OBJECTS, TOOLS = BUILD / "folders", BUILD / "objects", BUILD / "bin"
FLAGS = "-fprofile-instr-generate -fcoverage-mapping -fprofile-update=atomic -Wno-error"

# In place of a compiler: with coverage, and a copy of each object of our sources for llvm-cov. Its version says
# so, since tests keep objects by it.
WRAPPER = """#!/bin/sh
case " $* " in *" --version "*) echo "for coverage" ;; esac
{clang} "$@" {flags} || exit
output= mine=
for word; do
    [ "$before" = -o ] && output=$word
    case $word in - | */kernels/*.c) mine=1 ;; esac
    before=$word
done
if [ -n "$mine" ] && [ -f "$output" ] && grep -q __llvm_covmap "$output"; then
    cp "$output" "{objects}/$(sha256sum "$output" | cut -c1-24)"
fi
exit 0
"""

COVERAGE_RC = """[run]
branch = true
parallel = true
source = {source}
data_file = {data}
concurrency = thread, multiprocessing
patch = _exit
sigterm = true
[report]
exclude_lines = (?!)
partial_branches = (?!)
"""

# Instruction sets by the target that compiles them, for the lines of those that this machine does not run.
TARGETS = {
    "aarch64": ("aarch64-linux-gnu", ["neon", "neondot", "neoni8mm"]),
    "wasm32": ("wasm32 -msimd128", ["wasmsimd"]),
    "arm": ("thumbv8.1m.main-none-eabi -mcpu=cortex-m55+nomve.fp", ["armdsp", "mve"]),
}
STRING_H = """#include <stddef.h>
void *memcpy(void *, const void *, size_t);
void *memset(void *, int, size_t);
"""

Reached = dict[Any, int]  # of a line, or of a branch by its place and way: how often


def covered_lines(segments: list[list[Any]]) -> Reached:
    """Lines with code, by clang's rule (LineCoverageStats). A segment is line, column, count, whether it has
    one, whether a region begins, and whether that is a gap."""
    starts: dict[int, list[list[Any]]] = defaultdict(list)
    for segment in segments:
        starts[segment[0]].append(segment)
    lines: Reached = {}
    wrapped: list[Any] | None = None
    for line in range(min(starts, default=0), max(starts, default=-1) + 1):
        here = starts[line]
        begun = [one for one in here if one[3] and one[4] and not one[5]]
        skipped = bool(here) and not here[0][3] and here[0][4]
        through = wrapped is not None and wrapped[3]
        if not skipped and (through or begun):
            counts = [one[2] for one in begun] + ([wrapped[2]] if through and wrapped else [])
            lines[line] = max(map(plain, counts))
        wrapped = here[-1] if here else wrapped
    return lines


def covered_branches(branches: list[list[int]], segments: list[list[Any]]) -> Reached:
    """Both ways of each condition, over all that its source was compiled to. One that the compiler decided has
    two zeros where code was reached, and is left out."""
    both: dict[tuple[int, ...], list[int]] = defaultdict(lambda: [0, 0])
    for branch in branches:
        for way in (0, 1):
            both[tuple(branch[:4])][way] += plain(branch[4 + way])
    places = [tuple(segment[:2]) for segment in segments]
    found: Reached = {}
    for place, counts in both.items():
        at = bisect_right(places, place[:2]) - 1
        if any(counts) or at < 0 or not plain(segments[at][2]):
            found |= {(*place[:2], way): count for way, count in zip(("true", "false"), counts, strict=True)}
    return found


def plain(count: int) -> int:
    return count if count < 1 << 62 else 0


def set_up() -> tuple[Path, dict[str, str]]:
    """The Python with the extension for coverage, and the environment of the tests."""
    stamp = BUILD / "sources"
    now = measured.digest(measured.sources("src", "kernels", "CMakeLists.txt"))
    clang = shutil.which("clang-19")
    if clang is None:
        sys.exit("error: clang-19 is not installed (Debian: clang-19 libclang-rt-19-dev llvm-19)")
    if not stamp.exists() or stamp.read_text() != now:
        shutil.rmtree(BUILD, ignore_errors=True)
    for folder in (FOLDERS, OBJECTS, TOOLS):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("cc", "clang", "clang-19"):
        (TOOLS / name).write_text(WRAPPER.format(clang=clang, flags=FLAGS, objects=OBJECTS))
        (TOOLS / name).chmod(0o755)
    path = os.pathsep.join([str(BUILD / "venv" / "bin"), str(TOOLS), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "CC": "cc", "TINSMITH_KEPT": str(BUILD / "kept")}
    if not stamp.exists():
        measured.install(ROOT, BUILD / "venv", environment)
        (measured.site(BUILD / "venv") / "starts.pth").write_text(
            "import coverage; coverage.process_startup()\n"
        )
        for machine, (target, sets) in TARGETS.items():
            if machine != platform.machine():
                unreached_objects(clang, target, sets)
        stamp.write_text(now)
    return BUILD / "venv" / "bin" / "python", environment


def unreached_objects(clang: str, target: str, sets: list[str]) -> None:
    """Of sets that do not run here: what llvm-cov knows their lines from."""
    headers = BUILD / "include"
    headers.mkdir(exist_ok=True)
    (headers / "string.h").write_text(STRING_H)
    command = [clang, *f"--target={target} -w {FLAGS} -ffreestanding -nostdlibinc".split()]
    command += [f"-I{ROOT / 'kernels'}", f"-I{headers}"]
    for source in (path for name in sets for path in (ROOT / "kernels" / "isa" / name).glob("*.c")):
        output = OBJECTS / f"{source.parent.name}-{source.stem}"
        done = subprocess.run([*command, "-c", source, "-o", output], capture_output=True, text=True)
        if done.returncode:
            print(f"not counted: {source}: {done.stderr.splitlines()[0]}", file=sys.stderr)


def run(folder: str, python: Path, environment: dict[str, str], arguments: list[str]) -> None:
    tests = ROOT / "tests" / folder
    paths = sorted(tests.glob("test_*.py")) if folder == "." else [tests]
    name = "top" if folder == "." else folder.replace("/", "-")
    at, files = FOLDERS / name, [path for path in measured.sources("tests") if path.is_relative_to(tests)]
    state = {
        "digest": measured.digest(path for path in files if folder != "." or path.parent == tests),
        "arguments": arguments,
    }
    if (at / "done.json").exists():
        done = json.loads((at / "done.json").read_text())
        if {key: done[key] for key in state} == state:
            print(f"{folder}: done before", file=sys.stderr)
            return
    shutil.rmtree(at, ignore_errors=True)
    (at / "raw").mkdir(parents=True)
    settings = COVERAGE_RC.format(source=ROOT / "src" / "tinsmith", data=at / "raw" / "coverage")
    (at / "coveragerc").write_text(settings)
    environment = {
        **environment,
        "LLVM_PROFILE_FILE": f"{at}/raw/%m.profraw",
        "COVERAGE_PROCESS_START": f"{at}/coveragerc",
    }
    began = time.monotonic()
    command = [python, "-m", "pytest", "-q", "--tb=short", "-rf", *arguments, *paths]
    with (at / "tests.txt").open("w") as log:
        subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    last = (at / "tests.txt").read_text("utf-8", "replace").splitlines()[-1]
    counts = {
        kind: int(number) for number, kind in re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", last)
    }
    if not counts:
        sys.exit(f"error: {folder}: the tests did not run; see {at / 'tests.txt'}")
    merge = ["llvm-profdata-19", "merge", "--sparse", "--failure-mode=all", "-o", at / "kernels.profdata"]
    if profiles := [*(at / "raw").glob("*.profraw")]:
        subprocess.run([*merge, *profiles], check=True)
    combined([at / "raw"], at / "coverage", at / "coveragerc")
    shutil.rmtree(at / "raw")
    state |= {"tests": counts, "seconds": round(time.monotonic() - began)}
    (at / "done.json").write_text(json.dumps(state))
    print(f"{folder}: {last}", file=sys.stderr)


def combined(paths: list[Path], data: Path, settings: Path) -> Any:
    import coverage

    found = coverage.Coverage(data_file=str(data), data_suffix=False, config_file=str(settings))
    found.combine([str(path) for path in paths], keep=True)
    found.save()
    return found


def of_kernels(folders: list[Path]) -> dict[str, tuple[Reached, Reached]]:
    """Of each file, lines and branches."""
    profile = BUILD / "kernels.profdata"
    profiles = [path for folder in folders if (path := folder / "kernels.profdata").exists()]
    merge = ["llvm-profdata-19", "merge", "--sparse", *profiles, "-o", profile]
    subprocess.run(merge, check=True)
    export = ["llvm-cov-19", "export", "--skip-expansions", "--skip-functions", f"--instr-profile={profile}"]
    export += [f"--object={path}" for path in sorted(OBJECTS.iterdir())]
    data = json.loads(subprocess.run(export, capture_output=True, check=True).stdout)["data"][0]
    kernels = f"{ROOT / 'kernels'}/"
    return {
        os.path.relpath(file["filename"], ROOT): (
            covered_lines(file["segments"]),
            covered_branches(file["branches"], file["segments"]),
        )
        for file in data["files"]
        if os.path.normpath(file["filename"]).startswith(kernels)
    }


def of_python(folders: list[Path]) -> dict[str, tuple[Reached, Reached]]:
    found = combined(
        [folder / "coverage" for folder in folders], BUILD / "python.coverage", folders[0] / "coveragerc"
    )
    found.json_report(outfile=str(BUILD / "python.json"))
    result = {}
    for name, file in json.loads((BUILD / "python.json").read_text())["files"].items():
        lines = dict.fromkeys(file["executed_lines"], 1) | dict.fromkeys(file["missing_lines"], 0)
        branches = {(*pair,): 1 for pair in file["executed_branches"]}
        result[os.path.relpath(name, ROOT)] = (
            lines,
            branches | {(*pair,): 0 for pair in file["missing_branches"]},
        )
    return result


def figures_of(files: dict[str, tuple[Reached, Reached]]) -> dict[str, Any]:
    """In all, and by folder."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for name, (lines, branches) in files.items():
        for part in ("all", str(Path(name).parent)):
            totals[part]["lines"] += len(lines)
            totals[part]["lines_reached"] += sum(map(bool, lines.values()))
            totals[part]["branches"] += len(branches)
            totals[part]["branches_reached"] += sum(map(bool, branches.values()))
    return {part: dict(totals[part]) | shares(totals[part]) for part in sorted(totals)}


def shares(total: Counter[str]) -> dict[str, float]:
    kinds = [kind for kind in ("lines", "branches") if total[kind]]
    return {f"{kind}_percent": round(100 * total[f"{kind}_reached"] / total[kind], 2) for kind in kinds}


def report() -> None:
    folders = sorted(path.parent for path in FOLDERS.glob("*/done.json"))
    if not folders:
        sys.exit("error: no folder of tests is done yet")
    parts = {"kernels": of_kernels(folders), "src/tinsmith": of_python(folders)}
    with (BUILD / "unreached.txt").open("w") as out:
        for files in parts.values():
            for name, (lines, branches) in sorted(files.items()):
                out.writelines(f"{name}:{line}\n" for line, count in sorted(lines.items()) if not count)
                missing = [place for place, count in branches.items() if not count and lines.get(abs(place[0]))]
                out.writelines(f"{name}:{place[0]}: branch {place[1:]}\n" for place in sorted(missing, key=str))
    done = {folder.name: json.loads((folder / "done.json").read_text()) for folder in folders}
    tests = {name: state["tests"] | {"seconds": state["seconds"]} for name, state in done.items()}
    measured.record("coverage", {name: figures_of(files) for name, files in parts.items()} | {"tests": tests})


def main() -> None:
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(
        prog="scripts/coverage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", metavar="FOLDER")
    parser.add_argument("--report", action="store_true", help="of what was run before; runs nothing")
    options = parser.parse_args(words[:cut])
    if not options.report:
        python, environment = set_up()
        every = [
            ".",
            *sorted(
                {
                    path.parent.relative_to(ROOT / "tests").parts[0]
                    for path in (ROOT / "tests").glob("*/**/test_*.py")
                }
            ),
        ]
        for folder in options.folders or every:
            run(folder, python, environment, words[cut + 1 :])
    report()


if __name__ == "__main__":
    main()
