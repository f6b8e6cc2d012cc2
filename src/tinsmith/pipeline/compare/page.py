"""compare.html, and compare.json's figures as a terminal shows them."""

from __future__ import annotations

from typing import Any

from tinsmith.evaluate import curve, page
from tinsmith.evaluate.page import figure, percent, price, times
from tinsmith.pipeline import pages


def html(found: dict[str, Any]) -> str:
    title = f"{found['name']}: should it be tuned?"
    return page.draw("compare", title, found=found, learning=learning(found))


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
    return curve.draw(rows, ("measured", "line"), "examples")


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
