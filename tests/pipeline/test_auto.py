"""AUTO in a recipe: built within its budgets, its front in the report; and what a recipe can't say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.models.tiny_models import tiny_spec
from tests.models.tiny_recipes import BASE, call, write_home
from tinsmith import cli, models, plan, targets
from tinsmith.errors import RecipeError
from tinsmith.pipeline import engine, recipe
from tinsmith.plan import fit
from tinsmith.plan.contents import Base, of_tin
from tinsmith.plan.memory import Options
from tinsmith.quant import shipping
from tinsmith.search import auto, text
from tinsmith.search.budget import Budget
from tinsmith.system import progress

RECIPE = f"""\
{BASE}[train]
epochs = 1
[build]
formats = ["AUTO"]
context = 256
bits = 6.5
max_size = "150kB"
min_accuracy = 0.5
[eval]
baselines = []
max_tokens = 8
threads = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("auto")
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
    write_home(folder, RECIPE, call, tiny_spec("llama", **sizes))
    return folder


def test_a_recipe_is_built_within_its_budgets(folder: Path) -> None:
    run = engine.make(recipe.load(folder / "home.toml"), folder / "run", progress.PlainDisplay())
    made = json.loads((folder / "run" / "report.json").read_text())
    assert list(made["systems"]) == ["tuned", "shipped_auto"]
    (chosen,) = [row for row in made["front"] if row["chosen"]]
    assert (folder / "run" / "home-auto.gguf").stat().st_size == chosen["bytes"] <= 150_000
    assert chosen["bits"] <= 6.5 and chosen["kl"] is not None
    assert run.done(engine.VERIFY).facts.checks["AUTO"]["prompts"] == 3
    page = (folder / "run" / "report.html").read_text()
    assert "What a size costs" in page and f"{chosen['bytes']:,}, built" in page


def test_a_model_is_built_within_its_budget(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "words.txt").write_text("in the hall the lamp is on, in the kitchen it is off; " * 40)
    given = ["--format", "auto", "--calibration", str(folder / "words.txt"), "--max-size", "140kB"]
    out = folder / "built"
    assert cli.main(["build", str(folder / "base.gguf"), "--out", str(out), *given]) == 0
    assert (out / "base-auto.gguf").stat().st_size <= 140_000
    given = ["--format", "auto", "--calibration", str(folder / "words.txt"), "--min-accuracy", "0.9"]
    assert cli.main(["build", str(folder / "base.gguf"), "--out", str(out), *given]) == 0
    assert cli.main(["build", str(folder / "base.gguf"), "--out", str(out), *given, "--max-size", "9kB"]) != 0
    told = capsys.readouterr().err
    assert "no choice of formats keeps a file of 9,000 bytes; the smallest file has" in told
    assert "a weight; give more room, or a smaller base" in told
    assert cli.main(["build", str(folder / "home.toml"), "--bits", "4"]) != 0
    assert "[data] and [constraint]; leave out --bits" in capsys.readouterr().err


@pytest.mark.parametrize(("short", "taken"), [("storage", "file"), ("ram", "ram")])
def test_a_device_is_a_budget(folder: Path, tmp_path: Path, short: str, taken: str) -> None:
    """Half of what Q8_0's weights take is missing: the tin fits all the same, and hardly anything is left."""
    spec = models.load(folder / "base.gguf")
    context = 64
    base = Base(spec, "home", context)
    roomy = targets.find("generic-aarch64")
    full = plan.memory_of(base.contents("Q8_0"), roomy, Options(context=context))
    limit = getattr(full, taken) - full.weights // 4
    inherited = f'inherits = "generic-aarch64"\n[memory]\n{short} = {limit}\n[source]\nmemory = "a test"\n'
    (tmp_path / "small.toml").write_text(inherited)
    device = targets.find(tmp_path / "small.toml")
    room = fit.room(base, context, [device])
    ids = text.tokens(spec, "in the hall the lamp is on, in the kitchen it is off; " * 40)
    display = progress.PlainDisplay()
    spec = shipping.prepared(spec, "home", context)
    search = auto.Search(spec, ids, tmp_path, display)
    chosen = auto.of_search(search, Budget(memory=room), display)
    built = shipping.build_files(spec, tmp_path, [chosen.weights()], display)
    planned = plan.memory_of(of_tin(built["AUTO"][1]), device, Options(context=context))
    assert planned.fits(device.memory)
    assert getattr(planned, taken) > limit - full.weights // 4


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ((r'bits = 6.5\nmax_size = "150kB"\nmin_accuracy = 0.5', ""), r'formats: "AUTO" needs a budget; give'),
        (('["AUTO"]', '["Q8_0"]'), r'max_size: is for the format "AUTO"; add it, or leave this out'),
        (('"150kB"', '"many"'), r'max_size: got "many"; allowed is a size'),
        (("bits = 6.5", r"bits = 6.5\nmtp = true"), r"mtp: does not go with \"AUTO\""),
    ],
)
def test_what_a_recipe_can_not_say(folder: Path, tmp_path: Path, changed: tuple[str, str], why: str) -> None:
    old, new = (part.replace(r"\n", "\n") for part in changed)
    assert old in RECIPE
    (tmp_path / "home.toml").write_text(RECIPE.replace(old, new))
    with pytest.raises(RecipeError, match=why):
        recipe.load(tmp_path / "home.toml")
