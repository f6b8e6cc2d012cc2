from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tests.models.tiny_recipes import BASE
from tinsmith.errors import InputError, RecipeError
from tinsmith.pipeline import recipe
from tinsmith.pipeline.recipe import file as recipe_file
from tinsmith.pipeline.recipe import tables as recipe_tables
from tinsmith.pipeline.stages.train.options import options as train_options
from tinsmith.train.options import TrainOptions


def write(folder: Path, text: str) -> Path:
    path = folder / "home.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_smallest_recipe_takes_the_defaults(tmp_path: Path) -> None:
    loaded = recipe.load(write(tmp_path, BASE))
    assert loaded.name == "home"
    assert loaded.build.formats == ("F16", "Q8_0", "Q4_0")
    assert loaded.train.learning_rate == "auto"
    assert loaded.resolve(loaded.data.train) == tmp_path / "train.jsonl"


@pytest.mark.parametrize(
    ("task", "chosen"),
    [("call", (8, 3)), ("extract", (8, 3)), ("classify", (8, 6)), ("chat", (8, 3))],
)
def test_auto_of_300_examples(tmp_path: Path, task: str, chosen: tuple[int, int]) -> None:
    """Epochs where further examples are made, and where none are; all else is the same."""
    loaded = recipe.load(write(tmp_path, f'{BASE}task = "{task}"\n'))
    made, plain = (train_options(loaded, 300, made=made) for made in (True, False))
    assert (made.epochs, plain.epochs) == chosen
    rest = TrainOptions(task=task, qat=None)
    assert made == dataclasses.replace(rest, epochs=made.epochs)
    assert plain == dataclasses.replace(rest, epochs=plain.epochs)


@pytest.mark.parametrize(
    ("stated", "few", "many", "plain"),
    [
        ("", (8, False), (6, True), (3, False)),
        ("originals_once = false", (8, False), (4, False), (3, False)),
        ("epochs = 2\noriginals_once = true", (2, True), (2, True), (2, True)),
    ],
)
def test_many_examples_give_way_to_what_is_made_of_them(
    tmp_path: Path, stated: str, few: tuple[int, bool], many: tuple[int, bool], plain: tuple[int, bool]
) -> None:
    loaded = recipe.load(write(tmp_path, f'{BASE}task = "call"\n[train]\n{stated}\n'))
    chosen = [
        train_options(loaded, count, made=made) for count, made in ((1000, True), (3000, True), (3000, False))
    ]
    assert [(one.epochs, one.originals_once) for one in chosen] == [few, many, plain]


def test_values_are_taken(tmp_path: Path) -> None:
    text = BASE + '[train]\nlearning_rate = 1\n[build]\nformats = ["Q4_0"]\n[output]\nname = "lamp"\n'
    loaded = recipe.load(write(tmp_path, text))
    assert (loaded.train.learning_rate, loaded.build.formats, loaded.name) == (1, ("Q4_0",), "lamp")


def test_a_base_is_taken_from_the_recipes_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not from the folder that the command runs in, where another model may have its name."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "base.gguf").touch()
    (elsewhere / "mine").mkdir()
    monkeypatch.chdir(elsewhere)
    loaded = recipe.load(write(tmp_path, BASE))
    with pytest.raises(InputError, match=r"home.toml: \[base\] model: .*/base.gguf: no such file or folder"):
        loaded.base_source  # noqa: B018
    (tmp_path / "base.gguf").touch()
    assert loaded.base_source == str(tmp_path / "base.gguf")
    for name in ("smollm2-135m-instruct", "hf:org/name"):
        assert recipe.load(write(tmp_path, BASE.replace("base.gguf", name))).base_source == name
    with pytest.raises(
        InputError, match=r"home.toml: \[base\] model: 'mine' is no known model; known: .*qwen3"
    ):
        recipe.load(write(tmp_path, BASE.replace("base.gguf", "mine"))).base_source  # noqa: B018


def test_a_tilde_that_is_nobodys_home_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "home.toml"
    path.write_text('[base]\nmodel = "~nobody-of-this-name/b"\n[data]\ntrain = "a"\n')
    with pytest.raises(InputError, match=r"~nobody-of-this-name/b: no such file or folder; check the path"):
        _ = recipe.load(path).base_source


def test_a_constraint_has_one_source(tmp_path: Path) -> None:
    loaded = recipe.load(write(tmp_path, BASE))
    assert loaded.constraint.source is None
    loaded = recipe.load(write(tmp_path, BASE + '[constraint]\ntools = "tools.json"\nspacing = "free"\n'))
    assert (loaded.constraint.source, loaded.constraint.spacing) == ("tools", "free")
    loaded = recipe.load(write(tmp_path, BASE + 'task = "classify"\n[constraint]\nchoices = "labels"\n'))
    assert loaded.constraint.source == "choices"


