"""Files and folders that hold rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tinsmith.data.containers import texts
from tinsmith.data.containers.folders import sources, split_of
from tinsmith.data.shapes import open_examples
from tinsmith.errors import DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

ROWS = [{"text": 'good, "very"\nso', "label": "yes"}, {"text": "naïve 日本", "label": "no"}]
PAIRS = [(row["text"], row["label"]) for row in ROWS]


def pairs(path: Path, split: str = "train") -> list[tuple[str, str]]:
    return [(one.input, one.output) for one in open_examples(path, split=split)]


def table(names: list[str] | None = None, count: int = 1) -> Any:
    """The rows as Arrow, the label numbered by names as Hugging Face's schema says it."""
    if names is None:
        return pa.Table.from_pylist(ROWS * count)
    rows = [{**row, "label": names.index(row["label"])} for row in ROWS * count]
    features = {"label": {"names": names, "_type": "ClassLabel"}, "text": {"dtype": "string", "_type": "Value"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.Table.from_pylist(rows).replace_schema_metadata(metadata)


def stream(path: Path, rows: Any) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows)


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.ndjson", "a.json", "lines.json", "a.csv", "semicolon.csv", "a.tsv"]
)
def test_a_text_file_of_each_kind(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    quoted = [['"good, ""very""\nso"', "yes"], ["naïve 日本", "no"]]
    separated = {
        mark: "".join(mark.join(cells) + "\r\n" for cells in [["text", "label"], *quoted]) for mark in ",;\t"
    }
    path.write_bytes(
        {
            "a.json": json.dumps(ROWS, indent=1),
            "a.csv": separated[","],
            "semicolon.csv": separated[";"],
            "a.tsv": separated["\t"],
        }.get(name, lines).encode()
    )
    got = pairs(path)
    assert [(text.replace("\r\n", "\n"), label) for text, label in got] == PAIRS


def test_a_json_list_may_be_one_long_line_cut_anywhere(tmp_path: Path) -> None:
    rows = [{"text": f'{n} "[{{\\ ,]' * 40, "label": "ü\\"} for n in range(2000)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows, ensure_ascii=False))
    assert pairs(path) == [(row["text"], row["label"]) for row in rows]


