"""Receipts: the same by every path, and another where anything differs."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.random_adapters import compiled
from tinsmith import _core
from tinsmith.compiler import build_image, build_tin
from tinsmith.constraint.makers import choices, schema
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.models import Spec
from tinsmith.runtime import Model
from tinsmith.runtime.adapters import aligned
from tinsmith.runtime.generation import Completion, Sampling, TokenRequest
from tinsmith.runtime.receipt import Receipt, difference, question, receipt, recomputed
from tinsmith.runtime.scheduler import Scheduler

HELD = schema({"type": "object", "properties": {"on": {"enum": ["red", "reed"]}}, "required": ["on"]})
SYSTEM = [5 + k % 90 for k in range(70)]


@pytest.fixture(scope="module")
def data(spec: Spec) -> memoryview:
    return build_image(spec)


def loaded(data: memoryview, isa: str | None = None, threads: int = 1) -> Model:
    model = Model(_core.Model(data, isa), data, threads)
    model.adapters.add("first", aligned(compiled(data)))
    return model


def asked_of(model: Model) -> list[TokenRequest]:
    """Free, held, with an adapter; greedy and drawn; penalized."""
    drawn = Sampling(
        temperature=1.1, top_k=30, seed=4, lookup=4, presence_penalty=0.5, logit_bias={7: 1.5, 40: -100.0}
    )
    prompts = [[*SYSTEM, 7, 8 + k] for k in range(3)]
    return [
        TokenRequest(
            tokens=tokens,
            applied=model.applied(adapter),
            constraint=held,
            max_tokens=20,
            sampling=sampling,
            stop=stop,
            record=True,
        )
        for tokens in prompts
        for adapter, held, sampling, stop in (
            (None, None, Sampling(lookup=4), ("zz", "q")),
            ("first", None, drawn, ()),
            (None, HELD, drawn, ()),
            ({"first": 0.5}, HELD, Sampling(), ()),
        )
    ]


def alone(model: Model, asked: TokenRequest, lookup: int) -> Receipt:
    options: dict[str, Any] = {
        name: getattr(asked.sampling, name)
        for name in ("temperature", "top_k", "seed", "presence_penalty", "logit_bias")
    }
    answer = model.generate(
        asked.tokens,
        max_tokens=asked.max_tokens,
        stop=asked.stop,
        constraint=asked.constraint,
        adapter=model.adapters.chosen(asked.applied),
        lookup=lookup,
        record=True,
        **options,
    )
    return receipt(model, asked, answer)


def test_a_receipt_is_the_same_by_every_path(data: memoryview) -> None:
    """On scalar code and the best there is, threads, drafts, batches of any size, prefixes known or not,
    twice, by a scheduler that others use too."""
    model = loaded(data)
    first = [one.digest for _, one in recomputed(model, asked_of(model))]
    assert len(set(first)) == 12
    for isa, threads in (("scalar", 1), (None, 3)):
        other = loaded(data, isa, threads)
        for lookup in (0, 4):
            assert [alone(other, one, lookup).digest for one in asked_of(other)] == first
        assert [one.digest for _, one in recomputed(other, asked_of(other), concurrency=1)] == first
    scheduler = Scheduler(model, slots=3, pass_tokens=16, kept=2)
    for scope in ("one", "one", "other"):
        jobs = []
        for one in asked_of(model):
            jobs.append(scheduler.add(replace(one, scope=scope, tops=2)))
            scheduler.add(TokenRequest(tokens=[5, 6, 7], max_tokens=2))
            scheduler.step(1e-6)
        while scheduler.running or scheduler.waiting:
            scheduler.step()
        done = [(job.request, job.completion, job.choices) for job in jobs]
        assert [receipt(model, one, end, kept).digest for one, end, kept in done if end is not None] == first


def test_its_lines_are_as_the_book_says(data: memoryview, tmp_path: Path) -> None:
    """By hand: the book's page has the names and how each value is written."""
    path = tmp_path / "tiny.tin"
    path.write_bytes(data)
    model = tinsmith.load(path, threads=1)
    sampling = Sampling(temperature=0.5, top_k=3, seed=9, frequency_penalty=0.25, logit_bias={9: 2.0, 4: -0.0})
    asked = TokenRequest(
        tokens=[5, 6], constraint=HELD, max_tokens=20, sampling=sampling, stop=("ü", "a", ""), record=True
    )
    ((answer, made),) = recomputed(model, [asked])
    chosen = [one.logit for one in answer.choices if not one.forced]
    assert 0 < len(chosen) < len(answer.choices)
    turns = model.tin.entry("turns.bin")
    lines = [
        "tinsmith-receipt 1",
        f"file {hashlib.sha256(path.read_bytes()).hexdigest()}",
        "kv f16",
        f"template {hashlib.sha256(turns).hexdigest()}",
        f"constraint {hashlib.sha256(HELD.data).hexdigest()}",
        *("temperature 3f000000", "top_p 3f800000", "min_p 00000000", "repetition_penalty 3f800000"),
        *("presence_penalty 00000000", "frequency_penalty 3e800000", "top_k 3", "bias 4 00000000"),
        *("bias 9 40000000", "seed 9", "max_tokens 20", "stop 61", "stop c3bc"),
        f"input {hashlib.sha256(struct.pack('<2i', 5, 6)).hexdigest()}",
    ]
    text = "".join(f"{line}\n" for line in lines)
    assert question(model, asked).digest == hashlib.sha256(text.encode()).hexdigest()
    output = struct.pack(f"<{len(answer.token_ids)}i", *answer.token_ids)
    text += f"output {hashlib.sha256(output).hexdigest()}\nfinish {answer.finish}\n"
    text += f"logits {hashlib.sha256(struct.pack(f'<{len(chosen)}f', *chosen)).hexdigest()}\n"
    assert made.digest == hashlib.sha256(text.encode()).hexdigest()
    told = json.loads(json.dumps(made.as_dict()))
    assert (told["seed"], told["stop"], told["digest"]) == ("9", ["61", "c3bc"], made.digest)


