"""A whole comparison on tiny models: every kind of system, a verdict, and what an interrupted one keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.backends.scripted_endpoint import Reply, Server, says, serving
from tests.models.tiny_models import tiny_spec
from tests.models.tiny_recipes import BASE
from tests.models.transformers_models import CHATML
from tinsmith import cli, models, tasks
from tinsmith.data.readers import Example
from tinsmith.data.shapes import Named
from tinsmith.errors import DataError, InputError
from tinsmith.evaluate.answers import Answer
from tinsmith.evaluate.systems import Outcome
from tinsmith.models import family
from tinsmith.pipeline import recipe
from tinsmith.pipeline.compare import asking, change, settings, weak
from tinsmith.pipeline.examples import columns
from tinsmith.pipeline.recipe import tables as recipe_tables

RECIPE = (
    BASE
    + """\
system = "home"
augment = false
[train]
epochs = 1
batch_tokens = 4096
[constraint]
schema = "schema.json"
spacing = "spaced"
[eval]
max_tokens = 24
shots = 1
threads = 1
[compare]
"""
)
MORE = """\
bases = ["base.gguf", "other.gguf"]
changed = ["changed.jsonl", "changed-train.jsonl"]
machine_hour = 0.36
[[compare.endpoint]]
name = "far"
url = "{url}"
model = "big"
prompt = "retrieval"
price = [1.0, 2.0]
[[compare.answers]]
name = "rules"
file = "answers.jsonl"
"""
NUMBERS = {"train": range(24), "validation": range(24, 28), "test": range(28, 60)}


def call(number: int, kind: str = "") -> str:
    kinds = ("blue", "red", "green")
    arguments = {"n": number, "kind": kind or kinds[number % 3]}
    return json.dumps({"name": "Set" if number % 2 else "Get", "arguments": arguments})


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    for name, width in (("base", 96), ("other", 192)):
        sizes = {"hidden_size": width, "intermediate_size": 96, "max_position_embeddings": 2048}
        spec = replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML)
        models.save_gguf(spec, folder / f"{name}.gguf")
    for name, numbers in NUMBERS.items():
        rows = [{"input": f"number {n}", "output": call(n), "part": "ab"[n % 2]} for n in numbers]
        write(folder / f"{name}.jsonl", rows)
    changed = {"test": range(28, 42), "train": range(12)}
    for name, numbers in changed.items():
        rows = [{"input": f"number {n}", "output": call(n, "grey")} for n in numbers]
        write(folder / f"changed{'-train' if name == 'train' else ''}.jsonl", rows)
    write(folder / "answers.jsonl", [{"input": f"number {n}", "text": call(n)} for n in NUMBERS["test"]])

    def closed(**keys: Any) -> dict[str, Any]:
        return {"type": "object", "properties": keys, "required": list(keys), "additionalProperties": False}

    kinds = {"enum": ["blue", "red", "green", "grey"]}
    number = {"type": "integer", "minimum": 0, "maximum": 99}
    schema = closed(name={"enum": ["Get", "Set"]}, arguments=closed(n=number, kind=kinds))
    (folder / "schema.json").write_text(json.dumps(schema))
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    def wrong_once_in_four(body: dict[str, Any]) -> Reply:
        number = int(body["messages"][-1]["content"].split()[-1])
        return says(call(number) if number % 4 else "{}")

    with serving(wrong_once_in_four) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def few_examples_have_a_curve() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "LARGE", replace(settings.LARGE, sizes=(10,)))
        yield


@pytest.fixture(scope="module")
def made(folder: Path, server: Server) -> dict[str, Any]:
    (folder / "all.toml").write_text(RECIPE + MORE.format(url=server.url))
    assert compare(folder, "all") == 0
    return load(folder / "all")


def compare(folder: Path, name: str, *more: str) -> int:
    return cli.main(["compare", str(folder / f"{name}.toml"), "--out", str(folder / name), *more])


def load(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    return found


def test_every_system_answers_the_same_items(made: dict[str, Any]) -> None:
    prompted = ["zero_shot", "few_shot", "retrieval"]
    tuned = ["tuned", "tuned_retrieval"]
    names = [f"{way}{base}{bound}" for base in ("", "@other.gguf") for way in prompted for bound in BOUND]
    names += ["nearest", "rules", "far"]
    names += [f"{way}{base}{bound}" for base in ("", "@other.gguf") for way in tuned for bound in BOUND]
    assert list(made["systems"]) == names
    assert {one["items"] for one in made["systems"].values()} == {32}
    for name, one in made["systems"].items():
        assert (one["peak_memory"] is None) == (name in ("nearest", "rules", "far"))
        assert ("training_seconds" in one and one["training_seconds"] is not None) == name.startswith("tuned")
        if one["constrained"]:
            # What the constraint allows is cut off at 24 tokens now and then, and else valid.
            assert one["valid"] >= made["systems"][name.removesuffix("_constrained")]["valid"]


BOUND = ("", "_constrained")


def test_right_answers_are_counted_and_held_to_the_best_prompted(made: dict[str, Any]) -> None:
    assert made["best_prompted"] == "far"
    far, rules = made["systems"]["far"], made["systems"]["rules"]
    assert (far["exact"], rules["exact"]) == (0.75, 1.0)
    assert "best_prompted" not in far["against"]
    against = rules["against"]["best_prompted"]
    assert (against["first"], against["second"], against["errors"]) == (8, 0, 0.0)
    assert against["p"] == pytest.approx(2 / 2**8)
    assert rules["against"]["tuned"]["second"] == 0


def test_costs_follow_from_the_prices(made: dict[str, Any]) -> None:
    far, tuned = made["systems"]["far"], made["systems"][made["tuned"]]
    assert far["cost_per_1000"] == pytest.approx(1000 * (7 * 1.0 + 3 * 2.0) / 1e6)
    hour = 0.36 * tuned["ms_per_item"] / 3_600_000
    assert tuned["cost_per_100000"] == pytest.approx(100_000 * hour)
    ratio = tuned["against"]["best_prompted"]["cost"]
    assert ratio == pytest.approx(tuned["cost_per_1000"] / far["cost_per_1000"])
    assert made["systems"]["rules"]["cost_per_1000"] is None
    saved = (far["cost_per_1000"] - tuned["cost_per_1000"]) / 1000
    assert (
        (tuned["pays_after"] - 1) * saved
        < 0.36 * tuned["training_seconds"] / 3600
        <= tuned["pays_after"] * saved
    )
    assert far["pays_after"] is None


def test_a_stated_change_is_what_retrieval_follows(made: dict[str, Any]) -> None:
    """The endpoint answers as before; retrieval here finds the changed rows, which no test input is among."""
    found = made["changed"]
    assert (found["items"], found["stated"]) == (14, True)
    assert set(found["systems"]) == {"retrieval", "tuned", "both"}
    assert set(found["against_tuned"]) == {"retrieval", "both"}
    assert found["systems"]["tuned"]["system"] == made["tuned"]


def test_the_verdict_has_its_reasons(made: dict[str, Any]) -> None:
    assert made["verdict"]["verdict"] == "collect more"
    assert "it learned from 24 examples; 100 are the least to judge by" in made["verdict"]["reasons"]
    assert made["curve"]["points"][0]["examples"] == 10
    assert made["curve"]["doubling"]["why"].startswith("2 sizes of training data")
    alone = made["alone"]
    assert {"far", "rules", made["tuned"]} <= set(alone)
    assert alone["rules"]["right"] == 8
    assert all(int(row["input"].split()[-1]) % 4 == 0 for row in alone["rules"]["right_items"])


def test_the_page_needs_nothing_else(folder: Path, made: dict[str, Any]) -> None:
    page = (folder / "all" / "compare.html").read_text(encoding="utf-8")
    assert "collect more" in page
    assert "far" in page
    assert not re.findall(r"<script|https?://|src=", page)


def test_what_is_finished_asks_nothing_again(
    folder: Path, made: dict[str, Any], server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = len(server.asked)
    assert asked == 32
    assert compare(folder, "all", "--json") == 0
    printed = capsys.readouterr()
    again = json.loads(printed.out)
    assert len(server.asked) == asked
    assert "train: …" not in printed.err
    assert again["verdict"] == made["verdict"]
    for name, one in made["systems"].items():
        if name != "nearest":  # whose time is measured again
            assert again["systems"][name]["ms_per_item"] == one["ms_per_item"]


@pytest.mark.slow
def test_a_killed_comparison_goes_on(folder: Path, made: dict[str, Any], killed: Callable[..., None]) -> None:
    """To the answers of one that was let be."""
    (folder / "home.toml").write_text(RECIPE)
    sights = ("eval/few_shot.jsonl", "tuned/base.gguf/24/trained.json")
    killed(folder / "home.toml", folder / "home", sights, "compare")
    assert len(load(folder / "home")["systems"]) == 11
    answers = sorted((folder / "home" / "eval").glob("*.jsonl"))
    for path in answers:
        if "changed" not in path.name:
            assert texts(path) == texts(folder / "all" / "eval" / path.name), path.name


def texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text().splitlines()[1:]]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            '[scratch]\nlayers = 2\nhidden = 64\n[data]\ntrain = "a"\n',
            "there is no base that could be prompted",
        ),
        (
            '[base]\nmodel = "b"\n[data]\ntrain = "a"\n[update]\nadapter = "x"\n',
            "compare says whether to train at all",
        ),
        (
            '[base]\nmodel = "b"\n[data]\ntrain = "a"\n[train]\nmethod = "prefix"\n',
            "which no file can be built from",
        ),
        (
            '[base]\nmodel = "b"\n[data]\npreferences = "a"\nvalidation = "a"\ntest = "a"\n'
            '[train]\nmethod = "dpo"\n[eval]\nbaselines = []\n',
            "retrieval finds them",
        ),
    ],
)
def test_there_must_be_something_to_compare(tmp_path: Path, tables: str, said: str) -> None:
    (tmp_path / "some.toml").write_text(tables)
    with pytest.raises(InputError, match=said):
        settings.check(recipe.load(tmp_path / "some.toml"))


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            '[compare]\nchanged = ["a.jsonl"]\n',
            r'home\.toml:7: \[compare\] changed: got .*; allowed is "auto", "none" or two files',
        ),
        (
            '[[compare.answers]]\nname = "a"\nprice = [1]\n',
            r"price: got \[1\]; allowed is the prices of a million",
        ),
        (
            '[[compare.endpoint]]\nname = "a"\nurl = "u"\nmodel = "m"\n'
            '[[compare.endpoint]]\nname = "b"\nurls = 1\n',
            r"home\.toml:12: \[compare\.endpoint 2\] urls: no such key, did you mean url\?",
        ),
        (
            '[[compare.answers]]\nname = "a"\nfile = "x"\n[[compare.answers]]\nname = "a"\nfile = "y"\n',
            r'two systems are called "a"',
        ),
        ('[[compare.answers]]\nname = "a"\n', r"home\.toml:6: \[compare\.answers 1\] file: missing"),
        ("[compare]\nendpoint = 3\n", r"a list of tables: write \[\[compare\.endpoint\]\]"),
    ],
)
def test_a_mistake_in_the_tables_has_its_line(tmp_path: Path, tables: str, said: str) -> None:
    path = tmp_path / "home.toml"
    path.write_text('[base]\nmodel = "b"\n[data]\ntrain = "a"\n\n' + tables)
    with pytest.raises(InputError, match=said):
        recipe.load(path)


def test_a_key_that_is_not_set_is_said_before_it_is_needed(folder: Path, tmp_path: Path) -> None:
    """Before anything is trained or asked."""
    text = RECIPE + '[[compare.endpoint]]\nname = "far"\nurl = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
    (folder / "key.toml").write_text(text + 'key_env = "NO_SUCH_KEY"\n')
    with pytest.raises(InputError, match="NO_SUCH_KEY is not in the environment"):
        settings.check(recipe.load(folder / "key.toml"))


def test_a_part_of_the_examples_is_held_to_the_labels_of_all(tmp_path: Path) -> None:
    """Which may lack one that is validated on, and that the constraint would then forbid."""
    text = RECIPE.replace('schema = "schema.json"\nspacing = "spaced"', 'choices = "labels"')
    (tmp_path / "home.toml").write_text(text.replace('system = "home"', 'task = "classify"'))
    loaded = recipe.load(tmp_path / "home.toml")
    splits = {split: tmp_path / split for split in NUMBERS}
    assert loaded.constraint.choices == recipe_tables.LABELS
    small = settings.settings(loaded, small=True)
    trained = settings.of_training(loaded, "base.gguf", splits, frozenset(("odd", "even", "none")), small)
    assert trained.constraint.choices == ("even", "none", "odd")
    assert trained.data.train == str(tmp_path / "train")
    assert (trained.train.epochs, trained.train.seeds) == (1, 1)
    assert (small.items, small.examples, small.sizes) == (100, 300, (75, 150))


def test_copies_of_the_examples_are_read_as_our_own(tmp_path: Path) -> None:
    """Whatever the columns, images and authors were in the recipe's files."""
    text = RECIPE.replace('system = "home"', 'task = "chat"\nauthor = "ann"\nimage = "page"')
    (tmp_path / "home.toml").write_text(text.partition("[constraint]")[0])
    loaded = recipe.load(tmp_path / "home.toml")
    copies = settings.of_copies(loaded, {split: tmp_path / split for split in NUMBERS}, ())
    assert columns(copies) == Named()


