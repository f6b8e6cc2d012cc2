"""Rows given in the place of tokens' embeddings: where they are the tokens' own, the bits are those of the
tokens; and whatever a session with images forgets, hands on or leaves half done, what follows has the bits of
one that computed the same in one go."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from tests.models.tiny_models import in_format, tiny_spec
from tests.models.transformers_models import some_tokens
from tinsmith import _core
from tinsmith.compiler import build, build_image
from tinsmith.constraint import makers
from tinsmith.errors import RuntimeFault
from tinsmith.formats.weights import to_float32
from tinsmith.graph import GraphBuilder
from tinsmith.models import Spec

CONTEXT = 160
PENDING, LOGITS, IDLE = _core.STEP_PENDING, _core.STEP_LOGITS, _core.STEP_IDLE
TOKEN, DONE = _core.STEP_TOKEN, _core.STEP_DONE
ROOM: dict[str, Any] = {"context": CONTEXT, "tiles": 8, "image_rows": 120}


@dataclass(frozen=True)
class Image:
    """count rows of floats that follow from the seed."""

    seed: int
    count: int
    columns: int = 1

    def rows(self, dim: int) -> bytes:
        draw = random.Random(self.seed)
        return struct.pack(f"<{self.count * dim}f", *(draw.gauss(0, 0.5) for _ in range(self.count * dim)))

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(repr(self).encode()).digest()


Item = int | Image


def laid(items: Sequence[Item], dim: int) -> tuple[list[int], list[Any]]:
    """As a session takes them."""
    ids: list[int] = []
    images = []
    for item in items:
        if isinstance(item, int):
            ids.append(item)
        else:
            images.append((len(ids), item.count, item.columns, item.digest, item.rows(dim)))
            ids += [_core.EMBEDDED] * item.count
    return ids, images


@cache
def spec_of(case: str) -> Spec:
    return in_format(tiny_spec(case), "F16")


@cache
def core_of(case: str) -> _core.Model:
    with pytest.MonkeyPatch.context() as patch:  # as the family is where there are images
        patch.setattr(build, "GraphBuilder", lambda tensors, images: GraphBuilder(tensors, case == "qwen3vl"))
        return _core.Model(build_image(spec_of(case)))


def dim_of(case: str) -> int:
    dim: int = core_of(case).info()["dim"]
    return dim


def own_rows(case: str, tokens: Sequence[int]) -> bytes:
    """The tokens' embeddings as the model sees them: gemma scales them."""
    table = to_float32(spec_of(case).tensors["embed"])
    scale = table.inputs**0.5 if case == "gemma2" else 1.0
    factor = struct.unpack("<f", struct.pack("<f", scale))[0]
    values = [
        value * factor
        for token in tokens
        for value in struct.unpack_from(f"<{table.inputs}f", table.data, 4 * table.inputs * token)
    ]
    return struct.pack(f"<{len(values)}f", *values)


def all_logits(session: _core.Session, budget: int = 0) -> bytes:
    data = b""
    while (event := session.step(budget)) in (LOGITS, PENDING):
        if event == LOGITS:
            data += session.logits()[1]
    assert event == IDLE
    return data


@pytest.mark.parametrize("case", ["llama", "gemma2", "qwen35", "lfm2"])
def test_rows_that_are_the_tokens_own_give_the_bits_of_the_tokens(case: str) -> None:
    core = core_of(case)
    tokens = some_tokens(core.info()["vocab"], 90)
    plain = _core.Session(core, context=CONTEXT, chunk=64, logit_rows=64)
    plain.append(tokens)
    plain.want_logits(0)
    expected = all_logits(plain)
    ids, images = list(tokens), []
    for first, count in ((3, 1), (7, 30), (37, 2), (60, 21)):
        ids[first : first + count] = [_core.EMBEDDED] * count
        rows = own_rows(case, tokens[first : first + count])
        images.append((first, count, count, bytes([first]) * 32, rows))
    for options in ({"chunk": 64, "logit_rows": 64}, {"chunk": 7, "logit_rows": 7, "threads": 2}, {"chunk": 1}):
        session = _core.Session(core, **ROOM, **options)
        session.want_logits(0)
        session.append(ids, images)
        assert all_logits(session, options["chunk"] % 2) == expected
    batch = _core.Batch(core, rows=16, threads=2)
    several = [_core.Session(core, **ROOM, batched=True) for _ in range(3)]
    for session, made in zip(several, ((ids, images), (tokens, ()), (ids, images)), strict=True):
        session.append(*made)
        batch.add(session)
    ends = {}
    while len(ends) < 3:
        ends |= {k: several[k].logits()[1] for k, event in enumerate(batch.step()) if event == LOGITS}
    assert set(ends.values()) == {expected[-len(ends[0]) :]}


