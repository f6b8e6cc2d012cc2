from __future__ import annotations

from pathlib import Path

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tinsmith import cli, models
from tinsmith.cli import build
from tinsmith.cli.make import UNTIL
from tinsmith.models import family


@pytest.mark.parametrize("verb", ["make", "build", *(f"make --until {stage}" for stage in UNTIL)])
def test_a_recipe_that_is_not_there(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*verb.split(), str(tmp_path / "none.toml"), "--out", str(tmp_path / "run")]) == 2
    assert "none.toml: no such recipe" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_unknown_stage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["make", "a.toml", "--until", "evaluation"]) == 2
    assert "--until evaluation: unknown stage; give one of train, merge, build" in capsys.readouterr().err


def test_build_takes_no_format_beside_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["build", "a.toml", "--format", "q8_0"]) == 2
    assert "a recipe states these in [build], [output], [data] and [constraint]" in capsys.readouterr().err
    assert cli.main(["build", "a.toml", "--tools", "t.json"]) == 2
    assert "a recipe states these" in capsys.readouterr().err


def test_build_seals_a_schema_into_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.save_gguf(tiny_spec(family.by_name("llama")), tmp_path / "tiny.gguf")
    schema = tmp_path / "age.json"
    words = ["build", str(tmp_path / "tiny.gguf"), "--format", "f16", "--schema", str(schema)]
    words += ["--out", str(tmp_path)]
    schema.write_text('{"type": "integer", "minimum": 7, "maximum": 9}')
    assert cli.main(words) == 0
    answer = tinsmith.load(capsys.readouterr().out.split()[-1]).generate("age", max_tokens=8)
    assert answer.text in ("7", "8", "9")
    assert cli.main([*words, "--search", "3"]) == 0
    held = tinsmith.load(capsys.readouterr().out.split()[-1]).skill.constraint
    assert held
    assert held.search == 3
    assert cli.main([*words[:4], "--search", "3"]) == 2
    assert "--search 3 needs a constraint; give --schema, --tools or --grammar" in capsys.readouterr().err
    schema.write_text('{"type": "integer", "minimum": "7"}')
    assert cli.main(words) == 2
    assert "age.json: #/minimum" in capsys.readouterr().err


def test_build_lists_the_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["build", "a.gguf", "--format", "q9"]) == 2
    assert "q9: give a weight format, one of F32, F16, BF16, Q8_0, Q6_K" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("home-q8_0.gguf", "home"),
        ("model_Q4_K_M.gguf", "model"),
        ("Qwen2.5-0.5B", "Qwen2.5-0.5B"),
        ("f16.gguf", "f16"),
    ],
)
def test_built_files_are_named_after_the_model(path: str, name: str) -> None:
    assert build._name(Path(path)) == name
