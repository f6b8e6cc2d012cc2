"""A run's folder that the version before made is brought up to date: not misread, and nothing trained again.

Before, build wrote its tins where the sealed ones stand now, and seal wrote over them: run.json then had the
digests of both, and `rewrote` in the record of seal.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_recipes import SMALL, parity, write_home

from tinsmith import cli
from tinsmith.pipeline.engine import STAGES
from tinsmith.pipeline.stages.build.outputs import UNSEALED
from tinsmith.system import files

TIN = "home-q8_0.tin"
# Of [train], those of the first version.
FIRST_KEYS = [
    "epochs",
    "rank",
    "alpha",
    "learning_rate",
    "batch_tokens",
    "max_length",
    "seed",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("older")
    home = write_home(folder, SMALL, parity)
    assert cli.main(["make", str(home), "--out", str(folder / "run")]) == 0
    return folder


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def entry(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {"sha256": files.sha256_file(path), "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def older(folder: Path, last: str) -> Path:
    """The run as the version before left it when it had got as far as `last`."""
    run = folder / "run"
    state = json.loads((run / "run.json").read_text())
    stages = state["stages"]
    build = stages["build"]
    del build["inputs"]["tins"], build["facts"]["front"]
    build["inputs_sha256"] = digest(build["inputs"])
    built = build["outputs"].pop(f"{UNSEALED}/{TIN}")
    build["outputs"][TIN] = built
    del stages["data"]["facts"]["base"]["parameters"]
    train = stages["train"]
    train["inputs"]["train"] = {key: train["inputs"]["train"][key] for key in FIRST_KEYS}
    train["inputs_sha256"] = digest(train["inputs"])
    if last == "seal":
        stages["seal"]["rewrote"] = {TIN: built["sha256"]}
    else:
        (run / UNSEALED / TIN).replace(run / TIN)
        build["outputs"][TIN] = entry(run / TIN)
    shutil.rmtree(run / UNSEALED)
    names = [stage.name for stage in STAGES]
    state["stages"] = {name: stages[name] for name in names[: names.index(last) + 1]}
    (run / "run.json").write_text(json.dumps(state))
    return run


def up_to_date(capsys: pytest.CaptureFixture[str], folder: Path) -> list[str]:
    """The stages that do not run when the run is made again."""
    capsys.readouterr()
    assert cli.main(["make", str(folder / "home.toml"), "--out", str(folder / "run")]) == 0
    lines = capsys.readouterr().err.splitlines()
    return [line.removesuffix(": up to date") for line in lines if line.endswith(": up to date")]


@pytest.mark.parametrize(
    ("last", "kept"),
    [
        ("train", ["data", "baselines", "train"]),
        ("build", ["data", "baselines", "train", "merge"]),
        ("evaluate", ["data", "baselines", "train", "merge", "verify", "evaluate"]),
        ("seal", ["data", "baselines", "train", "merge", "verify", "evaluate", "seal"]),
    ],
)
def test_a_run_of_the_version_before(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], last: str, kept: list[str]
) -> None:
    """Only its files are built again, at their new place; what was measured of these same bytes holds."""
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    wanted = files.sha256_file(folder / "run" / TIN)
    run = older(folder, last)
    assert up_to_date(capsys, folder) == kept
    assert files.sha256_file(run / TIN) == wanted
    assert up_to_date(capsys, folder) == [stage.name for stage in STAGES]


def test_facts_of_another_shape_are_made_again(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    path = folder / "run" / "run.json"
    state = json.loads(path.read_text())
    state["stages"]["build"]["facts"]["tins"] = [TIN]
    path.write_text(json.dumps(state))
    kept = [stage.name for stage in STAGES if stage.name not in ("build", "report")]
    assert up_to_date(capsys, folder) == kept
