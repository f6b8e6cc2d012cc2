from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinsmith import tasks
from tinsmith.data import augment as augmenting
from tinsmith.data import filling
from tinsmith.data.augment import augment
from tinsmith.data.leaves import leaves, replaced
from tinsmith.data.readers import Example
from tinsmith.data.slots import Slots, slots_in
from tinsmith.data.words import Joined, Whole, Words

CALL, EXTRACT = (tasks.by_name(name) for name in ("call", "extract"))
ROOMS = ("kitchen", "living room", "attic", "garden", "music room", "porch", "cellar", "studio")
THINGS = (
    "reading lamp",
    "encoder fan",
    "kettle",
    "radio",
    "floor lamp",
    "lava lamp",
    "charger",
    "porch lantern",
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def call(name: str, /, **arguments: Any) -> str:
    return json.dumps({"name": name, "arguments": arguments}, separators=(",", ":"))


def home(count: int = 120, seed: int = 0) -> list[Example]:
    """Commands with slots for rooms, things and numbers, and a class, "on" or "off"."""
    rng, rows = random.Random(seed), []
    for n in range(count):
        room, thing, level = rng.choice(ROOMS), rng.choice(THINGS), rng.randrange(10, 95, 5)
        state = rng.choice(("on", "off"))
        rows.append(
            (
                (f"turn {state} the {thing} in the {room}", call("Switch", name=thing, area=room, state=state)),
                (f"set the {thing} to {level} percent", call("Set", name=thing, level=level)),
                (f"lower the {room} by {level}", call("Lower", area=room, step=-level)),
            )[n % 3]
        )
    return [Example(*row) for row in rows]


def chatter(seed: int) -> str:
    """Ten words, some of them frequent and some rare."""
    rng = random.Random(seed)
    return " ".join(f"word{int(40 * rng.random() ** 2)}" for _ in range(10))


def made(train: Sequence[Example], task: tasks.Task = CALL, variants: int = 3, **more: Any) -> list[Example]:
    result = augment(train, task.values, variants, more.pop("seed", 0), **more)
    return [row for variant in result.rows for row in variant]


def stands(text: str, value: Any) -> bool:
    said = str(abs(value)) if isinstance(value, int) else value
    return re.search(rf"(?<!\w){re.escape(said)}(?!\w)", text) is not None


@given(JSON, st.sampled_from(((",", ":"), (", ", ": "), (" ,\n", " : "))), st.booleans())
def test_leaves_are_the_texts_and_numbers_where_they_are_written(
    value: Any, separators: tuple[str, str], ascii_only: bool
) -> None:
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)

    def walk(value: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
        if isinstance(value, dict):
            return [leaf for key, one in value.items() for leaf in walk(one, (*path, key))]
        if isinstance(value, list):
            return [leaf for one in value for leaf in walk(one, (*path, "[]"))]
        return [] if value is None or isinstance(value, bool) else [(path, value)]

    seen = leaves(text)
    assert [(leaf.path, leaf.value) for leaf in seen] == walk(value, ())
    assert all(json.loads(text[leaf.start : leaf.end]) == leaf.value for leaf in seen)
    assert json.loads(replaced(text, {leaf: leaf.value for leaf in seen})) == value


def test_a_made_row_differs_in_its_slots_alone_and_says_what_its_output_has() -> None:
    train = home()
    rows = made(train)
    assert len(rows) > 300
    for row in rows:
        origin = train[row.about["from"] - 1]
        before, after = json.loads(origin.output), json.loads(row.output)
        changed = {one["argument"].split(".")[1]: one for one in row.about["substituted"]}
        text = origin.input
        for key, one in changed.items():
            assert (before["arguments"].pop(key), after["arguments"].pop(key)) == (one["was"], one["now"])
            assert one["was"] != one["now"]
            assert stands(row.input, one["now"])
            text = re.sub(
                rf"\b{abs(one['was']) if isinstance(one['was'], int) else one['was']}\b", f"<{key}>", text
            )
        assert before == after
        for key, one in changed.items():
            said = one["now"]
            text = text.replace(f"<{key}>", str(abs(said)) if isinstance(said, int) else said)
        assert row.input == text


def test_classes_stay() -> None:
    assert not [one for row in made(home()) for one in row.about["substituted"] if "state" in one["argument"]]


def test_the_same_seed_makes_the_same_rows_and_another_others() -> None:
    train = home()
    assert made(train, seed=3) == made(train, seed=3)
    assert made(train, seed=3) != made(train, seed=4)


def test_the_same_rows_whatever_order_sets_have() -> None:
    """Python's hashes of texts differ from process to process."""
    code = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.data import test_augment as t\n"
        "rows = [t.Example(f'{row.input} {t.chatter(n)}', row.output) for n, row in enumerate(t.home(400))]\n"
        "print(hashlib.sha256(repr(t.made(rows)).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parents[2])],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(1, 5)
    }
    assert len(digests) == 1


