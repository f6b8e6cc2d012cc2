"""Learning from preferences: what is read, what is refused, what is computed once, and that it is learned."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.train.tiny_training import PAIRS, Killed, encode, killed_and_resumed, train
from tinsmith import cli
from tinsmith.data.preferences import Preference, read_pairs, read_ratings
from tinsmith.errors import DataError, InputError, RecipeError
from tinsmith.pipeline import recipe
from tinsmith.spec import Spec
from tinsmith.train import methods
from tinsmith.train.events import Preparing
from tinsmith.train.job import Job
from tinsmith.train.methods import kto
from tinsmith.train.methods._preferences import split
from tinsmith.train.options import TrainOptions

WITHOUT = '[base]\nmodel = "b"\n[data]\nvalidation = "v"\ntest = "t"\n'
METHODS = ("dpo", "kto", "orpo")
OPTIONS = TrainOptions(epochs=4, rank=8, learning_rate=1e-2, batch_tokens=160, renew=2, threads=1)


def preferences_of(method: str) -> list[Preference]:
    """The digit that an input is answered by, rather than the one after it."""
    inputs = [f"{first}{second}" for first, second in PAIRS]
    if method != "kto":
        return [Preference(text, (f"{n % 7}", f"{(n + 1) % 7}")) for n, text in enumerate(inputs)]
    return [Preference(text, (f"{(n + bad) % 7}",), not bad) for n, text in enumerate(inputs) for bad in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_preferences_are_learned(method: str, spec: Spec, tmp_path: Path) -> None:
    rows = preferences_of(method)
    more = {"preferences": rows, "validation_preferences": rows}
    # How fast each learns differs by processor, whose sums differ in their last bits.
    options = replace(OPTIONS, epochs=60)
    result = train(method, spec, (), (), options, tmp_path, **more)
    validations = result.validations
    assert validations[0].exact + 0.1 < max(row.exact for row in validations)
    assert min(row.loss for row in validations) < 0.9 * validations[0].loss
    assert (result.folder / "adapter_model.safetensors").exists()
    assert f"validated on {len(rows)} of {2 * len(rows)} preferences" in result.note


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_ends_with_the_same_bits(method: str, spec: Spec, tmp_path: Path) -> None:
    killed_and_resumed(method, spec, (), (), OPTIONS, tmp_path, preferences=preferences_of(method))


def test_what_is_trained_under_a_format_s_errors_is_validated_under_them(spec: Spec, tmp_path: Path) -> None:
    rows = preferences_of("orpo")
    options = replace(OPTIONS, qat="Q4_0", only_qat=True)
    job = Job(spec, (), (), options, tmp_path, encode, preferences=rows, validation_preferences=rows[:9])
    trainee = methods.by_name("orpo").trainee(job)
    trainee.renew(0)
    trainee.network.model.eval()
    under = trainee.validate()
    trainee.qat = None
    assert under != trainee.validate()


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_the_reference_is_computed_once_and_a_kill_loses_one_part_of_it(
    method: str, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinsmith.train.methods import _preferences
    from tinsmith.train.steps import checkpoint

    monkeypatch.setattr(_preferences, "_BATCHES", 1)
    rows = preferences_of(method)
    whole = train(method, spec, (), (), OPTIONS, tmp_path / "whole", preferences=rows)

    def kill(event: Any) -> None:
        if isinstance(event, Preparing) and event.done == 3:
            raise Killed

    killed = tmp_path / "killed"
    with pytest.raises(Killed):
        train(method, spec, (), (), OPTIONS, killed, kill, preferences=rows)
    assert len(list((killed / "reference").iterdir())) == 3
    written: list[Path] = []
    save = checkpoint.save

    def note(path: Path, *rest: Any) -> None:
        written.append(path)
        save(path, *rest)

    monkeypatch.setattr(checkpoint, "save", note)
    resumed = train(method, spec, (), (), OPTIONS, killed, preferences=rows)
    names = [path.name for path in written if path.parent.name == "reference"]
    assert names == sorted(path.name for path in (killed / "reference").iterdir())[3:]
    assert resumed.curve == whole.curve
    written.clear()
    other = replace(OPTIONS, learning_rate=1e-3)
    train(method, spec, (), (), other, killed, preferences=rows)
    assert not [path for path in written if path.parent.name == "reference"]
    train(method, spec, (), (), other, killed, preferences=rows[:-4])
    assert [path for path in written if path.parent.name == "reference"]


def test_the_answer_to_another_is_the_next_that_differs() -> None:
    def by_looking(answers: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        ahead = [answers[place + 1 :] + answers[:place] for place in range(len(answers))]
        return [
            next((one for one in after if one != own), own) for own, after in zip(answers, ahead, strict=True)
        ]

    for length, kinds in product(range(7), range(1, 4)):
        for answers in product([(kind,) for kind in range(kinds)], repeat=length):
            assert kto.others(list(answers)) == by_looking(list(answers))
    # Sorted by answer, of which looking would take hours.
    half = 100_000
    assert kto.others([(1,)] * half + [(2,)] * half) == [(2,)] * half + [(1,)] * half


def test_some_inputs_are_held_out_with_all_their_rows(spec: Spec, tmp_path: Path) -> None:
    rows = preferences_of("kto")
    learned, held = split(Job(spec, (), (), OPTIONS, tmp_path, encode, preferences=rows))
    assert sorted(map(repr, [*learned, *held])) == sorted(map(repr, rows))
    assert len({row.input for row in held}) == 2  # of 21
    assert not {row.input for row in held} & {row.input for row in learned}
    one = [Preference("a", ("b", "c"))] * 3
    with pytest.raises(
        InputError, match=r"\[data\] preferences: all have the same input, .* add some with other"
    ):
        train("dpo", spec, (), (), OPTIONS, tmp_path, preferences=one)
    with pytest.raises(InputError, match='method "dpo" learns from preferences; give some'):
        train("dpo", spec, (), (), OPTIONS, tmp_path)


BAD_PAIRS = [
    ('{"input": "a", "chosen": "b"}', r'f.jsonl:1: "rejected" is missing; a pair needs'),
    ('{"input": "a", "chosen": "b", "rejected": " b"}', "f.jsonl:1: chosen and rejected are the same"),
    ('{"input": "a", "chosen": "b", "rejected": ""}', ':1: "rejected" is empty'),
    ('{"input": "a", "chosen": "b", "rejected": "c", "x": 1}', ':1: unknown key "x"; each line is one'),
    (
        '{"input": "a", "chosen": "b", "rejected": "c"}\n\n{"input": "a", "chosen": "c", "rejected": "b"}',
        "f.jsonl:3: prefers what line 1 rejects; leave out one of the two",
    ),
    ("\n \n", "f.jsonl: holds no pair; each line is one object"),
    ("[1]", "f.jsonl:1: got a list; each line is one object"),
    ("{", "f.jsonl:1"),
]
BAD_RATINGS = [
    ('{"input": "a", "output": "b"}', '"good" must be true or false, it is missing'),
    ('{"input": "a", "output": "b", "good": 1}', '"good" must be true or false, got a number'),
    (
        '{"input": "a", "output": "b", "good": true}\n{"input": "a", "output": "b", "good": false}',
        "f.jsonl:2: says the opposite of line 1",
    ),
    ('{"input": "a", "output": "b", "good": true}', 'f.jsonl: holds no row with "good": false'),
]


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        *((read_pairs, *row) for row in BAD_PAIRS),
        *((read_ratings, *row) for row in BAD_RATINGS),
    ],
)
def test_what_is_no_preference(read: Callable[[Path], Any], text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "f.jsonl")


def add(small_recipe: Path, data: str, train: str) -> None:
    text = small_recipe.read_text().replace("[train]", f"{data}\n[train]\n{train}")
    small_recipe.write_text(text)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("method", METHODS)
def test_a_recipe_learns_from_preferences(
    method: str, small_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, words = small_recipe.parent, ("even", "odd")
    if method != "kto":
        rows = [{"input": f"{n}", "chosen": words[n % 2], "rejected": words[1 - n % 2]} for n in range(8)]
    else:
        rows = [{"input": f"{n}", "output": words[n % 2], "good": n % 3 > 0} for n in range(8)]
    write(folder / "p.jsonl", rows)
    add(small_recipe, 'preferences = "p.jsonl"', f'method = "{method}"\nbeta = 0.2')
    assert cli.main(["make", str(small_recipe), "--out", str(folder / "run")]) == 0
    assert "% preferred" in capsys.readouterr().err
    assert (folder / "run" / "small-q8_0.tin").exists()
    state = json.loads((folder / "run" / "run.json").read_text())
    assert "; validated on 1 of 8 preferences, held out" in state["stages"]["train"]["facts"]["note"]
    write(folder / "p.jsonl", rows[:-1])
    assert cli.main(["make", "--until", "train", str(small_recipe), "--out", str(folder / "run")]) == 0
    assert "train: up to date" not in capsys.readouterr().err


@pytest.mark.parametrize(("method", "key"), [("dpo", "preferences"), ("continue", "text")])
def test_a_recipe_without_examples(method: str, key: str, small_recipe: Path) -> None:
    folder, words = small_recipe.parent, ("even", "odd")
    write(
        folder / "p.jsonl",
        [{"input": f"{n}", "chosen": words[n % 2], "rejected": words[1 - n % 2]} for n in range(8)],
    )
    if key == "text":
        (folder / "p.jsonl").write_text("two is even and three is odd\n\n" * 20)
    add(small_recipe, f'{key} = "p.jsonl"', f'method = "{method}"')
    text = small_recipe.read_text().replace('train = "train.jsonl"\n', "")
    small_recipe.write_text(text.replace('baselines = ["nearest"]\n', ""))
    (folder / "train.jsonl").write_text("not JSON")
    assert cli.main(["make", str(small_recipe), "--out", str(folder / "run")]) == 0
    assert not (folder / "run/data/train.jsonl").exists()
    document = json.loads((folder / "run/report.json").read_text())
    assert sorted(document["systems"]) == ["shipped_q8_0", "tuned"]
    assert document["data"]["counts"]["train"] == 0
    assert f"trained on {key}, and measured" in (folder / "run/report.html").read_text()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('method = "lora"', r'\[data\] train: missing; method "lora" learns from it'),
        ('method = "distill"\nteacher = "base"', r'\[data\] train: missing; method "distill" learns from it'),
        (
            'method = "dpo"\n[eval]\nbaselines = ["nearest"]',
            r"\[eval\] baselines: are made from \[data\] train",
        ),
        ('method = "dpo"\n[constraint]\nchoices = "labels"', r'choices: "labels" are those of \[data\] train'),
        ('method = "dpo"\n[build]\nformats = ["AUTO"]\nbits = 4', r"\[build\] formats: .AUTO. measures on"),
    ],
)
def test_what_needs_examples(more: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    pairs = 'preferences = "p"' if "dpo" in more else ""
    path.write_text(f'{WITHOUT}task = "classify"\n{pairs}\n[train]\n{more}\n')
    with pytest.raises(RecipeError, match=said):
        recipe.load(path)


@pytest.mark.parametrize("key", ["limit = 3", "augment = true", 'augment_exclude = "o"'])
def test_keys_about_examples_that_are_not_there(key: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'{WITHOUT}preferences = "p"\n{key}\n[train]\nmethod = "dpo"\n')
    with pytest.raises(RecipeError, match=rf"\[data\] {key.split()[0]}: is about the examples of train"):
        recipe.load(path)


@pytest.mark.parametrize(
    ("data", "train", "said"),
    [
        ("", 'method = "dpo"', r'\[data\] preferences: missing; method "dpo" learns from it'),
        ('preferences = "x"', "", r'preferences: is for method "dpo", "kto", "orpo"; this one is "lora"'),
        ("", "beta = 0.1", r'\[train\] beta: is for method "dpo", "kto", "orpo"; this one is "lora"'),
    ],
)
def test_recipes_that_mix_methods(small_recipe: Path, data: str, train: str, said: str) -> None:
    add(small_recipe, data, train)
    with pytest.raises(RecipeError, match=said):
        recipe.load(small_recipe)


def test_nothing_is_made_for_what_learns_of_pairs(
    small_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [{"input": f"{n}", "chosen": f'{{"n": {n}}}', "rejected": '{"n": -1}'} for n in range(9)]
    write(small_recipe.parent / "p.jsonl", pairs)
    text = small_recipe.read_text().replace('task = "classify"', 'task = "extract"')
    small_recipe.write_text(text.replace("epochs = 1\n", ""))
    for name in ("train", "validation", "test"):
        rows = [{"input": f"{name} {n}", "output": json.dumps({"n": n})} for n in range(12)]
        write(small_recipe.parent / f"{name}.jsonl", rows)
    add(small_recipe, 'preferences = "p.jsonl"', 'method = "dpo"')
    assert (
        cli.main(["make", "--until", "train", str(small_recipe), "--out", str(small_recipe.parent / "run")])
        == 0
    )
    assert "further examples" not in capsys.readouterr().err
    text = small_recipe.read_text()
    for key, value in (("augment", "true"), ("augment_exclude", '"o"')):
        small_recipe.write_text(text)
        add(small_recipe, f"{key} = {value}", "")
        with pytest.raises(RecipeError, match=rf'\[data\] {key}: is of examples to learn, which method "dpo"'):
            recipe.load(small_recipe)


def test_what_is_preferred_is_held_to_the_constraint(
    small_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(small_recipe.parent / "p.jsonl", [{"input": "3", "chosen": "Odd", "rejected": "even"}])
    add(small_recipe, 'preferences = "p.jsonl"', 'method = "dpo"')
    small_recipe.write_text(small_recipe.read_text() + '[constraint]\nchoices = ["even", "odd"]\n')
    assert (
        cli.main(["make", "--until", "train", str(small_recipe), "--out", str(small_recipe.parent / "run")])
        != 0
    )
    assert "p.jsonl: example 1: the recipe's [constraint] forbids its output" in capsys.readouterr().err


def test_what_is_preferred_is_an_output_of_the_task(
    small_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"input": n, "chosen": chosen, "rejected": "x"} for n, chosen in (("1", "{}"), ("2", "no"))]
    write(small_recipe.parent / "p.jsonl", rows)
    add(small_recipe, 'preferences = "p.jsonl"', 'method = "dpo"')
    text = small_recipe.read_text().replace('task = "classify"', 'task = "extract"')
    small_recipe.write_text(text)
    for name in ("train", "validation", "test"):
        write(small_recipe.parent / f"{name}.jsonl", [{"input": name, "output": "{}"}])
    command = ["make", "--until", "train", str(small_recipe), "--out", str(small_recipe.parent / "run")]
    assert cli.main(command) != 0
    assert "p.jsonl:2: not a valid output of the task extract: no" in capsys.readouterr().err
    (small_recipe.parent / "p.jsonl").unlink()
    assert cli.main(command) != 0
    said = capsys.readouterr().err.splitlines()[-1]
    assert "p.jsonl" in said and "no such file" in said
