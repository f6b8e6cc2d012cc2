"""A base without a chat template: refused before any work, or trained and shipped under a stated one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tests.models.tiny_recipes import SMALL, parity, write_home
from tinsmith import cli, models
from tinsmith.chat.chat_template import DIGEST
from tinsmith.chat.own_templates import FORMATS
from tinsmith.errors import FormatError, InputError
from tinsmith.pipeline import engine, recipe
from tinsmith.system import progress

OWN = "{% for one in messages %}[{{ one.role }}]{{ one.content }}{{ eos_token }}{% endfor %}[assistant]"


def written(folder: Path, stated: str | None, is_folder: bool = False) -> Path:
    text = SMALL if stated is None else SMALL.replace("[data]", f'template = "{stated}"\n[data]')
    path = write_home(folder, text, parity)
    bare = replace(tiny_spec("llama"), chat_template=None)
    models.save_gguf(bare, folder / "base.gguf")
    if is_folder:
        models.save_hf(bare, folder / "base")
        path.write_text(text.replace('"base.gguf"', '"base"'))
    return path


def made(path: Path, until: str = "report") -> Path:
    engine.make(recipe.load(path), path.parent / "out", progress.PlainDisplay(), until)
    return path.parent / "out"


@pytest.mark.parametrize("verb", ["make", "data check"])
def test_without_one_a_recipe_is_refused_first(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, None)
    command = """command = ['python', '-c', 'open("ran", "w")']"""
    path.write_text(path.read_text().replace("[data]", f"[data]\n{command}"))
    out = ["--out", str(tmp_path / "out")] if verb == "make" else []
    if out:  # a check runs no command
        (tmp_path / "train.jsonl").unlink()
    assert cli.main([*verb.split(), str(path), *out]) == (2 if verb == "make" else 1)
    said = "".join(capsys.readouterr())
    told = 'the base has no chat template; give "chatml", "plain" or a Jinja file'
    assert f"{path}: [base] template: {told}" in said
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("stated", "is_folder"), [("plain", False), ("chatml", True)])
def test_the_shipped_file_has_the_stated_one(stated: str, is_folder: bool, tmp_path: Path) -> None:
    path = written(tmp_path, stated, is_folder)
    before = (tmp_path / "base.gguf").read_bytes()
    path.write_text(path.read_text().replace('["nearest"]', '["zero_shot", "nearest"]'))
    out = made(path)
    assert models.load(out / "home-q8_0.gguf").chat_template == FORMATS[stated].template
    asked = [{"role": "user", "content": "number 3"}]
    answer = tinsmith.load(out / "home-q8_0.tin", threads=1).chat(asked, max_tokens=4)
    assert answer.text in ("even", "odd")
    assert (tmp_path / "base.gguf").read_bytes() == before


def test_a_changed_file_starts_the_run_anew(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text(OWN)
    path = written(tmp_path, "own.jinja")
    out = made(path, "data")
    assert models.load(out / "base" / "model.gguf").chat_template == OWN
    (tmp_path / "own.jinja").write_text(OWN.replace("[", "<").replace("]", ">"))
    made(path, "data")
    assert "<assistant>" in (models.load(out / "base" / "model.gguf").chat_template or "")


def test_a_model_keeps_the_template_of_its_training(tmp_path: Path) -> None:
    path = written(tmp_path, "plain")
    bare = models.load(tmp_path / "base.gguf")
    models.save_gguf(replace(bare, general={**bare.general, DIGEST: "0" * 64}), tmp_path / "base.gguf")
    with pytest.raises(FormatError, match="was trained under the chat template 000000000000 and has another"):
        made(path, "data")


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ("empty.jinja", "empty.jinja: is empty; write a Jinja template"),
        ("gemma", '"gemma" needs <start_of_turn>, which the base does not have; give "chatml" or "plain"'),
        ("none.jinja", "none.jinja: no such file; check the path"),
    ],
)
def test_another_template_is_refused(stated: str, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path, stated)
    (tmp_path / "empty.jinja").write_text("\n")
    with pytest.raises(InputError, match=rf"home.toml: \[base\] template: .*{reason}"):
        made(path, "data")
