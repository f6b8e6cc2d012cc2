"""JSON numbers as automata over bytes: within bounds, and multiples of a number, exactly.

Bounds and steps are taken as decimals: 0.1 is one tenth. An answer is often read as a double, though, so an
exclusive bound of `number` stands for the next double inside; what is accepted is inside after rounding too. (A
check of multiples in binary, such as jsonschema's, finds 0.29 to be no multiple of 0.01; here it is one.)

Written forms: an integer is written plainly (`0`, `-17`), never `-0`, `1.0` or `1e3`. A number is written
plainly, or as one digit with a fraction and an exponent (`1e-07`, `6.02E+23`). `-0` and `-0.0` are accepted
where negative numbers are. Where no bound says otherwise, there are at most DIGITS digits before the point and
FRACTION behind it (a small model that runs on would never stop), and no exponent makes more or less of a number
than a double holds. Multiples have no exponent; whole ones have any number of digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

from tinsmith.constraint.automata.dfa import Dfa, Edge, Nfa, determinize, minimize, nothing, trim, union
from tinsmith.errors import ConstraintError

Value = int | float | Decimal | Fraction
State = tuple[Any, ...]
Edges = Iterator[tuple[int, int, State]]
Step = tuple[int, int]  # p, k: p / 10^k
Magnitudes = Callable[
    [Fraction, Fraction | None, bool], Dfa
]  # least, most, whether negative: texts without sign

DIGITS = 40  # a whole number of 128 bits has 39
FRACTION = 20  # the shortest text of a double needs as many
STEP_DIGITS = 15  # of a multiple with a point: beyond, a double may round it to what is no multiple
MOST_STEP = 2000
MOST_NUMBER = 20_000  # states
MOST_EXPONENT = 400  # of bounds and steps
SMALLEST, LARGEST = Fraction("5e-324"), Fraction("1.7976931348623157e308")


def exact(value: Value) -> Fraction:
    """The number that a bound means. ConstraintError for infinities and what is beyond all doubles."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConstraintError(f"{value} is no number of JSON; give a finite one")
        # A large one is whole, and compared with whole numbers as what it is, not as what its text says.
        return Fraction(value) if abs(value) >= 2.0**53 else Fraction(repr(value))
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ConstraintError(f"{value} is no number of JSON; give a finite one")
        if value and abs(value.adjusted()) > MOST_EXPONENT:
            raise ConstraintError(f"{value} has an exponent beyond {MOST_EXPONENT}; give a smaller one")
    fraction = Fraction(value)
    if fraction and not Fraction(10) ** -MOST_EXPONENT <= abs(fraction) < Fraction(10) ** MOST_EXPONENT:
        raise ConstraintError(f"a bound has an exponent beyond {MOST_EXPONENT}; give a smaller one")
    return fraction


def integer(
    low: Value | None = None,
    high: Value | None = None,
    *,
    above: Value | None = None,
    below: Value | None = None,
    step: Value | None = None,
) -> Dfa:
    """Whole numbers, low <= n <= high, above < n < below, multiples of step; bytes."""
    lows = [] if low is None else [math.ceil(exact(low))]
    lows += [] if above is None else [math.floor(exact(above)) + 1]
    highs = [] if high is None else [math.floor(exact(high))]
    highs += [] if below is None else [math.ceil(exact(below)) - 1]
    modulus = None
    if step is not None:
        # Multiples of p / q (reduced) that are whole are those of p.
        modulus = _step(step).numerator
    return _integer(max(lows, default=None), min(highs, default=None), modulus)


def number(
    low: Value | None = None,
    high: Value | None = None,
    *,
    above: Value | None = None,
    below: Value | None = None,
    step: Value | None = None,
) -> Dfa:
    """Numbers, low <= x <= high, above < x < below, multiples of step; bytes."""
    lows = [] if low is None else [_reached(exact(low), math.inf)]
    lows += [] if above is None else [_inside(exact(above), math.inf)]
    highs = [] if high is None else [_reached(exact(high), -math.inf)]
    highs += [] if below is None else [_inside(exact(below), -math.inf)]
    return _number(max(lows, default=None), min(highs, default=None), None if step is None else _step(step))


def _reached(bound: Fraction, towards: float) -> Fraction:
    """An inclusive bound; where no double hits it, the next one inside: its text would be read as outside."""
    if abs(bound) < 2**53 or abs(bound) > LARGEST or Fraction(float(bound)) == bound:
        return bound
    return _inside(bound, towards)


def _inside(bound: Fraction, towards: float) -> Fraction:
    """The next double after an exclusive bound: what is written between the two might be read as the bound."""
    try:
        near = float(bound)
    except OverflowError:
        raise ConstraintError("an exclusive bound is beyond all doubles; give a smaller one") from None
    double = near
    while double == near or (double > bound) != (towards > 0):
        double = math.nextafter(double, towards)
    return exact(double)