def test_a_variant_does_not_depend_on_how_many_there_are() -> None:
    train = home()
    few, many = (augment(train, CALL.values, n, 0).rows for n in (1, 3))
    assert few[0] == many[0]


def test_no_input_is_made_twice_or_is_a_training_input() -> None:
    train = home()
    inputs = [row.input for row in made(train, variants=6)]
    assert len(set(inputs)) == len(inputs)
    assert not set(inputs) & {example.input for example in train}


def test_values_come_from_all_sources() -> None:
    result = augment(home(), CALL.values, 2, 0)
    assert result.sources.keys() == {"seen", "new words", "number"}
    assert min(result.sources.values()) > 40


def test_numbers_stay_whole_in_the_range_and_on_the_grid_that_was_seen() -> None:
    numbers = [
        one["now"] for row in made(home()) for one in row.about["substituted"] if one["source"] == "number"
    ]
    assert all(isinstance(n, int) and 10 <= abs(n) < 95 and n % 5 == 0 for n in numbers)
    assert {n > 0 for n in numbers} == {True, False}


def test_decimals_are_said_as_they_are_written() -> None:
    train = [Example(f"heat to {n / 2:.1f} degrees", call("Heat", to=n / 2)) for n in range(33, 93, 8)]
    train += [Example(f"heat to {n} degrees", call("Heat", to=n)) for n in range(17, 46, 4)]
    rows = made(train)
    assert len(rows) > 20
    for row in rows:
        value = json.loads(row.output)["arguments"]["to"]
        assert row.input == f"heat to {value} degrees"
        assert value * 2 == int(value * 2)


def test_a_text_is_filled_in_in_the_case_in_which_it_was_said() -> None:
    train = [
        Example(f"{room.capitalize()} is cold" if n % 2 else f"the {room} is cold", call("Heat", area=room))
        for n, room in enumerate(ROOMS * 4)
    ]
    rows = made(train)
    assert rows
    for row in rows:
        area = json.loads(row.output)["arguments"]["area"]
        assert row.input in (f"{area[:1].upper()}{area[1:]} is cold", f"the {area} is cold")


def test_a_text_said_with_gaps_is_a_slot_and_keeps_them() -> None:
    """As scanned papers have them."""
    gaps = " ", "   ", "\n"
    train = [
        Example(f"lit: {thing.replace(' ', gaps[n % 3])}", json.dumps({"name": thing}))
        for n, thing in enumerate(one for one in THINGS * 4 if " " in one)
    ]
    rows = made(train, EXTRACT)
    for row in rows:
        assert row.input.removeprefix("lit: ").split() == json.loads(row.output)["name"].split()
    assert {gap for gap in gaps if any(re.search(rf"\w{gap}\w", row.input[5:]) for row in rows)} == set(gaps)


