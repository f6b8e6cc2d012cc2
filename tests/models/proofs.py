"""A pytest plugin: what the tests of families show, for docs/families.md.

A test that is marked `proves(column)` and has a tiny model as a parameter shows that the model's family can
what the column says. Where it shows that tinsmith refuses, and says why, it calls record_property("without",
reason).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.models.tiny_models import cases

Answers = dict[str, dict[str, str]]  # by tiny model and column: "yes", why not, or how the test failed


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--proofs", metavar="FILE", type=Path, help="write what the tests of families show, as JSON"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "proves(column): shows, for each tiny model, what docs/families.md says in the column"
    )
    if config.getoption("--proofs") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Collector(config.getoption("--proofs")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for case, column in proved_by(item):
            item.user_properties.append(("proves", [case, column]))


def proved_by(item: pytest.Item) -> list[tuple[str, str]]:
    """The tiny model and the columns that a test is about."""
    known, call = cases(), getattr(item, "callspec", None)
    given = [value for value in call.params.values() if value in known] if call else []
    return [(given[0], mark.args[0]) for mark in item.iter_markers("proves") if given]


class _Collector:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: Answers = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        given = dict(report.user_properties)
        answer = str(given.get("without", "yes")) if report.passed else report.outcome
        for name, value in report.user_properties:
            if name == "proves":
                case, column = value  # type: ignore[misc]
                known = self.answers.setdefault(case, {}).get(column, "yes")
                self.answers[case][column] = known if known != "yes" else answer

    def pytest_sessionfinish(self) -> None:
        if self.path.exists():
            for case, columns in json.loads(self.path.read_text("utf-8")).items():
                self.answers[case] = columns | self.answers.get(case, {})
        self.path.write_text(json.dumps(self.answers, indent=2, sort_keys=True) + "\n", encoding="utf-8")
