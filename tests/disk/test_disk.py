"""Files that are written for good, where each operation of the disk fails in turn, and where the power does."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.disk.disk_model import Disk, after_power_loss, read_log
from tests.disk.disk_writers import KEY, OLD, WRITERS
from tests.models.tiny_models import tiny_spec
from tinsmith.compiler import build_tin
from tinsmith.formats import minisign
from tinsmith.models import family

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("needs Linux and a C compiler: the disk is a library before the system's")
    path = tmp_path_factory.mktemp("disk") / "disk.so"
    subprocess.run(
        ["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", HERE / "disk.c", "-o", path, "-ldl"], check=True
    )
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is packed."""
    path = tmp_path_factory.mktemp("model") / "tiny.tin"
    spec = tiny_spec(family.by_name("llama"), hidden_size=32, num_hidden_layers=1)
    build_tin(replace(spec, chat_template=None), path)
    Path(f"{path}.minisig").write_text(minisign.sign(path, KEY))
    (path.parent / "runtime").mkdir()
    (path.parent / "runtime" / "image.bin").write_bytes(b"image" * 9000)
    return path


def written(disk: Path, model: Path, folder: Path, *words: str) -> str:
    settings = {"LD_PRELOAD": str(disk), "DISK_FOLDER": str(folder), "DISK_TIN": str(model)}
    command = [sys.executable, HERE / "disk_writers.py", words[0], folder, *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("name", WRITERS)
def test_whatever_fails_the_old_or_the_new_is_there(
    name: str, error: int, disk: Path, model: Path, tmp_path: Path
) -> None:
    """With one line that says so, and without a temporary file."""
    rows = [
        json.loads(line) for line in written(disk, model, tmp_path, "faults", name, str(error)).splitlines()
    ]
    assert len(rows) >= 4
    assert not rows[-1]["failed"] and rows[-1]["state"] == "new"
    for row in rows:
        assert row["state"] in ("old", "new"), row
        assert row["more"] == [], row
        assert row["reported"] is None or "\n" not in row["reported"], row
        assert row["state"] == "new" or row["reported"], row
        assert bool(row["reported"]) == row["failed"], row


def before(folder: Path, name: str) -> Disk:
    if not WRITERS[name].old:
        return Disk()
    names = {str(folder / "here" / one): k + 1 for k, one in enumerate(WRITERS[name].names)}
    return Disk({number: bytearray(OLD) for number in names.values()}, names)


def broken(folder: Path, name: str) -> list[str]:
    """What a loss of power may leave that is neither old nor new, or old though the writer had ended."""
    log, older, faults = read_log(folder / "log"), before(folder, name), []
    paths = [folder / "here" / one for one in WRITERS[name].names]
    for count in range(len(log) + 1):
        for left in after_power_loss(older, log[:count], seed=count):
            for path in paths:
                there = left.content(path)
                good = {path.read_bytes(), *([] if count == len(log) else [older.content(path)])}
                if there not in good:
                    size = "absent" if there is None else f"{len(there)} bytes"
                    faults.append(f"{path.name} after {count} of {len(log)} operations: {size}")
    return faults


@pytest.mark.parametrize("name", ["tin", "gguf", "text"])
def test_a_loss_of_power_leaves_the_old_or_the_new(name: str, disk: Path, model: Path, tmp_path: Path) -> None:
    """Whatever of the unsynced is on disk, in whatever order; and once the call has returned, the new."""
    written(disk, model, tmp_path, "record", name)
    assert read_log(tmp_path / "log")
    assert broken(tmp_path, name) == []


def test_the_model_of_power_loss_finds_a_writer_that_does_not_sync(
    disk: Path, model: Path, tmp_path: Path
) -> None:
    written(disk, model, tmp_path, "record", "tin", "nosync")
    assert broken(tmp_path, "tin")
