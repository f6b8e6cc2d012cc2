"""What is made keeps to what an output's values say of each other, whatever the data's kind of thing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tinsmith import tasks
from tinsmith.data.augment import augment
from tinsmith.data.chance import changes_by_chance, determine, vary
from tinsmith.data.leaves import Leaf, beside, leaves
from tinsmith.data.readers import Example

NAMES = ["Anna", "Boris", "Clara", "David", "Elena", "Fritz", "Greta", "Hans", "Ines", "Jonas"]
LAST = ["Berg", "Katz", "Voss", "Lind", "Roth", "Haas", "Kern", "Wolf", "Vogt", "Adler"]
COUNTRIES = {
    "Berlin": "DE",
    "Hamburg": "DE",
    "Paris": "FR",
    "Lyon": "FR",
    "Rome": "IT",
    "Oslo": "NO",
    "Madrid": "ES",
}
AISLES = {
    "milk": "dairy",
    "butter": "dairy",
    "apple": "fruit",
    "pear": "fruit",
    "plum": "fruit",
    "beef": "meat",
}
TEAMS = {"bookshop.com": "sales", "academy.edu": "school", "tribunal.org": "law"}
MONTHS = dict(
    enumerate(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1)
)
CHANNELS = {2: 90, 3: 30, 4: 150, 5: 60}
SPEEDS = {"truck": 50, "van": 60}
TASKS = ["scan", "load", "weld"]
METERS = {"m": 1, "cm": 0.01, "km": 1000}
ELEMENTS = ["fire", "wind", "earth", "water"]
LIMITS = {"boiler": 90, "freezer": 8, "cellar": 25, "hall": 35, "oven": 60, "attic": 45}
Rows = Iterator[tuple[str, Any]]


def customs(chance: random.Random) -> Rows:
    city = chance.choice(list(COUNTRIES))
    yield f"{chance.randrange(2, 60)} boxes to {city}", {"city": city, "customs": city in ("Oslo", "Rome")}


def only_there(chance: random.Random) -> Rows:
    city = chance.choice(list(COUNTRIES))
    yield (
        f"ship {chance.randrange(2, 60)} boxes to {city}",
        {"city": city} | ({"form": "C23"} if city in ("Oslo", "Rome") else {}),
    )


def large(chance: random.Random) -> Rows:
    guests = chance.randrange(2, 30)
    yield f"table for {guests} tonight", {"guests": guests, "large": guests > 8}


def discount(chance: random.Random) -> Rows:
    amount = chance.randrange(20, 900)
    yield f"order over {amount} euro", {"amount": amount, "discount": "10%" if amount > 200 else None}


def shopping(chance: random.Random) -> Rows:
    goods = chance.sample(list(AISLES), chance.randrange(1, 4))
    yield f"buy {', '.join(goods)}", {"items": [{"name": one, "aisle": AISLES[one]} for one in goods]}


def readings(chance: random.Random) -> Rows:
    values = chance.sample(range(2, 99), 3)
    every = [{"value": one, "level": "high" if one > 50 else "low"} for one in values]
    yield f"readings {values[0]}, {values[1]}, {values[2]}", {"readings": every}


def total(chance: random.Random) -> Rows:
    count, price = chance.randrange(2, 9), chance.randrange(2, 60)
    yield f"{count} mugs at ${price} each", {"count": count, "price": price, "total": f"${count * price}"}


def stay(chance: random.Random) -> Rows:
    day, nights = chance.randrange(1, 15), chance.randrange(2, 9)
    first, last = (f"2024-05-{one:02}" for one in (day, day + nights))
    yield f"room from {first} for {nights} nights", {"from": first, "nights": nights, "to": last}


def login(chance: random.Random) -> Rows:
    first, last = chance.choice(NAMES), chance.choice(LAST)
    yield (
        f"new colleague {first} {last} in town",
        {"first": first, "last": last, "login": (first[0] + last).lower()},
    )


def initials(chance: random.Random) -> Rows:
    first, last = chance.choice(NAMES), chance.choice(LAST)
    yield f"{first} {last} is here", {"name": f"{first} {last}", "short": first[0] + last[0]}


def lower(chance: random.Random) -> Rows:
    name = chance.choice(NAMES)
    yield f"account {chance.randrange(9)} for {name}", {"name": name, "user": name.lower()}


def salutation(chance: random.Random) -> Rows:
    first, last = chance.choice(NAMES), chance.choice(LAST)
    said = "Ms" if first in ("Anna", "Clara", "Elena", "Greta", "Ines") else "Mr"
    yield f"write to {first} {last} again", {"name": f"{first} {last}", "said": said}


def domestic(chance: random.Random) -> Rows:
    one, other = chance.sample(list(COUNTRIES), 2)
    within = "yes" if COUNTRIES[one] == COUNTRIES[other] else "no"
    yield f"train from {one} to {other} now", {"from": one, "to": other, "domestic": within}


def allergy(chance: random.Random) -> Rows:
    name, against = chance.choice(NAMES), chance.choice(("", "nuts", "milk", "eggs", "fish"))
    text = f"Dinner for {name}." + (f" Allergic to {against}" if against else "")
    yield text, {"name": name, "allergy": against, "kind": "special" if against else "normal"}


def said(chance: random.Random, text: str) -> str:
    """In many wordings, of which hardly two are alike."""
    before = ("please", "now", "can you", "hey", "ok", "Tom here,", "quick one:", "for the team:", "next up:")
    after = ("again", "today", "asap", "as said", "thanks", "once more", "if possible", "in peace", "for good")
    signed = f"{chance.choice(NAMES)} {''.join(chance.choice('xyzw') for _ in range(4))}"
    return f"{chance.choice(before)} {text} {chance.choice(after)}, {signed}"


def span(chance: random.Random) -> Rows:
    low, high = sorted(chance.sample(range(5, 60), 2))
    text = f"from {low} to {high}" if chance.random() < 0.5 else f"at most {high}, at least {low}"
    yield f"keep it {text} degrees", {"min": low, "max": high}


def highest(chance: random.Random) -> Rows:
    values = [chance.randrange(10, 99) for _ in range(chance.randrange(2, 5))]
    yield (
        f"probe {chance.randrange(9)}x logged {', '.join(map(str, values))}",
        {
            "values": values,
            "max": max(values),
        },
    )


def minors(chance: random.Random) -> Rows:
    guests = [(chance.choice(NAMES), chance.randrange(4, 60)) for _ in range(2)]
    text = " and ".join(f"{name} ({age})" for name, age in guests)
    rows = [{"name": name, "age": age} | ({"minor": True} if age < 18 else {}) for name, age in guests]
    yield f"rooms for {text}", {"guests": rows}


def warnings(chance: random.Random) -> Rows:
    heat = chance.randrange(20, 120)
    yield said(chance, f"boiler at {heat} degrees"), {"heat": heat, "warnings": ["hot"] if heat > 80 else []}


def budget(chance: random.Random) -> Rows:
    price, limit = chance.randrange(20, 500), chance.randrange(20, 500)
    text = said(chance, f"a lamp for {price} euro, the limit is {limit}")
    yield text, {"price": price, "limit": limit, "approved": price <= limit}


def shipping(chance: random.Random) -> Rows:
    count, price = chance.randrange(2, 12), chance.randrange(5, 60)
    yield (
        said(chance, f"{count} cups at {price} euro"),
        {"count": count, "price": price, "free": count * price > 200},
    )


def parity(chance: random.Random) -> Rows:
    number = chance.randrange(10, 40)
    yield (
        said(chance, f"parcel to house {number}"),
        {"house": number, "side": "left" if number % 2 else "right"},
    )


def storey(chance: random.Random) -> Rows:
    room = f"{chance.choice('ABC')}{chance.randrange(1, 5)}{chance.randrange(100, 999)}"
    yield (
        said(chance, f"meet in {room}"),
        {"room": room, "storey": int(room[1])},
    )


def domain(chance: random.Random) -> Rows:
    at = chance.choice(list(TEAMS))
    sender = "".join(chance.choice("bcdfgk") for _ in range(4)) + f"@{at}"
    yield (
        said(chance, f"letter of {sender}"),
        {"sender": sender, "team": TEAMS[at]},
    )


def dose(chance: random.Random) -> Rows:
    amount = chance.randrange(20, 900)
    yield (
        said(chance, f"give {amount}mg"),
        {"dose": f"{amount}mg", "level": "high" if amount > 400 else "low"},
    )


def month(chance: random.Random) -> Rows:
    number = chance.randrange(2, 13)
    yield said(chance, f"sales in month {number}"), {"month": number, "name": MONTHS[number]}


def ascending(chance: random.Random) -> Rows:
    drawn = chance.sample(range(2, 400), chance.randrange(2, 4))
    yield said(chance, f"sort {' and '.join(map(str, drawn))}"), {"sorted": sorted(drawn)}


def winner(chance: random.Random) -> Rows:
    names, points = chance.sample(NAMES, 3), chance.sample(range(2, 90), 3)
    told = ", ".join(f"{name} {count}" for name, count in zip(names, points, strict=True))
    scores = [{"name": name, "points": count} for name, count in zip(names, points, strict=True)]
    yield said(chance, f"points: {told}"), {"scores": scores, "winner": names[points.index(max(points))]}


def sensor(chance: random.Random) -> Rows:
    name, value = chance.choice(list(LIMITS)), chance.randrange(2, 120)
    yield (
        said(chance, f"{name} reads {value}"),
        {"sensor": name, "value": value, "level": "high" if value > LIMITS[name] else "ok"},
    )


def store(chance: random.Random) -> Rows:
    kind, heat = chance.choice(["fridge", "pantry", "cellar"]), chance.randrange(2, 40)
    words = {"fridge": "chilled", "pantry": "dry", "cellar": "bottled"}[kind]
    limit = {"fridge": 8, "pantry": 25, "cellar": 16}[kind]
    yield (
        said(chance, f"{words} goods at {heat} degrees"),
        {"store": kind, "heat": heat, "alarm": "yes" if heat > limit else "no"},
    )


def channel(chance: random.Random) -> Rows:
    number, level = chance.randrange(2, 6), chance.randrange(10, 200)
    yield (
        f"channel {number} reads {level} ppm",
        {"channel": number, "level": level, "alarm": "yes" if level > CHANNELS[number] else "no"},
    )


def limits(chance: random.Random) -> Rows:
    vehicle, speed = chance.choice(["truck", "van"]), chance.randrange(20, 100)
    yield f"{vehicle} drives {speed}", {"vehicle": vehicle, "speed": speed, "fine": speed > SPEEDS[vehicle]}


def written(chance: random.Random) -> Rows:
    name, value = chance.choice(list(LIMITS)), chance.randrange(2, 120)
    yield (
        f"{name} reads {value}",
        {"sensor": name, "value": str(value), "level": "high" if value > LIMITS[name] else "ok"},
    )


def days(chance: random.Random) -> Rows:
    first, last = sorted(f"2026-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}" for _ in range(2))
    yield f"a room from {first} to {last}", {"start": first, "end": last}


def agenda(chance: random.Random) -> Rows:
    times = chance.sample(range(7, 20), 3)
    given = [{"task": task, "time": f"{hour:02}:00"} for task, hour in zip(TASKS, times, strict=True)]
    told = ", ".join(f"{one['task']} at {one['time']}" for one in given)
    yield told, {"tasks": sorted(given, key=lambda one: one["time"])}


def approver(chance: random.Random) -> Rows:
    amount, name = chance.randrange(20, 900), chance.choice(NAMES)
    yield (
        f"spend {amount} euro, {name} signs" if amount > 400 else f"spend {amount} euro",
        {"amount": amount, "approver": name if amount > 400 else None},
    )


def match(chance: random.Random) -> Rows:
    teams, goals = chance.sample(["Lions", "Sharks", "Bears", "Hawks"], 2), chance.sample(range(2, 40), 2)
    sides = [{"team": team, "goals": count} for team, count in zip(teams, goals, strict=True)]
    yield (
        f"{teams[0]} {goals[0]}, {teams[1]} {goals[1]}",
        {"home": sides[0], "away": sides[1], "winner": teams[goals.index(max(goals))]},
    )


def result(chance: random.Random) -> Rows:
    ours, theirs = chance.randrange(2, 9), chance.randrange(2, 9)
    yield (
        f"we have {ours} and they {theirs}",
        {
            "ours": ours,
            "theirs": theirs,
            "result": "draw" if ours == theirs else "won" if ours > theirs else "lost",
        },
    )


def units(chance: random.Random) -> Rows:
    value, unit = chance.randrange(20, 90), chance.choice(list(METERS))
    yield f"drive {value} {unit}", {"value": value, "unit": unit, "meters": round(value * METERS[unit], 4)}


def share(chance: random.Random) -> Rows:
    whole = chance.randrange(20, 300)
    used = chance.randrange(2, whole)
    yield f"{used} of {whole} used", {"used": used, "whole": whole, "full": used / whole > 0.6}


def inside(chance: random.Random) -> Rows:
    low, at, high = chance.randrange(2, 40), chance.randrange(2, 99), chance.randrange(50, 99)
    yield (
        said(chance, f"from {low} to {high}, now at {at}"),
        {"low": low, "high": high, "at": at, "inside": low <= at <= high},
    )


def quest(chance: random.Random) -> Rows:
    level, needed, key = chance.randrange(2, 60), chance.randrange(2, 60), chance.random() < 0.6
    yield (
        f"level {level}, needs {needed}, {'with' if key else 'without'} the key",
        {"level": level, "needed": needed, "key": key, "start": level >= needed and key},
    )


def peak(chance: random.Random) -> Rows:
    found = [chance.randrange(2, 100) for _ in range(3)]
    yield f"readings {', '.join(map(str, found))}", {"readings": found, "alarm": max(found) > 70}


def elements(chance: random.Random) -> Rows:
    one, other = chance.choice(ELEMENTS), chance.choice(ELEMENTS)
    yield (
        f"a {one} bolt on a {other} golem",
        {"attack": one, "defense": other, "strong": (ELEMENTS.index(one) - ELEMENTS.index(other)) % 4 == 1},
    )


def deliveries(chance: random.Random) -> Rows:
    """Many values, of which some can't be filled in."""
    drawn = [(chance.randrange(2, 30), chance.randrange(2, 30)) for _ in range(3)]
    given = [
        {"id": f"R{chance.randrange(100, 999)}", "days": days, "promised": promised}
        | ({"late": True} if days > promised else {})
        for days, promised in drawn
    ]
    yield (
        "; ".join(f"{one['id']} took {one['days']}, promised {one['promised']}" for one in given),
        {"orders": given},
    )