@cache
def fresh(case: str, items: tuple[Item, ...]) -> bytes:
    """The last one's logits, by a session that knows nothing else."""
    session = _core.Session(core_of(case), **ROOM, chunk=64)
    session.append(*laid(items, dim_of(case)))
    assert session.step() == LOGITS
    data: bytes = session.logits()[1]
    return data


class Walk:
    """A session, and what it should hold."""

    def __init__(self, case: str, seed: int, **options: Any) -> None:
        self.case = case
        self.draw = random.Random(seed)
        self.options = {**ROOM, "chunk": 24, "checkpoints": 2, **options}
        self.session = _core.Session(core_of(case), **self.options)
        self.items: list[Item] = []

    def size(self) -> int:
        return sum(1 if isinstance(item, int) else item.count for item in self.items)

    def place(self, item: int) -> int:
        """The position of that item."""
        return sum(1 if isinstance(one, int) else one.count for one in self.items[:item])

    def more(self, room: int) -> list[Item]:
        items: list[Item] = []
        for _ in range(self.draw.randrange(1, 5)):
            if self.draw.random() < 0.4:
                columns = self.draw.choice((1, 2, 3, 4))
                items.append(Image(self.draw.randrange(3), columns * self.draw.choice((1, 2, 5)), columns))
            else:
                items += [self.draw.randrange(200) for _ in range(self.draw.randrange(1, 6))]
        while sum(1 if isinstance(item, int) else item.count for item in items) > room:
            items.pop()
        return items

    def append(self) -> None:
        items = self.more(CONTEXT - 2 - self.size())
        if sum(isinstance(item, Image) for item in self.items + items) <= 8:
            self.session.append(*laid(items, dim_of(self.case)))
            self.items += items

    def cut(self) -> int:
        return self.draw.randrange(len(self.items) + 1)

    def rewind(self) -> None:
        keep = self.cut()
        at = self.place(keep)
        if keep < len(self.items) and isinstance(item := self.items[keep], Image):
            at += self.draw.randrange(item.count)  # inside it: it goes whole
        self.session.rewind(at)
        del self.items[keep:]

    def replace(self) -> None:
        items = self.items[: self.cut()]
        size = sum(1 if isinstance(item, int) else item.count for item in items)
        items = items + self.more(CONTEXT - 2 - size)
        if items and sum(isinstance(item, Image) for item in items) <= 8:
            ids, images = laid(items, dim_of(self.case))
            same = self.session.shared(ids, images)
            known = [image if image[0] >= same else (*image[:4], None) for image in images]
            self.session.replace(ids, known)
            self.items = items

    def shift(self) -> None:
        first, last = sorted((self.cut(), self.cut()))
        self.session.shift(self.place(first), self.place(last) - self.place(first))
        del self.items[first:last]

    def cancel(self) -> None:
        self.session.step(1)
        self.session.rewind(self.size())

    def fork(self) -> None:
        other = _core.Session(core_of(self.case), **self.options)
        keep = self.cut()
        other.copy_from(self.session, self.place(keep))
        self.session = other
        del self.items[keep:]

    def save(self) -> None:
        data = self.session.save()
        other = _core.Session(core_of(self.case), **self.options)
        other.restore(data)
        assert other.save() == data
        assert other.tiles() == self.session.tiles()
        self.session = other

    def batch(self) -> None:
        batch = _core.Batch(core_of(self.case), rows=24)
        batch.add(self.session)
        batch.step()

    def check(self) -> None:
        ids, images = laid(self.items, dim_of(self.case))
        assert self.session.tokens()[1] == ids
        assert self.session.tiles() == [image[:4] for image in images]
        if not self.items:
            return
        self.session.replace(ids, [(*image[:4], None) for image in images])
        while (event := self.session.step(1)) != LOGITS:
            assert event == PENDING
        assert self.session.logits()[1] == fresh(self.case, tuple(self.items))


@pytest.mark.parametrize("case", ["llama", "qwen35", "qwen3vl"])
def test_whatever_a_session_with_images_went_through(case: str) -> None:
    for seed in range(6):
        walk = Walk(case, seed)
        for _ in range(25):
            getattr(walk, walk.draw.choice(STEPS))()
            if walk.draw.random() < 0.4:
                walk.check()
        walk.check()


STEPS = ("append", "append", "rewind", "replace", "shift", "cancel", "fork", "save", "batch")


