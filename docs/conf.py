"""How Sphinx makes the site of this folder, by `scripts/docs`. Nothing is fetched, to build or to read it."""

from __future__ import annotations

import sys
from pathlib import Path

from pygments.lexers.data import JsonLexer
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import tinsmith  # noqa: E402

project = "tinsmith"
copyright = "tinsmith's authors, Apache License 2.0"
release = version = tinsmith.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "tin_header", "python_names"]
exclude_patterns = ["_ext"]
myst_heading_anchors = 3
nitpicky = True

# What docstrings and the header name, and others document.
nitpick_ignore_regex = [
    ("c:identifier", r"u?int(8|32|64)_t|size_t"),
    (
        "py:class",
        r"(collections\.abc|datetime|typing|pathlib|os)\.\w+|Sequence|Callable|Iterator|Mapping|Any|Path|Literal",
    ),
]

default_role = "code"
smartquotes = False  # what is quoted is often to be typed
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
c_maximum_signature_line_length = 90
toc_object_entries = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"tinsmith {release}"
html_static_path = ["_static"]
html_css_files = ["tinsmith.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}


def setup(app: Sphinx) -> None:
    app.add_lexer("jsonl", JsonLexer)
