"""What is computed once for a run and kept in parts."""

from __future__ import annotations

from pathlib import Path

import torch

from tinsmith.train.events import Event
from tinsmith.train.steps import parts


def keep(folder: Path, digest: str, count: int) -> list[int]:
    """Which parts were made."""
    made: list[int] = []

    def make(number: int) -> parts.Part:
        made.append(number)
        return {"value": torch.tensor([float(number)])}

    def tell(event: Event) -> None: ...

    held = parts.kept(folder, digest, count, make, tell)
    assert [float(part["value"]) for part in held] == list(range(count))
    return made


def test_parts_of_the_same_digest_are_kept_and_further_ones_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    assert keep(folder, "a", 3) == [0, 1, 2]
    assert keep(folder, "a", 4) == [3]
    assert keep(folder, "b", 2) == [0, 1]
    assert sorted(path.name for path in folder.iterdir()) == ["00000.safetensors", "00001.safetensors"]


def test_what_is_no_part_stays(tmp_path: Path) -> None:
    """A teacher's own folder may be called as that of its probabilities is."""
    folder = tmp_path / "teacher"
    (folder / "more").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model-00001.safetensors").write_bytes(b"weights")
    keep(folder, "a", 1)
    assert (folder / "config.json").read_text() == "{}"
    assert (folder / "model-00001.safetensors").read_bytes() == b"weights"
    assert (folder / "more").is_dir()