def test_a_constraint_is_part_of_the_model(tmp_path: Path) -> None:
    digests = {
        recipe.load(write(tmp_path, BASE + table)).model_digest
        for table in ("", "[constraint]\nregex = 'a'\n", "[constraint]\nregex = 'b'\n")
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", r":7: \[constraint\]: says nothing of the answer; give one of schema, tools"),
        (
            "regex = 'a'\nschema = 's'",
            r":9: \[constraint\] schema|:8: \[constraint\] regex: schema and regex are given",
        ),
        (
            "choices = 'labels'",
            r':8: \[constraint\] choices: "labels" is for the task classify; this one is call',
        ),
        ("choices = []", r'choices: got \[\]; allowed is "labels" or a list of texts'),
        (
            "regex = 'a'\nspacing = 'free'",
            r":9: \[constraint\] spacing: says nothing about regex; it goes with schema",
        ),
        (
            "schema = 'a'\nspacing = 'wide'",
            r'spacing: got "wide"; allowed is one of "compact", "spaced", "free"',
        ),
    ],
)
def test_a_wrong_constraint(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe.load(write(tmp_path, BASE + "[constraint]\n" + table + "\n"))


FROM_SCRATCH = BASE.replace('[base]\nmodel = "base.gguf"\n', "[scratch]\n")


def test_a_model_from_scratch(tmp_path: Path) -> None:
    loaded = recipe.load(write(tmp_path, FROM_SCRATCH))
    assert loaded.base is None
    assert loaded.scratch == recipe_tables.Scratch()
    assert loaded.eval.baselines == ("nearest",)
    shaped = recipe.load(
        write(tmp_path, FROM_SCRATCH.replace("[data]", "layers = 4\nhidden = 96\n[data]\ntext = 'a.txt'"))
    )
    assert shaped.scratch is not None
    assert (shaped.scratch.layers, shaped.scratch.hidden) == (4, 96)
    assert shaped.data.text == "a.txt"
    assert shaped.model_digest != loaded.model_digest
    assert recipe.load(write(tmp_path, BASE)).scratch is None


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        (BASE, True),
        (BASE + "quote_input = false\n", False),
        (BASE + 'task = "extract"\n', False),
        (BASE + 'task = "extract"\nquote_input = true\n', True),
        (FROM_SCRATCH, False),
    ],
)
def test_quoted_input_repetition_is_for_calls_of_a_base(tmp_path: Path, text: str, quotes: bool) -> None:
    assert recipe.load(write(tmp_path, text)).quotes_input is quotes


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[base]\nmodel = 'x'\n", r":1: \[scratch\]: \[base\] is given too; give one of them"),
        (
            "[train]\nrank = 8\n",
            r'rank: is for method .*"lora".*; this one is "full", leave it out',
        ),
        ("thinking = true\n", r":6: \[data\] thinking: is for a base"),
        ("[eval]\nbaselines = ['few_shot']\n", r'baselines: "few_shot" prompts a base; .*"nearest" alone'),
    ],
)
def test_a_wrong_recipe_from_scratch(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe.load(write(tmp_path, FROM_SCRATCH + table))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("hidden = 100", r":2: \[scratch\] hidden: got 100; allowed is a multiple of 32 from 32 to 8192"),
        ("vocabulary = 200", r"vocabulary: got 200; allowed is a multiple of 32 from 288"),
        ("hidden = 96", r":1: \[scratch\] layers: missing; it goes with hidden"),
        ("layers = 4", r"\[scratch\] hidden: missing; it goes with layers"),
        (
            "layers = 4\nhidden = 96\nparameters = 1000000",
            r":4: \[scratch\] parameters: follow from layers, hidden; give one or the other",
        ),
    ],
)
def test_a_wrong_shape(tmp_path: Path, keys: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe.load(write(tmp_path, FROM_SCRATCH.replace("[data]", keys + "\n[data]")))


def test_plain_text_is_for_methods_that_read_it(tmp_path: Path) -> None:
    text = BASE + "text = 'a.txt'\n"
    with pytest.raises(
        RecipeError, match=r':7: \[data\] text: is for method .*"full"; this one is "lora", leave it out'
    ):
        recipe.load(write(tmp_path, text))
    assert recipe.load(write(tmp_path, text + "[train]\nmethod = 'full'\n")).data.text == "a.txt"


def test_a_new_model_is_trained_by_one_method(tmp_path: Path) -> None:
    scratch = BASE.replace('[base]\nmodel = "base.gguf"\n', "[scratch]\n")
    assert recipe.load(write(tmp_path, scratch)).train.method == "full"
    with pytest.raises(RecipeError, match=r'method: \[scratch\] trains by "full"'):
        recipe.load(write(tmp_path, scratch + "[train]\nmethod = 'lora'\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[base]\n", r"home.toml:1: \[base\] model: missing; give a text"),
        ("", r"home.toml: \[base\] model: missing"),
        (
            BASE + "max_length = 3\n",
            r":7: \[data\] max_length: no such key, it is one of \[train\]; \[data\] takes",
        ),
        (BASE + "seed = 3\n", r"no such key, it is one of \[train\]; \[data\] takes"),
        (BASE + "[train]\nepoch = 3\n", r":8: \[train\] epoch: no such key, did you mean epochs\?; .*rank"),
        (
            BASE + "[trian]\n",
            r":7: \[trian\]: no such table, did you mean train\?; the tables are \[base\]",
        ),
        (
            BASE + "[train]\nepochs = 0\n",
            r":8: \[train\] epochs: got 0; allowed is \"auto\" or a whole number from 1",
        ),
        (BASE + "[train]\nepochs = true\n", r"epochs: got true; allowed is \"auto\" or a whole number"),
        (
            BASE + "[train]\nlearning_rate = 'fast'\n",
            r'learning_rate: got "fast"; allowed is "auto", "search" or a number',
        ),
        (BASE + "thinking = 'on'\n", r'thinking: got "on"; allowed is true or false'),
        (BASE + "date = '25.11.2026'\n", r'date: got "25.11.2026"; allowed is a date as a text'),
        (BASE + "show_tools = true\n", r":7: \[data\] show_tools: there are no tools to show"),
        (
            BASE + "thinking = true\n[constraint]\nregex = 'a'\n",
            r":7: \[data\] thinking: a constraint says what the whole answer may be",
        ),
        (BASE + "[train]\ntargets = []\n", r'targets: got \[\]; allowed is "auto" or a list of names'),
        (BASE + "[train]\naverage = nan\n", r"average: got nan; allowed is a number from 0"),
        (
            BASE + "[build]\nformats = ['Q8_0', 'Q8_0']\n",
            r"formats: got .*; allowed is a list without repeats",
        ),
        (BASE + "[build]\nformats = ['Q9']\n", r'formats: got .*; allowed is .*"Q8_0"'),
        (BASE + "[build]\nformats = [['Q8_0']]\n", r"formats: got .*; allowed is"),
        (BASE + "[output]\nname = '../x'\n", r'name: got "../x"; allowed is a file name'),
        ("model = 'x'\n" + BASE, r":1: model: a key outside every table"),
        (BASE + "[[tasks]]\nname = 'a'\n", r": tasks: a key outside every table, did you mean task\?"),
        (BASE + "[router]\noff_topic = 'a'\n", r"\[router\]: is for recipes of several tasks; write each"),
        ("base = 'x'\n", r":1: base: got \"x\"; base is a table: write \[base\]"),
        ("[base\n", r"home.toml: not valid TOML: .*line 1"),
    ],
)
def test_a_mistake_is_named_where_it_is(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        recipe.load(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml: no such recipe"):
        recipe.load(tmp_path / "none.toml")


def test_the_model_digest_ignores_evaluation(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        return recipe.load(write(tmp_path, text)).model_digest

    assert digest(BASE) == digest(BASE + "[eval]\nlimit = 5\n")
    assert digest(BASE) != digest(BASE + "[train]\nseed = 5\n")


def test_every_key_and_default_is_documented() -> None:
    docs = Path(__file__).parents[2] / "docs"
    documented: dict[str, dict[str, str]] = {}
    for page in ("recipe.md", "recipe-advanced.md"):
        text = (docs / page).read_text(encoding="utf-8")
        for table, section in re.findall(r"^## \[+([\w.]+)\]+\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S):
            keys = re.findall(r"^\| `(\w+)` \| [^|]+ \| (.*?) \|", section.split("\n### ")[0], flags=re.M)
            assert not documented.get(table, {}).keys() & dict(keys), table
            documented.setdefault(table, {}).update(keys)
    listed = {f"compare.{name}": cls for name, cls in recipe_tables.LISTED.items()}
    tables = {**recipe_file.TABLES, **listed, "router": recipe_tables.Router}
    assert documented.pop("task") == {}
    assert set(documented) == set(tables)
    for table, cls in tables.items():
        fields = {f.name: f for f in dataclasses.fields(cls)}
        assert set(documented[table]) == set(fields), table
        for key, field in fields.items():
            stated = documented[table][key]
            if field.default is dataclasses.MISSING:
                assert stated == "required", key
            elif isinstance(field.default, bool):
                assert stated == f"`{str(field.default).lower()}`", key
            elif isinstance(field.default, int | float):
                assert float(stated.strip("`")) == field.default, key


def test_a_recipe_has_few_keys() -> None:
    tables = (*recipe_file.TABLES.values(), *recipe_tables.LISTED.values(), recipe_tables.Router)
    assert sum(len(dataclasses.fields(cls)) for cls in tables) <= 111
