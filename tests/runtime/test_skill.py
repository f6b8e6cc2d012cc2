"""What an adapter in a tin brings beside its factors: how it is asked, what it may answer, when it is sure."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models import c_programs, random_adapters
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import airgap, cli, models
from tinsmith.chat.chat_template import with_system
from tinsmith.compiler import build_tin
from tinsmith.constraint import Constraint
from tinsmith.errors import FormatError, RuntimeFault, UnsupportedError
from tinsmith.formats import sbom, tin
from tinsmith.formats.sbom import Bill, Source
from tinsmith.formats.tin import Tin
from tinsmith.quant.shipping import Extra
from tinsmith.runtime import Model
from tinsmith.train.adapters import tin as adapter_tin

KERNELS = Path(__file__).parents[2] / "kernels"
ASKED = [{"role": "user", "content": "which lamp?"}]
SYSTEM = {"role": "system", "content": "Name a lamp."}
LAMPS = ("the lamp in the hall", "the lamp in the attic", "no lamp")
FIGURES = {"constrained": {"items": 8, "exact": 0.75, "exact_interval": [0.5, 0.9]}}


@dataclass(frozen=True)
class Made:
    folder: Path
    lamps: Constraint

    @property
    def tin(self) -> Path:
        return self.folder / "held.tin"

    def model(self) -> Model:
        return tinsmith.load(self.tin, threads=1)


def extra(lamps: Constraint, least: float | None) -> Extra:
    facts = {
        "constraint": {"kind": lamps.kind, "source": "choices"},
        "abstention": {"error": 0.01, "constrained": least},
        "metrics": FIGURES,
        "license": "CC0-1.0",
    }
    bill = Bill(
        "-", "1.0", data=(Source("lamps-train", "ef" * 32),), license="CC0-1.0", metrics=facts["metrics"]
    )
    return Extra({tin.CONSTRAINT: lamps.data, "LICENSES/data.txt": b"take it\n"}, facts, bill)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A base of no task; `lamps`, with all that an adapter can bring, and `doors`, which brings nothing."""
    folder = tmp_path_factory.mktemp("skills")
    spec = replace(tiny_spec("llama", hidden_size=64, intermediate_size=96), chat_template=CHATML)
    models.save_gguf(spec, folder / "base.gguf")
    entries = {tin.SOURCE: bytes(range(32)), tin.BILL: Bill("base", "1.0", digest="ab" * 32).encode()}
    build_tin(spec, folder / "base.tin", entries=entries)
    random_adapters.folder(spec, folder / "lamps", with_system(CHATML, SYSTEM["content"]))
    random_adapters.folder(spec, folder / "doors", rank=20)
    lamps = tinsmith.choices(LAMPS)
    adapter_tin.add(
        folder / "base.tin", "lamps", folder / "lamps", folder / "held.tin", "Q8_0", extra(lamps, -0.2)
    )
    adapter_tin.add(folder / "held.tin", "doors", folder / "doors", folder / "held.tin", "Q8_0")
    return Made(folder, lamps)


def test_it_is_asked_and_constrained_as_it_was_trained(made: Made) -> None:
    model = made.model()
    asked = model.render([SYSTEM, *ASKED])
    assert model.render(ASKED, adapter="lamps") == asked != model.render(ASKED)
    assert model.render(ASKED, adapter="doors") == model.render(ASKED)
    # A message of one's own comes in place of its own.
    other = [{"role": "system", "content": "Name a door."}, *ASKED]
    assert model.render(other, adapter="lamps") == model.render(other)
    answer = model.chat(ASKED, adapter="lamps", max_tokens=40)
    assert answer.text in LAMPS
    assert answer == replace(
        model.generate(asked, adapter="lamps", constraint=made.lamps, max_tokens=40, confidence=True),
        seconds=answer.seconds,
        least=-0.2,
        evaluations=answer.evaluations,
    )
    assert model.chat(ASKED, adapter="lamps", constraint=None, max_tokens=40).text not in LAMPS
    assert model.chat(ASKED, adapter="doors", max_tokens=40).text not in LAMPS
    # The first of several says how.
    both = model.chat(ASKED, adapter={"lamps": 1.0, "doors": 0.5}, max_tokens=40)
    assert both.text in LAMPS
    assert both.confident is None
    turned = model.chat(ASKED, adapter={"doors": 0.5, "lamps": 1.0}, max_tokens=40)
    assert turned.prompt_tokens == len(model.render(ASKED))
    assert model.choose(ASKED, LAMPS, adapter="lamps") == model.choose(asked, LAMPS, adapter="lamps")


