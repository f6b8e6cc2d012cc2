"""Coverage-guided fuzzing of the schema compiler, by hand:

    .venv/bin/pip install atheris
    .venv/bin/python tests/constraint/fuzz_schema.py -max_total_time=600 CORPUS

The input is JSON after a byte that chooses the options. Anything but a constraint or a ConstraintError of one
line is a finding; so is what takes longer than a minute, instrumented as the code is, or more than 1 GiB.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import atheris

from tinsmith.constraint.json_schema import compile_schema
from tinsmith.errors import ConstraintError

DICTIONARY = Path(__file__).with_name("fuzz_schema.dict")
SPACINGS = ("compact", "spaced", "free")


def one(data: bytes) -> None:
    if not data:
        return
    try:
        schema = json.loads(data[1:])
    except (ValueError, RecursionError):
        return
    options = data[0]
    try:
        compile_schema(
            schema,
            spacing=SPACINGS[options % 3],
            order=("schema", "free")[options // 4 % 2],
            closed=bool(options // 16 % 2),
        )
    except ConstraintError as error:
        if "\n" in str(error):
            raise AssertionError(f"an error of several lines: {error}") from error


if __name__ == "__main__":
    limits = ["-timeout=60", "-rss_limit_mb=1024", "-max_len=4096", f"-dict={DICTIONARY}"]
    atheris.instrument_all()  # the imports of an editable install can't be
    atheris.Setup([sys.argv[0], *limits, *sys.argv[1:]], one)
    atheris.Fuzz()