def test_another_training_asks_the_base_nothing_again(tmp_path: Path) -> None:
    """What its file says of the recipe is the same, and so is the file."""
    digests = set()
    for epochs in (1, 2):
        (tmp_path / "home.toml").write_text(RECIPE.replace("epochs = 1", f"epochs = {epochs}"))
        digests.add(settings.of_base(recipe.load(tmp_path / "home.toml"), "base.gguf").model_digest)
    assert len(digests) == 1


def labelled(*pairs: tuple[str, str]) -> list[Example]:
    return [Example(text, label) for text, label in pairs]


def test_labels_that_inputs_do_not_say_are_swapped_in_pairs() -> None:
    train = labelled(*[(f"letter {n}", ("spam", "ham", "bill")[n % 3]) for n in range(30)])
    items = labelled(
        *[(f"mail {n}", ("spam", "ham", "bill")[n % 3]) for n in range(15)], ("this is spam", "spam")
    )
    found = change.swapped(tasks.by_name("classify"), train, items)
    assert isinstance(found, change.Change)
    # Of three labels one has no partner.
    swapped = {(old.output, new.output) for old, new in zip(found.before, found.after, strict=True)}
    assert len(swapped) == 2
    assert {old for old, _ in swapped} == {new for _, new in swapped}
    assert [example.input for example in found.train] == [example.input for example in train]
    assert {example.output for example in found.train} == {"spam", "ham", "bill"}