@pytest.mark.parametrize("file", ["base.tin", "base.gguf"])
def test_a_folder_that_is_added_is_asked_by_its_template(made: Made, file: str) -> None:
    model = tinsmith.load(made.folder / file, threads=1)
    model.adapters.add("lamps", made.folder / "lamps")
    assert model.render(ASKED, adapter="lamps") == model.render([SYSTEM, *ASKED])
    assert model.constraint is None
    assert model.chat(ASKED, adapter="lamps", max_tokens=4).confident is None


def test_thresholds_are_each_prompts_own(made: Made, tmp_path: Path) -> None:
    base = tmp_path / "sure.tin"
    tin.rewrite(made.tin, base, {}, {"abstention": {"error": 0.01, "unconstrained": -9.0}})
    model = tinsmith.load(base, threads=1)
    chosen: list[Any] = [None, "lamps", "doors", {"lamps": 0.5}, {"lamps": 0.0}, "lamps", None]
    prompts = [model.render(ASKED, adapter=one) for one in chosen]
    alone = [
        model.generate(prompt, adapter=one, max_tokens=40) for prompt, one in zip(prompts, chosen, strict=True)
    ]
    assert [answer.least for answer in alone] == [-9.0, -0.2, None, None, -9.0, -0.2, -9.0]
    many = model.generate_many(prompts, adapter=chosen, concurrency=2, max_tokens=40)
    for one, answer in zip(alone, many, strict=True):
        assert (answer.token_ids, answer.log_probability, answer.least, answer.confident) == (
            one.token_ids,
            one.log_probability,
            one.least,
            one.confident,
        )
    held = model.generate_many(prompts, adapter=chosen, constraint=made.lamps, confidence=True, max_tokens=40)
    assert all(answer.text in LAMPS and answer.probability and answer.confident is None for answer in held)


