"""Renders receipts, invoices and shop offers as noisy text, with their content as JSON.

    python sample.py --out data [--seed 1]

writes train.jsonl (300), validation.jsonl (40), test.jsonl (120, 40 of each kind) and schema.json. The sellers,
goods, brands and a third of the layouts in the test set occur only there. The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

SPLITS = {"train": 300, "validation": 40, "test": 120}
SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£"}


def _listed(text: str) -> list[str]:
    return [" ".join(one.split()) for one in text.split(",")]


MONTHS = _listed(
    """January, February, March, April, May, June, July, August, September, October, November, December"""
)
SELLERS = _listed(
    """Brook & Sons, Cafe Lindgren, Green Basket, Hardware Hub, Nordkap Outdoor, Old Town Books, Papeterie
    Blanc, Pixel Garage, Quick Stop, Riverside Bakery, Sunny Optics, Tool Barn, Union Cycles, Vega
    Electronics, Willow Pharmacy, Yarn Corner, Zenith Office, Atlas Cleaning, Bergmann Metall, Corner Deli,
    Delta Print, Elm Street Flowers, Falcon Freight, Harbour Fish, Iris Studio, Jade Garden, Kestrel Tools,
    Lantern Press, Maple Dairy, Orchard Juice"""
)
GOODS = _listed(
    """espresso, rye bread, AA batteries, printer paper, desk lamp, garden hose, notebook A5, bike chain, olive
    oil, USB cable, hand soap, wall paint, light bulb, paper towels, tea filters, screws M4, phone case,
    coffee beans, ink cartridge, wool socks, apple juice, dish brush, mouse pad, door handle, plant pot,
    razor blades, sun cream, envelopes, goat cheese, drill bit"""
)
BRANDS = _listed(
    """Aldane, Borealis, Cobalt, Duneside, Everhill, Fjella, Gransko, Halden, Ibex, Juno, Kilter, Lumo, Morrow,
    Norvik, Oakline, Pelican, Quillon, Rovera, Solvej, Tarn"""
)
WEAR = _listed(
    """rain jacket, running shoes, wool sweater, denim shirt, hiking boots, winter coat, cotton hoodie, linen
    trousers, leather belt, swim shorts, knit hat, fleece vest, sandals, polo shirt, cargo pants, down parka,
    sneakers, cardigan"""
)
COLORS = _listed("navy, black, olive, red, sand, white, grey, teal, mustard, burgundy, sky blue, forest green")
SIZES = _listed("XS, S, M, L, XL, 38, 40, 42, 44")
RECEIPTS = [
    "{seller}\n{lines}\nTOTAL {total}\n{day}  thank you!",
    "*** {seller} ***\n{day}\n{lines}\n----------\nsum {total}\ncash",
    "{day} {seller}\n{lines}\namount due: {total}  card ****{digits}",
    "Receipt\n{seller}, till {till}\n{lines}\nTotal incl. VAT {total}\n{day} {hour}",
    "{lines}\nTo pay {total}\nYou were served at {seller} on {day}",
    "{seller} / {day} / {hour}\n{lines}\n= {total}",
]
INVOICES = [
    "INVOICE {number}\n{seller}\nDate: {day}\nPayable until {due}\nAmount: {total}",
    "{seller} - Invoice no. {number} of {day}. Please transfer {total} by {due}.",
    "From: {seller}\nRe: our bill {number}\nDear customer, for our work we charge {total}. "
    "Issued {day}, due {due}.",
    "Rechnung / Invoice: {number}\nIssuer: {seller}\nIssue date {day} | due date {due}\nGrand total {total}",
    "Reminder! Bill {number} from {seller}, dated {day}, has been due since {due}. Outstanding: {total}",
    "{day}\n{seller}\nInvoice number {number}\nTerms: pay before {due}\nTotal to pay: {total}",
]
OFFERS = [
    "{brand} {item}, {color}, size {size}, only {total}",
    "NEW: {item} by {brand} in {color} ({size}) {total} free shipping",
    "{item} {color} {size} {brand} {total} - was {old}",
    "Sale! {total} instead of {old}: {brand} {item} / colour: {color} / size: {size}",
    "{brand}: our {color} {item} for {total}. Last ones in {size}!",
    "{size} | {color} | {brand} {item} | {total}",
]
TEXT = {"type": "string"}
MONEY = {"type": "number", "x-compare": "number"}
DAY = {"type": "string", "format": "date"}
CURRENCY = {"enum": list(SYMBOLS)}


def _object(kind: str, **properties: Any) -> dict[str, Any]:
    properties = {"kind": {"const": kind}, **properties}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


NAME = {"type": "string", "x-compare": "text"}
SCHEMA = {
    "anyOf": [
        _object(
            "receipt",
            seller=NAME,
            date=DAY,
            items={"type": "array", "minItems": 1, "maxItems": 4, "items": NAME},
            total=MONEY,
            currency=CURRENCY,
        ),
        _object("invoice", number=TEXT, seller=NAME, date=DAY, due=DAY, total=MONEY, currency=CURRENCY),
        _object("offer", brand=NAME, item=NAME, color=NAME, size=TEXT, total=MONEY, currency=CURRENCY),
    ]
}


class Renderer:
    """Draws from these lists. Every text has its own notation of dates and amounts, and its own typos."""

    def __init__(self, lists: Mapping[str, list[str]], rng: random.Random) -> None:
        self.lists, self.rng = lists, rng

    def receipt(self) -> tuple[str, dict[str, Any]]:
        rng = self.rng
        goods = rng.sample(self.lists["goods"], rng.randint(1, 3))
        prices = [round(rng.uniform(0.6, 60), 2) for _ in goods]
        day, currency = self._day(), rng.choice(list(SYMBOLS))
        write, bare = self._money(currency), rng.choice(("{:.2f}", "{:.2f} A", "x1 {:.2f}"))
        lines = "\n".join(f"{name} {bare.format(price)}" for name, price in zip(goods, prices, strict=True))
        said = {"seller": rng.choice(self.lists["sellers"]), "date": day.isoformat(), "items": goods}
        total = round(sum(prices), 2)
        text = rng.choice(self.lists["receipts"]).format(
            lines=lines,
            total=write(total),
            seller=said["seller"],
            day=self._written(day),
            digits=rng.randint(1000, 9999),
            till=rng.randint(1, 9),
            hour=f"{rng.randint(8, 21)}:{rng.randint(0, 59):02}",
        )
        return text, {"kind": "receipt", **said, "total": total, "currency": currency}

    def invoice(self) -> tuple[str, dict[str, Any]]:
        rng = self.rng
        day, currency = self._day(), rng.choice(list(SYMBOLS))
        due = day + timedelta(days=rng.choice((7, 14, 30)))
        number = rng.choice(("{0}-{1}", "RE{0}{1}", "{1}/{0}", "INV-{1}")).format(
            day.year, rng.randint(100, 9999)
        )
        seller, total = rng.choice(self.lists["sellers"]), round(rng.uniform(20, 4000), 2)
        text = rng.choice(self.lists["invoices"]).format(
            number=number,
            seller=seller,
            day=self._written(day),
            due=self._written(due),
            total=self._money(currency)(total),
        )
        days = {"date": day.isoformat(), "due": due.isoformat()}
        said = {"kind": "invoice", "number": number, "seller": seller, **days}
        return text, {**said, "total": total, "currency": currency}

    def offer(self) -> tuple[str, dict[str, Any]]:
        rng = self.rng
        currency, total = rng.choice(list(SYMBOLS)), round(rng.randint(9, 240) - rng.choice((0, 0.01, 0.5)), 2)
        said = {key: rng.choice(self.lists[f"{key}s"]) for key in ("brand", "item", "color", "size")}
        write = self._money(currency)
        text = rng.choice(self.lists["offers"]).format(**said, total=write(total), old=write(total + 20))
        return text, {"kind": "offer", **said, "total": total, "currency": currency}

    def _day(self) -> date:
        return date(2024, 1, 1) + timedelta(days=self.rng.randrange(1000))

    def _written(self, day: date) -> str:
        month = MONTHS[day.month - 1]
        ways = (
            day.isoformat(),
            f"{day.day}.{day.month}.{day.year}",
            f"{day.day} {month} {day.year}",
            f"{month[:3]} {day.day}, {day.year}",
        )
        return self.rng.choice(ways)

    def _money(self, currency: str) -> Callable[[float], str]:
        way = self.rng.choice(("{code} {n:,.2f}", "{n:.2f} {code}", "{sign}{n:,.2f}", "{sign} {n:.2f}"))
        return lambda n: way.format(code=currency, sign=SYMBOLS[currency], n=n)

    def noisy(self, text: str) -> str:
        """Noise of scanners and haste: capitals, gaps, a stray mark, a meaningless line."""
        rng = self.rng
        if rng.random() < 0.15:
            text = text.upper()
        if rng.random() < 0.3:
            text = re.sub(r" ", lambda gap: gap[0] * rng.choice((1, 1, 1, 2, 3)), text)
        if rng.random() < 0.2:
            text += rng.choice(("\n* * *", "\nVAT ID DE{}", "\nwww.example.com", "\n#{}")).format(
                rng.randrange(10**6)
            )
        if rng.random() < 0.2:
            text = rng.choice(("| ", "~", "> ", "copy\n")) + text
        return text


def documents(splits: Mapping[str, int], rng: random.Random) -> dict[str, list[dict[str, Any]]]:
    """Rows by split, without duplicates, with alternating kinds."""
    lists = {
        "sellers": SELLERS,
        "goods": GOODS,
        "brands": BRANDS,
        "items": WEAR,
        "receipts": RECEIPTS,
        "invoices": INVOICES,
        "offers": OFFERS,
    }
    shuffled = {name: rng.sample(values, len(values)) for name, values in lists.items()}
    open_lists = {"colors": COLORS, "sizes": SIZES}
    seen = {name: values[: 2 * len(values) // 3] for name, values in shuffled.items()} | open_lists
    unseen = {name: values[2 * len(values) // 3 :] for name, values in shuffled.items()} | open_lists
    taken: set[str] = set()
    return {
        split: list(_some(count, Renderer(unseen if split == "test" else seen, rng), taken, split))
        for split, count in splits.items()
    }


def _some(count: int, renderer: Renderer, taken: set[str], split: str) -> Iterator[dict[str, Any]]:
    made = 0
    while made < count:
        text, said = (renderer.receipt, renderer.invoice, renderer.offer)[made % 3]()
        text = renderer.noisy(text)
        if text in taken:
            continue
        taken.add(text)
        made += 1
        row = {"input": text, "output": json.dumps(said, ensure_ascii=False, separators=(",", ":"))}
        yield {**row, "part": said["kind"]} if split == "test" else row


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data"), help="the folder to write")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for split, rows in documents(SPLITS, random.Random(options.seed)).items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (options.out / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    (options.out / "schema.json").write_text(json.dumps(SCHEMA, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}: {', '.join(f'{count} {split}' for split, count in SPLITS.items())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
