"""tinsmith data check, as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinsmith import cli

GOOD = [{"input": f"text number {n} of many", "output": ("yes", "no")[n % 2]} for n in range(60)]
TYPO = {"input": "a last one that is new", "output": "Yes"}
PERSONAL = {"input": "a mail to jo@mail.com that is new", "output": "yes"}


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(*words: object) -> int:
    return cli.main(["data", "check", *map(str, words)])


def test_the_exit_code_goes_by_what_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = written(tmp_path / "good.jsonl", GOOD)
    assert run(good) == 0
    assert capsys.readouterr().out.startswith(
        "0 errors, 0 warnings, 0 notes in 60 examples of the task classify"
    )
    bad = written(tmp_path / "bad.jsonl", [*GOOD, TYPO])
    assert run(bad) == 1
    assert f'{bad}:61: the label "Yes" is rare and nearly "yes"' in capsys.readouterr().out
    assert run(bad, "--allow", "label_typo") == 0
    warned = written(tmp_path / "warned.jsonl", [*GOOD, PERSONAL])
    assert run(warned) == 0
    assert run(warned, "--strict") == 1
    assert run(warned, "--strict", "--allow", "personal", "leak") == 0
    capsys.readouterr()


def test_json_page_and_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = written(tmp_path / "data.jsonl", [*GOOD, TYPO, PERSONAL])
    out, page, clean = tmp_path / "out.json", tmp_path / "out.html", tmp_path / "clean.jsonl"
    assert run(data, "--json", out, "--html", page, "--fix", clean) == 1
    assert "0 examples were dropped, 2 changed" in capsys.readouterr().out
    found = json.loads(out.read_text("utf-8"))
    assert found["counts"] == {"error": 1, "warning": 1, "note": 0}
    assert found["files"] == [{"path": str(data), "split": "train", "rows": 62}]
    assert found["kinds"]["label_typo"]["findings"] == [
        {
            "severity": "error",
            "where": f"{data}:61",
            "message": 'the label "Yes" is rare and nearly "yes"',
            "fix": 'label "Yes" became "yes"',
        }
    ]
    text = page.read_text("utf-8")
    assert f"{data}:61" in text and "&#34;Yes&#34;" in text and "<script" not in text
    assert json.loads(clean.read_text("utf-8").splitlines()[60])["output"] == "yes"
    assert run(clean, "--strict") == 0
    capsys.readouterr()
    assert run(data, "--json", "-") == 1
    assert json.loads(capsys.readouterr().out)["kinds"] == found["kinds"]


def test_splits_and_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = written(tmp_path / "a.jsonl", GOOD), written(tmp_path / "b.jsonl", GOOD[:1])
    assert run(train, "--test", test) == 1
    assert f"{train}:1" in capsys.readouterr().out
    (tmp_path / "labels.txt").write_text("yes\nmaybe\n")
    assert run(train, "--labels", tmp_path / "labels.txt") == 1
    assert "forbidden (30)" in capsys.readouterr().out


def test_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "train.jsonl", [*GOOD, TYPO])
    written(tmp_path / "held.jsonl", GOOD[:2])
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[scratch]\n[data]\ntrain = "train.jsonl"\nvalidation = "held.jsonl"\ntest = "held.jsonl"\n'
        'task = "classify"\n[train]\nmethod = "full"\n[constraint]\nchoices = ["yes", "no"]\n'
    )
    assert run(recipe, "--json", tmp_path / "out.json") == 1
    found = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert {file["split"] for file in found["files"]} == {"train", "validation", "test"}
    assert set(found["kinds"]) == {"label_typo", "leak"}
    capsys.readouterr()
    # Other files, as this recipe's.
    assert run(written(tmp_path / "more.jsonl", [{"input": "one", "output": "maybe"}]), "--recipe", recipe) == 1
    assert "forbidden (1)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.jsonl", "--fix", "a.jsonl"], "a.jsonl: is the input of FILE"),
        (["a.jsonl", "--allow", "all"], 'check "all" does not exist; there are'),
        (["a.jsonl", "--task", "guess"], 'task "guess" does not exist'),
        (["a.jsonl", "--schema", "s.json", "--labels", "a,b"], "give only one of --schema, --labels"),
        (["none.jsonl"], "none.jsonl: no such file"),
        (["r.toml", "a.jsonl"], "a recipe names its own data"),
        (["a.jsonl", "--recipe", "r.toml", "--task", "call"], "--task: is stated by the recipe; leave it out"),
        ([], "FILE"),
    ],
)
def test_what_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a.jsonl", GOOD)
    (tmp_path / "s.json").write_text("{}")
    assert run(*words) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "s.json"]