def test_every_input_changes_the_receipt(data: memoryview) -> None:
    model = loaded(data)
    base = TokenRequest(tokens=[5, 6], max_tokens=5, sampling=Sampling(), record=True)
    others = [
        replace(base, tokens=[5, 7]),
        replace(base, applied=model.applied("first")),
        replace(base, applied=model.applied({"first": 0.5})),
        replace(base, constraint=HELD),
        replace(base, max_tokens=6),
        replace(base, stop=("a",)),
        *(replace(base, sampling=Sampling(**{name: 1})) for name in ("temperature", "top_k", "seed")),
        *(replace(base, sampling=Sampling(**{name: 0.5})) for name in ("top_p", "min_p", "repetition_penalty")),
        *(replace(base, sampling=Sampling(**{name: 1})) for name in ("presence_penalty", "frequency_penalty")),
        replace(base, sampling=Sampling(logit_bias={5: 1})),
    ]
    digests = [question(model, one).digest for one in (base, *others)]
    assert len(set(digests)) == len(digests)
    same = [
        replace(base, scope="x", tops=3, least=0.1, sampling=Sampling(confidence=True)),
        replace(base, sampling=Sampling(lookup=3)),
    ]
    assert {question(model, one).digest for one in same} == {digests[0]}
    quantized = Model(model.core, data, 1, kv_type=_core.KV_Q8)
    assert question(quantized, base).digest not in digests


def test_a_changed_weight_is_found(spec: Spec, data: memoryview) -> None:
    """The first token that differs is named, or the logits where the tokens are the same."""
    model = loaded(data)
    asked = TokenRequest(tokens=[5, 6, 7], max_tokens=30, sampling=Sampling(), record=True)
    ((answer, made),) = recomputed(model, [asked])
    assert difference(made, made) is None and difference(made.digest, made) is None
    place = bytes(data).index(bytes(model.tin.entry("weights.bin")[:64]))
    seen = set()
    size = len(model.tin.entry("weights.bin"))
    for at in range(0, size, size // 8):
        changed = bytearray(data)
        changed[place + at] ^= 0x10
        other = loaded(aligned(changed))
        ((wrong, theirs),) = recomputed(other, [asked])
        theirs = Receipt(made.question, theirs.answer)  # as of one who says it was the same file
        found = difference(theirs, made, wrong.token_ids, answer.token_ids)
        assert found is not None or wrong.choices == answer.choices
        seen.add(found and found.split(":")[0].split(" ")[0])
        assert difference(recomputed(other, [asked])[0][1], made) is not None  # the file is another
    assert seen & {"token", "the"}


def test_differences_are_named(data: memoryview) -> None:
    model = loaded(data)
    asked = TokenRequest(tokens=[5, 6, 7], max_tokens=6, sampling=Sampling(), record=True)
    ((answer, made),) = recomputed(model, [asked])
    shorter = [*answer.token_ids[:3]]
    assert difference("0" * 64, made, [*shorter, 5, 5], [*shorter, 6]) == "token 4: 5 there, 6 here"
    assert difference("0" * 64, made, shorter, [*shorter, 6]) == "token 4: the end there, 6 here"
    assert difference("0" * 64, made) == f"{'0' * 64} there, {made.digest} here"
    ((_, other),) = recomputed(model, [replace(asked, stop=("zzz",))])
    assert difference(other, made) == "stop: 7a7a7a there, - here"
    logits = Receipt(made.question, (*made.answer[:2], ("logits", "0" * 64)))
    assert difference(logits, made) == "the same tokens, by other logits"


def test_a_receipt_needs_the_choices(data: memoryview) -> None:
    model = loaded(data)
    asked = TokenRequest(tokens=[5, 6, 7], max_tokens=6, sampling=Sampling())
    answer: Completion = model.generate([5, 6, 7], max_tokens=6)
    with pytest.raises(InputError, match="0 choices for an answer of 6 tokens; give record=True"):
        receipt(model, asked, answer)
    with pytest.raises(InputError, match="unknown adapter"):
        question(loaded(data), replace(asked, applied=model.applied("first")))


def test_another_runtime_gives_none(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine:
        runtime = "llama.cpp"

    monkeypatch.setattr(model, "engine", Engine())
    with pytest.raises(UnsupportedError, match="llama.cpp keeps no bit contract"):
        question(model, TokenRequest(tokens=[5]))


def test_a_file_is_what_was_given(spec: Spec, tmp_path: Path, image: Callable[[str], memoryview]) -> None:
    """A .tin's bytes, wherever it lies; of what is compiled in memory, those of the file or folder."""
    build_tin(spec, tmp_path / "one.tin")
    (tmp_path / "two.tin").write_bytes((tmp_path / "one.tin").read_bytes())
    one, two = (tinsmith.load(tmp_path / name, threads=1).digest for name in ("one.tin", "two.tin"))
    assert one == two == hashlib.sha256((tmp_path / "one.tin").read_bytes()).hexdigest()
    (tmp_path / "folder.gguf").write_bytes(b"GGUF")
    held = image("Q8_0")
    made = Model(_core.Model(held), held, 1, source=tmp_path / "folder.gguf")
    assert made.digest == hashlib.sha256(b"GGUF").hexdigest()
    assert choices(["a", "b"]).data  # compiled constraints are bytes
