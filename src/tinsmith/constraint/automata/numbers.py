"""JSON numbers as automata over bytes: within bounds, and multiples of a number, exactly.

Bounds and steps are decimals: 0.1 is one tenth. Answers are often read as doubles, so an exclusive bound of
`number` means the next double inside: accepted numbers stay inside after rounding. (A binary check of
multiples, such as jsonschema's, rejects 0.29 as a multiple of 0.01; this one accepts it.)

Integers are written plainly (`0`, `-17`), never as `-0`, `1.0` or `1e3`. Numbers are written plainly, or as one
digit with a fraction and an exponent (`1e-07`, `6.02E+23`). `-0` and `-0.0` are accepted where negative numbers
are. Without bounds, there are at most DIGITS digits before the point and FRACTION after it (a small model might
never stop), and exponents stay within a double's range. Multiples have no exponent; whole ones have any number
of digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any

from tinsmith.constraint.automata.dfa import (
    Dfa,
    Nfa,
    Numbering,
    determinize,
    joined,
    minimize,
    nothing,
    trim,
    union,
)
from tinsmith.errors import ConstraintError

Value = int | float | Fraction
State = tuple[Any, ...]
Edges = Iterator[tuple[int, int, State]]
Step = tuple[int, int]  # p, k: p / 10^k
# By least, most and whether negative: texts without sign.
Magnitudes = Callable[[Fraction, Fraction | None, bool], Dfa]

DIGITS = 40  # an integer of 128 bits has 39
FRACTION = 20  # enough for the shortest text of any double
STEP_DIGITS = 15  # of a multiple with a point: more digits may round to another double
MOST_STEP = 2000
MOST_NUMBER = 20_000  # states
MOST_EXPONENT = 400  # of bounds and steps
SMALLEST, LARGEST = Fraction("5e-324"), Fraction("1.7976931348623157e308")


def exact(value: Value) -> Fraction:
    """The exact value of a bound. ConstraintError for infinities and values beyond all doubles."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConstraintError(f"{value} is no number of JSON; give a finite one")
        # Large ones are integers and mean their exact value, not their shortest text.
        return Fraction(value) if abs(value) >= 2.0**53 else Fraction(repr(value))
    fraction = Fraction(value)
    if fraction and not Fraction(10) ** -MOST_EXPONENT <= abs(fraction) < Fraction(10) ** MOST_EXPONENT:
        raise ConstraintError(f"a bound has an exponent beyond {MOST_EXPONENT}; give a smaller one")
    return fraction


def number(
    low: Value | None = None,
    high: Value | None = None,
    *,
    above: Value | None = None,
    below: Value | None = None,
    step: Value | None = None,
    whole: bool = False,
) -> Dfa:
    """Numbers, low <= x <= high, above < x < below, multiples of step, over bytes; whole: integers only."""
    least = _lower(low, above, 1, whole)
    most = _lower(high, below, -1, whole)
    most = None if most is None else -most
    multiple = None if step is None else _step(step)
    if not whole:
        return _number(least, most, multiple)
    # The integer multiples of p / q (reduced) are those of p.
    return _integer(least, most, None if multiple is None else multiple.numerator)


integer = partial(number, whole=True)


def _lower(inclusive: Value | None, exclusive: Value | None, sign: int, whole: bool) -> Fraction | None:
    """The lower bound of sign times the numbers, None without one."""
    bounds = []
    if inclusive is not None:
        bound = sign * exact(inclusive)
        bounds.append(Fraction(math.ceil(bound)) if whole else _reached(bound))
    if exclusive is not None:
        bound = sign * exact(exclusive)
        bounds.append(Fraction(math.floor(bound) + 1) if whole else _inside(bound))
    return max(bounds, default=None)


def _reached(bound: Fraction) -> Fraction:
    """An inclusive lower bound, or if it is no double the next double above: its text would round below."""
    if abs(bound) < 2**53 or abs(bound) > LARGEST or Fraction(float(bound)) == bound:
        return bound
    return _inside(bound)


def _inside(bound: Fraction) -> Fraction:
    """The next double above an exclusive bound: texts between the two might round to the bound."""
    try:
        near = float(bound)
    except OverflowError:
        raise ConstraintError("an exclusive bound is beyond all doubles; give a smaller one") from None
    double = near
    while double == near or double <= bound:
        double = math.nextafter(double, math.inf)
    return exact(double)


