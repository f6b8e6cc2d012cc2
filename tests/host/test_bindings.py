"""What scripts/bindings.py and scripts/conformance_table.py write."""

from __future__ import annotations

import re
from pathlib import Path

import bindings
import conformance_table
import pytest


def test_the_files_of_other_languages_are_current() -> None:
    for path, text in bindings.texts().items():
        assert path.read_text("utf-8") == text, f"{path} is stale: run scripts/bindings.py"


def test_every_function_and_constant_is_understood() -> None:
    interface = bindings.read()
    declared = re.findall(r"\b(tinhost_\w+)\(", re.sub(r"/\*.*?\*/", "", bindings.HOST.read_text(), flags=re.S))
    assert [f"tinhost_{one.name}" for one in interface.functions] == declared
    assert interface.constants["DONE"] == 2
    assert interface.constants["FINISH_CONSTRAINT"] == 4
    assert [value for _, value, _ in interface.errors] == list(range(-1, -10, -1))


def test_a_type_that_other_languages_lack_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = tmp_path / "tin_host.h"
    header.write_text("TIN_API float tinhost_warmth(tinhost_model *model);\n")
    monkeypatch.setattr(bindings, "HOST", header)
    with pytest.raises(SystemExit, match="type float; other languages have"):
        bindings.read()


def test_the_table_of_hosts_numbers_what_failed() -> None:
    reports = [
        {
            "host": "lua",
            "version": "2.1",
            "cases": {"answer": "passed", "unconstrained": '"Wit" is not "Witness"'},
        },
        {"host": "go", "version": "1.24", "cases": {"answer": "passed"}},
    ]
    text, whole = conformance_table.table(reports)
    assert not whole
    assert text.splitlines() == [
        "| host | answer | unconstrained |",
        "| --- | --- | --- |",
        "| go 1.24 | ✓ | – |",
        "| lua 2.1 | ✓ | 1 |",
        "",
        '1. lua, unconstrained: "Wit" is not "Witness"',
    ]
    assert conformance_table.table([{"host": "go", "cases": {"answer": "passed"}}])[1]


def test_the_table_of_what_addons_take() -> None:
    weighed = {"lua": {"beside": 21400}, "go": {"beside": 9940, "added": 3 << 20, "planned": 5 << 19}}
    assert conformance_table.weights(weighed).splitlines()[2:] == [
        "| go | 9.9 | 3.0 | 2.5 |",
        "| lua | 21.4 | – | – |",
    ]
