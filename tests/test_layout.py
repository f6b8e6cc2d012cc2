"""What is added in one place must be there in the others: each test fails on what was forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinsmith.cli import verbs
from tinsmith.models.family import families

ROOT = Path(__file__).parents[1]
KERNELS = ROOT / "kernels"
DOCS = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.rglob("docs/**/*.md")])


def lines(file: str) -> list[tuple[str, ...]]:
    """The arguments of each line of a .def file's list."""
    text = re.sub(r"/\*.*?\*/", "", (KERNELS / file).read_text(encoding="utf-8"), flags=re.S)
    rows = re.findall(r"^    X\((.*?)\)", text, flags=re.M)
    return [tuple(part.strip() for part in arguments.split(",")) for arguments in rows]


@pytest.mark.parametrize("verb", verbs())
def test_a_verb_says_what_it_does_and_is_in_the_book(verb: str) -> None:
    assert verbs()[verb].help
    assert f"tinsmith {verb}" in DOCS


@pytest.mark.parametrize("name", [family.name for family in families()])
def test_a_family_has_a_tiny_config_and_is_in_the_book(name: str) -> None:
    assert (ROOT / "tests" / "models" / f"{name}.json").is_file()
    assert re.search(rf"\b{name}\b", (ROOT / "docs" / "status.md").read_text(encoding="utf-8"))


def test_numbers_in_files_are_used_once() -> None:
    for file, column in (("ops.def", 0), ("formats.def", 2)):
        numbers = [int(line[column]) for line in lines(file)]
        assert numbers
        assert numbers == list(range(len(numbers)))
    header = (KERNELS / "include/tin.h").read_text(encoding="utf-8")
    statuses = [int(value) for value in re.findall(r"^    X\(\w+, (-\d+), ", header, flags=re.M)]
    assert statuses == [-1 - k for k in range(len(statuses))]
    assert statuses


def test_links_in_the_book_lead_somewhere() -> None:
    folders = "benchmarks|docs|examples|integrations|kernels|scripts|src|targets|tests"
    books = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.rglob("docs/**/*.md")]
    for book in books:
        for name in re.findall(rf"`((?:{folders})/[\w./-]+)`", book.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{book.relative_to(ROOT)} names {name}"


def test_test_files_have_base_names_of_their_own() -> None:
    """pytest takes two of one name for one module, and stops."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
