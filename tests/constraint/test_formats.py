"""Formats against those who check them: jsonschema's checkers, and jsonschema-rs."""

from __future__ import annotations

import datetime
import ipaddress
import random

import jsonschema
import jsonschema_rs
import pytest

from tinsmith.constraint.automata.dfa import Dfa
from tinsmith.constraint.schema.formats import NAMES, format_
from tinsmith.errors import ConstraintError

DRAFT = "https://json-schema.org/draft/2020-12/schema"
CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER


def draw(dfa: Dfa, rng: random.Random) -> str:
    state, out = 0, []
    while not (state in dfa.accepts and (not dfa.edges[state] or rng.random() < 0.1)):
        low, high, state = rng.choice(dfa.edges[state])
        code = rng.randint(low, high)
        out.append(chr(code if not 0xD800 <= code < 0xE000 else low))
    return "".join(out)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_accepted_passes_every_checker(name: str) -> None:
    assert name in CHECKER.checkers, f"no checker for {name}: install jsonschema[format-nongpl]"
    strict = jsonschema_rs.validator_for({"$schema": DRAFT, "format": name}, validate_formats=True)
    rng, dfa = random.Random(name), format_(name)
    for _ in range(800):
        text = draw(dfa, rng)
        assert CHECKER.conforms(text, name) and strict.is_valid(text), text


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        (
            "date",
            ["2024-02-29", "2000-02-29", "1999-12-31"],
            ["2023-02-29", "1900-02-29", "2024-04-31", "0000-01-01"],
        ),
        ("time", ["23:59:59Z", "00:00:00.123+05:30"], ["24:00:00Z", "12:00:00", "12:00Z"]),
        ("date-time", ["2024-02-29T12:00:00Z"], ["2024-02-30T12:00:00Z", "2024-02-29 12:00:00Z", "2024-02-29"]),
        ("duration", ["P1Y2M3DT4H5M6S", "PT36H", "P2W"], ["P", "P1DT", "PT1H1S", "1D"]),
        ("email", ["a.b+c@x.example.org", "a@localhost"], ["a", "@a", "a@", ".a@b", "a..b@c", "a" * 65 + "@b"]),
        (
            "hostname",
            ["a", "www.example.org", "x-1.y"],
            ["", "-a", "a-", "a..b", "a_b", "xn--a", "ab--c", "a."],
        ),
        ("ipv4", ["0.0.0.0", "255.1.20.199"], ["256.1.1.1", "1.1.1", "01.1.1.1", "1.1.1.1.1"]),
        (
            "ipv6",
            ["::", "::1", "1::", "fe80::1:2", "1:2:3:4:5:6:7::", "::ffff:1.2.3.4"],
            [":", ":::", "1::2::3", "::1%a"],
        ),
        ("json-pointer", ["", "/", "/a~0~1/b"], ["a", "/~2", "/~"]),
        (
            "uri",
            ["https://a.example/b?c=d#e", "urn:a:b", "http://[::1]:80/"],
            ["a", "//a", "http://a b", "1:a", "a:%4"],
        ),
        ("uri-reference", ["", "a/b", "//a", "?q", "#f"], ["1:b", "a b", "\\"]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567e89b12d3a456426614174000", "g" * 36]),
    ],
)
def test_by_hand(name: str, yes: list[str], no: list[str]) -> None:
    dfa = format_(name)
    assert [text for text in yes if not dfa.accepts_all(map(ord, text))] == []
    assert [text for text in no if dfa.accepts_all(map(ord, text))] == []


def test_all_dates_and_addresses() -> None:
    dates, addresses, rng = format_("date"), format_("ipv6"), random.Random(4)
    for _ in range(3000):
        day = datetime.date.fromordinal(rng.randint(1, datetime.date.max.toordinal()))
        assert dates.accepts_all(map(ord, day.isoformat()))
        # With runs of zeros, so that some are shortened to `::`.
        number = int.from_bytes(bytes(rng.choice([0, 0, rng.randrange(256)]) for _ in range(16)), "big")
        address = ipaddress.IPv6Address(number)
        assert addresses.accepts_all(map(ord, str(address))) and addresses.accepts_all(
            map(ord, address.exploded)
        )


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConstraintError, match="the format 'regex' can't be enforced; known are date, time"):
        format_("regex")