def test_values_that_inputs_say_stay() -> None:
    def call(area: str, domain: str) -> str:
        return json.dumps({"name": "On", "arguments": {"area": area, "domain": domain}})

    areas = ("attic", "den", "hall")
    rows = [
        Example(f"turn on the {areas[n % 3]}", call(areas[n % 3], ("light", "fan")[n % 2])) for n in range(24)
    ]
    found = change.swapped(tasks.by_name("call"), rows, rows)
    assert isinstance(found, change.Change)
    for old, new in zip(found.before, found.after, strict=True):
        was, now = (json.loads(example.output)["arguments"] for example in (old, new))
        assert was["area"] == now["area"]
        assert {was["domain"], now["domain"]} == {"light", "fan"}
    dates = [Example(f"day {n}", json.dumps({"date": f"03-{n % 20:02}"})) for n in range(60)]
    assert isinstance(change.swapped(tasks.by_name("extract"), dates, dates), str)
    said = change.swapped(tasks.by_name("extract"), rows, [Example("no value", '{"n": 3}')])
    assert isinstance(said, str)
    assert "swapping them needs 10" in said


def test_a_stated_change_must_be_one(tmp_path: Path) -> None:
    (tmp_path / "home.toml").write_text(
        '[base]\nmodel = "b"\n[data]\ntrain = "a"\ntask = "classify"\n'
        '[compare]\nchanged = ["now.jsonl", "train.jsonl"]\n'
    )
    loaded = recipe.load(tmp_path / "home.toml")
    test, train = labelled(("a", "1"), ("b", "2")), labelled(("x", "1"), ("y", "2"))

    def stated(row: dict[str, str], learned: dict[str, str]) -> change.Change:
        write(tmp_path / "now.jsonl", [row])
        write(tmp_path / "train.jsonl", [learned])
        return change.stated(loaded, test, train, 0)

    found = stated({"input": "b", "output": "1"}, {"input": "y", "output": "1"})
    assert [one.output for one in found.train] == ["1", "1"]
    assert (found.before[0].output, found.after[0].output) == ("2", "1")
    with pytest.raises(DataError, match="no test example has this input"):
        stated({"input": "c", "output": "1"}, {"input": "y", "output": "1"})
    with pytest.raises(DataError, match="has the output that it had before"):
        stated({"input": "b", "output": "2"}, {"input": "y", "output": "1"})
    with pytest.raises(DataError, match="no training example has one of its inputs"):
        stated({"input": "b", "output": "1"}, {"input": "z", "output": "1"})


