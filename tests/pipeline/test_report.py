from __future__ import annotations

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tinsmith import tasks
from tinsmith.data.readers import Example
from tinsmith.evaluate import curve, naming
from tinsmith.evaluate import page as formats
from tinsmith.evaluate.answers import Answer
from tinsmith.pipeline import pages
from tinsmith.pipeline.stages.report import findings
from tinsmith.pipeline.stages.report import page as page_of
from tinsmith.pipeline.stages.report.make import headline_system

CALL = tasks.by_name("call")
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Structure(HTMLParser):
    """Checks that every element is closed in order; keeps the tags, links and headings."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.headings: list[str] = []
        self.rows = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]
        self.rows += tag == "tr"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


def parse(page: str) -> Structure:
    structure = Structure()
    structure.feed(page)
    assert structure.open == []
    return structure


def test_the_page_is_whole_and_needs_nothing_else(document: dict[str, Any]) -> None:
    page = page_of.html(document)
    structure = parse(page)
    assert structure.headings == [
        "home",
        "How often the answer is right",
        "By part of the test set",
        "What an answer costs",
        "Where the constraint changed the answer",
        "What a size costs",
        "Augmented examples",
        "Training",
        "Confused functions",
        "The worst answers",
        "Inputs and outputs",
        "Reproducing the run",
    ]
    assert structure.links == ["data:,"]
    assert not structure.tags & {"script", "iframe", "img", "object"}
    assert not re.search(r"https?:|url\(|@import|//[a-z]", page)


def test_the_page_shows_every_system_and_escapes_what_it_shows(document: dict[str, Any]) -> None:
    page = page_of.html(document)
    for name, system in document["systems"].items():
        assert naming.title(name) in page
        assert f"{100 * system['exact']:.1f}" in page
    assert page.count('class="error"') == findings.WORST + findings.CHANGED
    assert page.count('class="error made"') == len(document["augmentation"]["examples"])
    assert "&lt;now&gt; &amp; here" in page
    assert "<now>" not in page
    assert document["command"] in page


def test_a_page_without_parts_curve_errors_or_baselines(document: dict[str, Any]) -> None:
    document["systems"] = {
        n: s | {"parts": {}} for n, s in document["systems"].items() if n in ("tuned", "shipped_q8_0")
    }
    document["test"]["baseline_items"] = {}
    document["confusion"], document["errors"], document["constraint"] = [], [], None
    document["train"]["curve"] = document["train"]["validations"] = []
    headings = parse(page_of.html(document)).headings
    assert "Training" not in headings
    assert "By part of the test set" not in headings
    assert "Where the constraint changed the answer" not in headings


def test_the_adapter_for_low_precision_files_is_reported(document: dict[str, Any]) -> None:
    assert "a second adapter" not in page_of.html(document)
    rows = [{"exact": 0.5}, {"exact": 0.625}]
    document["train"]["qat"] = {"format": "Q4_0", "steps": 40, "seconds": 61.5, "validations": rows}
    page = page_of.html(document)
    assert "trained from the first one under the quantization errors of Q4_0: 40 steps" in page
    assert "50.0, 62.5 % exact after its epochs" in page


def test_divided_splits_are_reported(document: dict[str, Any]) -> None:
    assert "divided from one file" not in page_of.html(document)
    document["data"]["divided"] = {"made": ["train", "test"], "kept": 7, "groups": 5000, "near": 12}
    page = page_of.html(document)
    assert "train, test divided from one file, 12 examples kept with near-duplicates, 7 in the split" in page


def test_a_leak_is_reported(document: dict[str, Any]) -> None:
    document["test"]["inputs_in_train"] = 3
    assert "3 of the test inputs are training inputs too" in page_of.html(document)


def test_trials_of_learning_rates_are_shown(document: dict[str, Any]) -> None:
    assert "Trials of learning rates" not in page_of.html(document)
    rows = [(0.02, 6, None), (0.001, 12, 0.75), (0.002, 12, 0.5)]
    document["train"]["trials"] = [
        {"learning_rate": rate, "steps": steps, "loss": loss} for rate, steps, loss in rows
    ]
    page = page_of.html(document)
    assert "<td>0.002, chosen</td><td>12</td><td>0.5000</td>" in page
    assert "<td>0.02</td><td>6</td><td>diverged</td>" in page


def points(losses: list[float]) -> list[dict[str, float]]:
    return [{"step": step, "loss": loss} for step, loss in enumerate(losses, 1)]


def test_seeds_are_shown_with_their_spread(document: dict[str, Any]) -> None:
    assert "<h2>Seeds</h2>" not in page_of.html(document)
    found = [(5, 0.5, 0.25, False), (6, 0.25, 0.75, False), (None, 0.2, 0.8, True)]
    document["train"]["seeds"] = [
        {"seed": seed, "loss": loss, "exact": exact, "kept": kept, "curve": points([2.0, loss]) if seed else []}
        for seed, loss, exact, kept in found
    ]
    page = page_of.html(document)
    assert "from 25.0 to 75.0 % exact" in page
    assert "<th>5</th><td>0.5000</td><td>25.0</td>" in page
    assert '<tr class="lead"><th>mean of all, kept</th><td>0.2000</td><td>80.0</td>' in page
    document["train"] |= {"share": "reward", "unit": ""}  # any number, and no share
    assert "from 0.250 to 0.750 reward" in page_of.html(document)


def test_a_constraint_that_comes_from_no_file(document: dict[str, Any]) -> None:
    document["constraint"] |= {"source": "choices"}
    del document["constraint"]["file"]
    assert "(choices, 4,321 states)" in page_of.html(document)


def test_a_task_without_functions(document: dict[str, Any]) -> None:
    for system in document["systems"].values():
        system["function"] = system["function_interval"] = None
    parse(page_of.html(document))
    assert "–" in pages.table(document["systems"]).splitlines()[1]


def test_the_table_is_aligned(document: dict[str, Any]) -> None:
    lines = pages.table(document["systems"]).splitlines()
    assert len(lines) == 1 + len(document["systems"])
    assert len({len(line) for line in lines}) == 1
    assert lines[0].startswith("system")


def test_worst_first(document: dict[str, Any]) -> None:
    output = '{"name": "A", "arguments": {"x": 1, "y": "two"}}'
    outputs = [output, output.replace("two", "three"), "nonsense", output.replace('"A"', '"B"')]
    items = [Example(str(i), output) for i in range(4)]
    grades = [CALL.grade(text, output, (), frozenset()) for text in outputs]
    shown = [Answer(i, text, [], 0, 0.0, "stop") for i, text in enumerate(outputs)]
    worst = findings.worst(CALL, grades, items, shown)
    assert [(error["input"], error["kind"]) for error in worst] == [
        ("2", "invalid"),
        ("3", "wrong function"),
        ("1", "wrong arguments"),
    ]
    assert findings.confusion(CALL, grades, items) == [
        {"expected": "A", "answered": "(invalid)", "count": 1},
        {"expected": "A", "answered": "B", "count": 1},
    ]


def test_what_a_constraint_changed() -> None:
    output = '{"name":"A","arguments":{"x":1}}'
    items = [Example(str(i), output, part="p") for i in range(5)]

    def answers(*texts: str) -> list[Answer]:
        return [Answer(i, text, [], 0, 0.0, "stop") for i, text in enumerate(texts)]

    other = output.replace('"A"', '"B"')
    free = answers(output, output, "none", other, other)
    bound = answers(output + " ", other, output, output.replace("1", "2"), output.replace('"A"', '"C"'))
    changed = findings.changes(CALL, frozenset(), items, free, bound)
    assert (changed["changed"], changed["better"], changed["worse"]) == (4, 2, 1)
    assert [(row["input"], row["kind"]) for row in changed["examples"]] == [
        ("1", "worse"),
        ("2", "better"),
        ("3", "better"),
        ("4", "as good"),
    ]
    assert naming.title("shipped_q8_0_constrained") == "Shipped Q8_0, constrained"
    assert formats.share(3, 6) == "50 %"
    assert formats.share(None, 6) == formats.share(1, None) == "–"


def test_the_headline_is_the_file_one_would_ship() -> None:
    assert headline_system(("F16", "Q4_0", "Q8_0")) == "shipped_q8_0"
    assert headline_system(("F16", "Q4_0")) == "shipped_q4_0"
    assert headline_system(("F16",)) == "shipped_f16"


def test_figures() -> None:
    assert [formats.size(n) for n in (None, 12, 1500, 145_000_000, 2_000_000_000)] == [
        "–",
        "12 B",
        "1.5 kB",
        "145.0 MB",
        "2.0 GB",
    ]
    figures = [formats.figure(x) for x in (None, 0, 0.01234, 3.21, 321.9, 12345)]
    assert figures == ["–", "0", "0.012", "3.2", "322", "12,345"]
    assert [formats.signed(x) for x in (0.04, -0.04, 1.25, -1.6)] == ["0.0", "0.0", "+1.2", "−1.6"]


def test_the_curve_lies_in_its_frame_and_falls() -> None:
    drawing = curve.draw(
        [{"step": n, "loss": 4 / n} for n in range(1, 50)] + [{"step": 49, "validation_loss": 0.5}]
    )
    assert drawing is not None
    points = [tuple(map(float, pair.split(","))) for pair in drawing.points["loss"].split()]
    assert all(curve.LEFT <= x <= curve.WIDTH and 0 <= y <= curve.HEIGHT - curve.BOTTOM for x, y in points)
    assert [y for _, y in points] == sorted(y for _, y in points)
    assert [tick.label for tick in drawing.y_ticks] == ["0.1", "0.2", "0.5", "1", "2"]
    assert [tick.label for tick in drawing.x_ticks] == [
        "0",
        "5",
        "10",
        "15",
        "20",
        "25",
        "30",
        "35",
        "40",
        "45",
    ]


@pytest.mark.parametrize("rows", [[], [{"step": 1, "loss": 1.0}], [{"step": 1, "loss": 0.0}, {"step": 2}]])
def test_no_curve_without_two_points(rows: list[dict[str, Any]]) -> None:
    assert curve.draw(rows) is None


def test_a_flat_curve_is_drawn() -> None:
    assert curve.draw([{"step": 1, "loss": 1.0}, {"step": 2, "loss": 1.0}]) is not None


@pytest.fixture
def chromium() -> str:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is missing; install it, so that the report is looked at")
        pytest.skip("chromium is not installed")
    return program


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_without_complaint(
    chromium: str, document: dict[str, Any], tmp_path: Path, width: int
) -> None:
    # The body is made to tell whether it is wider than the window: tables scroll inside their own boxes.
    test = "document.documentElement.scrollWidth <= innerWidth"
    probe = f"<script>document.title = {test} ? 'fits' : 'too wide'</script>"
    page = tmp_path / "report.html"
    page.write_text(page_of.html(document).replace("</body>", probe + "</body>"), encoding="utf-8")
    done = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},1000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "<title>fits</title>" in done.stdout
    assert "CONSOLE" not in done.stderr
