"""The small examples' data is what their scripts say, and their recipes load."""

from __future__ import annotations

import importlib
import importlib.util
import json
import random
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tinsmith.constraint import makers
from tinsmith.data.shapes import open_examples
from tinsmith.pipeline import recipe
from tinsmith.prepare.allowed import Checker, bytes_model
from tinsmith.tasks import by_name

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ("api", "classify", "code", "documents", "extract", "language", "router", "voice")


def load(path: Path) -> ModuleType:
    name = f"{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", SMALL)
def test_the_recipe_loads_and_says_its_own_baselines(name: str) -> None:
    loaded = recipe.load(EXAMPLES / name / "recipe.toml")
    assert loaded.name == name
    stated = tomllib.loads((EXAMPLES / name / "recipe.toml").read_text(encoding="utf-8"))
    assert loaded.train.seeds == 1 and "baselines" in stated["eval"]
    assert ("tfidf" in loaded.eval.baselines) == (loaded.data.task == "classify")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extract")
    assert load(EXAMPLES / "extract" / "sample.py").main(["--out", str(folder)]) == 0
    return folder


def test_documents_say_what_their_answers_hold(documents: Path) -> None:
    texts = []
    for split, count in {"train": 300, "validation": 40, "test": 120}.items():
        found = rows(documents / f"{split}.jsonl")
        assert len(found) == count
        texts += [row["input"] for row in found]
        for row in found:
            said, text = json.loads(row["output"]), " ".join(row["input"].lower().split())
            for key in {"seller", "number", "brand", "item", "color", "size"} & said.keys():
                assert str(said[key]).lower() in text
            assert all(name.lower() in text for name in said.get("items", []))
            assert f"{said['total']:.2f}" in text.replace(",", "")
            for key in {"date", "due"} & said.keys():
                assert said[key][:4] in text and str(int(said[key][8:])) in text
    assert len(set(texts)) == len(texts)


def test_the_schema_allows_every_document_and_compares_dates(documents: Path) -> None:
    schema = json.loads((documents / "schema.json").read_text())
    checker = Checker(bytes_model(), makers.schema(schema).data)
    test = rows(documents / "test.jsonl")
    assert all(checker.departure(row["output"]) is None for row in test)
    (bill,) = [row for row in test if row["part"] == "invoice"][:1]
    said = json.loads(bill["output"])
    year, month, day = said["date"].split("-")
    other = json.dumps({**said, "date": f"{int(day)}.{int(month)}.{year}", "seller": said["seller"].upper()})
    (example,) = [one for one in open_examples(documents / "test.jsonl") if one.output == bill["output"]]

    class Answer:
        text = other
        options = expected_log_probability = expected_tokens = None

    assert by_name("extract").measures([(Answer(), example)], schema=schema)["match"] == 1


def test_the_test_set_has_sellers_and_goods_of_its_own(documents: Path) -> None:
    names = {
        split: {
            json.loads(row["output"]).get(key)
            for row in rows(documents / f"{split}.jsonl")
            for key in ("seller", "brand", "item")
        }
        for split in ("train", "test")
    }
    assert names["train"] & names["test"] == {None}


@pytest.mark.parametrize(("name", "tools"), [("api", "tools.toml"), ("code", "commands.toml")])
def test_calls_are_of_shown_functions_and_the_constraint_allows_them(
    name: str, tools: str, tmp_path: Path
) -> None:
    sample = load(EXAMPLES / "api" / "sample.py")
    assert sample.main(["--tools", str(EXAMPLES / name / tools), "--out", str(tmp_path)]) == 0
    unseen = tomllib.loads((EXAMPLES / name / tools).read_text(encoding="utf-8"))["unseen"]
    checker = Checker(bytes_model(), makers.tools(json.loads((tmp_path / "tools.json").read_text())).data)
    for split in ("train", "validation", "test"):
        for row in rows(tmp_path / f"{split}.jsonl"):
            call, shown = json.loads(row["output"]), row["turns"][0]["content"]
            assert re.search(rf"^{call['name']}\({', '.join(call['arguments'])}\): ", shown, re.MULTILINE)
            assert all(str(value) in row["input"] for value in call["arguments"].values())
            assert (call["name"] in unseen) == (row.get("part") == "new")
            assert split == "test" or not any(f"{one}(" in shown for one in unseen)
            assert checker.departure(row["output"]) is None
    assert {row["part"] for row in rows(tmp_path / "test.jsonl")} == {"known", "new"}


def test_the_commands_are_those_of_the_command_line() -> None:
    stated = tomllib.loads((EXAMPLES / "code" / "commands.toml").read_text(encoding="utf-8"))
    for name in stated.keys() - {"unseen", "kinds"}:
        verb = importlib.import_module(f"tinsmith.cli.{stated[name].get('verb', name)}")
        names = {param.opts[0].lstrip("-").replace("-", "_") for param in verb.PARAMETERS}
        assert "verb" in stated[name] or stated[name]["args"].keys() <= names


MAIL = """\
Subject: {subject}
List-Id: <{desk}>
Content-Type: text/plain

On Monday someone wrote:
> why does it not boot
Have you tried to look at the log of the loader?
--
a footer of the list
"""