def test_a_word_with_digits_gets_other_digits() -> None:
    train = [
        Example(f"pay bill RE{1000 + 37 * n} now", json.dumps({"number": f"RE{1000 + 37 * n}"}))
        for n in range(20)
    ]
    rows = made(train, EXTRACT)
    numbers = {json.loads(row.output)["number"] for row in rows}
    assert all(re.fullmatch(r"RE\d{4}", number) for number in numbers)
    assert len(numbers - {json.loads(example.output)["number"] for example in train}) > 20


def test_what_hardly_comes_again_is_no_class() -> None:
    """A name may stand with the sum of another bill."""
    names = ("Anna", "Boris", "Clara", "David", "Elena", "Fjodor")
    train = [
        Example(f"{names[n % 6]} owes {n},5 euros", json.dumps({"name": names[n % 6], "sum": n + 0.5}))
        for n in range(10, 50)
    ]
    assert "seen" in {one["source"] for row in made(train, EXTRACT) for one in row.about["substituted"]}


def test_a_number_also_said_in_words_stays() -> None:
    """What the words of a language are, the examples say."""
    spoken = {2: "deux", 3: "trois", 5: "cinq", 8: "huit"}
    train = []
    for lamp, percent in itertools.product(spoken, repeat=2):
        output = call("set", lamp=lamp, percent=percent)
        train.append(Example(f"lampe {lamp} à {spoken[percent]} pour cent", output))
        train.append(Example(f"lampe {spoken[lamp]} à {percent} pour cent", output))
        train.append(Example(f"lampe {lamp} à {percent} pour cent", output))
    rows = made(train, variants=20)
    assert sum(row.output != train[row.about["from"] - 1].output for row in rows) > 30
    numbers = {word: number for number, word in spoken.items()} | {str(n): n for n in range(10)}
    for row in rows:
        said = {numbers[word] for word in row.input.split() if word in numbers}
        assert said == set(json.loads(row.output)["arguments"].values()), row.input


def test_a_value_said_twice_is_substituted_in_both_places_or_not_at_all() -> None:
    names = ("Anna", "Boris", "Clara", "David", "Elena", "Fjodor")
    train = [Example(f"{n} called, so call {n} back", json.dumps({"name": n})) for n in names * 3]
    rows = made(train, EXTRACT)
    assert rows
    for row in rows:
        name = json.loads(row.output)["name"]
        assert row.input == f"{name} called, so call {name} back"
    # A number that stands once more than the output has it may mean two things.
    train = [Example(f"wait {n} minutes, then {n}", json.dumps({"minutes": n})) for n in range(10, 30)]
    assert not made(train, EXTRACT)


@pytest.mark.parametrize(
    ("text", "output", "values"),
    [
        ("lamp on porch", {"name": "lamp", "area": "porch"}, ["lamp", "porch"]),
        ("porch lantern on porch", {"name": "porch lantern", "area": "porch"}, ["porch lantern", "porch"]),
        ("porch lantern on", {"name": "porch lantern", "area": "porch"}, []),
        ("lampshade on", {"name": "lamp"}, []),
        ("wait 10 and a 1/2 hours", {"hours": 10, "minutes": 1}, [10]),
        ("at 7:30 or 19.5 or 2024-05-07", {"a": 30, "b": 19, "c": 5, "d": 19.5}, [19.5]),
        ("5-minute timer, -5 degrees", {"minutes": 5}, [5]),
        ("cooler by 5", {"step": -5}, [-5]),
        ("LAVA   LAMP on\nporch", {"name": "lava lamp"}, ["lava lamp"]),
        ("sea at 5", {"flag": True, "none": None, "n": 5}, [5]),
    ],
)
def test_what_stands_in_an_input(text: str, output: dict[str, Any], values: list[Any]) -> None:
    slots = slots_in(text, leaves(json.dumps(output)))
    assert sorted(str(slot.value) for slot in slots) == sorted(map(str, values))
    for slot in slots:
        said = str(abs(slot.value)) if not isinstance(slot.value, str) else slot.value
        assert {" ".join(text[start:end].lower().split()) for start, end in slot.spans} == {said}


