"""personal: likely personal data or secrets. Check digits decide about numbers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from stdnum import iban, luhn
from stdnum.us import ssn

from tinsmith.data.readers import Example
from tinsmith.prepare.check import Check, Finding, Mend
from tinsmith.prepare.check.rows import Data


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return (
        len(digits) in (13, 14, 15, 16, 19)
        and digits[0] in "3456"
        and len(set(digits)) > 2
        and luhn.is_valid(digits)
    )


def _is_public(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def _is_phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2


# By kind: pattern, check, and replacement. Replacements are reserved for examples (RFC 2606, RFC 5737, the
# 555-01 numbers), and are not found again.
KINDS: dict[str, tuple[re.Pattern[str], Callable[[str], bool], str]] = {
    "a secret": (
        re.compile(
            r"\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|\bsk-[A-Za-z0-9_-]{20,}|\bxox[abprs]-[\w-]{10,}"
            r"|\bAIza[\w-]{35}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
            r"|(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]+"
            r"|(?i:\b(?:password|passwd|api[_-]?key|secret[_-]?key|access[_-]?token)\s*[:=]\s*)[^\s\"']{6,}"
        ),
        lambda text: True,
        "[secret]",
    ),
    "an e-mail address": (
        re.compile(r"\b[\w.+-]{1,64}@(?:[\w-]+\.)+[A-Za-z]{2,}\b"),
        lambda text: not re.search(r"[@.]example\.(?:com|org|net)$|\.(?:test|invalid|example)$", text.lower()),
        "person@example.com",
    ),
    "an IBAN": (
        re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"),
        iban.is_valid,
        "[account]",
    ),
    "a card number": (re.compile(r"(?<![\w.-])(?<!\d )\d(?:[ -]?\d){12,18}(?![\w-])"), _is_card, "[card]"),
    "a social security number": (re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"), ssn.is_valid, "[number]"),
    "a phone number": (
        re.compile(
            r"(?<![\w+.-])(?<!\d )(?:\+\d{1,3}[ ./-]?(?:\(\d{1,4}\)[ ./-]?)?\d(?:[ ./-]?\d){5,12}"
            r"|\(\d{3}\) ?\d{3}[-. ]\d{4}|(?!\d{3}[-.]555[-.]01)\d{3}([-. ])\d{3}\1\d{4}"
            r"|0\d{2,4}[ /-]\d{3,4}[ -]?\d{3,5})(?![\w-]| \d)"
        ),
        _is_phone,
        "202-555-0100",
    ),
    "an IP address": (re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)"), _is_public, "192.0.2.1"),
}


class Personal(Check):
    name, severity = "personal", "warning"
    title = "likely personal data"
    advice = "replace it with invented values, or be sure that you may use it: a model can repeat it"

    def find(self, data: Data) -> Iterator[Finding]:
        for i, row in enumerate(data.rows):
            kinds = [kind for kind, *_ in found(f"{row.example.input}\n{row.example.output}")]
            if kinds:
                message = f"holds {', '.join(dict.fromkeys(kinds))}"
                yield self.at(data, i, message, Mend("personal data was replaced", _masked))


CHECKS = (Personal(),)


def found(text: str) -> Iterator[tuple[str, str, str]]:
    """Kind, text and replacement of each finding; findings don't overlap."""
    for kind, (pattern, is_one, replacement) in KINDS.items():
        matches = [match for match in pattern.finditer(text) if is_one(match[0])]
        yield from ((kind, match[0], replacement) for match in matches)
        characters = list(text)
        for match in matches:
            characters[slice(*match.span())] = " " * len(match[0])
        text = "".join(characters)


def _masked(example: Example) -> Example:
    """Equal values get equal replacements in input and output."""
    texts = [example.input, example.output]
    for given, replacement in {given: instead for _, given, instead in found("\n".join(texts))}.items():
        texts = [text.replace(given, replacement) for text in texts]
    return replace(example, input=texts[0], output=texts[1])
