"""compare.html, and compare.json's figures as a terminal shows them."""

from __future__ import annotations

import math
from typing import Any

from tinsmith.evaluate import curve, page
from tinsmith.evaluate.page import figure, percent, price, times
from tinsmith.pipeline import pages


def html(found: dict[str, Any]) -> str:
    systems = found["systems"].items()
    return page.draw(
        "compare",
        f"{found['name']}: should it be tuned?",
        found=found,
        learning=learning(found),
        cost=cost(found),
        classes={name: f"dot {one['kind']}" for name, one in systems},
        dots={
            name: f"{one['title']}: {percent(one['exact'])} %, {figure(one['ms_per_item'])} ms"
            for name, one in systems
        },
    )


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


def cost(found: dict[str, Any]) -> curve.Drawing | None:
    """Right answers over milliseconds an item, on a logarithmic axis, a point for each system; None where fewer
    than two systems have times."""
    timed = {name: one for name, one in found["systems"].items() if one["ms_per_item"]}
    if len(timed) < 2:
        return None
    every = [one["ms_per_item"] for one in timed.values()]
    low, high = min(every) / 10**0.1, max(every) * 10**0.1
    width, bottom = curve.WIDTH - curve.LEFT - curve.RIGHT, curve.HEIGHT - curve.BOTTOM

    def x(time: float) -> float:
        return curve.LEFT + width * math.log(time / low) / math.log(high / low)

    def y(share: float) -> float:
        return bottom - (bottom - curve.TOP) * share

    return curve.Drawing(
        points={name: f"{x(one['ms_per_item']):.1f},{y(one['exact']):.1f}" for name, one in timed.items()},
        x_ticks=[curve.Tick(x(time), f"{time:g}") for time in curve.decades(low, high)],
        y_ticks=[curve.Tick(y(share / 100), str(share)) for share in (0, 25, 50, 75, 100)],
        labels=[],
    )


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
                percent(one["exact"]),
                f"{percent(low)}–{percent(high)}",
                times(against["errors"]) if against else "best",
                times(against["cost"]) if against else "prompted",
                figure(one["ms_per_item"]),
                "+".join(figure(count) for count in tokens),
                price(one["cost_per_100000"]),
                f"{against['p']:.2g}" if against else "–",
            )
        )
    told, verdict = pages.aligned(rows), found["verdict"]
    told += ["", f"verdict: {verdict['words']}"]
    told += [f"  because {reason}" for reason in verdict["reasons"]]
    return told + [f"  and {also}" for also in verdict["also"]]