def test_a_word_that_is_mostly_no_value_is_not_taken_for_one() -> None:
    floors = ("ground", "second", "upper", "top")
    train = [Example(f"lights on {floor} floor", call("Light", floor=floor)) for floor in floors * 5]
    plain = [Example(f"a {n} second timer", call("Timer", seconds=n)) for n in range(10, 50)]
    texts = {slot.value for slots in Slots(train + plain, CALL.values).of for slot in slots}
    assert {"ground", "upper", "top"} <= texts
    assert "second" not in texts


def test_values_that_rarely_stand_are_no_slots() -> None:
    moods = ("positive", "negative", "neutral", "mixed")
    train = [Example(f"number {n} was fine", json.dumps({"mood": moods[n % 4]})) for n in range(40)]
    train += [Example(f"a {mood} thing", json.dumps({"mood": mood})) for mood in moods]
    assert not made(train, EXTRACT)


def test_a_value_stays_with_the_classes_it_was_seen_with() -> None:
    """A door is open or closed, a lamp on or off: what stands with "on" is another lamp."""
    lamps, doors = ("red lamp", "lava lamp", "desk lamp"), ("front door", "back door", "side door")
    train = [
        Example(f"is the {thing} {state} now", call("Get", name=thing, state=value))
        for things, states in ((lamps, ("lit", "dark")), (doors, ("wide", "shut")))
        for thing in things
        for state, value in zip(states, ("on", "off") if things is lamps else ("open", "closed"), strict=True)
        for _ in range(3)
    ]
    train = [Example(f"{row.input} {n}", row.output) for n, row in enumerate(train)]
    for row in made(train):
        for one in row.about["substituted"]:
            if one["source"] == "seen":
                assert (one["now"] in lamps) == (json.loads(row.output)["arguments"]["state"] in ("on", "off"))


COUNTRIES = {"Paris": "France", "Lyon": "France", "Rome": "Italy", "Milan": "Italy", "Madrid": "Spain"}


def test_a_class_that_texts_tell_stays_true() -> None:
    """No new city is in Spain."""
    rng, train = random.Random(0), []
    for day in range(2, 92):
        city = rng.choice(list(COUNTRIES))
        output = call("Weather", city=city, country=COUNTRIES[city], day=day)
        train.append(Example(f"weather in {city} on day {day}", output))
    sources = Counter[str]()
    for row in made(train):
        arguments = json.loads(row.output)["arguments"]
        assert COUNTRIES.get(arguments["city"]) == arguments["country"]
        sources.update(one["source"] for one in row.about["substituted"])
    assert sources.keys() == {"seen", "number"}


def test_a_class_that_last_words_tell_leaves_new_words_before_them() -> None:
    kinds = {"lock": "lock", "lamp": "light", "lantern": "light", "fan": "fan"}
    rng, train = random.Random(0), []
    for n in range(90):
        last = rng.choice(list(kinds))
        name = f"{rng.choice(('front', 'attic', 'garden', 'red', 'old'))} {last}"
        output = call("Get", name=name, domain=kinds[last])
        train.append(Example(f"how is the {name} {chatter(n)} today", output))
    rows, new = made(train), 0
    for row in rows:
        arguments = json.loads(row.output)["arguments"]
        first, last = arguments["name"].split()
        assert kinds[last] == arguments["domain"]
        new += first not in ("front", "attic", "garden", "red", "old")
    assert new >= len(rows) / 4


