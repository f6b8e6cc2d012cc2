"""Splits made of one file."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import pytest

from tinsmith.data import near
from tinsmith.data.near import DisjointSets, jaccard, near_groups, words
from tinsmith.data.readers import Example
from tinsmith.data.splits import Division, divide

SHARES = {"test": 0.2, "validation": 0.1}
LABELS = ["often"] * 7 + ["sometimes"] * 2 + ["rarely"]


def sample(count: int, seed: int = 0) -> list[Example]:
    """Examples whose inputs have nothing in common."""
    chance = random.Random(seed)
    return [
        Example(" ".join(f"w{chance.randrange(10**9)}" for _ in range(8)), LABELS[n % 10]) for n in range(count)
    ]


def divided(examples: list[Example], kept: dict[str, str] | None = None, seed: int = 0) -> Division:
    return divide(examples, [one.output for one in examples], SHARES, 0.8, seed, kept or {})


def test_each_label_is_divided_by_the_shares() -> None:
    examples = sample(1000)
    counts = Counter(zip((one.output for one in examples), divided(examples).splits, strict=True))
    for label, count in Counter(one.output for one in examples).items():
        for split, share in (*SHARES.items(), ("train", 0.7)):
            assert abs(counts[label, split] - share * count) <= 1


def test_rare_labels_are_learned_and_small_files_leave_one_for_each() -> None:
    examples = [*sample(40), Example("alone in the world", "once")]
    splits = divided(examples).splits
    assert splits[-1] == "train"
    assert Counter(splits) == {"train": 29, "test": 8, "validation": 4}
    assert set(divided(sample(6)).splits) == {"train", "test", "validation"}


def test_many_labels_of_few_examples_do_not_round_a_split_away() -> None:
    examples = [Example(one.input, f"label {n % 100}") for n, one in enumerate(sample(300))]
    counts = Counter(divided(examples).splits)
    assert abs(counts["test"] - 60) <= 1 and abs(counts["validation"] - 30) <= 1


def test_what_is_nearly_the_same_is_not_parted() -> None:
    examples = sample(200)
    near = [Example(f"{one.input.upper()}!", one.output) for one in examples]  # equal, once normalized
    more = [Example(f"{one.input} {one.input.split()[0]}x", one.output) for one in examples]  # 8 of 9 words
    splits = divided(examples + near + more).splits
    assert splits[:200] == splits[200:400] == splits[400:]
    assert len(set(splits)) == 3
    assert divided(examples + near + more).near == 600 and divided(examples).near == 0


def test_a_group_is_not_parted() -> None:
    examples = [Example(one.input, one.output, group=f"{n % 30}") for n, one in enumerate(sample(300))]
    splits = divided(examples).splits
    assert all(splits[n] == splits[n % 30] for n in range(300))
    assert len(set(splits)) == 3


def test_rows_stay_where_they_were_when_others_come() -> None:
    old = sample(300)
    first = divided(old)
    kept = dict(zip(first.keys, first.splits, strict=True))
    everything = [*sample(100, seed=1), *(Example(one.input, "mended") for one in old), *sample(100, seed=2)]
    second = divide(everything, [one.output for one in everything], SHARES, 0.8, 0, kept)
    assert second.splits[100:400] == first.splits
    assert second.kept == 300
    counts = Counter(second.splits)
    assert abs(counts["test"] - 100) <= 3 and abs(counts["validation"] - 50) <= 3
    bridge = [*old, Example(f"{old[7].input} and", "often")]
    assert divided(bridge, kept).splits[-1] == first.splits[7]


def test_the_order_of_rows_does_not_count_and_the_seed_does() -> None:
    examples = sample(300)
    by_input = dict(zip((one.input for one in examples), divided(examples).splits, strict=True))
    again = dict(zip((one.input for one in examples[::-1]), divided(examples[::-1]).splits, strict=True))
    assert by_input == again
    assert divided(examples, seed=1).splits != divided(examples).splits


@pytest.mark.parametrize("least", [0.5, 0.7, 0.8, 0.95])
def test_near_texts_are_all_found(least: float) -> None:
    chance = random.Random(0)
    drawn = (chance.choices("abcdefghijklmnopqrst", k=chance.randrange(1, 13)) for _ in range(300))
    texts = sorted({" ".join(letters) for letters in drawn})
    found, wanted = near_groups(texts, least), DisjointSets(len(texts))
    for a, b in combinations(range(len(texts)), 2):
        if jaccard(words(texts[a]), words(texts[b])) >= least:
            wanted.union(a, b)
    groups = [[sets.find(n) for n in range(len(texts))] for sets in (found, wanted)]
    assert groups[0] == groups[1]
    assert 1 < len(set(groups[0])) < len(texts)


def test_words_that_all_texts_share_make_no_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    monkeypatch.setattr(near, "jaccard", lambda a, b: compared.append(1) or 0.0)
    texts = [f"turn on light number {n} in room {n}x of the house" for n in range(300)]
    near_groups(texts, 0.8)
    assert not compared


def test_scripts_without_spaces_have_words_too() -> None:
    assert words("明かりabc 12 ไฟ") == {"明", "か", "り", "abc", "12", "ไ", "ฟ"}
