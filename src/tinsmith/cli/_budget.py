"""The flags of `auto`, which quantize and build share, and what they ask for."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.models.spec import Spec
    from tinsmith.progress import Display
    from tinsmith.search.auto import Point, Search
    from tinsmith.search.budget import Budget

AUTO = "AUTO"
BUDGETS = ("max_size", "bits", "memory", "speed")
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("auto", "the best choice of formats within a budget, tensor by tensor")
    group.add_argument("--calibration", metavar="TEXT", help="a text such as the model will see")
    group.add_argument("--max-size", metavar="SIZE", help="of the GGUF file, such as 90MB or 85MiB")
    group.add_argument("--bits", type=float, metavar="B", help="a weight, on average")
    group.add_argument("--memory", metavar="SIZE", help="that weights take when the model runs")
    group.add_argument("--speed", type=float, metavar="N", help="tokens a second, at --bandwidth")
    group.add_argument("--bandwidth", metavar="SIZE", help="bytes a second that the device reads")
    group.add_argument("--thorough", action="store_true", help="measure every format of every tensor")
    group.add_argument("--work", type=Path, metavar="DIR", help="keeps what was measured, to go on from")


def check(args: argparse.Namespace, formats: Sequence[str]) -> None:
    """Raises InputError for flags that do not go together."""
    given = [f"--{name.replace('_', '-')}" for name in BUDGETS if getattr(args, name) is not None]
    gptq = getattr(args, "gptq", False)
    if AUTO in formats:
        if not args.calibration:
            raise InputError("auto measures what each format costs; give a text with --calibration")
        if not given:
            raise InputError("auto needs a budget; give --max-size, --bits, --memory or --speed")
        if getattr(args, "imatrix", None):
            raise InputError("auto finds what matters in the calibration text; leave out --imatrix")
    elif given:
        raise InputError(f"{given[0]} is for the type auto; give it, or leave out {given[0]}")
    elif gptq and not args.calibration:
        raise InputError("--gptq needs a text to see the model's inputs on; give --calibration")
    elif args.calibration and not gptq:
        raise InputError("--calibration is for the type auto and for --gptq; give one of them")


def size(given: str, flag: str) -> int:
    """Bytes of '90MB', '85.5MiB' or a plain number."""
    found = re.fullmatch(r"([0-9]+(?:\\.[0-9]+)?) *([A-Za-z]*)", given.strip())
    if not found or found[2].upper() not in _UNITS:
        raise InputError(f"{flag} {given}: give bytes, or a size such as 90MB or 85MiB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def budget(args: argparse.Namespace) -> Budget:
    from tinsmith.search.budget import Budget

    def sized(name: str) -> int | None:
        given = getattr(args, name)
        return None if given is None else size(given, f"--{name.replace('_', '-')}")

    return Budget(sized("max_size"), args.bits, sized("memory"), args.speed, sized("bandwidth"))


@dataclass(frozen=True)
class Made:
    search: Search
    point: Point


def work_folder(args: argparse.Namespace, out: Path) -> Path:
    return args.work or out.with_name(out.stem + ".search")


def search(args: argparse.Namespace, spec: Spec, folder: Path, display: Display, overhead: int | None) -> Made:
    """Finds what the flags ask for, and prints the front."""
    from tinsmith.search import auto, text

    wanted = budget(args)
    ids = text.tokens(spec, text.read(args.calibration))
    options = auto.Options(thorough=args.thorough)
    found = auto.Search(spec, ids, folder, display, options, overhead=overhead)
    point = found.measured(found.choose(wanted))
    for line in auto.table(found.front(), point):
        display.line(line)
    return Made(found, point)
