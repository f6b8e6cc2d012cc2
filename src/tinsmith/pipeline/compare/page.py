"""compare.html: one page that needs nothing else, and compare.json's figures as a terminal shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinsmith.evaluate import curve
from tinsmith.pipeline import pages

if TYPE_CHECKING:
    import jinja2

TEMPLATE = "compare.html.j2"


def environment() -> jinja2.Environment:
    """Raises MissingExtraError without jinja2."""
    made = pages.environment()
    made.filters |= {"times": times, "points": points, "price": price}
    return made


def html(found: dict[str, Any]) -> str:
    return environment().get_template(TEMPLATE).render(found=found, learning=learning(found), cost=cost(found))


def learning(found: dict[str, Any]) -> curve.Drawing | None:
    """Errors in per cent over examples, measured, and where the line has twice as many."""
    points, then = found["curve"]["points"], found["curve"]["doubling"]
    rows: list[dict[str, Any]] = [
        {"examples": point["examples"], "measured": 100 * (1 - point["exact"])} for point in points
    ]
    if then["exact"] is not None:
        sizes = [*(point["examples"] for point in points), then["examples"]]
        rows += [
            {"examples": size, "line": 100 * min(1.0, then["scale"] * size ** -then["power"])} for size in sizes
        ]
    names = {"measured": "measured", "line": "power law"}
    return curve.draw(rows, tuple(names), along="examples", labels=names)


def cost(found: dict[str, Any]) -> dict[str, Any] | None:
    """Right answers over milliseconds an item, on a logarithmic axis, as points of an SVG; None where less than
    two systems have times."""
    import math

    timed = {name: one for name, one in found["systems"].items() if one["ms_per_item"]}
    if len(timed) < 2:
        return None
    logs = {name: math.log10(one["ms_per_item"]) for name, one in timed.items()}
    low, high = min(logs.values()) - 0.1, max(logs.values()) + 0.1
    left, right, top, bottom = curve.LEFT, curve.WIDTH - curve.RIGHT, curve.TOP, curve.HEIGHT - curve.BOTTOM

    def x(log: float) -> float:
        return left + (right - left) * (log - low) / (high - low)

    marks = [10.0**power * part for power in range(math.floor(low), math.ceil(high)) for part in (1, 2, 5)]
    return {
        "points": [
            {
                "x": x(logs[name]),
                "y": bottom - (bottom - top) * one["exact"],
                "kind": one["kind"],
                "title": f"{one['title']}: {pages.percent(one['exact'])} %, "
                f"{pages.figure(one['ms_per_item'])} ms",
            }
            for name, one in timed.items()
        ],
        "x_ticks": [
            curve.Tick(x(math.log10(mark)), f"{mark:g}") for mark in marks if low <= math.log10(mark) <= high
        ],
        "y_ticks": [
            curve.Tick(bottom - (bottom - top) * share / 100, str(share)) for share in (0, 25, 50, 75, 100)
        ],
        "left": left,
        "right": right,
        "bottom": bottom,
    }


def times(ratio: float | None) -> str:
    """A ratio of costs or errors, as of the other's: "0.12", "3.4", "41"."""
    if not ratio:
        return "–" if ratio is None else "0"
    return f"{ratio:.2f}" if ratio < 1 else f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"


def points(share: float | None) -> str:
    return "–" if share is None else pages.signed(100 * share)


def price(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}" if value >= 0.1 else f"{value:.2g}"


def lines(found: dict[str, Any]) -> list[str]:
    """The systems as aligned text, and the verdict with its reasons."""
    head = ("system", "exact %", "95 %", "errors ×", "cost ×", "ms/item", "tokens", "per 100,000", "p")
    rows = [head]
    for one in found["systems"].values():
        low, high = one["exact_interval"]
        against = one["against"].get("best_prompted", {})
        tokens = (one["prompt_tokens"], one["generated_tokens"])
        rows.append(
            (
                one["title"],
                pages.percent(one["exact"]),
                f"{pages.percent(low)}–{pages.percent(high)}",
                times(against["errors"]) if against else "best",
                times(against["cost"]) if against else "prompted",
                pages.figure(one["ms_per_item"]),
                "+".join(pages.figure(count) for count in tokens),
                price(one["cost_per_100000"]),
                f"{against['p']:.2g}" if against else "–",
            )
        )
    told, verdict = pages.aligned(rows), found["verdict"]
    told += ["", f"verdict: {verdict['words']}"]
    told += [f"  because {reason}" for reason in verdict["reasons"]]
    return told + [f"  and {also}" for also in verdict["also"]]