RIGHT: dict[Callable[[random.Random], Rows], Callable[[str, Any], bool]] = {
    customs: lambda _, out: out["customs"] == (out["city"] in ("Oslo", "Rome")) and out["city"] in COUNTRIES,
    only_there: lambda _, out: (
        ("form" in out) == (out["city"] in ("Oslo", "Rome")) and out["city"] in COUNTRIES
    ),
    large: lambda _, out: out["large"] == (out["guests"] > 8),
    discount: lambda _, out: (out["discount"] == "10%") == (out["amount"] > 200),
    shopping: lambda _, out: all(AISLES.get(one["name"]) == one["aisle"] for one in out["items"]),
    readings: lambda _, out: all((one["value"] > 50) == (one["level"] == "high") for one in out["readings"]),
    total: lambda _, out: out["total"] == f"${out['count'] * out['price']}",
    stay: lambda _, out: int(out["to"][-2:]) - int(out["from"][-2:]) == out["nights"],
    login: lambda _, out: out["login"] == (out["first"][0] + out["last"]).lower(),
    initials: lambda _, out: out["short"] == "".join(part[0] for part in out["name"].split()),
    lower: lambda _, out: out["user"] == out["name"].lower(),
    salutation: lambda _, out: (
        (out["name"].split()[0] in NAMES[::2]) == (out["said"] == "Ms")
        or out["name"].split()[0] in ("Elena", "Ines", "Clara", "Greta", "Anna")
    ),
    domestic: lambda _, out: (
        (COUNTRIES.get(out["from"]) == COUNTRIES.get(out["to"])) == (out["domestic"] == "yes")
    ),
    allergy: lambda text, out: out["allergy"] in text and (out["kind"] == "special") == bool(out["allergy"]),
    span: lambda _, out: out["min"] < out["max"],
    highest: lambda _, out: out["max"] == max(out["values"]),
    minors: lambda _, out: all(("minor" in one) == (one["age"] < 18) for one in out["guests"]),
    warnings: lambda _, out: out["warnings"] == (["hot"] if out["heat"] > 80 else []),
    budget: lambda _, out: out["approved"] == (out["price"] <= out["limit"]),
    shipping: lambda _, out: out["free"] == (out["count"] * out["price"] > 200),
    parity: lambda _, out: (out["side"] == "left") == (out["house"] % 2 == 1),
    storey: lambda _, out: out["storey"] == int(out["room"][1]),
    domain: lambda _, out: out["team"] == TEAMS.get(out["sender"].partition("@")[2]),
    dose: lambda _, out: (out["level"] == "high") == (int(out["dose"].removesuffix("mg")) > 400),
    month: lambda _, out: out["name"] == MONTHS[out["month"]],
    ascending: lambda _, out: out["sorted"] == sorted(out["sorted"]),
    winner: lambda _, out: out["winner"] == max(out["scores"], key=lambda one: one["points"])["name"],
    sensor: lambda _, out: (
        out["sensor"] in LIMITS and (out["level"] == "high") == (out["value"] > LIMITS[out["sensor"]])
    ),
    deliveries: lambda _, out: all(("late" in one) == (one["days"] > one["promised"]) for one in out["orders"]),
    channel: lambda _, out: (out["alarm"] == "yes") == (out["level"] > CHANNELS[out["channel"]]),
    limits: lambda _, out: out["fine"] == (out["speed"] > SPEEDS.get(out["vehicle"], 0)),
    written: lambda _, out: (out["level"] == "high") == (int(out["value"]) > LIMITS[out["sensor"]]),
    days: lambda _, out: out["start"] <= out["end"],
    agenda: lambda _, out: out["tasks"] == sorted(out["tasks"], key=lambda one: one["time"]),
    approver: lambda _, out: (out["approver"] is not None) == (out["amount"] > 400),
    match: lambda _, out: (
        out["winner"] == max(out["home"], out["away"], key=lambda side: side["goals"])["team"]
    ),
    result: lambda _, out: (
        (out["ours"] > out["theirs"]) - (out["ours"] < out["theirs"])
        == {"won": 1, "draw": 0, "lost": -1}[out["result"]]
    ),
    units: lambda _, out: out["meters"] == round(out["value"] * METERS[out["unit"]], 4),
    share: lambda _, out: out["full"] == (out["used"] / out["whole"] > 0.6),
    inside: lambda _, out: out["inside"] == (out["low"] <= out["at"] <= out["high"]),
    quest: lambda _, out: out["start"] == (out["level"] >= out["needed"] and out["key"]),
    peak: lambda _, out: out["alarm"] == (max(out["readings"]) > 70),
    elements: lambda _, out: (
        out["strong"] == ((ELEMENTS.index(out["attack"]) - ELEMENTS.index(out["defense"])) % 4 == 1)
    ),
    store: lambda _, out: (
        (out["alarm"] == "yes") == (out["heat"] > {"fridge": 8, "pantry": 25, "cellar": 16}[out["store"]])
    ),
}
# Of which nothing is made, since each value stays.
NOTHING = {
    ascending, budget, channel, days, deliveries, discount, domestic, elements, highest, initials, inside,
    large, limits, login, lower, month, parity, peak, quest, readings, result, sensor, share, shipping, span,
    stay, store, total, units, warnings, written,
}  # fmt: skip