def test_parquet_and_numbered_labels(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    pq.write_table(table(["no", "yes"], 700), tmp_path / "b.parquet")
    assert pairs(tmp_path / "a.parquet") == PAIRS
    assert pairs(tmp_path / "b.parquet") == PAIRS * 700
    last = list(open_examples(tmp_path / "b.parquet"))[-1]
    assert str(last.where) == f"{tmp_path / 'b.parquet'}: row 1400"


def test_a_saved_dataset_and_its_splits(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    for split, count in (("train", 2), ("test", 1)):
        folder = tmp_path / split
        folder.mkdir()
        (folder / "state.json").write_text(
            '{"_data_files": [{"filename": "d-0.arrow"}, {"filename": "d-1.arrow"}]}'
        )
        stream(folder / "d-0.arrow", table(["no", "yes"], count))
        stream(folder / "d-1.arrow", table(["no", "yes"]))
    assert pairs(tmp_path) == PAIRS * 3
    assert pairs(tmp_path, "test") == pairs(tmp_path / "test") == PAIRS * 2
    with pytest.raises(DataError, match=r"has no validation split; it has test, train"):
        open_examples(tmp_path, split="validation")


@pytest.mark.parametrize("splits", ["null", "5", '"train"', "[1]"])
def test_a_saved_dataset_that_is_damaged(splits: str, tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text(f'{{"splits": {splits}}}')
    with pytest.raises(DataError, match=r'dataset_dict.json: lists no "splits"; save the dataset again'):
        open_examples(tmp_path)


def test_what_can_be_read_once_alone_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match=r"a.jsonl: not a regular file"):
        open_examples(tmp_path / "a.jsonl")


def test_what_datasets_saves_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    labels = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    made = datasets.Dataset.from_list(ROWS, features=labels)
    datasets.DatasetDict({"train": made, "test": made.select([1])}).save_to_disk(tmp_path / "saved")
    made.to_parquet(tmp_path / "a.parquet")
    assert pairs(tmp_path / "saved") == pairs(tmp_path / "a.parquet") == PAIRS
    assert pairs(tmp_path / "saved", "test") == PAIRS[1:]


@pytest.mark.parametrize(
    "names",
    [
        (
            "data/train-00000-of-00002.parquet",
            "data/train-00001-of-00002.parquet",
            "data/test-00000-of-00001.parquet",
        ),
        ("default/train/0000.parquet", "default/train/0001.parquet", "default/test/0000.parquet"),
        ("train_a.parquet", "train_b.parquet", "test.parquet"),
    ],
)
def test_files_laid_out_as_the_hub_does(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(), tmp_path / name)
    for name in ("README.md", "docs/notes.txt", "dataset_infos.json", "metadata.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("about")
    assert sorted(sources(tmp_path)) == ["test", "train"]
    assert pairs(tmp_path) == PAIRS * 2 and pairs(tmp_path, "test") == PAIRS


def test_a_folder_of_several_data_sets_asks_for_one(tmp_path: Path) -> None:
    for name in ("english/train.csv", "german/train.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("text,label\na,b\n")
    with pytest.raises(DataError, match=r"holds several data sets; give the folder of one: english, german"):
        open_examples(tmp_path)
    assert pairs(tmp_path / "german") == [("a", "b")]


def test_texts_in_a_folder_of_each_label(tmp_path: Path) -> None:
    for name in ("spam/2.txt", "spam/1.txt", "ham/1.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"the text {name}\n")
    (tmp_path / "spam" / ".DS_Store").write_bytes(b"\xff")
    assert pairs(tmp_path) == [("the text ham/1.md", "ham"), ("the text spam/1.txt", "spam"),
                               ("the text spam/2.txt", "spam")]  # fmt: skip
    assert str(next(iter(open_examples(tmp_path))).where) == str(tmp_path / "ham" / "1.md")
    for split in ("train", "test"):
        (tmp_path / "again" / split).mkdir(parents=True)
    (tmp_path / "spam").rename(tmp_path / "again" / "train" / "spam")
    (tmp_path / "ham").rename(tmp_path / "again" / "test" / "ham")
    assert [label for _, label in pairs(tmp_path / "again", "test")] == ["ham"]


def test_texts_with_an_answer_of_each(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Total 3 EUR")
    (tmp_path / "a.json").write_text('{\n "total": 3\n}')
    assert pairs(tmp_path) == [("Total 3 EUR", '{"total":3}')]
    (tmp_path / "b.txt").write_text("Total 4 EUR")
    with pytest.raises(DataError, match=r"b\.txt: b\.json is missing; add a file with the answer"):
        pairs(tmp_path)


def test_texts_with_a_list_of_labels(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some text")
    (tmp_path / "labels.csv").write_text("file,label\na.txt,yes\na,no\n../a.txt,out\n")
    with pytest.raises(DataError, match=r'labels\.csv:4: "file": there is no file \.\./a\.txt in'):
        pairs(tmp_path)
    (tmp_path / "labels.csv").write_text("file,label\na.txt,yes\na,no\n")
    assert pairs(tmp_path) == [("some text", "yes"), ("some text", "no")]


def test_what_holds_no_rows_says_what_would(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no rows; they are read from \.parquet, \.arrow, \.csv"):
        open_examples(tmp_path)
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"a\.xlsx: rows are read from .* files and from folders; convert it"):
        open_examples(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        open_examples(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00001.parquet", "train"),
        ("Training_set.csv", "train"),
        ("dev.jsonl", "validation"),
        ("val", "validation"),
        ("test.csv", "test"),
        ("trainer.csv", None),
        ("contest.csv", None),
    ],
)
def test_a_name_says_its_split(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_without_pyarrow_the_extra_is_named(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from tinsmith.data.shapes import open_examples\n"
        "from tinsmith.errors import MissingExtraError\n"
        "try: open_examples(sys.argv[1])\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.parquet"], capture_output=True, text=True
    )
    assert done.stdout == "pyarrow is not installed; run: pip install 'tinsmith[data]'\n", done.stderr


@pytest.mark.parametrize("link", ["a/1.txt", "a", "a/1.json", "labels.csv", "train.jsonl", "train/a/1.txt"])
def test_a_link_out_of_a_folder_is_no_data(link: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "a").mkdir(parents=True)
    (outside / "a" / "1.txt").write_text("secret")
    (outside / "train.jsonl").write_text('{"input": "secret", "output": "b"}\n')
    folder = tmp_path / "data"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "1.txt").write_text("mine")
    place = folder / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside / ("a" if link == "a" else "a/1.txt" if link.endswith(".txt") else "train.jsonl"))
    for read in (lambda: open_examples(folder), lambda: list(texts.rows(folder))):
        with pytest.raises(DataError, match=f"{place}: is a link that leads out of {folder}; put what"):
            read()


def test_a_link_within_a_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.txt").write_text("one")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.txt").symlink_to("../a/1.txt")
    assert pairs(tmp_path) == [("one", "a"), ("one", "b")]
    (tmp_path.parent / "by-link").unlink(missing_ok=True)
    (tmp_path.parent / "by-link").symlink_to(tmp_path)  # the folder itself may be one
    assert pairs(tmp_path.parent / "by-link") == [("one", "a"), ("one", "b")]


def test_a_saved_dataset_names_no_split_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["../train"]}')
    with pytest.raises(DataError, match="names a split elsewhere"):
        open_examples(tmp_path)


@pytest.mark.parametrize(
    "column, taken",
    [
        # With pandas installed there are values for durations, and the column is only an odd one.
        (pa.array([1, 2], pa.duration("ns")), "|with the columns input, odd it is of no shape"),
        (pa.array([2**52] * 2, pa.timestamp("s")), ""),
    ],
    ids=["duration", "far day"],
)
def test_a_column_that_python_has_no_values_for_is_named(column: Any, taken: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"input": pa.array(["a", "b"]), "odd": column}), tmp_path / "a.parquet")
    named = r'row 1: "odd" is (duration|timestamp)\[.*; save it as text'
    with pytest.raises(DataError, match=f"a.parquet: ({named}{taken})"):
        open_examples(tmp_path / "a.parquet")
