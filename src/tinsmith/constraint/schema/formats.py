"""JSON Schema's formats as automata over code points.

Each follows its RFC, or is narrower where validators differ, so that all of them accept its texts: no leap
seconds, no year 0, upper-case T and Z, no quoted names or literal addresses in e-mail, no IPvFuture, at most
nine digits of a fraction of a second, at most five labels of 48 characters in a host's name (which keeps it
below 253).
"""

from __future__ import annotations

from functools import cache

from tinsmith.constraint.automata.dfa import Dfa
from tinsmith.constraint.regex import parse
from tinsmith.errors import ConstraintError

# Years that can be divided by 4: the last two digits, and the whole when those are zeros.
_FOURS = "(?:0[48]|[2468][048]|[13579][26])"
_LEAP = rf"(?:\d\d{_FOURS}|(?:00|{_FOURS})00)"
_YEAR = r"(?!0000)"
_DATE = (
    rf"{_YEAR}(?:\d{{4}}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|"
    rf"(?:0[13578]|1[02])-31)|{_LEAP}-02-29)"
)
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_TIME = rf"{_CLOCK}:[0-5]\d(?:\.\d{{1,9}})?(?:Z|[+-]{_CLOCK})"

_NUMBER = r"\d{1,9}"
_DAYS = f"(?:{_NUMBER}D)"
_MONTHS = f"(?:{_NUMBER}M{_DAYS}?)"
_SECONDS = f"(?:{_NUMBER}S)"
_MINUTES = f"(?:{_NUMBER}M{_SECONDS}?)"
_TIMES = f"(?:T(?:{_NUMBER}H{_MINUTES}?|{_MINUTES}|{_SECONDS}))"
_DURATION = f"P(?:(?:{_NUMBER}Y{_MONTHS}?|{_MONTHS}|{_DAYS}){_TIMES}?|{_TIMES}|{_NUMBER}W)"

# Hyphens in the third and fourth place announce an encoding of Unicode, which has separate rules.
_LABEL = "(?:(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,46}[A-Za-z0-9])?)"
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL}){{0,4}}"
_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+"
_EMAIL = rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_HOSTNAME}"

_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"(?:{_BYTE}\.){{3}}{_BYTE}"
_GROUP = "[0-9A-Fa-f]{1,4}"


def _ipv6() -> str:
    """Eight groups, the last two also as IPv4; or at most seven, with `::` for what is left out."""
    last = f"(?:{_GROUP}:{_GROUP}|{_IPV4})"
    forms = [f"(?:{_GROUP}:){{6}}{last}"]
    # Before `::` there may be as many groups as are left: 7 less those behind it.
    for behind, end in [(n + 2, f"(?:{_GROUP}:){{{n}}}{last}") for n in range(5, -1, -1)] + [
        (1, _GROUP),
        (0, ""),
    ]:
        most = 7 - behind
        before = f"(?:(?:{_GROUP}:){{0,{most - 1}}}{_GROUP})?" if most else ""
        forms.append(f"{before}::{end}")
    return f"(?:{'|'.join(forms)})"


_ESCAPED = "%[0-9A-Fa-f]{2}"
_PLAIN = r"A-Za-z0-9\-._~!$&'()*+,;="
_CHARACTER = f"(?:[{_PLAIN}:@]|{_ESCAPED})"
_SEGMENTS = f"(?:/{_CHARACTER}*)*"


def _authority() -> str:
    host = rf"(?:\[{_ipv6()}\]|(?:[{_PLAIN}]|{_ESCAPED})*)"
    return f"(?:(?:[{_PLAIN}:]|{_ESCAPED})*@)?{host}(?::[0-9]*)?"


def _uri(relative: bool) -> str:
    rest = f"(?:[{_PLAIN}:@/?]|{_ESCAPED})*"
    first = f"(?:[{_PLAIN}@]|{_ESCAPED})+" if relative else f"{_CHARACTER}+"
    path = f"(?://{_authority()}{_SEGMENTS}|/(?:{_CHARACTER}+{_SEGMENTS})?|{first}{_SEGMENTS}|)"
    return rf"{'' if relative else '[A-Za-z][A-Za-z0-9+.-]*:'}{path}(?:\?{rest})?(?:#{rest})?"


_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _DURATION,
    "email": _EMAIL,
    "hostname": _HOSTNAME,
    "ipv4": _IPV4,
    "ipv6": _ipv6(),
    "json-pointer": "(?:/(?:[^~/]|~[01])*)*",
    "uri": _uri(False),
    "uri-reference": f"{_uri(False)}|{_uri(True)}",
    "uuid": "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
}
NAMES = tuple(_PATTERNS)


@cache
def format_(name: str) -> Dfa:
    """Texts of a format. ConstraintError for one that can't be enforced, with those that can."""
    if name not in _PATTERNS:
        raise ConstraintError(f"the format {name!r} can't be enforced; known are {', '.join(NAMES)}")
    return parse(_PATTERNS[name])