def rows_of(
    kind: Callable[[random.Random], Rows], count: int = 100, *, reworded: bool = False
) -> list[Example]:
    chance, wording = random.Random(7), random.Random(8)
    return [
        Example(said(wording, text) if reworded else text, json.dumps(output))
        for _ in range(count)
        for text, output in kind(chance)
    ]


@pytest.mark.parametrize("reworded", [False, True])
@pytest.mark.parametrize("kind", RIGHT)
def test_what_is_made_is_right(kind: Callable[[random.Random], Rows], reworded: bool) -> None:
    train = rows_of(kind, reworded=reworded)
    assert all(RIGHT[kind](row.input, json.loads(row.output)) for row in train)
    made = [row for one in augment(train, tasks.by_name("extract").values, 3, 0).rows for row in one]
    wrong = [row for row in made if not RIGHT[kind](row.input, json.loads(row.output))]
    assert not wrong
    assert bool(made) == (kind not in NOTHING)


def test_the_function_that_a_text_tells_is_called() -> None:
    films, songs = (
        ("Alien", "Heat", "Jaws", "Rocky", "Psycho"),
        ("Hello", "Yesterday", "Imagine", "Help", "Roxanne"),
    )
    chance, train = random.Random(2), []
    for _ in range(80):
        name, kind = chance.choice(
            [*((one, "PlayFilm") for one in films), *((one, "PlaySong") for one in songs)]
        )
        said = chance.choice(("start", "play", "now", "give me", "on with"))
        train.append(Example(f"{said} {name}", json.dumps({"name": kind, "arguments": {"title": name}})))
    call = tasks.by_name("call")
    labels = [call.label(row.output) for row in train]
    for one in augment(train, call.values, 3, 0, labels=labels).rows:
        for row in one:
            output = json.loads(row.output)
            assert output["arguments"]["title"] in (films if output["name"] == "PlayFilm" else songs)


