"""pyproject.toml declares what src/ imports, in versions without the vulnerabilities known to us."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
USERS = {
    name: lines
    for name, lines in PROJECT["optional-dependencies"].items()
    if name not in ("dev", "docs", "clients")
}
# Modules whose package has another name, and modules that a package always brings.
PACKAGES = {
    "PIL": "pillow",
    "llama_cpp": "llama-cpp-python",
    "sklearn": "scikit-learn",
    "stdnum": "python-stdnum",
}
BROUGHT = {"h11": "uvicorn", "markupsafe": "jinja2", "pydantic_core": "pydantic"}
# Packages that src/ runs as programs, asks for without importing them, or that others import for it.
UNIMPORTED = {"ziglang", "tensorboard", "trl", "datasets", "onnx-ir"}
SAFE = {
    "jinja2": (3, 1, 6),
    "pillow": (12, 1, 1),
    "pydantic": (2, 4),
    "pypdf": (6, 4),
    "ray": (2, 52),
    "starlette": (0, 49, 1),
    "torch": (2, 6),
    "transformers": (4, 53),
}


def declared(lines: list[str]) -> dict[str, tuple[int, ...]]:
    """Package to its lower bound."""
    found = {}
    for line in lines:
        match = re.match(r"([\w-]+)(?:\[[\w,-]+\])?>=([\d.]+)$", line)
        assert match, f"{line}: has no lower bound"
        found[match[1].replace("_", "-")] = tuple(map(int, match[2].split(".")))
    return found


def imported() -> set[str]:
    """The packages that src/ imports, anywhere in a file."""
    modules: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    modules -= {*sys.stdlib_module_names, "tinsmith"}
    return {BROUGHT.get(name, PACKAGES.get(name, name.replace("_", "-"))) for name in modules}


def test_what_is_imported_is_declared_and_the_reverse() -> None:
    packages = {
        *declared(PROJECT["dependencies"]),
        *(name for lines in USERS.values() for name in declared(lines)),
    }
    assert packages - UNIMPORTED == imported()


def test_the_base_install_needs_click_alone() -> None:
    assert list(declared(PROJECT["dependencies"])) == ["click"]


def test_lower_bounds_exclude_known_vulnerabilities() -> None:
    for extra, lines in PROJECT["optional-dependencies"].items():
        for package, bound in declared(lines).items():
            assert bound >= SAFE.get(package, bound), f"{extra}: {package}"
