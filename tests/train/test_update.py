"""Learning goes on: an adapter that is gone on from, what is replayed, and which of two adapters is kept."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.train.tiny_training import encode, killed_and_resumed, make_spec, train
from tests.train.updating import NEW, OLD, ROWS, make_plan, train_one
from tinsmith import cli
from tinsmith.chat import chat_template
from tinsmith.data.preferences import Preference
from tinsmith.data.readers import Example
from tinsmith.errors import FormatError, InputError, RecipeError
from tinsmith.pipeline import recipe
from tinsmith.pipeline.stages.train.options import options as train_options
from tinsmith.spec import Spec
from tinsmith.train import run
from tinsmith.train.batches.replay import SAMPLE, Replay
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.beginning import start
from tinsmith.train.events import CONTINUED, RETRAINED, START, Replayed, Score
from tinsmith.train.footprint import memory
from tinsmith.train.job import Job
from tinsmith.train.options import TrainOptions
from tinsmith.train.steps import logs
from tinsmith.train.update import Plan, update

OPTIONS = TrainOptions(
    epochs=8, rank=4, learning_rate=5e-3, batch_tokens=60, renew=2, qat=None, threads=1, task="classify"
)


@pytest.fixture(scope="module")
def learned(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that knows the old rows."""
    folder = tmp_path_factory.mktemp("learned")
    options = replace(OPTIONS, epochs=60)
    return train("lora", spec, OLD, OLD, options, folder).folder


def sequences(count: int) -> list[TokenSequence]:
    return [TokenSequence((1, n), (2,)) for n in range(count)]


def test_what_is_forgotten_is_replayed_more() -> None:
    replay = Replay(sequences(100), ["a"] * 100, 0.2, seed=0)
    rises = [1.0 if place < 20 else 0.0 for place in replay.sample]
    assert replay.count(80) == 20
    counts = Counter(place for epoch in range(300) for place in replay.choose(epoch, 80, rises))
    risen = sum(counts[place] for place in range(20)) / 20
    other = sum(counts[place] for place in range(20, 100)) / 80
    assert 2.5 * other < risen < 6 * other  # a weight of 6 to 1, without replacement
    assert replay.choose(7, 80, rises) == replay.choose(7, 80, rises)
    even = Counter(place for epoch in range(300) for place in replay.choose(epoch, 80))
    assert max(even.values()) < 2 * min(even.values())


def test_a_label_is_replayed_for_what_its_sample_lost() -> None:
    count = 4 * SAMPLE
    labels = ["ab"[place % 2] for place in range(count)]
    replay = Replay(sequences(count), labels, 0.5, seed=0)
    rises = [float(labels[place] == "b") for place in replay.sample]
    sampled = set(replay.sample)
    counts = Counter(place for epoch in range(100) for place in replay.choose(epoch, 50, rises))
    outside = Counter(labels[place] for place in counts.elements() if place not in sampled)
    assert outside["b"] > 2 * outside["a"]


def test_replay_takes_no_more_than_there_is() -> None:
    replay = Replay(sequences(3), [None] * 3, 0.5, seed=0)
    assert replay.choose(0, 50) == [0, 1, 2]
    assert Replay(sequences(3), [None] * 3, 0.01, seed=0).count(1) == 1


def test_training_goes_on_from_the_adapter(spec: Spec, learned: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=1, learning_rate=1e-4)
    result = train("lora", spec, OLD, OLD, options, tmp_path / "more", start=learned)
    assert result.validations[-1].exact == 1.0
    assert result.curve[0].loss < 0.5
    assert train("lora", spec, OLD, OLD, options, tmp_path / "fresh").curve[0].loss > 2


@pytest.mark.parametrize("qat", [None, "Q4_0"])
def test_going_on_ends_with_the_same_bits(qat: str | None, spec: Spec, learned: Path, tmp_path: Path) -> None:
    """With epochs whose replayed rows are chosen as they begin."""
    options = replace(OPTIONS, epochs=5, replay=0.4, qat=qat)
    more = {"start": learned, "known": OLD}
    killed_and_resumed("lora", spec, NEW, ROWS, options, tmp_path, **more)