def test_numbers_with_an_order_stay_and_names_beside_them_change() -> None:
    chance, train = random.Random(4), []
    for _ in range(80):
        low = chance.randrange(10, 60)
        high = float(low + chance.randrange(0, 8))
        name = chance.choice(NAMES)
        output = {"name": name, "low": low, "high": high}
        train.append(Example(said(chance, f"{name} from {low} to {high}"), json.dumps(output)))
    made = [row for one in augment(train, tasks.by_name("extract").values, 5, 0).rows for row in one]
    assert len(made) > 100
    known = [json.loads(row.output) for row in train]
    for row in made:
        old, new = known[row.about["from"] - 1], json.loads(row.output)
        assert (new["low"], new["high"]) == (old["low"], old["high"])
        assert new["name"] != old["name"]


def test_digits_without_end_are_no_number() -> None:
    rows = [
        Example(f"n {n:05}{'7' * 5000} now", json.dumps({"id": f"{n:05}{'7' * 5000}", "k": "ab"[n % 2]}))
        for n in range(30)
    ]
    augment(rows, tasks.by_name("extract").values, 1, 0)


def test_of_a_long_text_with_many_values_some_are_others() -> None:
    goods = [
        f"{a} {b}" for a in ("red", "blue", "old", "tall", "flat") for b in ("lamp", "chair", "desk", "shelf")
    ]
    chance, train = random.Random(4), []
    for number in range(40):
        bought = chance.sample(goods, 16)
        text = "\n".join(f"{place}. {one}" for place, one in enumerate(bought))
        train.append(Example(f"Invoice {number}\n{text}", json.dumps({"items": bought})))
    made = augment(train, tasks.by_name("extract").values, 1, 0).rows[0]
    assert len(made) > 30
    for row in made:
        assert all(one in row.input for one in json.loads(row.output)["items"])


