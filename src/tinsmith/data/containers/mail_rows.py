"""Mailboxes: mbox files (RFC 4155), each mail a row of id, parent, author, subject, text.

The text is the plain part without the signature; None without such a part. The shape `posts` makes
conversations of mails.
"""

from __future__ import annotations

import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parseaddr
from itertools import count
from pathlib import Path

from tinsmith.data.containers import Container, Row
from tinsmith.data.readers import Where
from tinsmith.errors import DataError
from tinsmith.system import reading

# Bytes of a header, at most: Python's parser takes quadratic time.
_LONGEST = {
    b"from": 1 << 12,
    **dict.fromkeys((b"subject", b"message-id"), 1 << 14),
    **dict.fromkeys((b"in-reply-to", b"references"), 1 << 16),
}
_PARTS = 100  # of a mail, at most: the parser compares each line with the boundaries around it
_ESCAPED = re.compile(rb">+From ")
_ID = re.compile(r"<[^<>\s]+>")


def rows(path: Path) -> Iterator[Row]:
    for number, lines in _mails(path):
        where = Where(str(path), number)
        try:
            _check_headers(lines, where)
            yield Row(where, _values(_parsed(b"".join(lines), where), where))
        except DataError as fault:
            yield Row(where, fault)


CONTAINERS = (Container("a mailbox", (".mbox", ".mbx"), rows),)


def _mails(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """The number of each mail's first line, and its lines after that separator."""
    first, size, blank = 0, 0, True
    mail: list[bytes] = []
    for number, line in enumerate(reading.lines(path, DataError), 1):
        if blank and line.startswith(b"From "):
            if first:
                yield first, mail
            first, size, mail = number, 0, []
        elif first:
            mail.append(line[1:] if _ESCAPED.match(line) else line)
            size += len(line)
        elif line.strip():
            raise DataError(f'{path}:{number}: a mailbox begins with a line "From …"; this file does not')
        blank = not line.strip()
        if size > reading.LINE:
            raise DataError(f"{path}:{first}: the mail is longer than {reading.LINE:,} bytes; take it out")
    if first:
        yield first, mail


def _check_headers(lines: list[bytes], where: Where) -> None:
    name, size = b"", 0
    for line in lines:
        if not line.strip():
            return
        if line[:1] not in b" \t":
            name, size = line.partition(b":")[0].strip().lower(), 0
        size += len(line)
        if size > _LONGEST.get(name, size):
            header = name.decode("ascii")
            raise DataError(
                f"{where}: the header {header} is longer than {_LONGEST[name]:,} bytes; take it out"
            )


def _parsed(mail: bytes, where: Where) -> EmailMessage:
    parts = count(1)

    def part() -> EmailMessage:
        if next(parts) > _PARTS:
            raise DataError(f"{where}: the mail has more than {_PARTS} parts; take it out")
        return EmailMessage()

    return BytesParser(part, policy=email.policy.default).parsebytes(mail)


def _values(mail: EmailMessage, where: Where) -> dict[str, str | None]:
    try:
        name, address = parseaddr(str(mail.get("From", "")))
        answered = _ID.findall(str(mail.get("In-Reply-To", ""))) or _ID.findall(str(mail.get("References", "")))
        own = _ID.search(str(mail.get("Message-ID", "")))
        part = mail.get_body(preferencelist=("plain",))
        text = None if part is None else part.get_content()
    # The email package's errors for damaged headers.
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{where}: the mail can't be read ({error}); take it out") from None
    return {
        "id": None if own is None else own.group(),
        "parent": answered[-1] if answered else None,
        "author": address or name,
        "subject": str(mail.get("Subject", "")),
        "text": text.replace("\r\n", "\n").partition("\n-- \n")[0] if isinstance(text, str) else None,
    }
