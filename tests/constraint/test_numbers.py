"""Number texts against exact decimals, and against jsonschema, which reads them as doubles."""

from __future__ import annotations

import json
import math
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import jsonschema
import pytest

from tinsmith.constraint.automata.dfa import Dfa
from tinsmith.constraint.automata.numbers import integer, number
from tinsmith.errors import ConstraintError

KEYWORDS = {"low": "minimum", "above": "exclusiveMinimum", "high": "maximum", "below": "exclusiveMaximum"}


def accepts(dfa: Dfa, text: str) -> bool:
    return dfa.accepts_all(text.encode())


def draw(dfa: Dfa, rng: random.Random, stop: float = 0.2) -> str:
    """A random text that is accepted."""
    state, out = 0, bytearray()
    while not (state in dfa.accepts and (not dfa.edges[state] or rng.random() < stop)):
        low, high, state = rng.choice(dfa.edges[state])
        out.append(rng.randint(low, high))
    return out.decode()


def bounds(rng: random.Random) -> dict[str, Decimal]:
    low = Decimal(rng.randint(-3000, 3000)).scaleb(-rng.randint(0, 3))
    high = low + Decimal(rng.randint(0, 4000)).scaleb(-rng.randint(0, 2))
    limits = {}
    if rng.random() < 0.8:
        limits[rng.choice(["low", "above"])] = low
    if rng.random() < 0.8:
        limits[rng.choice(["high", "below"])] = high
    return limits


def inside(value: Decimal, limits: dict[str, Decimal], step: Decimal | None) -> bool:
    return (
        ("low" not in limits or value >= limits["low"])
        and ("above" not in limits or value > limits["above"])
        and ("high" not in limits or value <= limits["high"])
        and ("below" not in limits or value < limits["below"])
        and (step is None or value % step == 0)
    )


@pytest.mark.parametrize("seed", range(6))
def test_bounds_and_multiples_are_exact(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(12):
        limits = bounds(rng)
        step = rng.choice([None, None, *map(Decimal, ["0.01", "0.5", "3", "10", "2.5", "7", "0.25"])])
        given = {name: Fraction(value) for name, value in limits.items()}
        given |= {"step": Fraction(step)} if step else {}
        whole, real = integer(**given), number(**given)
        for n in rng.sample(range(-4000, 7000), 250):
            value = Decimal(n)
            assert accepts(whole, str(n)) == inside(value, limits, step), (n, limits, step)
            for text in (
                str(n),
                f"{n}.0",
                f"{n / 10}",
                f"{n / 100:.2f}",
                f"{n / 1000:.3f}" if step is None else "0.01",
            ):
                if not (text.startswith("-") and not Decimal(text)):
                    assert accepts(real, text) == inside(Decimal(text), limits, step), (text, limits, step)
            if step is None:
                for text in (f"{n / 1000:.3f}e+03", f"{n / 1000:.3f}E-2", f"{n % 10}e02"):
                    normal = text.lstrip("-")[0] != "0" and text.lstrip("-")[1] in ".e"
                    assert accepts(real, text) == (normal and inside(Decimal(text), limits, step)), (
                        text,
                        limits,
                    )


@pytest.mark.parametrize("seed", range(6))
def test_what_is_accepted_is_inside_as_a_double_too(seed: int) -> None:
    rng = random.Random(100 + seed)
    for _ in range(25):
        limits: dict[str, Any] = bounds(rng)
        scale = rng.choice([1, 1, 1e-9, 1e15, 3**40])
        for name in limits:
            value = limits[name]
            limits[name] = (
                int(value * int(scale))
                if isinstance(scale, int) and rng.random() < 0.5
                else float(value) * scale
            )
        schema = {KEYWORDS[name]: value for name, value in limits.items()}
        for dfa, kind in ((number(**limits), "number"), (integer(**limits), "integer")):
            validator = jsonschema.Draft202012Validator({"type": kind, **schema})
            for _ in range(0 if dfa.empty else 60):
                text = draw(dfa, rng, rng.choice([0.02, 0.2]))
                assert validator.is_valid(json.loads(text)), (text, schema)


@pytest.mark.parametrize("seed", range(3))
def test_what_json_dumps_prints_is_accepted(seed: int) -> None:
    rng = random.Random(seed)
    whole, real = integer(), number()
    for _ in range(2000):
        value = math.ldexp(rng.uniform(-1, 1), rng.randint(-1080, 1024))
        assert accepts(real, json.dumps(value)), value
        assert accepts(number(low=0.0), json.dumps(value)) == (value > 0 or json.dumps(value) == "0.0"), value
        n = rng.randrange(-(2 ** rng.randint(1, 128)), 2 ** rng.randint(1, 128))
        assert accepts(whole, str(n)) and accepts(real, str(n))
    assert accepts(real, "5e-324") and accepts(real, "1.7976931348623157e+308") and accepts(real, "-0.0")


def test_every_accepted_number_is_finite_json() -> None:
    rng = random.Random(5)
    for dfa in (number(), number(above=0), number(-1e300, 1e-300), integer(), number(step=0.5)):
        for _ in range(1500):
            assert math.isfinite(json.loads(draw(dfa, rng, 0.05)))
    # Not even the smallest text above 0 is read as 0.
    assert not accepts(number(above=0), "2e-324") and accepts(number(above=0), "5e-324")


@pytest.mark.parametrize("text", ["", "-", "01", "-0", "+1", "1.", ".5", "1.0", "1e3", "0x1", " 1", "1_0"])
def test_no_integer(text: str) -> None:
    assert not accepts(integer(), text)


@pytest.mark.parametrize(
    "text", ["", "-", "01", "+1", "1.", ".5", "1e", "1e+", "0e5", "12e5", "1.8e308", "1e309", "NaN"]
)
def test_no_number(text: str) -> None:
    assert not accepts(number(), text)


def test_edges() -> None:
    assert accepts(integer(0, 0), "0") and integer(1, 0).empty and integer(above=1, below=2).empty
    assert accepts(integer(0.5, 1.5), "1") and not accepts(integer(0.5, 1.5), "0")
    assert accepts(number(0, 0), "0.00") and not accepts(number(0, 0), "-0")
    assert accepts(integer(10**50, 10**50), "1" + "0" * 50)
    assert accepts(integer(step=1.5), "3") and not accepts(integer(step=1.5), "2")
    assert accepts(number(low=2**200), str(2**200))
    # Read as a double, 9007199254740993.0 is less than this bound.
    assert not accepts(number(low=2**53 + 1), f"{2**53 + 1}.0") and accepts(
        number(low=2**53 + 1), f"{2**53 + 2}.0"
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"low": math.inf}, "no number of JSON"),
        ({"low": Fraction("1e900")}, "exponent beyond 400"),
        ({"high": 10**500}, "exponent beyond 400"),
        ({"step": 0}, "multiples of 0 make no sense"),
        ({"step": -2}, "multiples of -2 make no sense"),
        ({"step": 2003}, "more than 2,000 remainders"),
        ({"step": 0.12345}, "more than 2,000 remainders"),
        ({"below": 10**399}, "beyond all doubles"),
    ],
)
def test_what_is_refused_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConstraintError, match=says):
        number(**given)


def test_a_multiple_in_wide_bounds_ends_in_an_error() -> None:
    with pytest.raises(ConstraintError, match="over 20,000 states"):
        number(step=1999)
