"""Cuts a folder of documents into passages: as many whole paragraphs under one heading as fit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinsmith.data.near import near_groups
from tinsmith.data.splits import normalize
from tinsmith.errors import DataError, InputError
from tinsmith.prepare.documents.dropping import Dropped
from tinsmith.prepare.documents.kinds import Block, Kind, kinds
from tinsmith.system.files import is_inside

LENGTH = 1200  # characters of a passage
SHORTEST = 80  # characters of a passage to ask about
_ALIKE = 0.8  # Jaccard similarity of near-duplicate passages
_WORDED = 0.5  # least share of letters; tables and code have fewer
_SENTENCE = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[^\W_a-zß-ÿ]|[\"'(\[¿¡«„“])")
_WORD = re.compile(r"\S")
_UNFINISHED = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|no|dr|mr|mrs|st|fig|inc|ltd|co|[A-Za-z])\.)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Passage:
    """document: its path in the folder. where: document with line or page. subject: the document's name in
    words. heading: above the passage."""

    document: str
    where: str
    subject: str
    heading: str
    text: str

    @property
    def title(self) -> str:
        if self.heading and normalize(self.heading) != normalize(self.subject):
            return f"{self.subject}: {self.heading}"
        return self.subject


def read(folder: Path, length: int = LENGTH) -> tuple[list[Passage], list[Dropped]]:
    """The passages of a folder's documents, in the order of their paths, and what was dropped: unreadable
    documents, passages with too little text, and near-duplicates.

    Raises InputError for a folder without passages."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give the folder of the documents")
    passages: list[Passage] = []
    dropped: list[Dropped] = []
    for path in _files(folder, dropped):
        name = _name(folder, path)
        kind = kinds().get(path.suffix.lower())
        if kind is None:
            known = ", ".join(sorted(suffix for suffix in kinds() if suffix))
            dropped.append(Dropped("kind", name, f"unsupported format; supported: {known}, or no suffix"))
            continue
        try:
            made = list(_cut(path, name, kind, length))
        except DataError as fault:
            dropped.append(Dropped("unreadable", name, str(fault).removeprefix(str(path)).lstrip(": ")))
            continue
        if not made:
            dropped.append(Dropped("empty", name, "holds no text"))
        passages += made
    long: list[Passage] = []
    for one in passages:
        letters = sum(map(str.isalpha, one.text))
        if len(one.text) < SHORTEST or letters < _WORDED * len(one.text):
            dropped.append(Dropped("short", one.where, "too little text for a question", {"text": one.text}))
        else:
            long.append(one)
    kept = _distinct(long, dropped)
    if not kept:
        why = f"{dropped[0].where}: {dropped[0].message}" if dropped else "it is empty"
        raise InputError(f"{folder}: has no passage for a question ({why}); give a folder of documents")
    return kept, dropped


def sentences(text: str) -> list[str]:
    """The sentences of a passage, with single spaces between words."""
    made: list[list[str]] = []
    for block in re.split(r"\n\s*\n", text):
        open_ = False
        for piece in _SENTENCE.split(" ".join(block.split())):
            if open_:
                made[-1].append(piece)
            else:
                made.append([piece])
            open_ = _UNFINISHED.search(piece) is not None
    return [one for one in map(" ".join, made) if one]


def _files(folder: Path, dropped: list[Dropped]) -> Iterator[Path]:
    """In the order of their paths, without hidden files and links to folders."""

    def unread(error: OSError) -> None:
        name = _name(folder, Path(error.filename))
        dropped.append(Dropped("unreadable", name, f"cannot read: {error.strerror}"))

    for here, folders, names in os.walk(folder, onerror=unread):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if name.startswith(".") or not path.is_file():
                continue
            if is_inside(path, folder):
                yield path
            else:
                message = "is a link that leads out of the folder"
                dropped.append(Dropped("unreadable", _name(folder, path), message))


def _name(folder: Path, path: Path) -> str:
    """The path in the folder, as UTF-8 whatever its bytes are."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")


def _cut(path: Path, name: str, kind: Kind, length: int) -> Iterator[Passage]:
    open_: list[Block] = []
    subject = " ".join(re.split(r"[\W_]+", name.removesuffix(path.suffix))).strip() or name

    def passage() -> Passage:
        unit = "" if kind.unit == "line" else f"{kind.unit} "
        text = "\n\n".join(block.text for block in open_).strip("\n")
        return Passage(name, f"{name}:{unit}{open_[0].number}", subject, open_[0].heading, text)

    for block in _pieces(kind.blocks(path), length, kind.unit == "line"):
        size = sum(len(one.text) + 2 for one in open_) + len(block.text)
        if open_ and (size > length or block.heading != open_[0].heading):
            yield passage()
            open_ = []
        open_.append(block)
    if open_:
        yield passage()


def _pieces(blocks: Sequence[Block], length: int, lines: bool) -> Iterator[Block]:
    """The blocks, long ones cut at lines, sentences, spaces, or anywhere."""
    for block in blocks:
        text, number, at = block.text, block.number, 0
        while len(text) - at > length:
            window = text[at : at + length]
            ends = [window.rfind("\n"), *(match.start() for match in _SENTENCE.finditer(window))]
            end = max(end for end in [*ends, -1])
            end = end if end > length // 2 else window.rfind(" ")
            end = end if end > length // 2 else length
            yield Block(window[:end].rstrip(), number, block.heading)
            word = _WORD.search(text, at + end)
            after = word.start() if word else len(text)
            number += text.count("\n", at, after) if lines else 0
            at = after
        if text[at:].strip():
            yield Block(text[at:], number, block.heading)


def _distinct(passages: Sequence[Passage], dropped: list[Dropped]) -> list[Passage]:
    """The first of near-duplicates, such as a licence in several documents."""
    texts = [normalize(one.text) for one in passages]
    first = {text: place for place, text in reversed(list(enumerate(texts)))}
    distinct = [place for place, text in enumerate(texts) if first[text] == place]
    groups = near_groups([texts[place] for place in distinct], _ALIKE)
    head = {texts[place]: distinct[groups.find(number)] for number, place in enumerate(distinct)}
    for place, one in enumerate(passages):
        if head[texts[place]] != place:
            other = passages[head[texts[place]]]
            dropped.append(Dropped("repeated", one.where, f"nearly equals the passage at {other.where}"))
    return [one for place, one in enumerate(passages) if head[texts[place]] == place]