def test_what_is_answered_as_before_is_listed_beside_the_others() -> None:
    before, after = labelled(("a", "1"), ("b", "2")), labelled(("a", "3"), ("b", "4"))
    given = {
        "retrieval": change._Given("few_shot", ["3", "9"], [True, False], [False, False]),
        "tuned": change._Given("tuned", ["7", "2"], [False, False], [False, True]),
    }
    kept = change._kept(change.Change(before, after, [], True, ""), given)
    answered = {"retrieval": "9", "tuned": "2"}
    assert kept == [{"input": "b", "before": "2", "now": "4", "answered": answered}]


def test_the_worst_group_has_most_errors_beyond_its_share() -> None:
    task = tasks.by_name("classify")
    items = [Example(str(n), ("spam", "ham")[n % 2], part="ab"[n < 10]) for n in range(40)]
    given = ["ham" if n < 12 else example.output for n, example in enumerate(items)]
    outcome = Outcome([Answer(n, text, [], 0, 0.0, "stop") for n, text in enumerate(given)], None)
    labels = frozenset(("spam", "ham"))
    grades = [task.grade(text, example.output, (), labels) for text, example in zip(given, items, strict=True)]
    answered = asking.Answered(asking.System("tuned", "tuned", "tuned"), outcome, grades, {})
    found = weak.worst(task, items, answered, items[:3])
    assert [(group.name, group.errors, group.items, group.examples) for group in found] == [
        ("part b", 5, 10, None),
        ("label spam", 6, 20, 2),
    ]
