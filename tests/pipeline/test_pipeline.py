"""A whole run on a tiny model: from examples to files, answers and a report."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import cli, models
from tinsmith.chat import chat_template
from tinsmith.errors import DataError, FaultsError, FormatError, InputError
from tinsmith.formats.tin import Tin
from tinsmith.models import family
from tinsmith.pipeline import engine, prepared, recipe
from tinsmith.pipeline.run import opened
from tinsmith.pipeline.stages.build import UNSEALED
from tinsmith.quant import shipping
from tinsmith.system import files, progress

COMMAND = "import sys; from tinsmith import cli; sys.exit(cli.main(sys.argv[1:]))"
RECIPE = """\
[base]
model = "base.gguf"
[data]
train = "data/train.jsonl"
validation = "data/validation.jsonl"
test = "data/test.jsonl"
system = "home"
command = ["python", "sample.py"]
licenses = "data/LICENSES.txt"
[train]
epochs = 1
batch_tokens = 4096
[constraint]
schema = "data/schema.json"
spacing = "spaced"
[build]
formats = ["F16", "Q8_0"]
context = 1024
[eval]
baseline_limit = 2
max_tokens = 64
shots = 1
threads = 1
"""
SAMPLE = """\
import json, pathlib
out = pathlib.Path("data"); out.mkdir()
def rows(name, numbers):
    def call(n): return json.dumps({"name": "Set" if n % 2 else "Get", "arguments": {"n": n}})
    lines = [{"input": f"number {n}", "output": call(n), "part": "ab"[n % 3 == 0]} for n in numbers]
    (out / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
rows("train", range(12)); rows("validation", range(12, 15)); rows("test", range(15, 23))
(out / "LICENSES.txt").write_text("numbers are free\\n")
def closed(**keys):
    return {"type": "object", "properties": keys, "required": list(keys), "additionalProperties": False}
number = {"type": "integer", "minimum": 0, "maximum": 99}
schema = closed(name={"enum": ["Get", "Set"]}, arguments=closed(n=number))
(out / "schema.json").write_text(json.dumps(schema))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, its base and what makes its data; and the run of it in `run`."""
    folder = tmp_path_factory.mktemp("home")
    sizes = {"hidden_size": 96, "intermediate_size": 96, "max_position_embeddings": 2048}
    spec = replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML)
    models.save_gguf(spec, folder / "base.gguf")
    (folder / "home.toml").write_text(RECIPE)
    (folder / "sample.py").write_text(SAMPLE)
    return folder


def make(folder: Path) -> list[str]:
    return ["make", str(folder / "home.toml"), "--out", str(folder / "run")]


@pytest.fixture(scope="module")
def made(folder: Path) -> Path:
    assert cli.main(make(folder)) == 0
    return folder / "run"


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_stage_leaves_its_files(made: Path) -> None:
    assert {stage.name for stage in engine.STAGES} == set(load(made / "run.json")["stages"])
    for name in (
        "home-q8_0.gguf",
        "home-q8_0.tin",
        "home-f16.gguf",
        "home-f16.tin",
        "report.html",
        "verify.json",
    ):
        assert (made / name).stat().st_size > 0
    assert (made / "adapter" / "adapter_model.safetensors").exists()
    assert not [path for path in made.rglob("*") if path.suffix in (".tmp", ".part")]


def test_the_report_has_the_figures_that_others_rely_on(made: Path) -> None:
    document = load(made / "report.json")
    assert list(document["systems"]) == [
        "zero_shot",
        "few_shot",
        "retrieval",
        "nearest",
        "tuned",
        "shipped_f16",
        "shipped_f16_constrained",
        "shipped_q8_0",
        "shipped_q8_0_constrained",
    ]
    for name, system in document["systems"].items():
        assert system["items"] == (2 if name in ("zero_shot", "few_shot", "retrieval") else 8)
        for metric in ("valid", "function", "exact", "equivalent"):
            assert 0 <= system[metric] <= 1
        low, high = system["exact_interval"]
        assert low <= system["exact"] <= high
        assert set(system["parts"]) == {"a", "b"}
        assert system["ms_per_item"] > 0
        assert {"prompt_tokens", "generated_tokens", "peak_memory"} <= set(system)
    assert document["systems"]["nearest"]["valid"] == 1
    assert document["systems"]["shipped_q8_0"]["bytes"] == (made / "home-q8_0.tin").stat().st_size
    assert document["data"]["counts"] == {"train": 12, "validation": 3, "test": 8}
    assert [row["step"] for row in document["train"]["curve"]] == list(range(1, document["train"]["steps"] + 1))


def test_what_a_constraint_allows_is_all_that_comes_out(made: Path) -> None:
    from tinsmith.evaluate.answers import read_answers

    for weights in ("f16", "q8_0"):
        answers = read_answers(made / "eval" / f"shipped_{weights}_constrained.jsonl")
        for answer in answers:
            call = json.loads(answer.text)
            assert json.dumps(call) == answer.text
            assert call["name"] in ("Get", "Set")
            assert 0 <= call["arguments"]["n"] <= 99
            assert answer.finish == "stop"
            assert not answer.drafted
    document = load(made / "report.json")
    under = document["systems"]["shipped_q8_0_constrained"]
    assert under["valid"] == 1
    assert under["bytes"] == document["systems"]["shipped_q8_0"]["bytes"]
    assert under["evaluations"] < under["generated_tokens"]
    changed = document["constraint"]["changes"]["shipped_q8_0"]
    assert 0 <= changed["better"] + changed["worse"] <= changed["changed"] <= 8
    assert "Where the constraint changed the answer" in (made / "report.html").read_text(encoding="utf-8")


def test_a_constraint_is_sealed_with_what_it_comes_from(made: Path, folder: Path) -> None:
    with zipfile.ZipFile(made / "home-q8_0.tin") as tin:
        data, manifest = tin.read("grammar/answer.bin"), json.loads(tin.read("manifest.json"))
        table = tin.read("drafts/answer.bin")
    assert data == (made / "data" / "answer.bin").read_bytes()
    assert table == (made / "data" / "draft.bin").read_bytes()
    assert manifest["entries"]["drafts/answer.bin"]["bytes"] == len(table)
    stated = manifest["constraint"]
    assert (stated["source"], stated["file"], stated["spacing"]) == ("schema", "schema.json", "spaced")
    assert stated["sha256"] == files.sha256_file(folder / "data" / "schema.json")
    assert stated["shortest"] == len('{"name": "Get", "arguments": {"n": 0}}')
    assert {"kind", "states", "depth"} <= set(stated)


def test_an_output_that_the_constraint_forbids(made: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "home", ignore=shutil.ignore_patterns("run"))
    rows = (tmp_path / "home" / "data" / "train.jsonl").read_text().replace('\\"n\\": 7', '\\"n\\": \\"7\\"')
    (tmp_path / "home" / "data" / "train.jsonl").write_text(rows)
    with pytest.raises(DataError, match=r"train.jsonl:8: .* at character 36, after .*allowed there: \"0\""):
        engine.make(recipe.load(tmp_path / "home" / "home.toml"), tmp_path / "run", progress.display(), "data")


def test_answers_of_the_float_model_do_not_depend_on_drafts(made: Path) -> None:
    from tinsmith.evaluate.answers import Job, read_answers

    job = Job.load(made / "eval" / "tuned.job.json")
    assert any(item.draft for item in job.items)
    model = tinsmith.load(made / "merged", threads=1)
    for item, answer in zip(job.items, read_answers(made / "eval" / "tuned.jsonl"), strict=True):
        drafted = model.chat(item.messages, max_tokens=64, draft=item.draft)
        assert drafted.token_ids == answer.tokens


def test_the_sealed_file_says_where_it_comes_from(made: Path) -> None:
    run = load(made / "run.json")
    with zipfile.ZipFile(made / "home-q8_0.tin") as tin:
        assert tin.read("LICENSES/data.txt") == b"numbers are free\n"
        bill = json.loads(tin.read("sbom.cdx.json"))
        manifest = json.loads(tin.read("manifest.json"))
        assert tin.read("recipe.toml").decode() == RECIPE
    model = bill["metadata"]["component"]
    assert model["name"] == manifest["name"] == "home"
    assert model["hashes"][0]["content"] == run["stages"]["build"]["outputs"]["home-q8_0.gguf"]["sha256"]
    assert {"name": "tinsmith:weights", "value": "Q8_0"} in model["properties"]
    assert manifest["base"]["sha256"] == run["stages"]["data"]["facts"]["base"]["sha256"]
    assert manifest["data"]["train"] == run["stages"]["data"]["outputs"]["data/train.jsonl"]["sha256"]
    assert tinsmith.load(made / "home-q8_0.tin", threads=1).info.context == 1024


def test_the_sealed_file_says_how_well_it_does(made: Path, tmp_path: Path) -> None:
    """The report's figures, without times; and its weights are those that were built."""
    systems, path = load(made / "report.json")["systems"], made / "home-q8_0.tin"
    sealed = Tin(path)
    sealed.verify()
    assert set(sealed.manifest["metrics"]) == {"unconstrained", "constrained"}
    for label, name in (("unconstrained", "shipped_q8_0"), ("constrained", "shipped_q8_0_constrained")):
        metrics = sealed.manifest["metrics"][label]
        assert metrics == {key: systems[name][key] for key in metrics}
        assert {"exact", "exact_interval", "items"} <= set(metrics) and "ms_per_item" not in metrics
    card = json.loads(bytes(sealed.entry("sbom.cdx.json")))["metadata"]["component"]["modelCard"]
    assert len(card["quantitativeAnalysis"]["performanceMetrics"]) == 8
    assert cli.main(["export", str(path), "--gguf", str(tmp_path / "out.gguf")]) == 0
    assert (tmp_path / "out.gguf").read_bytes() == (made / "home-q8_0.gguf").read_bytes()
    report = load(made / "report.json")
    assert report["files"]["home-q8_0.tin"]["sha256"] == files.sha256_file(path)


def test_the_template_of_training_goes_along(made: Path, folder: Path, tmp_path: Path) -> None:
    """Into every file, with its digest; another one in the adapter's folder is refused."""
    settled = chat_template.settle(CHATML, system="home", quotes_input=True)
    assert (made / "adapter" / "chat_template.jinja").read_text("utf-8") == settled
    for path in (made / "merged", made / "home-q8_0.gguf"):
        spec = models.load(path)
        assert spec.chat_template == settled
        assert spec.general[chat_template.DIGEST] == chat_template.digest(settled)
    shutil.copytree(folder, tmp_path / "home")
    loaded, out = recipe.load(tmp_path / "home" / "home.toml"), tmp_path / "home" / "run"
    (out / "adapter" / "chat_template.jinja").write_text(CHATML, "utf-8")
    with opened(loaded, out, progress.display()) as run:
        with pytest.raises(FormatError, match="and the base with what the recipe states gives"):
            engine.MERGE.make(engine.MERGE.inputs(run), run.folder, run.reporter)
        models.save_hf(replace(models.load(made / "merged"), chat_template=None), out / "merged")
        with pytest.raises(FormatError, match=r"home was trained under the chat template \w{12} and has none"):
            engine.BUILD.make(engine.BUILD.inputs(run), run.folder, run.reporter)


def test_a_base_that_writes_the_date_needs_one(folder: Path, tmp_path: Path) -> None:
    dated = CHATML + "{{ strftime_now('%d %b %Y') }}"
    faults = {"": "state the one", 'date = "2026-11-25"\n': None, "thinking = true\n": "no switch for thinking"}
    for line, what in faults.items():
        (tmp_path / "home.toml").write_text(
            RECIPE.partition("[constraint]")[0].replace("[train]", line + "[train]")
        )
        loaded = recipe.load(tmp_path / "home.toml")
        if what is None:
            assert "25 Nov 2026" in prepared.settled(loaded, dated)
        else:
            with pytest.raises(InputError, match=what):
                prepared.settled(loaded, dated)


def test_made_again_nothing_runs(folder: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (made / "run.json").read_bytes()
    assert cli.main(make(folder)) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [f"{stage.name}: up to date" for stage in engine.STAGES]
    assert printed.out.splitlines()[-1] == str(made / "report.html")
    assert printed.out.startswith("system")
    assert (made / "run.json").read_bytes() == before


def test_a_changed_evaluation_trains_nothing(
    folder: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, out = folder / "home.toml", tmp_path / "run"
    shutil.copytree(made, out)
    changed.write_text(RECIPE + "max_error = 0.5\n")
    try:
        assert cli.main(["make", str(changed), "--out", str(out)]) == 0
    finally:
        changed.write_text(RECIPE)
    lines = capsys.readouterr().err.splitlines()
    assert [f"{name}: up to date" in lines for name in ("data", "train", "merge", "build", "verify")] == [
        True
    ] * 5
    assert "evaluate: …" in lines


def test_sealing_leaves_what_was_built(
    folder: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever of the two is lost or changed is made again, and what depends on it; the other stays."""
    out = tmp_path / "run"
    shutil.copytree(made, out)
    assert cli.main(["make", str(folder / "home.toml"), "--out", str(out)]) == 0
    capsys.readouterr()
    sealed, unsealed = out / "home-q8_0.tin", out / UNSEALED / "home-q8_0.tin"
    wanted, built = sealed.read_bytes(), unsealed.read_bytes()
    assert wanted != built

    def remade() -> list[str]:
        assert cli.main(["make", str(folder / "home.toml"), "--out", str(out)]) == 0
        return re.findall(r"^(\w+): …$", capsys.readouterr().err, flags=re.M)

    sealed.write_bytes(wanted[:-1] + b"x")
    assert remade() == ["seal", "report"]
    unsealed.unlink()
    assert remade() == ["build", "report"]
    assert (sealed.read_bytes(), unsealed.read_bytes()) == (wanted, built)
    changed = folder / "home.toml"
    changed.write_text(RECIPE + "# for the winter\n")
    try:
        assert remade() == ["seal", "report"]
    finally:
        changed.write_text(RECIPE)
    assert sealed.read_bytes() != wanted and unsealed.read_bytes() == built
    assert remade() == ["seal", "report"]
    assert sealed.read_bytes() == wanted


def test_a_build_that_was_not_measured_leaves_its_tins_where_the_sealed_ones_will_stand(
    folder: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(made, out)
    words = [str(folder / "home.toml"), "--out", str(out)]
    assert cli.main(["make", *words]) == 0
    tins = [out / f"home-{weights}.tin" for weights in ("f16", "q8_0")]
    sealed = [tin.read_bytes() for tin in tins]
    assert cli.main(["build", *words]) == 0
    assert [tin.read_bytes() for tin in tins] == sealed
    tins[0].unlink()
    capsys.readouterr()
    assert cli.main(["build", *words]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(out / f"home-{f}.{kind}") for f in ("f16", "q8_0") for kind in ("gguf", "tin")]
    assert [tin.read_bytes() for tin in tins] == [(out / UNSEALED / tin.name).read_bytes() for tin in tins]
    assert cli.main(["make", *words]) == 0
    assert [tin.read_bytes() for tin in tins] == sealed


def test_files_of_formats_that_a_recipe_no_longer_names_go(folder: Path, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(made, out)
    one = folder / "one.toml"
    one.write_text(RECIPE.replace('"F16", "Q8_0"', '"Q8_0"') + '[output]\nname = "home"\n')
    kept = out / "home-f16.txt"
    kept.write_text("a note")

    def there() -> set[str]:
        return {str(path.relative_to(out)) for path in out.rglob("home-*")}

    of_f16 = {f"{place}home-f16.{kind}" for place, kind in (("", "gguf"), ("", "tin"), ("unsealed/", "tin"))}
    before = there()
    assert cli.main(["build", str(one), "--out", str(out)]) == 0
    assert there() == before - of_f16
    # The tins of a build that was not sealed go, too.
    assert cli.main(["build", str(folder / "home.toml"), "--out", str(out)]) == 0
    assert there() == before
    assert cli.main(["make", str(one), "--out", str(out)]) == 0
    assert there() == before - of_f16
    assert kept.read_text() == "a note"


def test_a_tin_that_computes_something_else_is_refused(made: Path, folder: Path, tmp_path: Path) -> None:
    spec = replace(models.load(folder / "base.gguf"), chat_template=CHATML)
    spec = shipping.prepared(spec, "other", 0)
    weights = [shipping.Weights("Q8_0")]
    ((gguf, tin),) = shipping.build_files(spec, tmp_path, weights, progress.PlainDisplay()).values()
    prompts = [[{"role": "user", "content": "number 3"}]]
    assert shipping.verify_pair(tin, gguf, prompts)["prompts"] == 1
    with pytest.raises(FormatError, match=r"its logits on \d+ prompts differ from home-q8_0\.gguf"):
        shipping.verify_pair(tin, made / "home-q8_0.gguf", prompts)


def test_a_context_longer_than_the_base_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="context 4096 is longer than the base's 2048 tokens"):
        shipping.prepared(models.load(folder / "base.gguf"), "x", 4096)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on a file's size")
def test_a_disk_that_takes_no_more_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    # A limit on the size of files is the fault of a full disk that needs no disk of its own.
    script = (
        "import resource, sys; from tinsmith import cli; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); sys.exit(cli.main(sys.argv[1:]))"
    )
    out = tmp_path / "out"
    command = ["build", str(folder / "base.gguf"), "--format", "q8_0", "--out", str(out)]
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"tinsmith: error: \S+base-q8_0\.gguf: cannot write: .*\n", done.stderr)
    assert list(out.iterdir()) == []


def is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")
def test_ctrl_c_is_one_line_and_no_orphan(folder: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "make", str(folder / "home.toml"), "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    answers = tmp_path / "run" / "eval" / "zero_shot.jsonl"
    while not answers.exists() or answers.read_bytes().count(b"\n") < 2:
        assert process.poll() is None
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == cli.INTERRUPTED
    assert printed.splitlines()[-1] == "tinsmith: interrupted; run the same command again to resume"
    assert "Traceback" not in printed
    # A worker that was just being started ends by itself, as nobody reads what it says.
    deadline = time.monotonic() + 30
    while is_group_alive(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_run_killed_again_and_again_ends_as_one_that_was_not(
    folder: Path, made: Path, killed: Callable[..., None]
) -> None:
    other = folder / "killed"
    sights = (
        "eval/few_shot.jsonl",
        "adapter",
        "merged/config.json",
        f"{UNSEALED}/home-f16.tin",
        "eval/shipped_q8_0.jsonl",
    )
    killed(folder / "home.toml", other, sights)
    for name in ("home-q8_0.tin", "home-f16.gguf", "adapter/adapter_model.safetensors"):
        assert files.sha256_file(other / name) == files.sha256_file(made / name), name
    for ended in (other, made):
        assert not [path for path in ended.iterdir() if path.suffix == ".tmp"]
    ours, theirs = (load(run / "report.json")["systems"] for run in (other, made))
    for name in theirs:
        assert [ours[name][key] for key in ("exact", "valid", "parts")] == [
            theirs[name][key] for key in ("exact", "valid", "parts")
        ]


def test_data_that_cannot_be_made(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "home.toml"
    text = RECIPE.replace("base.gguf", str(folder / "base.gguf"))
    path.write_text(text.replace("sample.py", "none.py"))
    with pytest.raises(InputError, match=r"\[data\] command ended with exit code 2: python none\.py"):
        engine.make(recipe.load(path), tmp_path / "run", progress.PlainDisplay(), "data")
    path.write_text(text.replace('"python"', '"no-such-program"'))
    with pytest.raises(InputError, match="no-such-program: No such file"):
        engine.make(recipe.load(path), tmp_path / "run", progress.PlainDisplay(), "data")


def test_an_output_that_the_task_does_not_have(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE.replace('"arguments"', '"args"'))
    path = tmp_path / "home.toml"
    path.write_text(RECIPE.replace("base.gguf", str(folder / "base.gguf")))
    with pytest.raises(FaultsError, match=r"train\.jsonl:1: the output is not an object of \"name\""):
        engine.make(recipe.load(path), tmp_path / "run", progress.PlainDisplay(), "data")