def _step(step: Value) -> Fraction:
    fraction = exact(step)
    if fraction <= 0:
        raise ConstraintError(f"multiples of {step} make no sense; give a number above 0")
    places = places_of(fraction)
    if places is None:
        raise ConstraintError(f"{step} is not a decimal number; give one")
    if fraction.numerator * (10**places // fraction.denominator) > MOST_STEP:
        raise ConstraintError(
            f"multiples of {step} need more than {MOST_STEP:,} remainders, counting digits after the point; "
            "give a smaller number or check it afterwards"
        )
    return fraction


def places_of(value: Fraction) -> int | None:
    """Digits after the point; None if they never end."""
    twos = fives = 0
    rest = value.denominator
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


@lru_cache(256)
def _integer(low: Fraction | None, high: Fraction | None, step: int | None) -> Dfa:
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
    places = places_of(step) or 0
    return _explore(_Plain(least, most, (int(step * 10**places), places), places + 2))


def _signed(low: Fraction | None, high: Fraction | None, magnitudes: Magnitudes) -> Dfa:
    if low is not None and high is not None and low > high:
        return nothing()
    nfa, zero = Nfa(), Fraction(0)
    start, minus, end = nfa.state(), nfa.state(), nfa.state()
    if high is None or high >= 0:
        nfa.add(magnitudes(max(low or zero, zero), high, False), start, end)
    if low is None or low < 0:
        nfa.edge(start, 0x2D, 0x2D, minus)
        nfa.add(magnitudes(max(-(high or zero), zero), None if low is None else -low, True), minus, end)
    return minimize(determinize(nfa, start, (end,)))


def _explore(machine: _Plain | _Scientific) -> Dfa:
    """The automaton of all states that a machine's steps reach."""
    numbers: Numbering[State] = Numbering([machine.start])
    edges = []
    for state in numbers.order:
        edges.append(joined([(low, high, numbers[target]) for low, high, target in machine.step(state)]))
        if len(numbers) > MOST_NUMBER:
            raise ConstraintError(f"bounds or multiples need over {MOST_NUMBER:,} states; use smaller ones")
    return minimize(trim(edges, [number for state, number in numbers.items() if machine.accepts(state)]))


def _text(value: Fraction) -> tuple[str, str]:
    """Digits before and after the point."""
    places = places_of(value)
    if places is None:
        raise ConstraintError(f"{value} is not a decimal number; give one")
    digits = str(value.numerator * 10**places // value.denominator).rjust(places + 1, "0")
    return digits[: len(digits) - places], digits[len(digits) - places :]


def _order(before: int, digit: int, bound: str, at: int) -> int:
    """Compares digits with a bound's (-1, 0, 1) after one more digit; the bound ends in zeros."""
    if before:
        return before
    other = ord(bound[at]) - 48 if at < len(bound) else 0
    return (digit > other) - (digit < other)


class _Plain:
    """Decimals without sign and exponent. Its states are (part, digits of it, order to least, order to most,
    remainder)."""

    start: State = ("start", 0, 0, 0, 0)

    def __init__(self, least: Fraction, most: Fraction | None, step: Step | None, fraction: int) -> None:
        """fraction: most digits after the point."""
        self.low, self.low_fraction = _text(least)
        self.high, self.high_fraction = ("", "") if most is None else _text(most)
        self.bounded = most is not None
        self.digits = max(DIGITS, len(self.low))
        if step is not None:
            # Counting digits would multiply the remainders; without a point nothing is rounded.
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
        """The orders after the last digit before the point."""
        return -1 if count < len(self.low) else low, -1 if count < len(self.high) else high

    def _behind(self, count: int, low: int, high: int, rest: int) -> Edges:
        """A digit after the point; beyond the step's places, only zeros keep a multiple."""
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
    """One digit from 1 to 9, an optional fraction, and an exponent."""
    least, most = max(least, SMALLEST), LARGEST if most is None else min(most, LARGEST)
    return _explore(_Scientific(least, most)) if least <= most else nothing()


class _Scientific:
    """Its states are (part, digits, order to least, order to most) or ("exponent", automaton, state)."""

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
    """The digits of a positive number, and the exponent of the first."""
    whole, fraction = _text(value)
    digits = whole + fraction
    lead = len(digits) - len(digits.lstrip("0"))
    return digits.strip("0"), len(whole) - 1 - lead


@lru_cache(256)
def _exponents(first: int, last: int) -> Dfa:
    """The texts of exponents: an optional sign, and an optional leading zero before one digit."""
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
