"""tinsmith adapters: skills that are sealed into a .tin, and taken out again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tinsmith
from tests.models.random_adapters import random_adapter
from tests.models.tiny_models import tiny_spec
from tinsmith import cli
from tinsmith.compiler import build_tin
from tinsmith.compiler.adapter import LowRank, compile_adapter
from tinsmith.compiler.program import read_program
from tinsmith.errors import FormatError
from tinsmith.formats import minisign, tin
from tinsmith.formats.tin import Tin

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[assistant]"
ASKED = [{"role": "user", "content": "which lamp is on?"}]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("base")
    spec = tiny_spec("llama", hidden_size=64, intermediate_size=96)
    build_tin(
        replace(spec, chat_template=TEMPLATE), place / "base.tin", entries={"source.bin": bytes(range(32))}
    )
    random_adapter(place / "base.tin", place / "one.adapter")
    random_adapter(place / "base.tin", place / "two.adapter", rank=20, layers=("q", "down"))
    return place


def shell(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    """What is printed, or the error's line."""
    assert cli.main(["adapters", *map(str, words)]) == code
    out, err = capsys.readouterr()
    return err if code else out


def answer(path: Path, adapter: str | None) -> list[int]:
    model = tinsmith.load(path, threads=1)
    return model.chat(ASKED, adapter=adapter, max_tokens=12).token_ids


def test_adapters_come_and_go(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held, plain = tmp_path / "held.tin", base / "base.tin"
    assert shell(capsys, plain) == ""
    assert shell(capsys, plain, "--add", "lamps", "--from", base / "one.adapter", "--out", held) == f"{held}\n"
    assert shell(capsys, held, "--add", "doors", "--from", base / "two.adapter") == f"{held}\n"
    lines = shell(capsys, held).splitlines()
    assert [line.split()[0] for line in lines] == ["doors", "lamps"]
    assert "4 matrices, " in lines[0] and "32 of a session" in lines[0]
    # Sealed with the rest, and answered under what was added.
    Tin(held).verify()
    added = tinsmith.load(plain, threads=1)
    added.adapters.add("one", base / "one.adapter")
    assert list(tinsmith.load(held).adapters) == ["lamps", "doors"]
    assert answer(held, "lamps") == added.chat(ASKED, adapter="one", max_tokens=12).token_ids
    answers = {name: answer(held, name) for name in (None, "lamps", "doors")}
    assert len(set(map(tuple, answers.values()))) == 3
    assert answers[None] == answer(plain, None)
    # A device proves each on itself.
    assert cli.main(["verify", str(held), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {name: len(digests) for name, digests in report["adapters"].items()} == {"lamps": 2, "doors": 2}
    shell(capsys, held, "--rename", "doors", "gates")
    assert answer(held, "gates") == answers["doors"]
    shell(capsys, held, "--remove", "lamps")
    shell(capsys, held, "--remove", "gates")
    # What is left is the base's bytes, but for the manifest.
    assert [Tin(held).entry(name) for name in Tin(plain).names[:-1]] == [
        Tin(plain).entry(name) for name in Tin(plain).names[:-1]
    ]


def test_it_brings_a_constraint_and_a_licence(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held, schema = tmp_path / "held.tin", tmp_path / "lamp.json"
    schema.write_text('{"enum": ["on", "off"]}')
    words = (
        base / "base.tin",
        "--add",
        "lamps",
        "--from",
        base / "one.adapter",
        "--schema",
        schema,
        "--out",
        held,
    )
    shell(capsys, *words, "--license", "MIT")
    facts = json.loads(shell(capsys, held, "--json"))["lamps"]
    assert (facts["license"], facts["constraint"]["kind"]) == ("MIT", "schema")
    model = tinsmith.load(held, threads=1)
    assert model.chat(ASKED, adapter="lamps").text in ('"on"', '"off"')
    assert model.json(ASKED, adapter="lamps") in ("on", "off")
    schema.write_text("{")
    assert "lamp.json" in shell(capsys, *words, code=2)


def test_a_signature_is_of_the_file_as_it_was(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held, key = tmp_path / "held.tin", minisign.SecretKey(b"8 bytes.", bytes(32))
    shell(capsys, base / "base.tin", "--add", "lamps", "--from", base / "one.adapter", "--out", held)
    Path(f"{held}.minisig").write_text(minisign.sign(held, key))
    assert cli.main(["verify", str(held), "--key", key.public]) == 0
    capsys.readouterr()
    assert cli.main(["adapters", str(held), "--rename", "lamps", "lights"]) == 0
    assert "signs the file as it was; sign it again" in capsys.readouterr().err
    assert cli.main(["verify", str(held), "--key", key.public]) == 1


def test_what_is_refused(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held, plain = tmp_path / "held.tin", base / "base.tin"
    shell(capsys, plain, "--add", "lamps", "--from", base / "one.adapter", "--out", held)
    before = held.read_bytes()
    program = read_program(Tin(plain).entry("program.bin"))
    name, one = next((name, one) for name, one in program.tensors.items() if name.endswith(".q"))
    nothing = LowRank(one.rows, one.inputs, 4, 1.0, bytes(16 * one.inputs), bytes(16 * one.rows))
    (tmp_path / "nothing").write_bytes(compile_adapter({name: nothing}, program))
    (tmp_path / "foreign").write_bytes(compile_adapter({name: nothing}, program, source=b"x" * 32))
    (tmp_path / "cut").write_bytes((base / "one.adapter").read_bytes()[:-64])
    for words, said in (
        ((held, "--add", "lamps", "--from", base / "two.adapter"), "can't be named 'lamps': it is taken"),
        ((held, "--add", "a/b", "--from", base / "two.adapter"), "can't be named 'a/b': give one of"),
        ((held, "--add", "new", "--from", tmp_path / "nothing"), "changes no logit of the model's self-test"),
        (
            (held, "--add", "new", "--from", tmp_path / "foreign"),
            "was trained on the base 787878787878, and the model",
        ),
        ((held, "--add", "new", "--from", tmp_path / "cut"), "are due"),
        ((held, "--add", "new", "--from", tmp_path / "none"), "none: no such file"),
        ((held, "--remove", "doors"), "has no adapter 'doors'; it has: lamps"),
        ((held, "--rename", "doors", "gates"), "has no adapter 'doors'"),
        ((held, "--rename", "lamps", "lamps"), "it is taken"),
        ((held, "--add", "new"), "--add needs --from"),
        ((held, "--license", "MIT"), "--license needs --add"),
        ((held, "--remove", "lamps", "--search", "3"), "--search needs --add"),
        ((held, "--out", tmp_path / "new.tin"), "--out needs --add or --remove or --rename"),
    ):
        assert said in shell(capsys, *words, code=2)
        assert held.read_bytes() == before


def test_an_adapter_that_was_changed_is_found(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = tmp_path / "held.tin"
    shell(capsys, base / "base.tin", "--add", "lamps", "--from", base / "one.adapter", "--out", held)
    tin.rewrite(held, held, {"adapter/lamps.bin": (base / "two.adapter").read_bytes()}, {})
    assert cli.main(["verify", str(held)]) == 1
    assert "the adapter lamps gives other logits" in capsys.readouterr().err
    tin.rewrite(held, held, {"adapter/lamps.bin": (base / "one.adapter").read_bytes()[:-64]}, {})
    with pytest.raises(FormatError, match="adapter lamps: "):
        tinsmith.load(held).chat(ASKED, adapter="lamps")
    assert cli.main(["verify", str(held)]) == 1