def test_a_checkpoint_is_of_one_starting_adapter(spec: Spec, learned: Path, tmp_path: Path) -> None:
    other = train("lora", spec, OLD, OLD, replace(OPTIONS, epochs=1), tmp_path / "other").folder
    jobs = [
        Job(spec, NEW, ROWS, OPTIONS, tmp_path, encode, start=folder, known=known)
        for folder, known in ((learned, OLD), (other, OLD), (learned, OLD[:-1]))
    ]
    digests = {run.methods.by_name("lora").trainee(job).digest for job in jobs}
    assert len(digests) == 3


def test_each_epoch_says_what_it_replays(
    spec: Spec, learned: Path, tmp_path: Path, events: tuple[list[Any], Callable[[Any], None]]
) -> None:
    seen, note = events
    options = replace(OPTIONS, epochs=3, replay=0.4, learning_rate=3e-2)
    train("lora", spec, NEW, ROWS, options, tmp_path, note, start=learned, known=OLD)
    told = [event for event in seen if isinstance(event, Replayed)]
    assert [(one.epoch, one.count, one.known) for one in told] == [(n, 4, 15) for n in (1, 2, 3)]
    assert told[0].rise == 0
    assert told[1].rise > 0


def test_replay_keeps_what_was_known(spec: Spec, learned: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=20, replay=0.6)
    alone = train("lora", spec, NEW, OLD, options, tmp_path / "alone", start=learned)
    both = train("lora", spec, NEW, OLD, options, tmp_path / "both", start=learned, known=OLD)
    assert both.validations[-1].loss < 0.5 * alone.validations[-1].loss


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_the_reference_is_the_adapter_that_preferences_start_from(
    method: str, spec: Spec, learned: Path, tmp_path: Path
) -> None:
    rows: list[Any] = [Preference(row.input, (row.output, "x")) for row in OLD]
    if method == "kto":
        rows = [Preference(row.input, (row.output,), n % 2 == 0) for n, row in enumerate(OLD)]
    more = {"preferences": rows, "validation_preferences": rows, "start": learned}
    options = replace(OPTIONS, epochs=1)
    result = train(method, spec, (), (), options, tmp_path, **more)
    # No output is likelier than by the reference yet.
    assert result.curve[0].loss == pytest.approx(math.log(2) if method == "dpo" else 0.5, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rank": 8}, r"has rank 4, but the recipe's \[train\] rank is 8"),
        ({"rank": 2}, r"has rank 4, .* rank is 2; set rank"),  # of like scale as the mean of two
        ({"alpha": 64.0}, r"the scale of \w+ is 8, and by the recipe's \[train\] alpha it would be 16; state"),
        (
            {"targets": ("q_proj", "v_proj")},
            r"the recipe's \[train\] targets .* targets = \[\"down_proj\", \"gate",
        ),
    ],
)
def test_an_adapter_of_another_layout_is_refused(
    changes: dict[str, Any], said: str, spec: Spec, learned: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        train("lora", spec, NEW, NEW, replace(OPTIONS, **changes), tmp_path, start=learned)
    assert "\n" not in str(caught.value)


def test_an_adapter_of_another_base_is_refused(spec: Spec, learned: Path) -> None:
    start.check(learned, spec)
    with pytest.raises(InputError, match="base_model_name_or_path is 'tiny', and the recipe's base is 'large'"):
        start.check(learned, replace(spec, general={"name": "large"}))
    with pytest.raises(InputError, match=r"is \[\d+, \d+\] in the base, the adapter's factors are"):
        start.check(learned, make_spec(ffn_dim=128))


def test_an_adapter_of_another_template_is_refused_but_for_its_tools(spec: Spec, learned: Path) -> None:
    with pytest.raises(FormatError, match="was trained under the chat template"):
        start.check(learned, replace(spec, chat_template=f"{spec.chat_template} "))
    lists = f"{{% if tools %}}{{{{ tools | tojson }}}}{{% endif %}}{spec.chat_template}"
    tools = [{"name": name} for name in ("on", "it's off {%")]
    old, new = (chat_template.settle(lists, system="home", tools=tools[:count]) for count in (1, 2))
    assert old != new
    trained = learned.parent / "tools"
    trained.mkdir()
    for path in learned.iterdir():
        (trained / path.name).write_bytes(path.read_bytes())
    (trained / "chat_template.jinja").write_text(old)
    listed = chat_template.literal(tools)
    start.check(trained, replace(spec, chat_template=new), listed)
    other = chat_template.settle(lists, system="house", tools=tools)
    with pytest.raises(FormatError, match="was trained under the chat template"):
        start.check(trained, replace(spec, chat_template=other), listed)


@pytest.fixture
def plan(spec: Spec, learned: Path, tmp_path: Path) -> Plan:
    return make_plan(spec, learned, tmp_path, replace(OPTIONS, epochs=40, replay=0.5))


@pytest.mark.slow
def test_the_better_of_going_on_and_beginning_anew_is_kept(plan: Plan, tmp_path: Path) -> None:
    trained: list[str] = []
    result, outcome = update(plan, train_one(trained), lambda line: None)
    assert trained == [CONTINUED, RETRAINED]
    scores = outcome.scores
    assert list(scores) == [START, CONTINUED, RETRAINED]
    assert scores[START]["old test"].exact == 1.0
    assert scores[START]["new test"].exact < 0.5
    assert scores[CONTINUED]["new test"].exact > 0.8
    for one in scores.values():
        for name, count in (("old test", 15), ("new test", 6)):
            change = round(count * (one[name].exact - scores[START][name].exact))
            assert one[name].gained - one[name].lost == change
    # The tests here are the validation rows, so that what training validated must come out again.
    pooled = scores[outcome.kept]
    exact = (15 * pooled["old validation"].exact + 6 * pooled["new validation"].exact) / 21
    assert exact == pytest.approx(result.worth[0])
    assert result.folder == tmp_path / "adapter"
    kept = tmp_path / "update" / outcome.kept / "adapter"
    names = {path.name for path in kept.iterdir()}
    assert names == {path.name for path in result.folder.iterdir()}
    for name in names:
        assert (kept / name).read_bytes() == (result.folder / name).read_bytes()
    # What ended is not trained again, and comes to the same.
    again: list[str] = []
    assert update(plan, train_one(again), lambda line: None) == (result, outcome)
    assert again == []
    (tmp_path / "update" / RETRAINED / "adapter" / "adapter_model.safetensors").write_bytes(b"")
    update(plan, train_one(again), lambda line: None)
    assert again == [RETRAINED]
    changed = replace(plan, digests={CONTINUED: "another", RETRAINED: "other"}, retrain="never")
    update(changed, train_one(again), lambda line: None)
    assert again == [RETRAINED, CONTINUED]


def test_all_is_trained_again_where_too_much_is_forgotten(plan: Plan, spec: Spec, tmp_path: Path) -> None:
    for rate, wanted in ((1e-6, [CONTINUED]), (0.3, [CONTINUED, RETRAINED])):
        options = replace(plan.job.options, learning_rate=rate, epochs=2, replay=0.1)
        job = replace(plan.job, options=options, out_dir=tmp_path / f"{rate}")
        whole = replace(plan.whole, out_dir=job.out_dir)
        trained: list[str] = []
        lines: list[str] = []
        _, outcome = update(
            replace(plan, job=job, whole=whole, retrain="auto"), train_one(trained), lines.append
        )
        assert trained == wanted
        assert len(lines) == len(wanted) - 1
        if RETRAINED in wanted:
            assert outcome.kept == RETRAINED
            assert "points lost; retraining on all examples" in lines[0]


@pytest.mark.parametrize(("lost", "wanted"), [(1, [CONTINUED]), (2, [CONTINUED, RETRAINED])])
def test_one_lost_of_a_hundred_is_not_more_than_one_per_cent(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, lost: int, wanted: list[str]
) -> None:
    def scores(graded: dict[str, Any]) -> dict[str, dict[str, Score]]:
        return {
            name: {key: Score(100, 0.1, 0.95 - lost / 100 * (name != START), lost, 0) for key in plan.sets}
            for name in graded
        }

    monkeypatch.setattr("tinsmith.train.update._scores", scores)
    job, whole = (replace(one, options=replace(one.options, epochs=1)) for one in (plan.job, plan.whole))
    trained: list[str] = []
    update(replace(plan, job=job, whole=whole, retrain="auto"), train_one(trained), lambda line: None)
    assert trained == wanted


def test_what_is_only_measured_needs_no_memory_to_learn_it(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce(network: Any, batches: Any, *given: Any) -> memory.Plan:
        if max(sum(map(len, batch)) for batch in batches) > 100:
            raise InputError("training would take more than is free")
        return memory.Plan("")

    monkeypatch.setattr(memory, "plan", scarce)
    long = [Example("ab" * 60, "3")]
    options = replace(plan.job.options, epochs=1)
    short = replace(plan, job=replace(plan.job, options=options), sets={**plan.sets, "new test": long})
    _, outcome = update(replace(short, retrain="never"), train_one([]), lambda line: None)
    assert outcome.scores[START]["new test"].items == 1
    with pytest.raises(InputError, match="training would take more"):
        train("lora", plan.job.spec, long, long, options, plan.job.out_dir / "long")


def test_the_record_of_a_training_is_plain(plan: Plan, tmp_path: Path) -> None:
    update(replace(plan, retrain="never"), train_one([]), lambda line: None)
    record = json.loads((tmp_path / "update" / CONTINUED / "result.json").read_text())
    assert record["digest"] == "digest"
    assert record["result"]["folder"] == "adapter"


def rows(numbers: range) -> str:
    lines = [{"input": f"number {n}", "output": ("even", "odd")[n % 2]} for n in numbers]
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def begun(small_recipe: Path) -> Path:
    """A recipe whose adapter is trained, with new examples beside it."""
    folder = small_recipe.parent
    assert cli.main(["make", "--until", "train", str(small_recipe), "--out", str(folder / "run")]) == 0
    lines = [{"input": f"count {n}", "output": "many"} for n in range(10)]
    new = "".join(json.dumps(line) + "\n" for line in [*lines, {"input": "Number 3!", "output": "many"}])
    (folder / "new.jsonl").write_text(new)
    return small_recipe


def test_the_command_goes_on_from_an_adapter(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = begun.parent
    before = (folder / "run" / "adapter" / "adapter_model.safetensors").read_bytes()
    words = [
        *("make", "--until", "train"),
        str(begun),
        "--from",
        str(folder / "run" / "adapter"),
        "--data",
        str(folder / "new.jsonl"),
    ]
    words += ["--retrain", "always", "--log", "csv"]
    capsys.readouterr()
    assert cli.main([*words, "--out", str(folder / "more")]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(folder / "more" / "adapter")
    assert "data: 10 new examples, 1 more to validate on; 1 old ones with their inputs give way" in err
    assert "epoch 2: 10 of 11 old examples replayed" in err
    assert "epoch 3: 10" not in err
    assert re.search(r"update: old test: [\d.]+% before, [\d.]+% after \(95 % between .*\), \d of 3 lost", err)
    state = json.loads((folder / "more" / "run.json").read_text())["stages"]
    assert state["data"]["facts"]["new"] == {"train": 10, "validation": 1, "test": 0, "replaced": 1}
    assert state["data"]["facts"]["counts"] == {"train": 21, "validation": 4, "test": 3}
    assert state["train"]["inputs"]["update"]["epochs"] == 2
    updated = state["train"]["facts"]["update"]
    assert updated["kept"] in ("continued", "retrained")
    assert set(updated["seconds"]) == {"continued", "retrained"}
    assert set(updated["scores"]["start"]) == {"old test", "old validation", "new validation"}
    assert (folder / "more" / "logs" / "retrained" / logs.CSV).exists()
    assert (folder / "run" / "adapter" / "adapter_model.safetensors").read_bytes() == before
    capsys.readouterr()
    assert cli.main([*words, "--out", str(folder / "more")]) == 0
    assert "train: up to date" in capsys.readouterr().err
    words[words.index("--from") + 1] = str(folder / "more" / "adapter")
    assert cli.main([*words, "--out", str(folder / "more")]) == 2
    assert "where training would replace it; give another folder with --out" in capsys.readouterr().err


def test_a_recipe_states_an_update_and_reports_it(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = begun.parent
    (folder / "new-test.jsonl").write_text('{"input": "count 77", "output": "many"}\n')
    table = (
        '[update]\nadapter = "run/adapter"\ndata = "new.jsonl"\ntest = "new-test.jsonl"\nretrain = "never"\n'
    )
    begun.write_text(begun.read_text() + table)
    assert cli.main(["make", str(begun), "--out", str(folder / "more")]) == 0
    report = json.loads((folder / "more" / "report.json").read_text())
    assert list(report["systems"]["shipped_q8_0"]["parts"]) == ["new", "old"]
    update = report["train"]["update"]
    assert update["kept"] == "continued"
    assert update["scores"]["continued"]["new test"]["items"] == 1
    page = (folder / "more" / "report.html").read_text()
    assert "<h2>Forgetting</h2>" in page
    assert "<td>old test</td>" in page


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('data = "new.jsonl"\n', r"\[update\] adapter: missing; give the folder of the adapter to go on from"),
        ('adapter = "run/adapter"\nepochs = 3\n', r"\[update\] epochs: goes with data, the new examples"),
        ('adapter = "none"\n', r"none: holds no adapter_config.json and adapter_model.safetensors"),
        ('adapter = "run/adapter"\ndata = "none.jsonl"\n', r"none.jsonl: no such file"),
        ('adapter = "run/adapter"\ndata = "one.jsonl"\n', r"one.jsonl: holds one example, and one is held out"),
        (
            'adapter = "run/adapter"\ndata = "all.jsonl"\n',
            r"all.jsonl: has every input of the training",
        ),
        ('adapter = "run/adapter"\n[train]\nrank = 3\n', r"has rank 16, but the recipe's \[train\] rank"),
    ],
)
def test_what_is_wrong_with_an_update_is_one_line(
    table: str, said: str, begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = begun.parent
    (folder / "one.jsonl").write_text(rows(range(40, 41)))
    (folder / "all.jsonl").write_text(rows(range(15)))
    (folder / "val.jsonl").write_text(rows(range(50, 52)))
    text = begun.read_text()
    if "[train]" in table:
        text = text.replace("[train]\nepochs = 1\n", "")
    if "all.jsonl" in table:
        table += 'validation = "val.jsonl"\n'
    begun.write_text(text + "[update]\n" + table)
    capsys.readouterr()
    assert cli.main(["make", "--until", "train", str(begun), "--out", str(folder / "more")]) == 2
    err = capsys.readouterr().err
    assert re.search(said, err.splitlines()[-1])


@pytest.mark.parametrize(
    ("method", "key", "said"),
    [
        (
            "full",
            "adapter",
            '"continue", "distill", "dpo", "grpo", "kto", "lora", "orpo"; this one is "full"',
        ),
        ("dpo", "data", '"lora"; this one is "dpo"'),
    ],
)
def test_a_method_that_cannot_go_on_says_so(method: str, key: str, said: str, small_recipe: Path) -> None:
    text = small_recipe.read_text().replace("epochs = 1", f'method = "{method}"')
    if method == "dpo":
        text = text.replace("[train]", 'preferences = "pairs.jsonl"\n[train]')
    given = {"adapter": 'adapter = "run/adapter"\n', "data": 'adapter = "a"\ndata = "b"\n'}[key]
    small_recipe.write_text(text + "[update]\n" + given)
    with pytest.raises(RecipeError, match=rf"\[update\] {key}: is for method .*{said}, leave it out"):
        recipe.load(small_recipe)


@pytest.mark.parametrize(
    ("stated", "key", "method", "rate", "gentle"),
    [
        ("auto", "auto", "lora", None, 0.25),
        (0.004, "auto", "lora", 0.001, 0.25),
        (0.004, 0.002, "lora", 0.002, 0.25),
        (0.004, "auto", "dpo", 0.004, 1.0),
        (0.004, "auto", "orpo", 0.001, 0.25),
    ],
)
def test_going_on_takes_a_part_of_the_rate(
    stated: Any, key: Any, method: str, rate: float | None, gentle: float, small_recipe: Path
) -> None:
    keys = f'method = "{method}"\nlearning_rate = {json.dumps(stated)}'
    text = small_recipe.read_text().replace("epochs = 1", keys)
    if method != "lora":
        text = text.replace("[train]", 'preferences = "pairs.jsonl"\n[train]')
    small_recipe.write_text(f'{text}[update]\nadapter = "a"\nlearning_rate = {json.dumps(key)}\n')
    loaded = recipe.load(small_recipe)
    found = train_options(loaded, 1000, goes_on=True)
    assert (found.learning_rate, found.gentle) == (rate, gentle)
    if rate is None:
        chosen, note = found.rate((0.004, "chosen"))
        assert chosen == 0.001
        assert "0.25 of a new adapter's" in note
    else:
        is_part = rate != stated and key == "auto"
        told = "0.25 of the 0.004 given, to go on from an adapter" if is_part else "as given"
        assert found.rate((0.004, "chosen")) == (rate, f"learning rate {rate:g}, {told}")
    begun = train_options(loaded, 1000)
    assert (begun.learning_rate, begun.gentle) == (None if stated == "auto" else stated, 1.0)