def test_the_commands_and_the_program_in_c_ask_alike(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = made.model().chat(ASKED, adapter="lamps", max_tokens=40)
    question = ASKED[0]["content"]
    assert cli.main(["run", str(made.tin), question, "--adapter", "lamps", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["text"], told["confident"], told["prompt_tokens"]) == (
        wanted.text,
        wanted.confident,
        wanted.prompt_tokens,
    )
    sources = [KERNELS / "tool/tin.c", KERNELS / "tin_all.c"]
    program = c_programs.program(tmp_path / "tin", sources, *c_programs.TOOL)
    command = [program, "run", made.tin, question, "--tokens", "40", "--adapter"]
    for name in ("lamps", "doors"):
        answer = made.model().chat(ASKED, adapter=name, max_tokens=40)
        ran = subprocess.run([*command, name], capture_output=True, check=True)
        assert ran.stdout.decode("utf-8", "replace").rstrip("\n") == answer.text.rstrip("\n")


def test_it_is_listed_and_moves_with_the_adapter(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved.tin"
    assert cli.main(["adapters", str(made.tin)]) == 0
    doors, lamps = sorted(capsys.readouterr().out.splitlines())
    assert doors.endswith("bytes, 32 of a session's adapter_rank") and lamps != doors
    assert cli.main(["adapters", str(made.tin), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"template", "constraint", "abstention", "metrics", "license"} <= listed["lamps"].keys()
    assert [listed[name]["rank"] for name in ("lamps", "doors")] == [32, 32]
    assert cli.main(["inspect", str(made.tin), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["adapters"]["lamps"]["abstention"] == {"error": 0.01, "constrained": -0.2}
    assert told["entries"]["adapter/lamps/grammar/answer.bin"]["bytes"] == len(made.lamps.data)
    wanted = made.model().chat(ASKED, adapter="lamps", max_tokens=40)
    adapter_tin.rename(made.tin, "lamps", "lights", moved)
    Tin(moved).verify()
    answer = tinsmith.load(moved, threads=1).chat(ASKED, adapter="lights", max_tokens=40)
    assert (answer.text, answer.confident) == (wanted.text, wanted.confident)
    for name in ("lights", "doors"):
        adapter_tin.remove(moved, name, moved)
    plain = Tin(made.folder / "base.tin")
    assert {name: Tin(moved).entry(name) for name in plain.names[:-1]} == {
        name: plain.entry(name) for name in plain.names[:-1]
    }
    assert set(Tin(moved).names) == set(plain.names)


def test_the_bill_of_materials_has_it(made: Made) -> None:
    document = Tin(made.tin).entry(tin.BILL)
    every = json.loads(bytes(document))
    lamps, doors = (part for part in every["components"] if part["bom-ref"].startswith("adapter/"))
    assert (lamps["name"], doors["name"]) == ("lamps", "doors")
    assert lamps["hashes"][0]["content"] == Tin(made.tin).manifest["entries"]["adapter/lamps.bin"]["sha256"]
    assert lamps["licenses"] == [{"license": {"id": "CC0-1.0"}}]
    (figure,) = lamps["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert (figure["type"], figure["value"], figure["slice"]) == ("exact", "0.75", "test, constrained")
    (data,) = lamps["components"]
    assert lamps["modelCard"]["modelParameters"]["datasets"] == [{"ref": data["bom-ref"]}]
    assert every["dependencies"][0]["dependsOn"][-2:] == [lamps["bom-ref"], doors["bom-ref"]]
    schema, validation = (pytest.importorskip(f"cyclonedx.{name}") for name in ("schema", "validation.json"))
    pytest.importorskip("jsonschema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert validator.validate_str(bytes(document).decode()) is None
    renamed = sbom.rename_adapter(bytes(document), "lamps", "lights")
    assert validator.validate_str(renamed.decode()) is None
    assert b"adapter/lamps" not in renamed
    assert sbom.rename_adapter(renamed, "lights", "lamps") == bytes(document)
    with pytest.raises(FormatError, match="is no bill of materials"):
        sbom.without_adapter(b"[1]", "lamps")


def test_a_pack_has_its_licences_and_proves_it(made: Made, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    (runtime / "nothing").write_text("")
    files = airgap.contents(made.tin, runtime, "which lamp?")
    assert files["LICENSES/adapter/lamps/data.txt"] == b"take it\n"
    assert b"adapter/lamps@" in files["sbom.cdx.json"]
    other = tmp_path / "other.tin"
    tin.rewrite(made.tin, other, {"adapter/doors.bin": bytes(Tin(made.tin).entry("adapter/lamps.bin"))}, {})
    with pytest.raises(RuntimeFault, match="the adapter doors gives other logits"):
        airgap.proof.selftest(other)


def test_what_can_not_be_brought(made: Made, tmp_path: Path) -> None:
    spec, out = models.load(made.folder / "base.gguf"), tmp_path / "out.tin"
    odd = random_adapters.folder(
        spec, tmp_path / "odd", "{% for m in messages %}{{ m['content'][::-1] }}{% endfor %}"
    )
    with pytest.raises(UnsupportedError, match=r"odd: the chat template that it was trained under can't be"):
        adapter_tin.add(made.folder / "base.tin", "odd", odd, out, "Q8_0")
    damaged = Extra({tin.CONSTRAINT: made.lamps.data[:-4]})
    with pytest.raises(FormatError, match="doors: grammar/answer.bin: "):
        adapter_tin.add(made.folder / "base.tin", "odd", made.folder / "doors", out, "Q8_0", damaged)
    assert not out.exists()
    model = tinsmith.load(made.folder / "base.gguf", threads=1)
    model.adapters.add("odd", odd)
    model.generate("which", adapter="odd", max_tokens=1)
    with pytest.raises(UnsupportedError, match="can't chat"):
        model.chat(ASKED, adapter="odd")