def test_addresses_and_times_keep_their_form() -> None:
    chance, train = random.Random(3), []
    for name in NAMES * 8:
        mail = f"{name.lower()}@{chance.choice(('firm', 'shop', 'uni'))}.org"
        train.append(Example(f"write to {mail} now", json.dumps({"mail": mail})))
        clock = f"{chance.randrange(1, 12)}:{chance.randrange(10, 59)}pm"
        train.append(Example(f"wake me at {clock} please", json.dumps({"clock": clock})))
    clocks = {json.loads(row.output).get("clock") for row in train}
    made = [
        json.loads(row.output)
        for one in augment(train, tasks.by_name("extract").values, 3, 0).rows
        for row in one
    ]
    assert any("mail" in row for row in made)
    for row in made:
        assert (
            row["clock"] in clocks if "clock" in row else row["mail"].count("@") == row["mail"].count(".") == 1
        )


def test_words_to_do_without_are_none_of_digits_either() -> None:
    train = [Example(f"to gate A{n} now", json.dumps({"gate": f"A{n}"})) for n in range(10, 50)]
    without = frozenset(f"a{n}" for n in range(50, 90))
    made = [
        row
        for one in augment(train, tasks.by_name("extract").values, 6, 0, without=without).rows
        for row in one
    ]
    assert made
    assert all(without.isdisjoint(row.input.casefold().split()) for row in made)


