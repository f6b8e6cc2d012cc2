"""Every error tinsmith raises on purpose.

TinsmithError             one line for the user; the command line prints it without a traceback
├── InputError            a file, text or value that was given is wrong: says what, where, what to do
│   ├── FormatError       a model file that is damaged, or not of the kind it should be
│   ├── SignatureError    a file that is not signed, or not by the expected key
│   ├── RecipeError       a recipe: file, table, key, what was given, what is allowed
│   ├── TargetError       a target: file, table, key, what was given, what is allowed
│   ├── DataError         an example: file, line, what was expected
│   ├── FaultsError       several faults of a recipe and its data, a line each
│   └── ConstraintError   a schema, tool, grammar or pattern: where in it, and what can't be enforced
├── UnsupportedError      a family, format or feature that tinsmith does not have; lists those it has
├── MissingExtraError     an optional dependency that is not installed: names the pip command
├── OfflineError          something had to be fetched and could not be
└── RuntimeFault          the C core refused; carries its status and message
"""

from __future__ import annotations

from collections.abc import Sequence


class TinsmithError(Exception):
    """Base of all; `str()` is one line."""


class InputError(TinsmithError):
    pass


class FormatError(InputError):
    pass


class SignatureError(InputError):
    pass


class RecipeError(InputError):
    pass


class TargetError(InputError):
    pass


class DataError(InputError):
    pass


MOST_MESSAGE = 1000  # characters


def one_line(text: str) -> str:
    """With an escape for each character that is not printable, as \\n is."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


class FaultsError(InputError):
    """Several faults of a recipe and its data at once. lines: one each, with its place."""

    def __init__(self, subject: str, lines: Sequence[str]) -> None:
        self.subject, self.lines = f"{subject}: {len(lines):,} faults", list(lines)
        super().__init__(f"{self.subject}: {'; '.join(lines)}")


class ConstraintError(InputError):
    """Its message quotes what was given, such as a property's name: it is cut and escaped to one line."""

    def __init__(self, message: str) -> None:
        if len(message) > MOST_MESSAGE:
            message = f"{message[: MOST_MESSAGE // 2]}...{message[-MOST_MESSAGE // 2 :]}"
        super().__init__(one_line(message))


class UnsupportedError(TinsmithError):
    pass


class MissingExtraError(TinsmithError):
    def __init__(self, module: str, extra: str) -> None:
        self.module, self.extra = module, extra
        super().__init__(f"{module} is not installed; run: pip install 'tinsmith[{extra}]'")


class OfflineError(TinsmithError):
    pass


class RuntimeFault(TinsmithError):
    """status: the name of the C status code, as in tin.h."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status
