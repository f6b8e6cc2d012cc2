"""tinsmith batch: every row answered as the model answers it alone, in order, once."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tinsmith
from tests.models import random_adapters
from tinsmith import cli
from tinsmith.batch import journal as journals
from tinsmith.batch import run as engine
from tinsmith.batch.engine import Counts, WindowResult
from tinsmith.errors import InputError

Run = Callable[..., int]


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def alone(file: Path, questions: list[str], **options: object) -> list[str]:
    model = tinsmith.load(file, threads=1)
    return [model.chat([{"role": "user", "content": one}], max_tokens=4, **options).text for one in questions]


def test_each_row_is_answered_as_by_the_model_alone(batch: Run, tiny_tin: Path, asked: Path) -> None:
    out = asked.with_name("out.jsonl")
    assert batch(asked, out) == 1  # a row failed
    made = rows(out)
    questions = [f"what is {k % 50}?" for k in range(60)]
    assert [row["item"] for row in made] == list(range(1, 62))
    assert "not JSON" in str(made[40]["error"])
    good = made[:40] + made[41:]
    assert [row["text"] for row in good] == alone(tiny_tin, questions)
    assert all(len(str(row["receipt"])) == 64 for row in good)
    assert good[0]["receipt"] == good[50]["receipt"] != good[1]["receipt"]
    assert not out.with_name("out.jsonl.part").exists()


def test_workers_and_unordered_give_the_same_rows(batch: Run, asked: Path) -> None:
    one, two, three = (asked.with_name(f"{name}.jsonl") for name in ("one", "two", "three"))
    batch(asked, one)
    batch(asked, two, "--workers", 2)
    assert two.read_bytes() == one.read_bytes()
    batch(asked, three, "--workers", 2, "--unordered", "--slots", 3)
    assert sorted(three.read_bytes().splitlines()) == sorted(one.read_bytes().splitlines())


def test_a_gguf_is_compiled_once_for_all_workers(tiny_tin: Path, asked: Path, tmp_path: Path) -> None:
    file, outs = tmp_path / "a.gguf", [tmp_path / f"{k}.jsonl" for k in (1, 2)]
    assert cli.main(["export", str(tiny_tin), "--gguf", str(file)]) == 0
    for workers, out in enumerate(outs, 1):
        words = ["batch", file, asked, out, "--max-tokens", 4, "--workers", workers]
        assert cli.main([str(word) for word in words]) == 1
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_which_rows(batch: Run, tmp_path: Path) -> None:
    given = tmp_path / "in.csv"
    given.write_text("lang,text\n" + "".join(f"{'en' if k % 2 else 'de'},{'x' * k}y\n" for k in range(40)))
    out = tmp_path / "out.jsonl"
    assert batch(given, out, "--where", "lang == 'en' and len(text) > 5", "--limit", 3) == 0
    assert [row["item"] for row in rows(out)] == [6, 8, 10]
    drawn = [tmp_path / f"drawn{k}.jsonl" for k in range(3)]
    for path, seed in zip(drawn, (1, 1, 2), strict=True):
        batch(given, path, "--sample", 5, "--seed", seed)
    items = [[row["item"] for row in rows(path)] for path in drawn]
    assert items[0] == items[1] == sorted(items[1]) != items[2]
    assert len(set(items[0])) == 5


def test_a_table_comes_out_with_its_columns(batch: Run, tmp_path: Path) -> None:
    given, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    table = pa.table({"id": [7, 8, 9], "prompt": ["a", "", "c"], "day": pa.array([1, 2, 3], pa.date32())})
    pq.write_table(table, given)
    assert batch(given, out, "--input", "prompt") == 1
    made = pq.read_table(out)
    assert made.select(["id", "prompt", "day"]) == table
    assert made.column_names[3:] == ["item", "text", "finish", "receipt", "error"]
    assert "is empty" in made["error"][1].as_py()
    as_csv = tmp_path / "out.csv"
    assert batch(given, as_csv, "--input", "prompt") == 1
    assert as_csv.read_text(encoding="utf-8").splitlines()[0] == "id,prompt,day,item,text,finish,receipt,error"
    assert batch(given, as_csv, "--input", "prompt", "--check") == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda given: given.write_text('{"input": "other"}\n'), "IN sha256"),
        (lambda given: ["--seed", 3], "settings"),
        (lambda given: ["--unordered"], "order"),
        (lambda given: ["--kv", "q8"], "FILE kv"),
    ],
)
def test_resuming_with_other_inputs_or_settings_fails(
    batch: Run, asked: Path, change: Callable[[Path], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = asked.with_name("out.jsonl")
    batch(asked, out)
    there = out.read_bytes()
    more = change(asked)
    assert batch(asked, out, *(more if isinstance(more, list) else [])) == 2
    assert f"was started with {said}" in capsys.readouterr().err
    assert out.read_bytes() == there


def test_a_batch_without_finished_windows_starts_anew(
    batch: Run, asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a command with a fault in it, which was mended."""
    out, whole = asked.with_name("out.jsonl"), asked.with_name("whole.jsonl")
    for wrong in (["--task", "none"], ["--adapter", "none"], ["--search", 3], ["--raw", "--system", "x"]):
        assert batch(asked, out, *wrong) == 2
        assert "was started with" not in capsys.readouterr().err
    batch(asked, out)
    batch(asked, whole)
    assert out.read_bytes() == whole.read_bytes()


