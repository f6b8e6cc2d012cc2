"""A folder of answers by what was asked: all that a receipt binds but the answer itself.

FOLDER/answers.sqlite is this machine's. Another machine's is merged by putting it beside that, under any other
name that ends in .sqlite: its answers are taken at the next run, and one that differs from an answer already
there is refused, as no two machines answer the same question differently.

Anybody may have written such a file, so an answer is checked again before it is used (`Known.fault`): its text
is that of its tokens, its constraint allows them, and its receipt follows from them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from tinsmith.batch.known import Known
from tinsmith.errors import InputError
from tinsmith.runtime.generation import Completion, Finish
from tinsmith.system import files, reading

_OWN = "answers.sqlite"
_WAIT = 60.0  # seconds for another process of the same folder
_TABLES = """
create table if not exists answers (key blob primary key, answer text not null) without rowid;
create table if not exists taken (name text primary key, size integer, changed integer) without rowid;
"""
_FINISHES: tuple[Finish, ...] = get_args(Finish)


class Cache:
    """Answers are written by `commit`. Raises InputError where the disk or the folder refuses."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / _OWN
        with self._faults():
            files.make_folder(self.path.parent)
            self._base = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None, uri=True)
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma synchronous = normal")
            self._base.executescript(_TABLES)
        self._new: dict[str, str] = {}

    def merge(self) -> int:
        """Takes the answers of the folder's other files, and says how many are new."""
        count = 0
        for path in sorted(self.path.parent.glob("*.sqlite")):
            if path.name != _OWN:
                count += self._take(path)
        return count

    def _take(self, path: Path) -> int:
        about = path.stat()
        mark = (path.name, about.st_size, about.st_mtime_ns)
        with self._faults(path):
            if self._base.execute(
                "select 1 from taken where (name, size, changed) = (?, ?, ?)", mark
            ).fetchone():
                return 0
            self._base.execute("attach ? as other", (f"{path.resolve().as_uri()}?immutable=1",))
            try:
                odd = self._base.execute(
                    "select count(*) from other.answers as b join answers as a using (key) "
                    "where a.answer != b.answer"
                ).fetchone()[0]
                if odd:
                    raise InputError(
                        f"{path}: {odd} answers differ from those in {self.path} to the same questions; "
                        "one of the two is damaged: tinsmith batch --check says which OUT is right"
                    )
                taken = self._base.execute("insert or ignore into answers select * from other.answers").rowcount
            finally:
                self._base.execute("detach other")
            self._base.execute("insert or replace into taken values (?, ?, ?)", mark)
        return taken

    def get(self, keys: Mapping[str, object]) -> dict[str, Known]:
        """Those that are known, by their keys (hexadecimal)."""
        found: dict[str, Known] = {}
        listed = list(keys)
        for at in range(0, len(listed), 500):
            some = [bytes.fromhex(key) for key in listed[at : at + 500]]
            marks = ", ".join("?" * len(some))
            with self._faults():
                rows = self._base.execute(
                    f"select key, answer from answers where key in ({marks})", some
                ).fetchall()
            found |= {key.hex(): self._read(text) for key, text in rows}
        return found

    def put(self, key: str, known: Known) -> None:
        completion = known.completion
        about = [completion.text, completion.finish, completion.prompt_tokens, list(completion.token_ids)]
        row = [*about, known.receipt, known.logits]
        self._new[key] = json.dumps(row, ensure_ascii=False, separators=(",", ":"))

    def _read(self, text: Any) -> Known:
        try:
            row = reading.json(text, self.path) if isinstance(text, str) else None
        except InputError:
            row = None
        match row:
            case [str(words), str(finish), int(prompt), list(tokens), str(receipt), str(logits)]:
                ending = next((one for one in _FINISHES if one == finish), None)
                if ending and all(type(token) is int for token in tokens):
                    return Known(Completion(words, tokens, prompt, 0.0, ending, 0), logits, receipt)
        raise InputError(f"{self.path}: is damaged; remove it")

    def commit(self) -> None:
        rows: list[tuple[Any, ...]] = [(bytes.fromhex(key), text) for key, text in self._new.items()]
        if rows:
            with self._faults():
                self._base.execute("begin immediate")
                self._base.executemany("insert or replace into answers values (?, ?)", rows)
                self._base.execute("commit")
        self._new.clear()

    def close(self) -> None:
        self._base.close()

    @contextmanager
    def _faults(self, path: Path | None = None) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"{path or self.path}: {error}; free some space, or give another folder for --cache"
            ) from None
