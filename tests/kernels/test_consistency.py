"""Every number that two entries of a tin both hold is compared when it is loaded, by the core and so by all
above it: files whose digests are right and whose entries contradict each other."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

import tinsmith
from tests.kernels import safety
from tests.models.tiny_models import tiny_spec
from tinsmith import _core, cli, compiler
from tinsmith.constraint import makers
from tinsmith.constraint.grammar import Grammar, token
from tinsmith.constraint.machine.automaton import compile_grammar
from tinsmith.errors import FormatError, RuntimeFault
from tinsmith.formats import tin as tins
from tinsmith.formats.tin import Tin
from tinsmith.system.files import map_file

VOCAB, MORE, CONTEXT = 280, 512, 64
SIZES = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "max_position_embeddings": CONTEXT}
TEXT = ("tokenizer.bin", "trie.bin", "turns.bin")
IM_START, NORMAL = 1, 100  # a control token, a token of text
PROMPT = 12  # where selftest.bin's first prompt begins

Entries = dict[str, bytes]


def made(folder: Path, vocab: int) -> Path:
    spec = tiny_spec("llama", vocab_size=vocab, **SIZES)
    answer = makers.grammar(safety.ANSWER).data
    path = folder / f"{vocab}.tin"
    compiler.build_tin(replace(spec, chat_template=safety.THINKING), path, entries={tins.CONSTRAINT: answer})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("consistency")


@pytest.fixture(scope="module")
def sound(folder: Path) -> Path:
    return made(folder, VOCAB)


@pytest.fixture(scope="module")
def larger(folder: Path) -> Path:
    return made(folder, MORE)


def entries_of(path: Path) -> Entries:
    tin = Tin(path)
    return {name: bytes(tin.entry(name)) for name in tin.names if name != tins.MANIFEST}


def sealed(path: Path, like: Path, entries: Entries) -> Path:
    """A tin with these entries, whose manifest lists them as they are."""
    tins.write(path, entries.items(), Tin(like).manifest)
    Tin(path).verify()
    _core.file_verify(map_file(path))
    return path


def refused(path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the core, by load and by verify, each in one line that says what contradicts what."""
    with pytest.raises(RuntimeFault, match=what) as fault:
        _core.Model(map_file(path))
    assert fault.value.status == "TIN_ERR_FORMAT"
    with pytest.raises(FormatError, match=what):
        tinsmith.load(path)
    assert cli.main(["verify", str(path)]) == 1
    reported = capsys.readouterr().err
    assert what in reported
    assert reported.count("\n") == 1


