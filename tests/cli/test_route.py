"""A router in a .tin: what the verbs that change adapters make of it, what is verified, and run --route."""

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
from tinsmith.errors import FormatError, InputError
from tinsmith.formats import router, tin
from tinsmith.formats.router import Router
from tinsmith.formats.tin import Tin
from tinsmith.train.adapters import router_tin
from tinsmith.train.adapters import tin as adapter_tin

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[assistant]"
DIM = 64
SOURCE = bytes(range(32))


def flat(*bias: float, tasks: tuple[str, ...] = ("lamps", "doors"), least: float = 0.5) -> Router:
    """One that chooses by its biases alone, the last of which is none's."""
    return Router(tasks, DIM, [0.0] * DIM * len(bias), bias, [least] * len(tasks), SOURCE)


@pytest.fixture(scope="module")
def skilled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two adapters."""
    place = tmp_path_factory.mktemp("skilled")
    spec = replace(tiny_spec("llama", hidden_size=DIM, intermediate_size=96), chat_template=TEMPLATE)
    file = place / "skilled.tin"
    build_tin(spec, file, entries={"source.bin": SOURCE})
    for number, name in enumerate(("lamps", "doors")):
        source = random_adapter(file, place / f"{name}.adapter", rank=6 + number)
        adapter_tin.add(file, name, source, file, "Q8_0")
    return file


@pytest.fixture
def routed(skilled: Path, tmp_path: Path) -> Path:
    out = tmp_path / "routed.tin"
    router_tin.put(skilled, flat(0, 3, 1), out, {"right": 0.995})
    return out


def run(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[str, str]:
    assert cli.main([*map(str, words)]) == code
    out, err = capsys.readouterr()
    return out, err


def test_run_answers_by_the_route(routed: Path, skilled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "run", routed, "the lamp", "--route", "--json", "--max-tokens", 8)
    found = json.loads(out)
    assert found["route"]["task"] == found["route"]["best"] == "doors"
    assert found["route"]["scores"] == {"lamps": 0.0, "doors": 3.0}
    assert found["route"]["probability"] == pytest.approx(0.8437947, rel=1e-6)  # of e^3 in 1 + e^3 + e
    plain, _ = run(capsys, "run", skilled, "the lamp", "--adapter", "doors", "--json", "--max-tokens", 8)
    assert json.loads(plain)["token_ids"] == found["token_ids"]
    text, err = run(capsys, "run", routed, "the lamp", "--route", "--max-tokens", 8)
    assert text.rstrip("\n") == found["text"].rstrip("\n")
    assert err == ""
    _, err = run(capsys, "run", routed, "the lamp", "--route", "--adapter", "lamps", code=2)
    assert "--route excludes --adapter" in err
    _, err = run(capsys, "run", routed, "--route", code=2)
    assert "--route needs PROMPT" in err


def test_none_of_them_is_no_answer(skilled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "none.tin"
    router_tin.put(skilled, flat(0, 1, 3), out)
    printed, err = run(capsys, "run", out, "hello", "--route")
    assert printed == ""
    assert err == "tinsmith: none of these: doors 0.11, below 0.50\n"
    printed, _ = run(capsys, "run", out, "hello", "--route", "--json")
    found = json.loads(printed)
    assert (found["text"], found["finish"], found["route"]["task"]) == ("", "none", None)
    _, err = run(capsys, "run", skilled, "hello", "--route", code=2)
    assert "has no router" in err


def test_what_an_adapter_brings_is_no_adapter(skilled: Path, tmp_path: Path) -> None:
    held = tmp_path / "held.tin"
    tin.rewrite(skilled, held, {"adapter/lamps/turns.bin": b""}, {})
    with pytest.raises(InputError, match="is no adapter of the file; it has: lamps, doors$"):
        router_tin.put(held, flat(0, 0, tasks=("lamps/turns",)), held)


def test_what_can_not_be_put(skilled: Path, tmp_path: Path) -> None:
    for given, kind, said in (
        (flat(0, 0, tasks=("gates",)), InputError, "'gates' is no adapter of the file; it has: lamps, doors"),
        (replace(flat(0, 0, 0), dim=32, weights=[0.0] * 96), InputError, "belongs to another one"),
        (replace(flat(0, 0, 0), source=b"x" * 32), InputError, "was trained on the base 787878787878"),
        (flat(0, float("nan"), 0), FormatError, "not finite"),
    ):
        with pytest.raises(kind, match=said):
            router_tin.put(skilled, given, tmp_path / "out.tin")
        assert not (tmp_path / "out.tin").exists()


def test_it_goes_along_with_its_adapters(routed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "adapters", routed, "--rename", "doors", "gates")
    assert tinsmith.load(routed).route("the lamp").task == "gates"
    assert Tin(routed).manifest["router"]["measured"] == {"right": 0.995}
    run(capsys, "verify", routed)
    run(capsys, "adapters", routed, "--remove", "gates")
    route = tinsmith.load(routed).route("the lamp")
    assert (route.task, route.best) == (None, "lamps")
    assert list(Tin(routed).manifest["router"]["tasks"]) == ["lamps"]
    assert "measured" not in Tin(routed).manifest["router"]
    run(capsys, "verify", routed)
    run(capsys, "adapters", routed, "--remove", "lamps")
    assert "router.bin" not in Tin(routed).names
    assert "router" not in Tin(routed).manifest
    run(capsys, "verify", routed)


def test_it_is_verified(routed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "verify", routed)
    assert "router    2 self-tests: same scores as sealed" in out
    assert json.loads(run(capsys, "inspect", routed, "--json")[0])["router"]["tasks"] == {
        "lamps": 0.5,
        "doors": 0.5,
    }
    for changed, said in (
        (flat(0, 3, 1.5), "gives other scores"),
        (flat(0, 3, 1, tasks=("lamps", "gates")), "has the task 'gates', and the file no such adapter"),
    ):
        tin.rewrite(routed, routed, {router.ENTRY: changed.pack()}, {})
        _, err = run(capsys, "verify", routed, code=1)
        assert said in err
    tin.rewrite(routed, routed, {router.ENTRY: flat(0, 3, 1).pack()[:-1]}, {})
    _, err = run(capsys, "verify", routed, code=1)
    assert "router.bin: the router has" in err
    with pytest.raises(FormatError, match=r"router\.bin: "):
        tinsmith.load(routed).route("the lamp")