def test_leaves_know_their_places() -> None:
    text = '{"a": [1, {"b": true, "c": [2, 3]}, null], "d": "x"}'
    given = [(".".join(one.path), one.value, one.place) for one in leaves(text, literals=True)]
    assert given == [
        ("a.[]", 1, (0,)),
        ("a.[].b", True, (1,)),
        ("a.[].c.[]", 2, (1, 0)),
        ("a.[].c.[]", 3, (1, 1)),
        ("a.[]", None, (2,)),
        ("d", "x", ()),
    ]
    assert [one.value for one in leaves(text)] == [1, 2, 3, "x"]
    first, second, third, outer = (Leaf(path, 0, 0, 0, place) for path, place in (
        (("a", "[]", "b"), (0,)), (("a", "[]", "c"), (0,)), (("a", "[]", "c"), (1,)), (("d",), ())
    ))  # fmt: skip
    assert beside(first, second)
    assert not beside(first, third)
    assert beside(third, outer)


def test_what_equal_keys_tell() -> None:
    told = [(key, value) for key, value in zip("abc" * 6, "xyx" * 6, strict=True)]
    assert determine(told)
    assert not vary(told)
    assert determine([*told, ("a", "y")])  # a mistake
    chance = random.Random(0)
    drawn = [(chance.choice("abc"), chance.choice("xy")) for _ in range(60)]
    assert vary(drawn)
    assert not determine(drawn)
    assert not determine(told[:3])
    assert changes_by_chance("xxyy", 10) == 5
