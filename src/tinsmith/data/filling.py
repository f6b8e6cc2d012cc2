"""Writes new values into the input and the output of an example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle

from tinsmith.data.leaves import replaced
from tinsmith.data.readers import Example
from tinsmith.data.slots import GAP, Slot, Value, pattern, title, words

FEW = 3  # up to so many values, all are filled in or none


@dataclass(frozen=True)
class Fill:
    value: Value
    source: str


def neighbours(text: str, slot: Slot) -> tuple[str, str]:
    """The words before and after a slot; empty at the input's ends."""
    start, end = slot.spans[0]
    before, after = words(text[:start]), words(text[end:])
    return (before[-1] if before else "", after[0] if after else "")


def cased(like: str, word: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def filled(example: Example, fills: dict[Slot, Fill]) -> Example | None:
    """The example with new values. None if no value can be written, if one would be ambiguous in the input, or
    after turns, which may contain it too."""
    if any(turn.role != "system" for turn in example.turns):
        return None
    texts = {slot: _in_style(example.input, slot, fill.value) for slot, fill in fills.items()}
    chosen = {slot: text for slot, text in texts.items() if text is not None}
    new = written(example.input, chosen)
    while ambiguous := [slot for slot, text in chosen.items() if _count(new, text) != len(slot.spans)]:
        if len(chosen) <= FEW:
            return None
        for slot in ambiguous:
            del chosen[slot]
        new = written(example.input, chosen)
    if not chosen:
        return None
    values = {leaf: fills[slot].value for slot in chosen for leaf in slot.leaves}
    output = replaced(example.output, values)
    substituted = [
        {
            "argument": title(leaf.path),
            "was": leaf.value,
            "now": fills[slot].value,
            "source": fills[slot].source,
        }
        for slot in chosen
        for leaf in slot.leaves
    ]
    return Example(new, output, about={"substituted": substituted}, turns=example.turns)


def written(text: str, chosen: dict[Slot, str]) -> str:
    spans = sorted(((span, words) for slot, words in chosen.items() for span in slot.spans), reverse=True)
    for (start, end), inserted in spans:
        text = text[:start] + inserted + text[end:]
    return text


def _count(text: str, value: str) -> int:
    return sum(1 for _ in pattern(value).finditer(text))


def _in_style(text: str, slot: Slot, value: Value) -> str | None:
    """The new value in the style of the old one: its case, gaps, sign and decimals.

    None if the input has it in several styles, or after an article that does not fit the new one.
    """
    styles = {text[start:end] for start, end in slot.spans}
    if len(styles) > 1:
        return None
    old = styles.pop()
    gaps = GAP.findall(old) if isinstance(slot.value, str) else []
    old = GAP.sub(" ", old)
    if not isinstance(value, str):
        number = abs(value) if slot.negated else value
        digits = max(decimals(number), len(old.partition(".")[2]))
        return str(number) if isinstance(number, int) else f"{number:.{digits}f}"
    for case in (str, str.lower, str.upper, _capitalized, str.title):
        if GAP.sub(" ", case(str(slot.value))) == old:
            new = _gapped(case(value), gaps)
            fits = neighbours(text, slot)[0] not in ("a", "an") or _has_vowel(old) == _has_vowel(new)
            return new if fits else None
    return None


def _gapped(text: str, gaps: Sequence[str]) -> str:
    """The text with these gaps between its words, in turn."""
    spaces = cycle(gaps or " ")
    return GAP.sub(lambda gap: next(spaces), text)


def decimals(number: int | float) -> int:
    """The number of decimals."""
    exponent = Decimal(repr(number)).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _has_vowel(text: str) -> bool:
    return text[:1].casefold() in "aeiou"
