"""What `auto` could choose from, in the report."""

from __future__ import annotations

from typing import Any

from tinsmith.pipeline.stages.report import page as page_of


def test_the_front_is_a_table(document: dict[str, Any]) -> None:
    page = page_of.html(document)
    section = page.partition("What a size costs")[2].partition("<h2>")[0]
    for row in document["front"]:
        assert f"{row['bytes']:,}" in section
    assert section.count(", built") == 1


def test_a_report_without_a_front(document: dict[str, Any]) -> None:
    assert "What a size costs" not in page_of.html({**document, "front": None})
