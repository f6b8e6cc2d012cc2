"""What `auto` could choose from, in the report."""

from __future__ import annotations

import itertools
from typing import Any

from tinsmith.pipeline.stages.report import page as page_of


def test_the_front_is_a_chart_and_a_table(document: dict[str, Any]) -> None:
    page = page_of.html(document)
    assert page.count("<circle ") == 1
    section = page.partition("What a size costs")[2].partition("<h2>")[0]
    for row in document["front"]:
        assert f"{row['bytes']:,}" in section
    assert section.count(", built") == 1
    drawing = page_of.front(document["front"])
    assert drawing is not None
    points = [tuple(map(float, point.split(","))) for point in drawing.points["front"].split()]
    assert len(points) == len(document["front"])
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(points))  # y grows downward
    assert tuple(map(float, drawing.points["chosen"].split(","))) == points[2]


def test_a_report_without_a_front(document: dict[str, Any]) -> None:
    assert "What a size costs" not in page_of.html({**document, "front": None})
