"""Messages about appointments, rendered from templates, with their content as JSON.

The names, places, reasons and a third of the templates in the test split occur only there, so that memorizing
does not help.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping


def _listed(text: str) -> list[str]:
    return [" ".join(one.split()) for one in text.split(",")]


WHO = _listed(
    """Dr. Weber, Anna, the plumber, Mr. Okafor, Ines, Professor Lindqvist, my sister, Tom and Lea, the
    landlord, Mrs. Haddad, Yuki, the tax adviser, Rafael, Coach Brennan, the architect, Nadia, Uncle
    Piotr, the vet, Chloe, Judge Moreno, the electrician, Sanjay, Aunt Greta, the new tenants, Father
    Doyle, Ms. Nakamura, the band, Olu, the movers, Dr. Petrov"""
)
WHAT = _listed(
    """dentist, lunch, boiler repair, parents' evening, haircut, budget meeting, piano lesson, blood test,
    flat viewing, coffee, book club, job interview, eye test, rehearsal, contract signing, swimming, car
    inspection, birthday dinner, thesis defence, photo shoot, yoga class, house warming, vaccination,
    chess evening, wine tasting, fire drill, passport renewal, garden party"""
)
WHERE = _listed(
    """Main Street 12, room 204, the Blue Cafe, the town hall, clinic B, the harbour, our office, Lindenweg
    3, the station, the old mill, gate 7, the library, Studio Nine, the community centre, Hotel Aurora,
    the rose garden, block C, the fish market, Pier 4, the observatory, Elm Court, the boathouse"""
)
MONTHS = _listed(
    """January, February, March, April, May, June, July, August, September, October, November, December"""
)
TEMPLATES = [
    "{what} with {who} on {day} {month} at {time}, {where}",
    "Hi, can we do {what} on {month} {day} at {time}? {who} will be at {where}.",
    "Reminder: {day} {month}, {time}, {what}, {where}, {who}.",
    "{who} asked to move the {what} to {month} {day}, {time}, same as always at {where}",
    "please put {what} with {who} in my calendar: {where}, {day} {month}, {time}",
    "See you at {where} on {month} {day}! {what} starts at {time}, {who} comes too.",
    "At {time} on {day} {month} I meet {who} at {where} for the {what}.",
    "Your {what} is booked for {month} {day} at {time}. Place: {where}. Contact: {who}.",
    "{who}: {what}, {where}, {day} {month} {time}",
    "don't forget the {what} at {where}, {who} is waiting there from {time} on {month} {day}",
    "We confirm {what} on {day} {month}, {time}. You will be met by {who} at {where}.",
    "On {month} {day} {who} has the {what} at {where}, be there by {time}",
    "New date for the {what}: {day} {month} at {time} with {who}. It is still at {where}.",
    "{where}, {month} {day}, {time}: {what} with {who}",
    "Could you come to {where} at {time} on {day} {month}? It's about the {what}, {who} knows more.",
]
KEYS = ("what", "who", "where", "date", "time")
SCHEMA = {
    "type": "object",
    "properties": {
        "what": {"type": "string"},
        "who": {"type": "string"},
        "where": {"type": "string"},
        "date": {"type": "string", "pattern": "^[0-9]{2}-[0-9]{2}$"},
        "time": {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"},
    },
    "required": list(KEYS),
    "additionalProperties": False,
}


def appointments(splits: Mapping[str, int], rng: random.Random) -> dict[str, list[tuple[str, str]]]:
    """By split, so many messages and what they say; none twice."""
    lists = {"who": WHO, "what": WHAT, "where": WHERE, "template": TEMPLATES}
    shuffled = {name: rng.sample(values, len(values)) for name, values in lists.items()}
    seen = {name: values[: 2 * len(values) // 3] for name, values in shuffled.items()}
    unseen = {name: values[2 * len(values) // 3 :] for name, values in shuffled.items()}
    taken: set[str] = set()
    return {
        split: list(_some(count, unseen if split == "test" else seen, taken, rng))
        for split, count in splits.items()
    }


def _some(
    count: int, lists: Mapping[str, list[str]], taken: set[str], rng: random.Random
) -> Iterator[tuple[str, str]]:
    while count:
        month, day = rng.randrange(12), rng.randint(1, 28)
        hour, minute = rng.randint(7, 21), rng.choice((0, 15, 30, 45))
        said = {name: rng.choice(lists[name]) for name in ("what", "who", "where")}
        time = f"{hour}:{minute:02}" if rng.random() < 0.6 else _twelve(hour, minute)
        text = rng.choice(lists["template"]).format(**said, day=day, month=MONTHS[month], time=time)
        if text in taken:
            continue
        taken.add(text)
        count -= 1
        facts = {**said, "date": f"{month + 1:02}-{day:02}", "time": f"{hour:02}:{minute:02}"}
        yield text, json.dumps({key: facts[key] for key in KEYS}, ensure_ascii=False, separators=(",", ":"))


def _twelve(hour: int, minute: int) -> str:
    half = "am" if hour < 12 else "pm"
    return f"{(hour - 1) % 12 + 1}{f':{minute:02}' if minute else ''} {half}"