def _step(step: Value) -> Fraction:
    fraction = exact(step)
    if fraction <= 0:
        raise ConstraintError(f"multiples of {step} make no sense; give a number above 0")
    places = _places(fraction)
    if places is None:
        raise ConstraintError(f"{step} is not a decimal number; give one")
    if fraction.numerator * (10**places // fraction.denominator) > MOST_STEP:
        raise ConstraintError(
            f"multiples of {step} need more than {MOST_STEP:,} remainders, digits behind the point counted; "
            "give a smaller number or check it afterwards"
        )
    return fraction


def _places(value: Fraction) -> int | None:
    """Digits behind the point; None when they never end."""
    twos = fives = 0
    rest = value.denominator
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


@lru_cache(256)
def _integer(low: int | None, high: int | None, step: int | None) -> Dfa:
    modulus = None if step is None else (step, 0)

    def magnitudes(least: Fraction, most: Fraction | None, negative: bool) -> Dfa:
        return _explore(_Plain(max(least, Fraction(int(negative))), most, modulus, 0))

    return _signed(low, high, magnitudes)


@lru_cache(256)
def _number(low: Fraction | None, high: Fraction | None, step: Fraction | None) -> Dfa:
    return _signed(low, high, lambda least, most, _: _magnitudes(least, most, step))


@lru_cache(256)
def _magnitudes(least: Fraction, most: Fraction | None, step: Fraction | None) -> Dfa:
    if step is None:
        return union(_explore(_Plain(least, most, None, FRACTION)), _scientific(least, most))
    places = _places(step) or 0
    return _explore(_Plain(least, most, (int(step * 10**places), places), places + 2))


def _signed(low: Fraction | int | None, high: Fraction | int | None, magnitudes: Magnitudes) -> Dfa:
    if low is not None and high is not None and low > high:
        return nothing()
    positive = negative = nothing()
    if high is None or high >= 0:
        positive = magnitudes(Fraction(max(low or 0, 0)), None if high is None else Fraction(high), False)
    if low is None or low < 0:
        least = Fraction(max(-high, 0)) if high is not None else Fraction(0)
        negative = magnitudes(least, None if low is None else Fraction(-low), True)
    parts = [(positive, 1)] if negative is positive else [(positive, 1), (negative, 1 + len(positive.edges))]
    edges: list[list[Edge]] = [[(a, b, to + 1) for a, b, to in positive.edges[0]]]
    if not negative.empty:
        edges[0].insert(0, (0x2D, 0x2D, parts[-1][1]))
    for dfa, shift in parts:
        edges += [[(a, b, to + shift) for a, b, to in out] for out in dfa.edges]
    accepts = {state + shift for dfa, shift in parts for state in dfa.accepts}
    return minimize(trim(edges, accepts))


class _Machine(Protocol):
    """What _explore follows: states are any values that can be compared."""

    start: State

    def step(self, state: State) -> Edges:
        """low, high, next; ranges of bytes, ascending and disjoint."""

    def accepts(self, state: State) -> bool: ...


def _explore(machine: _Machine) -> Dfa:
    numbers = {machine.start: 0}
    order = [machine.start]
    edges = []
    for state in order:
        out: list[Edge] = []
        for low, high, target in machine.step(state):
            number = numbers.get(target)
            if number is None:
                number = numbers[target] = len(order)
                order.append(target)
                if number >= MOST_NUMBER:
                    raise ConstraintError(
                        f"bounds or multiples need more than {MOST_NUMBER:,} states; use smaller ones"
                    )
            if out and out[-1][2] == number and out[-1][1] == low - 1:
                out[-1] = (out[-1][0], high, number)
            else:
                out.append((low, high, number))
        edges.append(out)
    return minimize(trim(edges, [number for state, number in numbers.items() if machine.accepts(state)]))


def _text(value: Fraction) -> tuple[str, str]:
    """Digits before and behind the point."""
    places = _places(value)
    if places is None:
        raise ConstraintError(f"{value} is not a decimal number; give one")
    digits = str(value.numerator * 10**places // value.denominator).rjust(places + 1, "0")
    return digits[: len(digits) - places], digits[len(digits) - places :]


def _order(before: int, digit: int, bound: str, at: int) -> int:
    """How digits compare with those of a bound (-1, 0, 1) after one more; a bound ends in zeros."""
    if before:
        return before
    other = ord(bound[at]) - 48 if at < len(bound) else 0
    return (digit > other) - (digit < other)


class _Plain:
    """Decimals without sign and exponent.

    States: (part, digits of it, order to least, order to most, remainder).
    """

    start: State = ("start", 0, 0, 0, 0)

    def __init__(self, least: Fraction, most: Fraction | None, step: Step | None, fraction: int) -> None:
        """fraction: most digits behind the point."""
        self.low, self.low_fraction = _text(least)
        self.high, self.high_fraction = ("", "") if most is None else _text(most)
        self.bounded = most is not None
        self.digits = max(DIGITS, len(self.low))
        if step is not None:
            # Every digit would cost its remainders; where there is no point, nothing is rounded.
            self.digits = max(STEP_DIGITS, len(self.low)) if fraction else 0
        if self.bounded:
            self.digits = min(self.digits or len(self.high), len(self.high))
        self.modulus, self.places = step or (1, fraction)
        self.fraction = fraction

    def step(self, state: State) -> Edges:
        part, count, low, high, rest = state
        if part in ("whole", "zero") and self.fraction:
            low, high = self._settled(count, low, high)
            if low >= 0 and high <= 0:
                yield 0x2E, 0x2E, ("point", 0, low, high, rest)
        elif part in ("point", "fraction") and count < self.fraction:
            yield from self._behind(count, low, high, rest)
        if part in ("start", "whole") and (count < self.digits or not self.digits):
            yield from self._before(*state)

    def _before(self, part: str, count: int, low: int, high: int, rest: int) -> Edges:
        """A digit before the point."""
        for digit in range(10):
            least = _order(low, digit, self.low, count) if count < len(self.low) else 1
            most = _order(high, digit, self.high, count) if self.bounded else -1
            if most <= 0 or count + 1 < len(self.high):
                after = "zero" if part == "start" and digit == 0 else "whole"
                counted = count + 1 if self.digits else min(count + 1, len(self.low) + 1)
                yield 48 + digit, 48 + digit, (after, counted, least, most, (rest * 10 + digit) % self.modulus)

    def _settled(self, count: int, low: int, high: int) -> tuple[int, int]:
        """The orders when the digits before the point are over."""
        return -1 if count < len(self.low) else low, -1 if count < len(self.high) else high

    def _behind(self, count: int, low: int, high: int, rest: int) -> Edges:
        """A digit behind the point; behind the places of the step, only zeros leave a multiple."""
        for digit in range(10 if count < self.places else 1):
            least = _order(low, digit, self.low_fraction, count)
            most = _order(high, digit, self.high_fraction, count) if self.bounded else -1
            if least >= 0 and most <= 0:
                after = (rest * 10 + digit) % self.modulus if count < self.places else rest
                yield 48 + digit, 48 + digit, ("fraction", count + 1, least, most, after)

    def accepts(self, state: State) -> bool:
        part, count, low, high, rest = state
        if part in ("start", "point"):
            return False
        behind = count if part == "fraction" else 0
        if part != "fraction":
            low, high = self._settled(count, low, high)
        if low == 0 and self.low_fraction[behind:].strip("0"):
            low = -1
        left = max(0, self.places - behind) if self.modulus > 1 else 0
        return low >= 0 and high <= 0 and bool(rest * 10**left % self.modulus == 0)


def _scientific(least: Fraction, most: Fraction | None) -> Dfa:
    """One digit from 1 to 9, a fraction if any, and an exponent."""
    least, most = max(least, SMALLEST), LARGEST if most is None else min(most, LARGEST)
    return _explore(_Scientific(least, most)) if least <= most else nothing()


class _Scientific:
    """States: (part, digits, order to least, order to most), or ("exponent", its automaton, state)."""

    start: State = ("start", 0, 0, 0)

    def __init__(self, least: Fraction, most: Fraction) -> None:
        self.low, self.low_exponent = _normal(least)
        self.high, self.high_exponent = _normal(most)

    def step(self, state: State) -> Edges:
        if state[0] == "exponent":
            for first, last, target in state[1].edges[state[2]]:
                yield first, last, ("exponent", state[1], target)
            return
        part, count, low, high = state
        if part == "lead":
            yield 0x2E, 0x2E, ("point", count, low, high)
        if part in ("start", "point", "fraction") and count <= FRACTION:
            after = "lead" if part == "start" else "fraction"
            for digit in range(part == "start", 10):
                orders = _order(low, digit, self.low, count), _order(high, digit, self.high, count)
                yield 48 + digit, 48 + digit, (after, count + 1, *orders)
        if part in ("lead", "fraction"):
            below = low < 0 or (low == 0 and count < len(self.low))
            exponents = _exponents(self.low_exponent + below, self.high_exponent - (high > 0))
            for letter in b"Ee":
                yield letter, letter, ("exponent", exponents, 0)

    def accepts(self, state: State) -> bool:
        if state[0] != "exponent":
            return False
        dfa: Dfa = state[1]
        return state[2] in dfa.accepts


def _normal(value: Fraction) -> tuple[str, int]:
    """The digits of a number above 0, and the exponent of the first."""
    whole, fraction = _text(value)
    digits = whole + fraction
    lead = len(digits) - len(digits.lstrip("0"))
    return digits.strip("0"), len(whole) - 1 - lead


@lru_cache(256)
def _exponents(first: int, last: int) -> Dfa:
    """Their texts: a sign if any, two digits or more if one likes."""
    nfa = Nfa()
    start, end = nfa.state(), nfa.state()
    for signs, least, most in ((b"-", max(1, -last), -first), (b"+", max(0, first), last)):
        if least > most:
            continue
        digits = nfa.state()
        for sign in signs:
            nfa.edge(start, sign, sign, digits)
        if signs == b"+":
            nfa.skip(start, digits)
        nfa.add(_explore(_Plain(Fraction(least), Fraction(most), None, 0)), digits, end)
        if least < 10:
            zero = nfa.state()
            nfa.edge(digits, 48, 48, zero)
            nfa.edge(zero, 48 + least, 48 + min(most, 9), end)
    return minimize(determinize(nfa, start, (end,)))
