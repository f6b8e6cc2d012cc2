"""The merged model's folder holds that model and no other's files."""

from __future__ import annotations

from pathlib import Path

from tests.models.tiny_recipes import SMALL, parity, write_home
from tinsmith.pipeline import engine, recipe
from tinsmith.pipeline.stages.merge import Merged
from tinsmith.system import progress


def merged(folder: Path, rank: int, out: str) -> Merged:
    (folder / "home.toml").write_text(SMALL.replace("[train]", f"[train]\nrank = {rank}"))
    run = engine.make(recipe.load(folder / "home.toml"), folder / out, progress.PlainDisplay(), "merge")
    return run.done(engine.MERGE).facts


def test_files_of_an_earlier_base_go(tmp_path: Path) -> None:
    write_home(tmp_path, SMALL, parity)
    merged(tmp_path, 4, "again")
    for name in ("preprocessor_config.json", "chat_template.jinja", "notes.txt"):
        (tmp_path / "again" / "merged" / name).write_text("{}")
    assert merged(tmp_path, 8, "again") == merged(tmp_path, 8, "new")
    assert (tmp_path / "again" / "merged" / "notes.txt").exists()