def test_values_on_which_others_depend_stay() -> None:
    """A sum, a number that a time holds, an address that a name is in, a class that numbers decide."""
    rng, rows = random.Random(3), []
    for _ in range(40):
        count, price = rng.randrange(2, 10), rng.randrange(2, 60)
        rows.append((f"{count} mugs at {price} euro", {"count": count, "price": price, "sum": count * price}))
        said = {"many": f"{count}", "each": f"{price}", "all": f"{count * price}"}
        rows.append((f"buy {count} for {price} a piece", said))
        first = rng.randrange(1, 20)
        last = first + rng.randrange(1, 9)
        rows.append((f"stay from {first} to {last}", {"first": first, "last": last, "nights": last - first}))
        hour = rng.randrange(2, 24)
        rows.append((f"wake me at {hour}", {"hour": hour, "time": f"{hour:02}:00"}))
        name = f"{rng.choice(ROOMS)} {rng.choice(THINGS)}"
        rows.append((f"where is the {name} now", {"what": name, "page": name.title().replace(" ", "-")}))
        level = rng.randrange(2, 100)
        rows.append((f"turn it to {level} percent", {"level": level, "mode": "high" if level > 50 else "low"}))
    one = made([Example(text, json.dumps(output)) for text, output in rows], EXTRACT)
    assert one == []


def test_new_words_are_none_that_were_given() -> None:
    known = {word for text in (*ROOMS, *THINGS) for word in text.split()}
    words, rng = Words(known), random.Random(0)
    drawn = [words.draw(rng) for _ in range(50)]
    new = {word for word in drawn if word}
    assert len(new) > 5
    assert not new & known
    assert all(word.isalpha() for word in new)
    assert Words([]).draw(rng) is None
    held = sorted(new)[::2]
    rest = Words(known, [*(f" {word}" for word in held[1:]), held[0]])
    assert not {rest.draw(rng) for _ in range(200)} & set(held)


def vocabulary() -> list[str]:
    """Pieces of words, each as it begins one and as it goes on, a word, and letters that no text here has."""
    syllables = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lnrst"]
    return [*(f" {one}" for one in syllables), *syllables, " balbel", " ýýý"]


def test_joined_words_are_of_two_pieces_and_none_that_is_a_token_or_known() -> None:
    known = {"fanner", "bedlam", "gulf", "kiosk", "drip", "testament"}
    joined, rng = Joined(vocabulary(), known), random.Random(0)
    drawn = [joined.draw(rng) for _ in range(200)]
    pieces = {token.strip() for token in vocabulary()}
    assert joined.is_rich
    assert len(set(drawn)) > 150
    for word in drawn:
        assert word and any(word[:n] in pieces and word[n:] in pieces for n in (3, 6))
        assert word not in known and word != "balbel"
    assert not Joined(vocabulary(), {"xyz"}).is_rich
    assert Joined([], known).draw(rng) is None


def test_new_texts_have_pieces_of_the_vocabulary() -> None:
    pieces = {token.strip() for token in vocabulary()}

    def joined(rows: Sequence[Example]) -> int:
        texts = [one["now"] for row in rows for one in row.about["substituted"] if one["source"] == "new words"]
        words = [word for text in texts for word in text.split()]
        return sum(len(word) == 6 and word[:3] in pieces and word[3:] in pieces for word in words)

    assert joined(made(home(), tokens=vocabulary())) > 10 + joined(made(home()))


def letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:04}")


def test_whole_words_begin_after_a_space_and_have_the_texts_letters() -> None:
    tokens = [f" {letters(number)}" for number in range(2000)]
    odd = [" ýýý", " ab", " abcdefghija", "abcdef", " Abcd", " 1234", " lamp", " lamps", " lampe", " lam"]
    known, rng = {"lamp", "abcdefghij", "ses"}, random.Random(0)
    whole = Whole([*odd, *tokens], known)
    drawn = {whole.draw(rng, "") for _ in range(500)}
    assert len(drawn) > 400
    assert drawn <= {token[1:] for token in tokens}
    few = Whole(tokens[:999], known)
    assert not few.is_rich and few.draw(rng, "") is None


