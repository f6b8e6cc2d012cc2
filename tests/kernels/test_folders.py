"""The C sources lie where kernels/core/README.md says, and include each other one way."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kernels.kernel_library import FORMATS, implementations, kernels, sets

KERNELS = Path(__file__).parents[2] / "kernels"
CORE = KERNELS / "core"


def order() -> list[set[str]]:
    """The core's folders from the lowest on, those that are side by side together, as its README draws them."""
    line = re.search(r"^    (base ← .*)$", (CORE / "README.md").read_text(encoding="utf-8"), flags=re.M)
    assert line
    return [set(names.split(" · ")) for names in line[1].split(" ← ")]


def below(folder: str) -> set[str]:
    """The folders that `folder` may include: itself, and those before its own place in the order."""
    place = next(k for k, names in enumerate(order()) if folder in names)
    return {folder}.union(*order()[:place])


def included(path: Path) -> set[Path]:
    names = re.findall(r'^ *# *include "(.+)"', path.read_text(encoding="utf-8"), flags=re.M)
    return {(path.parent / name).resolve() for name in names}


def test_the_cores_folders_include_downwards() -> None:
    assert set().union(*order()) == {path.name for path in CORE.iterdir() if path.is_dir()}
    for path in CORE.glob("*/*.[ch]"):
        of_core = {header for header in included(path) if CORE in header.parents}
        assert {header.parent.name for header in of_core} <= below(path.parent.name), path
    for path in KERNELS.glob("isa/*/*.[ch]"):
        core = {header.parent.name for header in included(path) if CORE in header.parents}
        assert core <= {"base"}, path


def test_headers_include_each_other_in_no_circle() -> None:
    includes = {path: included(path) for path in KERNELS.rglob("*.h")}
    while bottom := {path for path, others in includes.items() if not others & includes.keys()}:
        includes = {path: others for path, others in includes.items() if path not in bottom}
    assert not includes, sorted(map(str, includes))


def test_a_source_of_the_core_has_its_own_header() -> None:
    functions = r"^(?!static |typedef |TINI_)\w[\w *]*?\b(tini_\w+)\("
    for path in CORE.glob("*/*.c"):
        lower = [header for folder in below(path.parent.name) for header in CORE.glob(f"{folder}/*.h")]
        for name in re.findall(functions, path.read_text(encoding="utf-8"), flags=re.M):
            # The parts of a model are asked for from below.
            headers = lower if name.startswith("tini_model_") else [path.with_suffix(".h")]
            texts = [header.read_text(encoding="utf-8") for header in headers if header.is_file()]
            assert any(re.search(rf"\b{name}\(", text) for text in texts), (
                f"{path.relative_to(CORE)} defines {name}, which its header does not declare"
            )
    for path in CORE.glob("*/*.h"):
        first = path.read_text(encoding="utf-8")[:3]
        assert first == "/* ", f"{path.relative_to(CORE)} does not begin by saying what it is for"


def test_every_kernel_has_its_file_and_every_file_its_kernel() -> None:
    listed = {(impl.isa, impl.op) for impl in implementations()}
    assert {f"matmul_{name}" for name in FORMATS} == {op for op in kernels() if op.startswith("matmul_")}
    for isa in sets():
        folder = KERNELS / "isa" / isa
        ops = set(kernels()) if isa == "scalar" else {op for name, op in listed if name == isa}
        files = {path.stem for path in folder.glob("*.c")}
        # The vector matmuls are made of one source, and what kernels share has a header.
        apart = ops if isa == "scalar" else {op for op in ops if not op.startswith(("matmul_", "half_"))}
        assert apart <= files
        shared = {path.stem for path in folder.glob("*.h")}
        assert files <= ops | shared | {"matmuls", "matmuls_small"}, isa
        assert ops == apart or "matmuls" in files


def test_every_instruction_set_comes_after_its_parent_and_has_a_folder_and_a_line_in_the_book() -> None:
    known: list[str] = []
    for name, line in sets().items():
        assert line[-1] == name
        assert line[:-1] == (sets()[line[-2]] if len(line) > 1 else [])
        assert set(line[:-1]) <= set(known)
        known.append(name)
    assert {path.name for path in KERNELS.glob("isa/*")} == {*known, "x86"}  # what x86's sets share
    book = (KERNELS.parent / "docs" / "bits.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in book for name in known)