def test_a_mail_is_read_without_what_gives_its_list_away() -> None:
    from email import message_from_string

    mails = load(EXAMPLES / "classify" / "mails.py")
    mail = message_from_string(MAIL.format(subject="Re: [ILUG] Re: boot fails", desk="ilug.linux.ie"))
    assert mails.label(mail, "easy-ham") == "linux"
    assert (mails.label(mail, "spam"), mails.label(mail, "hard-ham")) == ("spam", None)
    assert mails.text(mail) == "boot fails\nHave you tried to look at the log of the loader?"


def test_a_thread_of_mails_stays_in_one_split() -> None:
    mails = load(EXAMPLES / "classify" / "mails.py")
    made = [(f"{desk} {n}\n{text}", desk) for desk in "ab" for n in range(100) for text in ("one", "two")]
    found = mails.splits(iter(made), random.Random(1))
    subjects = [said.partition("\n")[0] for held in found.values() for said, _ in held]
    assert len(set(subjects)) == len(subjects) == 2 * 88
    assert {split: len(held) for split, held in found.items()} == {"train": 120, "validation": 16, "test": 40}


@pytest.mark.parametrize(
    ("verse", "wanted"),
    [
        (
            "A soft answer turneth away wrath: but grievous words stir up anger.",
            ("A soft answer turneth away wrath:", "but grievous words stir up anger."),
        ),
        ("A wise son: a glad father and a mother too.", None),
        ("No colon stands in this one.", None),
    ],
)
def test_a_proverb_is_cut_at_its_first_colon(verse: str, wanted: tuple[str, str] | None) -> None:
    assert load(EXAMPLES / "voice" / "sample.py").halves(verse) == wanted


def test_messages_are_plain_sentences_that_were_translated(tmp_path: Path) -> None:
    language = load(EXAMPLES / "language" / "sample.py")
    folder = tmp_path / "usr/share/locale/fur/LC_MESSAGES"
    folder.mkdir(parents=True)
    pairs = {
        "": "Content-Type: text/plain; charset=UTF-8\n",
        "Close the _window": "Siere il _barcon",
        "menu\x04Open a file": "Vierç un file",
        "Close %s now please": "Siere %s cumò",
        "Open a window": "Open a window",
        "Help": "Jutori",
    }
    write_mo(folder / "one.mo", pairs)
    assert list(language.messages(tmp_path, "fur")) == [
        ("Close the window", "Siere il barcon"),
        ("Open a file", "Vierç un file"),
    ]


def write_mo(path: Path, pairs: dict[str, str]) -> None:
    """GNU's binary catalog: a header, two tables of lengths and offsets, and the texts."""
    import struct

    items = sorted((key.encode(), value.encode()) for key, value in pairs.items())
    at = 28 + 16 * len(items)
    tables, texts = [b"", b""], b""
    for which in (0, 1):
        for item in items:
            tables[which] += struct.pack("<II", len(item[which]), at + len(texts))
            texts += item[which] + b"\0"
    header = struct.pack("<7I", 0x950412DE, 0, len(items), 28, 28 + 8 * len(items), 0, at)
    path.write_bytes(header + tables[0] + tables[1] + texts)


def test_texts_of_packages_say_type_and_latest_year(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = load(EXAMPLES / "documents" / "sample.py")
    monkeypatch.setattr(sample, "sections", lambda: {"one": "libs", "two": "games"})
    text = "Copyright 1998, 2004 somebody, and later changed by somebody else. " * 5
    for package in ("one", "two"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "copyright").write_text(text)
    (tmp_path / "one" / "README.Debian").write_text("No year stands in this text, only 12345. " * 9)
    (tmp_path / "one" / "NEWS.gz").write_bytes(__import__("gzip").compress("é".encode() * 300))
    found = list(sample.documents(tmp_path))
    assert [(package, said["type"], said["year"]) for package, _, said in found] == [
        ("one", "copyright", 2004),
        ("one", "readme", None),
    ]
    assert all(said["subject"] == "libs" and len(text) <= sample.LENGTH for _, text, said in found)
    checker = Checker(bytes_model(), makers.schema(sample.SCHEMA).data)
    assert all(checker.departure(json.dumps(said, separators=(",", ":"))) is None for _, _, said in found)


def test_a_text_that_packages_share_is_in_one_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = load(EXAMPLES / "documents" / "sample.py")
    packages = [f"p{number}" for number in range(60)]
    monkeypatch.setattr(sample, "sections", lambda: dict.fromkeys(packages, "libs"))
    monkeypatch.setattr(sample, "SPLITS", {"train": 20, "test": 10})
    for number, package in enumerate(packages):
        (tmp_path / package).mkdir()
        text = f"Copyright {1960 + number // 2} by the authors of this work, one of many. " * 4
        (tmp_path / package / "copyright").write_text(text)  # two packages have each
    assert sample.main(["--docs", str(tmp_path), "--out", str(tmp_path / "data")]) == 0
    texts = [
        json.loads(line)["input"]
        for split in ("train", "test")
        for line in (tmp_path / "data" / f"{split}.jsonl").read_text().splitlines()
    ]
    assert len(texts) == len(set(texts)) == 30