@pytest.mark.parametrize("program_is_larger", [False, True])
@pytest.mark.parametrize("names", [TEXT, TEXT[:1], TEXT[1:2], TEXT[:2]])
def test_entries_of_another_vocabulary_are_refused(
    sound: Path,
    larger: Path,
    tmp_path: Path,
    names: tuple[str, ...],
    program_is_larger: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a program of more tokens than the tokenizer, masks would be read past their end; with one of fewer,
    logits, weights and the sampler's memory."""
    base, other = (larger, sound) if program_is_larger else (sound, larger)
    vocab = {MORE: VOCAB, VOCAB: MORE}
    own = MORE if program_is_larger else VOCAB
    first = "trie.bin is" if names == TEXT[1:2] else "program.bin is"
    order = (vocab[own], own) if names == TEXT[1:2] else (own, vocab[own])
    mixed = entries_of(base) | {name: entries_of(other)[name] for name in names}
    what = f"{first} of {order[0]} tokens and tokenizer.bin has {order[1]}"
    refused(sealed(tmp_path / "mixed.tin", base, mixed), what, capsys)


def word(entries: Entries, name: str, at: int, value: int) -> Entries:
    data = bytearray(entries[name])
    struct.pack_into("<I", data, at, value)
    return entries | {name: bytes(data)}


@pytest.mark.parametrize("number", [VOCAB, 1 << 31, (1 << 32) - 1])
def test_a_self_test_of_tokens_that_are_not_there_is_refused(
    sound: Path, tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = word(entries_of(sound), "selftest.bin", PROMPT + 4, number)
    what = f"prompt 0 of selftest.bin has the token {number - (number >> 31 << 32)}"
    refused(sealed(tmp_path / "changed.tin", sound, changed), what, capsys)


def test_a_self_test_that_does_not_fit_the_context_is_refused(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = struct.pack("<8sII", b"TINTEST1", 1, CONTEXT + 1) + bytes(4 * (CONTEXT + 1) + 32)
    changed = entries_of(sound) | {"selftest.bin": long}
    what = f"has {CONTEXT + 1} tokens; program.bin's context is {CONTEXT}"
    refused(sealed(tmp_path / "changed.tin", sound, changed), what, capsys)


@pytest.mark.parametrize(
    ("change", "what"), [(-1, "cut short: prompt 1 of 2"), (1, "bytes behind its prompts")]
)
def test_a_self_test_of_another_length_is_refused(
    sound: Path, tmp_path: Path, change: int, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = entries_of(sound)
    test = (entries["selftest.bin"] + b"\0")[: len(entries["selftest.bin"]) + change]
    refused(sealed(tmp_path / "changed.tin", sound, entries | {"selftest.bin": test}), what, capsys)


@pytest.mark.parametrize("number", [VOCAB, NORMAL, (1 << 31) + 5])
def test_a_template_of_tokens_that_are_no_control_tokens_is_refused(
    sound: Path, tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = entries_of(sound)
    _, _, tables, *_, words, parts, _ = struct.unpack_from("<9I", entries["turns.bin"])
    first = 36 + 16 * tables + 16 * words + 4 * (17 * tables + 1)
    tokens = struct.unpack_from(f"<{2 * parts}i", entries["turns.bin"], first)[1::2]
    changed = word(entries, "turns.bin", first + 8 * tokens.index(IM_START) + 4, number)
    refused(sealed(tmp_path / "changed.tin", sound, changed), "no control token of tokenizer.bin", capsys)


def test_weights_of_another_size_are_refused(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = entries_of(sound)
    changed = entries | {"weights.bin": entries["weights.bin"] + bytes(64)}
    refused(sealed(tmp_path / "changed.tin", sound, changed), "weights.bin has", capsys)


def test_a_tree_of_other_tokens_is_refused_with_the_first_constraint(sound: Path, tmp_path: Path) -> None:
    """Of as many tokens, but of other texts: it is read when a constraint is made, and not before."""
    entries = entries_of(sound)
    tokens = bytearray(entries["tokenizer.bin"])
    at = tokens.index(b" the", len(tokens) - 2000)  # of the texts, which are the last part
    tokens[at : at + 4] = b" tha"
    path = sealed(tmp_path / "other.tin", sound, entries | {"tokenizer.bin": bytes(tokens)})
    model = _core.Model(map_file(path))
    with pytest.raises(RuntimeFault, match=r"trie\.bin: node \d+ is damaged"):
        _core.Constraint(model, model.entry(tins.CONSTRAINT))


@pytest.mark.parametrize("name", ["trie.bin", "turns.bin", "selftest.bin", tins.CONSTRAINT])
def test_what_a_file_may_lack(sound: Path, tmp_path: Path, name: str) -> None:
    kept = {key: data for key, data in entries_of(sound).items() if key != name}
    path = sealed(tmp_path / "less.tin", sound, kept)
    assert answer(path) == answer(sound)


def test_another_order_and_further_entries_are_accepted(sound: Path, tmp_path: Path) -> None:
    entries = dict(reversed(entries_of(sound).items())) | {"NOTES.md": b"hello"}
    assert answer(sealed(tmp_path / "more.tin", sound, entries)) == answer(sound)


def test_a_constraint_of_another_vocabulary_allows_what_this_one_has(sound: Path, larger: Path) -> None:
    """It knows tokens by their bytes, and control tokens by ids of which a file need not have all."""
    model, other = (_core.Model(map_file(path)) for path in (sound, larger))
    grammar = makers.grammar(safety.ANSWER).data
    masks = [_core.Constraint(each, grammar).mask() for each in (model, other)]
    sets = [int.from_bytes(mask, "little") for mask in masks]
    assert sets[0] == sets[1] != 0
    nowhere = compile_grammar(Grammar({"start": token(VOCAB)}), "gbnf").data
    assert not any(_core.Constraint(model, nowhere).mask())


def answer(path: Path) -> list[int]:
    model = _core.Model(map_file(path))
    session = _core.Session(model, context=CONTEXT)
    session.append([1, 2, 3])
    session.generate(8)
    tokens = []
    while session.step() == _core.STEP_TOKEN:
        tokens.append(session.token())
    return tokens


@pytest.mark.parametrize(("columns", "refused_state"), [(1024, 1), (1024 + 16, 0)])
def test_states_of_more_than_4_gib_are_refused(tmp_path: Path, columns: int, refused_state: int) -> None:
    """The first of 4 GiB leaves no room for the second."""
    compiler.build_tin(tiny_spec("lfm2", max_position_embeddings=CONTEXT), tmp_path / "sound.tin")
    entries = entries_of(tmp_path / "sound.tin")
    program = bytearray(entries["program.bin"])
    tensors, values, caches = struct.unpack_from("<3I", program, 12)
    struct.pack_into("<3I", program, 64 + tensors * 32 + values * 16 + caches * 16, 1024, 1024, columns)
    path = sealed(tmp_path / "changed.tin", tmp_path / "sound.tin", entries | {"program.bin": bytes(program)})
    with pytest.raises(RuntimeFault, match=f"state {refused_state} has an impossible shape"):
        _core.Model(map_file(path))
