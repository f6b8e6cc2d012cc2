"""What the pages of reports and comparisons have in common: how a figure is written, and the templates."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.errors import MissingExtraError
from tinsmith.pipeline.naming import TUNED, constrained, shipped
from tinsmith.system import files

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

JSON, PAGE = "report.json", "report.html"


def write_report(folder: Path, document: Mapping[str, Any], page: str) -> list[Path]:
    """report.json for programs, report.html for people."""
    files.write_text(folder / JSON, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    files.write_text(folder / PAGE, page)
    return [folder / JSON, folder / PAGE]


def environment() -> jinja2.Environment:
    """For the pages' templates. Raises MissingExtraError without jinja2."""
    try:
        import jinja2
    except ModuleNotFoundError:
        raise MissingExtraError("jinja2", "eval") from None
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": percent,
        "size": size,
        "figure": figure,
        "title": title,
        "humps": humps,
        "signed": signed,
        "share": share,
        "probability": lambda logarithm: f"{math.exp(logarithm):.4f}",
    }
    return made


TITLES = {
    "zero_shot": "Base: functions listed",
    "few_shot": "Base: fixed examples",
    "retrieval": "Base: nearest examples",
    "nearest": "Nearest example copied",
    "tfidf": "TF-IDF, logistic regression",
    TUNED: "Fine-tuned, float32",
}


# What a system's name may begin with, before its format.
KINDS = {
    shipped(""): "Shipped",
    "adapter_": "Adapter beside",
    "routed_": "Routed,",
    "own_": "A tin of its own,",
    "joint_": "One adapter for all,",
}


def title(system: str) -> str:
    """A system's name in words."""
    name, under, _ = system.partition(constrained(""))
    kind = next((kind for kind in KINDS if name.startswith(kind)), shipped(""))
    words = TITLES.get(name) or f"{KINDS[kind]} {name.removeprefix(kind).upper()}"
    return f"{words}, constrained" if under else words


def humps(name: str) -> Markup:
    """A name that a narrow column may break before its capitals."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[a-z])(?=[A-Z])", name))


def percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f}"


def signed(points: float) -> str:
    """A difference in per cent points: "+0.4", "−1.6"."""
    return "0.0" if abs(points) < 0.05 else f"{points:+.1f}".replace("-", "−")


def share(value: float | None, of: float | None) -> str:
    """A value in per cent of another."""
    return "–" if value is None or not of else f"{100 * value / of:.0f} %"


def figure(value: float | None) -> str:
    """A number to three digits or more, never in powers of ten."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.3f}"


def size(count: int | None) -> str:
    """Bytes to read, in decimal units."""
    if count is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"


def table(systems: dict[str, Any]) -> str:
    """The systems as aligned text, for a terminal."""
    head = "system|exact %|95 %|equiv. %|function %|valid %|ms/item|size|memory|items"
    rows = [tuple(head.split("|"))]
    for name, s in systems.items():
        low, high = s["exact_interval"]
        rows.append(
            (
                title(name),
                percent(s["exact"]),
                f"{percent(low)}–{percent(high)}",
                percent(s["equivalent"]),
                percent(s["function"]),
                percent(s["valid"]),
                figure(s["ms_per_item"]),
                size(s.get("bytes")),
                size(s["peak_memory"]),
                str(s["items"]),
            )
        )
    return "\n".join(aligned(rows))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def tables(systems: Mapping[str, dict[str, Any]], router: Mapping[str, Any]) -> str:
    """What several tasks' systems and the router do, as aligned text, for a terminal."""
    parts = [f"{name}\n{table(found)}" for name, found in systems.items()]
    for weights, chosen in router.items():
        low, high = chosen["interval"]
        said = f"router {weights}: {percent(chosen['right'])} % of {chosen['prompts']} prompts right"
        said += f" ({percent(low)}–{percent(high)})"
        if off := chosen["off_topic"]:
            said += f", {percent(off['right'])} % of {off['prompts']} off topic refused"
        parts.append(said)
    return "\n\n".join(parts)
