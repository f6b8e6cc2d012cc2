"""HTML pages that need nothing else: no script, no network. One layout, page.html.j2, draws them all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.errors import MissingExtraError
from tinsmith.evaluate import curve
from tinsmith.evaluate.naming import title as title_of

if TYPE_CHECKING:
    import jinja2


def draw(body: str, title: str, **values: Any) -> str:
    """A page. body: the template of its body, without ".html.j2"; values: for the template."""
    return environment().get_template("page.html.j2").render(body=f"{body}.html.j2", title=title, **values)


def environment() -> jinja2.Environment:
    """Raises MissingExtraError without jinja2."""
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
    formats = (percent, signed, share, figure, size, times, points, price, probability)
    named = {one.__name__: one for one in formats}
    made.filters |= {**named, "title": title_of}
    made.globals |= {**named, "title_of": title_of, "frame": curve}
    return made


def percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f}"


def signed(points: float) -> str:
    """A difference in per cent points: "+0.4", "−1.6"."""
    return "0.0" if abs(points) < 0.05 else f"{points:+.1f}".replace("-", "−")


def points(share: float | None) -> str:
    return "–" if share is None else signed(100 * share)


def share(value: float | None, of: float | None) -> str:
    """A value in per cent of another."""
    return "–" if value is None or not of else f"{100 * value / of:.0f} %"


def probability(logarithm: float) -> str:
    return f"{math.exp(logarithm):.4f}"


def figure(value: float | None) -> str:
    """A number to three digits or more, never in powers of ten."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.3f}"


def times(ratio: float | None) -> str:
    """A ratio of costs or errors: "0.12", "3.4", "41"."""
    if not ratio:
        return "–" if ratio is None else "0"
    return f"{ratio:.2f}" if ratio < 1 else f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"


def price(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}" if value >= 0.1 else f"{value:.2g}"


def size(count: int | None) -> str:
    """Bytes in decimal units."""
    if count is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
