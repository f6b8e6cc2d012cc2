"""tinsmith diff, as a shell sees it: which answers changed, to what, and an exit code."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tinsmith
from tests.models.random_adapters import random_adapter
from tests.models.tiny_models import tiny_spec
from tinsmith import cli
from tinsmith.compiler import build_tin

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
SCALE = 0.1  # at which the adapter changes some of the answers
ASKED = [f"what is {k}?" for k in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, an adapter for it, and questions: the model's own answers are right, but for the last."""
    place = tmp_path_factory.mktemp("diff")
    spec = tiny_spec("llama", hidden_size=64, intermediate_size=96)
    build_tin(replace(spec, chat_template=TEMPLATE), place / "a.tin")
    random_adapter(place / "a.tin", place / "skill.adapter")
    model = tinsmith.load(place / "a.tin", threads=1)
    rows = [
        {"input": one, "output": model.chat([{"role": "user", "content": one}], max_tokens=4).text or "none"}
        for one in ASKED
    ]
    rows[-1]["output"] = "something else"
    (place / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "asked.jsonl").write_text("".join(json.dumps({"input": one}) + "\n\n" for one in ASKED))
    return place


def diff(*words: object) -> int:
    return cli.main(["diff", *map(str, words), "--max-tokens", "4", "--threads", "1", "--task", "chat"])


def test_a_model_does_not_differ_from_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(folder / "a.tin", folder / "a.tin", folder / "asked.jsonl") == 0
    assert capsys.readouterr().out == "0 of 12 answers changed (0.00 %)\n"


def test_what_an_adapter_changes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = (folder / "a.tin", folder / "a.tin", folder / "labelled.jsonl")
    skill = ("--adapter-b", f"{folder / 'skill.adapter'}:{SCALE}")
    assert diff(*same, *skill, "--json", "--page", folder / "changes.html") == 1
    found = json.loads(capsys.readouterr().out)
    model = tinsmith.load(folder / "a.tin", threads=1)
    model.adapters.add("skill", folder / "skill.adapter")
    pairs = [
        [
            model.chat([{"role": "user", "content": one}], max_tokens=4, adapter=chosen).text
            for chosen in (None, {"skill": SCALE})
        ]
        for one in ASKED
    ]
    changed = [k for k, (before, after) in enumerate(pairs) if before != after]
    assert 0 < len(changed) < 12
    assert [(change["line"], change["answers"]) for change in found["changes"]] == [
        (k + 1, pairs[k]) for k in changed
    ]
    assert (found["items"], found["changed"]) == (12, len(changed))
    assert found["lost"] == sum(found["changes"][n]["right"] == [True, False] for n in range(len(changed)))
    assert found["metrics"][0]["exact"] - found["metrics"][1]["exact"] == pytest.approx(
        (found["lost"] - found["gained"]) / 12
    )
    assert found["b"] == f"{folder / 'a.tin'} + {folder / 'skill.adapter'}:{SCALE}"
    page = (folder / "changes.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 1 + len(changed)
    assert 'class="right"' in page
    # The exit code goes by the share that changed.
    share = 100 * found["share"]
    assert diff(*same, *skill, "--allow", f"{share + 0.1}%") == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{len(changed)} of 12 answers changed")
    assert f"line {changed[0] + 1}: {ASKED[changed[0]]}" in told
    assert diff(*same, *skill, "--allow", f"{(share - 0.1) / 100}") == 1
    capsys.readouterr()
    assert diff(*same, *skill, "--adapter-a", f"{folder / 'skill.adapter'}:{SCALE}") == 0


def test_a_page_needs_the_extra(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    same = (folder / "a.tin", folder / "a.tin", folder / "asked.jsonl")
    assert diff(*same, "--page", tmp_path / "changes.html") == 2
    said = capsys.readouterr()
    assert said.err == "tinsmith: error: jinja2 is not installed; run: pip install 'tinsmith[eval]'\n"
    assert not said.out
    assert not (tmp_path / "changes.html").exists()
    assert diff(*same) == 0  # which needs no extra


def test_what_can_not_be_compared(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    for text, said in (
        ("", "holds no line"),
        ('{"output": "a"}\n', ':1: "input" is missing'),
        ('{"input": "a"}\n[]\n', ":2: got a list"),
        ('{"input": "a", "accept": "b"}\n', ':1: "accept" must be a list of texts'),
    ):
        rows.write_text(text)
        assert diff(folder / "a.tin", folder / "a.tin", rows) == 2
        assert said in capsys.readouterr().err
    rows.write_text('{"input": "a"}\n')
    assert diff(folder / "a.tin", folder / "a.tin", rows, "--adapter-a", "none") == 2
    assert "no adapter 'none'" in capsys.readouterr().err
    assert diff(folder / "a.tin", folder / "a.tin", rows, "--allow", "2") == 2
    assert "2: give a share such as 0.5% or 0.005" in capsys.readouterr().err
    build_tin(replace(tiny_spec("llama"), chat_template=None), tmp_path / "plain.tin")
    assert diff(tmp_path / "plain.tin", folder / "a.tin", rows) == 2
    assert "has no chat template" in capsys.readouterr().err