def test_whole_words_are_like_the_one_whose_place_they_take() -> None:
    tokens = [*(f" {letters(number)}" for number in range(2000)), " fade", " gif"]
    kinds = np.eye(40, dtype=np.float32)[[*(number % 40 for number in range(2000)), 7, 9]]
    asked: list[int] = []

    def rows(ids: Sequence[int]) -> np.ndarray:
        asked.extend(ids)
        return kinds[list(ids)]

    rng = random.Random(0)
    known = {"fade", "gif", "hat", "abcdefghij"}
    whole = Whole(tokens, known, rows, of={"fade", "hat"})
    assert len(asked) == len(whole.words) + 1 and asked[-1] == 2000
    assert whole.knows("Fade") and not whole.knows("hat") and not whole.knows("gif")
    kind = {letters(number) for number in range(7, 2000, 40)}
    assert {whole.draw(rng, "fade") for _ in range(50)} <= kind
    assert not {whole.draw(rng, "hat") for _ in range(50)} <= kind


def test_new_texts_have_words_of_the_vocabulary_but_those_that_it_is_to_do_without() -> None:
    tokens = [f" {letters(number)}" for number in range(2000)]
    out = {token[1:] for token in tokens[::2]}
    home_letters = [Example(f"turn on the {one}", call("On", name=one)) for one in ("abcd", "efgh", "ijba")]

    def new(without: Collection[str] = ()) -> set[str]:
        rows = made([*home(), *home_letters], variants=8, tokens=tokens, without=without)
        texts = [one["now"] for row in rows for one in row.about["substituted"] if one["source"] == "new words"]
        return {word for text in texts for word in text.split()}

    words = {token[1:] for token in tokens}
    assert len(new() & out) > 5
    assert not new(out) & out
    assert len(new(out) & words) > 5


def test_examples_of_a_rare_label_are_varied_more_often() -> None:
    rare = [Example(f"warm the {room}", call("Warm", area=room)) for room in ROOMS[:5]]
    train = [*home(240), *rare]
    labels = [CALL.label(example.output) for example in train]
    rows = made(train, variants=2, labels=labels)
    counts = Counter(CALL.label(row.output) for row in rows)
    # By the root of 5 beside that of 80, of what is new of them.
    assert 3 < (counts["Warm"] / 5) / (counts["Set"] / 80) < 6
    assert 1.5 * len(train) < len(rows) < 2.2 * len(train)


@given(st.lists(st.tuples(st.text(max_size=12), st.integers(), FLOATS), max_size=8))
def test_any_examples_can_be_augmented(rows: list[tuple[str, int, float]]) -> None:
    train = [Example(f"say {a} {b} {c}", json.dumps({"a": a, "b": b, "c": c})) for a, b, c in rows]
    for row in made(train, EXTRACT):
        assert EXTRACT.parse(row.output) is not None


def test_other_scripts_and_lists() -> None:
    towns = ("Köln", "São Paulo", "Łódź", "Đà Nẵng", "Αθήνα")
    rng = random.Random(0)
    train = []
    for _ in range(40):
        two = rng.sample(towns, 2)
        train.append(Example(f"von {two[0]} nach {two[1]}", json.dumps({"towns": two}, ensure_ascii=False)))
    rows = made(train, EXTRACT)
    assert rows
    for row in rows:
        two = json.loads(row.output)["towns"]
        assert row.input == f"von {two[0]} nach {two[1]}"
        assert all(one["argument"] == "towns[]" for one in row.about["substituted"])


def test_numbers_of_an_argument_are_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not for each example, which for thousands takes hours."""
    looked_at: list[float] = []
    monkeypatch.setattr(filling, "decimals", lambda number: looked_at.append(number) or 0)
    monkeypatch.setattr(augmenting, "decimals", filling.decimals)
    train = [Example(f"set timer {n} to {n + 1000}", call("Set", n=n, to=n + 1000)) for n in range(200)]
    assert len(made(train)) > 300
    assert len(looked_at) < 10_000  # 40,000 for each example's two arguments, and more for each try