def test_an_adapter_that_changed_meanwhile_is_refused(
    batch: Run, tiny_tin: Path, asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, adapter = asked.with_name("out.jsonl"), asked.with_name("mine.adapter")
    adapter.write_bytes(random_adapters.compiled(tiny_tin))
    assert batch(asked, out, "--adapter", adapter) == 1
    adapter.write_bytes(random_adapters.compiled(tiny_tin, seed=2))
    assert batch(asked, out, "--adapter", adapter) == 2
    assert "was started with adapters" in capsys.readouterr().err


def test_a_folder_may_be_called_as_an_adapter_of_the_file(
    tiny_tin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "home.adapter").write_bytes(random_adapters.compiled(tiny_tin))
    (tmp_path / "in.txt").write_text("a\n")
    assert (
        cli.main(["adapters", str(tiny_tin), "--add", "home", "--from", "home.adapter", "--out", "robot.tin"])
        == 0
    )
    words = ["robot.tin", "in.txt", "out.jsonl", "--adapter", "home", "--workers", "1", "--max-tokens", "3"]
    assert cli.main(["batch", *words]) == 0
    assert cli.main(["batch", "robot.tin", "in.txt", "out.jsonl", "--check", "--workers", "1"]) == 0


def test_an_out_of_nobody_is_left_alone(batch: Run, asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = asked.with_name("out.jsonl")
    out.write_text("mine")
    assert batch(asked, out) == 2
    assert "exists without a journal" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert {one.name for one in asked.parent.iterdir()} == {"in.jsonl", "out.jsonl"}


class Killed(BaseException):
    pass


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LEAST", 4)
    monkeypatch.setattr(engine, "MOST", 4)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("order", [True, False])
def test_a_run_resumes_after_any_interruption(
    batch: Run, asked: Path, order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended before a write, between the lines and their commit, or in the middle of a line of either file."""
    whole, out = asked.with_name("whole.jsonl"), asked.with_name("out.jsonl")
    more = [] if order else ["--unordered"]
    batch(asked, whole, *more)
    write = journals._write_all
    for number in range(1, 40):
        count = 0

        def torn(file: object, data: bytes, number: int = number) -> None:
            nonlocal count
            count += 1
            if count == number:
                write(file, data[: len(data) * (number % 3) // 2])  # type: ignore[arg-type]
                raise Killed
            write(file, data)  # type: ignore[arg-type]

        monkeypatch.setattr(journals, "_write_all", torn)
        try:
            batch(asked, out, *more)
        except Killed:
            assert not out.exists()
            monkeypatch.setattr(journals, "_write_all", write)
            batch(asked, out, *more)
            lines = [file.read_bytes().splitlines() for file in (out, whole)]
            if not order:  # which item ends first follows from what is computed beside it
                lines = [sorted(one) for one in lines]
            assert lines[0] == lines[1], number
            out.unlink()
            out.with_name("out.jsonl.journal").unlink()
        else:
            break
    assert number > 30


@pytest.mark.usefixtures("small_windows")
def test_a_full_disk_keeps_finished_rows(
    batch: Run, asked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = asked.with_name("whole.jsonl"), asked.with_name("out.jsonl")
    batch(asked, whole)
    write, left = journals._write_all, 2000

    def full(file: object, data: bytes) -> None:
        nonlocal left
        write(file, data[:left])  # type: ignore[arg-type]
        if len(data) > left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left -= len(data)

    monkeypatch.setattr(journals, "_write_all", full)
    assert batch(asked, out) == 2
    assert "free some space" in capsys.readouterr().err
    monkeypatch.setattr(journals, "_write_all", write)
    batch(asked, out)
    assert "of them done" in capsys.readouterr().err
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("small_windows")
def test_lines_that_a_loss_of_power_damaged_are_made_again(batch: Run, asked: Path) -> None:
    out, whole = asked.with_name("out.jsonl"), asked.with_name("whole.jsonl")
    batch(asked, whole)
    batch(asked, out)
    path, part = out.with_name("out.jsonl.journal"), out.with_name("out.jsonl.part")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))  # not complete
    data = bytearray(out.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)  # unsynced pages are zeros
    out.unlink()
    part.write_bytes(data)
    batch(asked, out)
    assert out.read_bytes() == whole.read_bytes()


def test_a_second_run_on_the_same_out_fails(batch: Run, asked: Path) -> None:
    out = asked.with_name("out.jsonl")

    def finish(part: Path, path: Path) -> None:
        part.replace(path)

    with journals.Journal(out, {"a": 1}, finish) as first:
        with (
            pytest.raises(InputError, match="another run is writing it"),
            journals.Journal(out, {"a": 1}, finish),
        ):
            pass
        first.add(WindowResult(0, b"{}\n", Counts(items=1, bytes=3)))
        first.end()
    with journals.Journal(out, {"a": 1}, finish) as later:
        assert later.complete


@pytest.mark.parametrize("which", ["IN", "FILE"])
def test_inputs_that_change_during_the_run_are_an_error(
    batch: Run,
    tiny_tin: Path,
    asked: Path,
    which: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add = journals.Journal.add

    def changed(self: journals.Journal, done: WindowResult) -> None:
        if which == "IN":
            asked.write_text(asked.read_text() + '{"input": "more"}\n')
        else:
            os.utime(tiny_tin, (1, 1))
        add(self, done)

    monkeypatch.setattr(journals.Journal, "add", changed)
    assert batch(asked, asked.with_name("out.jsonl")) == 2
    changed_one = asked if which == "IN" else tiny_tin
    assert f"{changed_one}: changed while the rows were answered" in capsys.readouterr().err
    assert not asked.with_name("out.jsonl").exists()


def test_failed_rows_are_retried(batch: Run, asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that fail of something that passes are answered by the same command."""
    from tinsmith.batch.requests import RequestBuilder

    out, whole = asked.with_name("out.jsonl"), asked.with_name("whole.jsonl")
    batch(asked, whole)
    questions = RequestBuilder.requests

    def failing(self: RequestBuilder, item: object) -> object:
        if getattr(item, "number", 0) % 7 == 0:
            raise InputError("no room")
        return questions(self, item)  # type: ignore[arg-type]

    monkeypatch.setattr(RequestBuilder, "requests", failing)
    batch(asked, out)
    assert sum("error" in row for row in rows(out)) == 9
    monkeypatch.setattr(RequestBuilder, "requests", questions)
    batch(asked, out, "--retry", 0)
    assert sum("error" in row for row in rows(out)) == 9
    batch(asked, out)
    assert out.read_bytes() == whole.read_bytes()
    last = out.with_name("out.jsonl.journal").read_text().splitlines()[-1]
    assert json.loads(last)["counts"]["failed"] == 1


@pytest.mark.parametrize("order", [[], ["--unordered"]])
def test_a_failed_row_is_not_answered_by_another_of_its_name(
    batch: Run, tmp_path: Path, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that can't be read is named by its number, which another may have for its custom_id."""
    from tinsmith.batch.requests import RequestBuilder

    given, out, questions = tmp_path / "in.jsonl", tmp_path / "out.jsonl", RequestBuilder.requests
    body = [json.dumps({"messages": [{"role": "user", "content": str(k)}], "max_tokens": 3}) for k in range(4)]
    lines = [f'{{"custom_id": "{k + 1 if k < 2 else k}", "body": {one}}}' for k, one in enumerate(body)]
    given.write_text("\n".join([*lines[:2], '{"bad', *lines[2:]]))  # named 1, 2, 3, 2, 3

    def failing(self: RequestBuilder, item: object) -> object:
        if getattr(item, "number", 0) in (2, 4):
            raise InputError("no room")
        return questions(self, item)  # type: ignore[arg-type]

    monkeypatch.setattr(RequestBuilder, "requests", failing)
    assert batch(given, out, *order) == 1
    monkeypatch.setattr(RequestBuilder, "requests", questions)
    assert batch(given, out, *order) == 1
    whole = tmp_path / "whole.jsonl"
    batch(given, whole)
    assert [row["error"] is None for row in rows(out)] == [True, True, False, True, True]
    assert out.read_bytes() == whole.read_bytes()