def test_another_image_of_the_same_shape_is_computed_anew() -> None:
    core, dim = core_of("llama"), dim_of("llama")
    session = _core.Session(core, **ROOM)
    answers = {}
    for seed in (1, 2, 1):
        items = (5, 6, Image(seed, 6, 3), 7, 8)
        session.replace(*laid(items, dim))
        assert session.computed() == (2 if answers else 0)
        session.step()
        assert answers.setdefault(seed, session.logits()[1]) == session.logits()[1] == fresh("llama", items)
    assert answers[1] != answers[2]
    ids, images = laid((5, 6, Image(1, 6, 2), 7, 8), dim)  # the same rows, laid otherwise
    assert session.shared(ids, images) == 2
    assert session.shared(*laid((5, 6, Image(1, 6, 3), 7, 9), dim)) == 9


def test_drafts_stay_out_of_images() -> None:
    """Nothing is looked up in them, and the tokens are those of plain decoding."""
    core, dim = core_of("llama"), dim_of("llama")
    prompt = [*([9, 8, 7, Image(4, 7)] * 3), 9, 8, 7]
    ends = [token for token in range(core.info()["vocab"]) if core.token(token)[2]]
    answers, passes = [], []
    for lookup in (0, 6):
        session = _core.Session(core, **ROOM, logit_rows=8)
        session.append(*laid(prompt, dim))
        session.generate(40, lookup, biases=dict.fromkeys(ends, float("-inf")))
        tokens = []
        while (event := session.step()) != DONE:
            assert event == TOKEN
            tokens.append(session.token())
        answers.append(tokens)
        passes.append(session.passes())
    assert answers[0] == answers[1]
    assert len(answers[0]) == 40
    assert passes[1] < passes[0] == 40


def test_a_constraint_holds_behind_an_image() -> None:
    core, dim = core_of("llama"), dim_of("llama")
    session = _core.Session(core, **ROOM, logit_rows=4)
    session.append(*laid([1, Image(1, 9, 3)], dim))
    session.constrain(_core.Constraint(core, makers.regex("the (yes|no)").data))
    session.heal()  # no image is taken back
    session.generate(20, 3)
    tokens = []
    while (event := session.step()) != DONE:
        if event == TOKEN:
            tokens.append(session.token())
    assert b"".join(core.token(token)[0] for token in tokens) in (b"the yes", b"the no")


def test_invalid_tiles_are_rejected() -> None:
    core, dim = core_of("llama"), dim_of("llama")
    session = _core.Session(core, context=40, tiles=1, image_rows=6)
    ids, images = laid([1, 2, Image(1, 4, 2), 3], dim)
    rows = images[0][4]
    digest = bytes(32)
    for wrong, given, message in (
        (ids, (), "not in the vocabulary|TIN_EMBEDDED"),
        ([1, 2, 3, 4, 5, 6, 7], images, "TIN_EMBEDDED"),
        (ids, [(2, 4, 3, digest, rows)], "in whole rows"),
        (ids, [(2, 4, 0, digest, rows)], "in whole rows"),
        (ids, [(5, 4, 2, digest, rows)], "follow one another"),
        (ids, [(2, 4, 2, digest, None)], "has no rows"),
        ([*ids, *ids], [*images, (9, 4, 2, digest, rows)], "room for 1 of 6"),
        ([-1] * 8, [(0, 8, 2, digest, rows + rows)], "room for 1 of 6"),
    ):
        for take in (session.append, session.replace):
            with pytest.raises(RuntimeFault, match=message):
                take(wrong, given)
            assert session.tokens() == (0, [])
    with pytest.raises(ValueError, match="rows of"):
        session.append(ids, [(2, 4, 2, digest, rows[:-4])])
    session.append(ids, images)
    for keep, drop in ((1, 3), (4, 3)):
        with pytest.raises(RuntimeFault, match="a part of an image"):
            session.shift(keep, drop)
    other = _core.Session(core, context=40)
    with pytest.raises(RuntimeFault, match="room for 0 of 0"):
        other.copy_from(session)
    with pytest.raises(RuntimeFault, match="room for 0 of 0"):
        other.restore(session.save())
    assert other.tokens() == (0, [])
    with pytest.raises(RuntimeFault, match="no one table"):
        _core.Session(core_of("gemma4"), tiles=1, image_rows=4)
    with pytest.raises(RuntimeFault, match="a row at least"):
        _core.Session(core, tiles=3, image_rows=2)


def test_damaged_bytes_are_refused() -> None:
    core, dim = core_of("llama"), dim_of("llama")
    session = _core.Session(core, context=40, tiles=2, image_rows=6)
    session.append(*laid([1, 2, Image(1, 4, 2), 3], dim))
    session.step()
    data = session.save()
    for length in range(len(data)):
        with pytest.raises(RuntimeFault):
            session.restore(data[:length])
    for at in range(40, 40 + 8 + 4 + 44 + 7 * 4):
        with pytest.raises(RuntimeFault):
            session.restore(data[:at] + bytes([data[at] ^ 0x81]) + data[at + 1 :])
