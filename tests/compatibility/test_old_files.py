"""Files of every version that was released, held to docs/compatibility.md: this one gives the same digests and
tokens from them, or refuses with the version and what to do."""

from __future__ import annotations

import importlib.util
import json
import re
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tinsmith
from tinsmith import cli
from tinsmith.errors import FormatError, RuntimeFault
from tinsmith.formats.tin import VERSION as TIN_VERSION
from tinsmith.formats.tin import Tin
from tinsmith.pipeline.digests import of_train_before
from tinsmith.pipeline.prepared import Base, Prepared
from tinsmith.pipeline.recipe import load
from tinsmith.pipeline.stages.train.inputs import Inputs

HERE = Path(__file__).parent
VERSIONS = sorted(path.name.removesuffix(".tar.xz") for path in (HERE / "files").iterdir())
MOST = 300_000  # bytes of all files

AGAIN = "build it again: tinsmith build RECIPE, or MODEL"
REFUSED_TINS = {
    "1-first": f"program.bin was written by version 1; this runtime reads 2; {AGAIN}",
    "2-turns": f"tokenizer.bin was written by version 1; this runtime reads 2; {AGAIN}",
    "3-constraints": f"tokenizer.bin was written by version 1; this runtime reads 2; {AGAIN}",
}
READ_TINS = [name for name in VERSIONS if name not in REFUSED_TINS]
# Sealed before a manifest listed all bytes: they run, and can't be proved.
UNPROVED = ("4-recurrent",)
REFUSED_SESSIONS = ("2-turns", "3-constraints")


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compatibility_make", HERE / "make.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = _maker()


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A version's name, and the folder with its files."""
    return request.param, unpacked(request.param, tmp_path_factory.mktemp("files"))


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(HERE / "files" / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def expected(folder: Path) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    return recorded


def tins(folder: Path) -> dict[str, Path]:
    """By what expected.json calls them."""
    paths = {"run": folder / "run" / "home-q8_0.tin", "recurrent": folder / "recurrent.tin"}
    return {name: path for name, path in paths.items() if path.exists()}


def test_the_files_are_small() -> None:
    assert sum(path.stat().st_size for path in (HERE / "files").iterdir()) < MOST


def test_the_tins_give_the_same_answers_or_say_how_to_get_them(version: tuple[str, Path]) -> None:
    name, folder = version
    for kind, path in tins(folder).items():
        if name in REFUSED_TINS:
            with pytest.raises(
                FormatError, match=re.escape(f"{path}: ") + ".*" + re.escape(REFUSED_TINS[name])
            ):
                tinsmith.load(path)
        else:
            assert MAKER.answers(path) == expected(folder)[kind]


def test_a_tin_is_proved_or_to_be_built_again(version: tuple[str, Path]) -> None:
    name, folder = version
    for path in tins(folder).values():
        if name in REFUSED_TINS or name in UNPROVED:
            with pytest.raises(FormatError, match=f"did not list all bytes; {AGAIN}"):
                Tin(path).verify()
        else:
            Tin(path).verify()
            MAKER.session_of(tinsmith.load(path)).selftest()


def test_saved_sessions_go_on_or_are_refused(version: tuple[str, Path]) -> None:
    name, folder = version
    if name in REFUSED_SESSIONS:
        # Of its own model no session can be made: another's will do, since the version is looked at first.
        other = unpacked(READ_TINS[0], folder / "other")
        session = MAKER.session_of(tinsmith.load(tins(other)["run"]))
        with pytest.raises(
            RuntimeFault, match=r"session was written by version 1; this runtime reads 4; append"
        ):
            session.restore((folder / "run.session").read_bytes())
        return
    for kind in ("session", "recurrent_session"):
        if kind in expected(folder):
            model = "recurrent" if kind == "recurrent_session" else "run"
            session = MAKER.session_of(tinsmith.load(tins(folder)[model], threads=1))
            session.restore((folder / f"{model}.session").read_bytes())
            assert MAKER.continued(session) == expected(folder)[kind]


def test_a_run_is_brought_up_to_date_without_training_again(
    version: tuple[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its adapter, merged and quantized anew, gives what the version that trained it gave."""
    name, folder = version
    folder = unpacked(name, folder / "again")
    monkeypatch.chdir(folder)
    adapter = (folder / "run" / "adapter" / "adapter_model.safetensors").read_bytes()
    recipe = Path("home.toml")
    token_by_token = "[constraint]\nsearch = 0\n"  # as answers were taken then
    recipe.write_text(recipe.read_text().replace("[constraint]\n", token_by_token))
    assert cli.main(["build", "home.toml", "--out", "run"]) == 0
    assert "train: up to date" in capsys.readouterr().err
    assert (folder / "run" / "adapter" / "adapter_model.safetensors").read_bytes() == adapter
    assert MAKER.merged_digest(folder / "run" / "merged") == expected(folder)["merged"]
    assert MAKER.answers(tins(folder)["run"]) == expected(folder)["run"]


@pytest.mark.parametrize(
    ("table", "line"),
    [("train", 'targets = ["q_proj"]'), ("train", "seed = 3")],
)
def test_what_an_old_run_did_not_do_is_trained_again(
    table: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(unpacked("1-first", tmp_path))
    recipe = Path("home.toml")
    recipe.write_text(recipe.read_text().replace(f"[{table}]\n", f"[{table}]\n{line}\n"))
    assert cli.main(["make", "--until", "train", "home.toml", "--out", "run"]) == 0
    assert "train: done" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", ["thinking = true", 'date = "2026-11-25"', 'tools = "t.json"\nshow_tools = true']
)
def test_a_template_that_an_old_run_could_not_state_is_not_taken_for_its_own(line: str, tmp_path: Path) -> None:
    recipe = tmp_path / "home.toml"
    for data, template in (("", "settled"), (line, None)):
        recipe.write_text(MAKER.RECIPE.replace("[data]\n", f"[data]\n{data}\n"))
        base = Base("b", "", "", 0, "llama", None, "settled")
        inputs = Inputs(Prepared(load(recipe), base, {}, {}, {}), {})
        assert of_train_before(inputs)["template"] == template


def test_the_page_states_the_versions_that_are_read() -> None:
    root = HERE.parents[1]
    sources = "".join(path.read_text("utf-8") for path in (root / "kernels" / "core").rglob("*.[ch]"))
    matches = re.findall(r"#define (TINI_\w+_VERSION) (\d+)u|\b(SAVED_VERSION) = (\d+)", sources)
    numbers = {macro or saved: int(one or other) for macro, one, saved, other in matches}
    assert len(numbers) == 12
    page = (root / "docs" / "compatibility.md").read_text("utf-8")
    stated = {name: int(number) for name, number in re.findall(r"^\| `(\w*VERSION)` \| (\d+) \|", page, re.M)}
    assert stated == {**numbers, "VERSION": TIN_VERSION}
