"""A folder of answers, keyed by all that a receipt covers except the answer.

FOLDER/answers.sqlite is this machine's. The next run merges other machines' .sqlite files. A merged answer that
differs from a stored one is an error: machines never answer a question differently.

The files are untrusted. An answer is verified before use: its tokens give its text and its receipt, and its
constraint allows them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from tinsmith.errors import InputError
from tinsmith.runtime.generation import Answer, Completion, Finish, TokenRequest
from tinsmith.runtime.loaded import Loaded
from tinsmith.runtime.receipt import Question, of_logits
from tinsmith.system import files, reading

_FILE = "answers.sqlite"
_LOCK_SECONDS = 60.0
_QUERY = 500  # keys
_TABLES = """
create table if not exists answers (key blob primary key, answer text not null) without rowid;
create table if not exists taken (name text primary key, size integer, changed integer) without rowid;
"""
_FINISHES: tuple[Finish, ...] = get_args(Finish)


@dataclass(frozen=True)
class CachedAnswer:
    """logits: a line of the receipt."""

    completion: Completion
    logits: str
    receipt: str

    def problem(self, model: Loaded, key: Question, request: TokenRequest) -> str | None:
        """Why it is no answer to the question; None where it is one."""
        completion, tokens = self.completion, self.completion.token_ids
        if len(tokens) > request.max_tokens or completion.prompt_tokens != len(request.tokens):
            return "has a wrong length"
        if not all(0 <= token < model.info.vocab for token in tokens):
            return "has unknown tokens"
        answer, text = Answer(model.core, request), ""
        for token in tokens:
            if answer.stopped:
                return "continues after a stop text"
            text += answer.add(token)
        text += answer.end()
        if text != completion.text or (answer.stopped and completion.finish != "stop"):
            return "has a text that is not its tokens'"
        ended = completion.finish == "stop" and not answer.stopped
        if request.constraint and not model.constraints.allows(request.constraint, tokens, ended=ended):
            return "violates its constraint"
        if of_logits(key, completion, self.logits).digest != self.receipt:
            return "has a wrong receipt"
        return None


class Cache:
    """`commit` writes new answers."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / _FILE
        with self._input_errors():
            files.make_folder(self.path.parent)
            self._base = sqlite3.connect(self.path, timeout=_LOCK_SECONDS, isolation_level=None, uri=True)
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma synchronous = normal")
            self._base.executescript(_TABLES)
        self._new: dict[str, str] = {}

    def merge(self) -> int:
        """Merges the folder's other files. Returns the number of new answers."""
        others = (path for path in sorted(self.path.parent.glob("*.sqlite")) if path.name != _FILE)
        return sum(map(self._merge, others))

    def _merge(self, path: Path) -> int:
        stat = path.stat()
        mark = (path.name, stat.st_size, stat.st_mtime_ns)
        known = "select 1 from taken where (name, size, changed) = (?, ?, ?)"
        with self._input_errors(path):
            if self._base.execute(known, mark).fetchone():
                return 0
            self._base.execute("attach ? as other", (f"{path.resolve().as_uri()}?immutable=1",))
            try:
                different = self._base.execute(
                    "select count(*) from other.answers as b join answers as a using (key) "
                    "where a.answer != b.answer"
                ).fetchone()[0]
                if different:
                    raise InputError(
                        f"{path}: {different} answers differ from those in {self.path} to the same questions; "
                        "one file is damaged: tinsmith batch --check says which OUT is right"
                    )
                merged = self._base.execute(
                    "insert or ignore into answers select * from other.answers"
                ).rowcount
            finally:
                self._base.execute("detach other")
            self._base.execute("insert or replace into taken values (?, ?, ?)", mark)
        return merged

    def get(self, keys: Mapping[str, object]) -> dict[str, CachedAnswer]:
        """The cached answers by key (hexadecimal)."""
        found: dict[str, CachedAnswer] = {}
        listed = list(keys)
        for at in range(0, len(listed), _QUERY):
            some = [bytes.fromhex(key) for key in listed[at : at + _QUERY]]
            marks = ", ".join("?" * len(some))
            query = f"select key, answer from answers where key in ({marks})"
            with self._input_errors():
                rows = self._base.execute(query, some).fetchall()
            found |= {key.hex(): self._read(text) for key, text in rows}
        return found

    def put(self, key: str, answer: CachedAnswer) -> None:
        completion = answer.completion
        row = [completion.text, completion.finish, completion.prompt_tokens, list(completion.token_ids)]
        row += [answer.receipt, answer.logits]
        self._new[key] = json.dumps(row, ensure_ascii=False, separators=(",", ":"))

    def _read(self, text: Any) -> CachedAnswer:
        try:
            row = reading.json(text, self.path) if isinstance(text, str) else None
        except InputError:
            row = None
        match row:
            case [str(words), str(finish), int(prompt), list(tokens), str(receipt), str(logits)]:
                ending = next((one for one in _FINISHES if one == finish), None)
                if ending and all(type(token) is int for token in tokens):
                    completion = Completion(
                        text=words,
                        token_ids=tokens,
                        prompt_tokens=prompt,
                        seconds=0.0,
                        finish=ending,
                        evaluations=0,
                    )
                    return CachedAnswer(completion, logits, receipt)
        raise InputError(f"{self.path}: damaged; remove it")

    def commit(self) -> None:
        rows: list[tuple[Any, ...]] = [(bytes.fromhex(key), text) for key, text in self._new.items()]
        if rows:
            with self._input_errors():
                self._base.execute("begin immediate")
                self._base.executemany("insert or replace into answers values (?, ?)", rows)
                self._base.execute("commit")
        self._new.clear()

    def close(self) -> None:
        self._base.close()

    @contextmanager
    def _input_errors(self, path: Path | None = None) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"{path or self.path}: {error}; free some space, or give another folder for --cache"
            ) from None
