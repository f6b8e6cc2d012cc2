"""The book as a site: built without a warning, whole, and readable from a folder without a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinsmith
from tests.docs.blocks import PAGES, ROOT
from tinsmith import runtime

HEADER = (ROOT / "kernels" / "include" / "tin.h").read_text("utf-8")
CODE = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)
sys.path.insert(0, str(ROOT / "docs" / "_ext"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As scripts/docs builds it: a link that leads nowhere, or a page in no list of contents, is an error."""
    folder = tmp_path_factory.mktemp("site")
    flags = ["--builder", "html", "--nitpicky", "--fail-on-warning", "--keep-going", "--quiet"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            *flags,
            "-d",
            str(folder / "doctrees"),
            str(ROOT / "docs"),
            str(folder / "html"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="session")
def objects(site: Path) -> dict[str, str]:
    """What the references document: name to kind, such as "c:function"."""
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, name: name)
    return {name: kind for kind in inventory for name in inventory[kind] if not kind.startswith("std:")}


def test_every_name_of_the_header_is_in_the_reference(objects: dict[str, str]) -> None:
    functions = set(re.findall(r"^TIN_API [^;]*?\b(tin_\w+)\(", CODE, re.M))
    structs = set(re.findall(r"^typedef struct (tin_\w+)", CODE, re.M))
    constants = set(re.findall(r"^ +(TIN_[A-Z0-9_]+) = \d", CODE, re.M)) | {
        f"TIN_ERR_{name}" for name in re.findall(r"^    X\((\w+),", CODE, re.M)
    }
    assert len(functions) == CODE.count("\nTIN_API ") > 40
    assert len(structs) == CODE.count("\ntypedef struct ") > 10
    assert len(constants) > 30
    assert {name for name, kind in objects.items() if kind == "c:function"} == functions
    assert structs <= {name for name, kind in objects.items() if kind == "c:struct"}
    listed = {name.rpartition(".")[2] for name, kind in objects.items() if kind == "c:enumerator"}
    assert constants <= listed
    fields = re.findall(r"typedef struct (tin_\w+) \{(.*?)\n\}", CODE, re.S)
    for struct, body in fields:
        for field in re.findall(
            r"(?:\(\*)?(\w+)(?:\)\(.*?\))?(?:\[\d+\])?[;,](?=\s|$)", re.sub(r"\(\*(\w+)\)\(.*\);", r"\1;", body)
        ):
            assert objects.get(f"{struct}.{field}") == "c:member", f"{struct}.{field}"


def test_every_public_name_of_python_is_in_the_reference(objects: dict[str, str]) -> None:
    assert {f"tinsmith.{name}" for name in tinsmith.__all__} <= set(objects)
    for name in set(runtime.__all__) - set(tinsmith.__all__):
        assert f"tinsmith.runtime.{name}" in objects
    methods = {name for name, what in vars(tinsmith.Model).items() if not name.startswith("_") and what.__doc__}
    internal = {"use_draft_table", "open_session", "schema_constraint", "templates", "turns", "vision"}
    assert {f"tinsmith.Model.{name}" for name in methods - internal} <= set(objects)


def test_a_declaration_without_a_comment_and_a_parameter_that_is_none_are_errors() -> None:
    from tin_header import Writer, parse

    begin = 'extern "C" {\n#endif\n'
    good = begin + "/* What it is.\n *\n * a  a number\n */\nTIN_API int tin_f(int a, int b);\n"
    assert ":param a: a number" in Writer(parse(good)).text()
    assert "``TIN_A_*`` or 2 \\* 3" in Writer(parse(good.replace("a number", "TIN_A_* or 2 * 3"))).text()
    with pytest.raises(ValueError, match="without a comment: TIN_API int tin_f"):
        parse(begin + "TIN_API int tin_f(int a);\n")
    with pytest.raises(ValueError, match="c is described, and is no parameter"):
        Writer(parse(good.replace("* a  a", "* c  a"))).text()


def test_no_page_takes_anything_from_the_network(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text("utf-8")
        taken = re.findall(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=\"([^\"]+)\"", text)
        outside = [url for url in taken if re.match(r"(?:https?:)?//", url)]
        assert not outside, f"{page.name}: {outside}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", sheet.read_text("utf-8")), sheet


def test_the_search_finds_a_function_in_a_browser_without_a_network(site: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is missing; install it, so that the site is looked at")
        pytest.skip("chromium is not installed")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += [
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=20000",
    ]
    url = (site / "search.html").as_uri() + "?q=tin_session_rewind"
    done = subprocess.run(
        [browser, *flags, "--dump-dom", url], capture_output=True, text=True, timeout=120, check=True
    )
    assert 'href="c-reference.html#c.tin_session_rewind"' in done.stdout


def heading_anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "docs" not in page.parts], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_outside_of_the_site_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in heading_anchors(target), f"{page.name}: {link}"


def test_the_image_in_the_readme_is_small() -> None:
    assert "](docs/images/report.png)" in (ROOT / "README.md").read_text("utf-8")
    image = (ROOT / "docs/images/report.png").read_bytes()
    assert image.startswith(b"\x89PNG")
    assert len(image) < 150_000


def test_the_readme_is_a_front_door() -> None:
    """A screen and a half."""
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 90
