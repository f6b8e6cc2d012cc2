"""The same inputs give the same bytes: on another day, in another zone and language, on other cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tests.pipeline.test_pipeline import RECIPE, SAMPLE
from tinsmith import models
from tinsmith.formats.minisign import SecretKey, write_keys
from tinsmith.formats.tin import Tin
from tinsmith.models import family

# Whatever asks for the time gets one of another year; how long things take stays as it is.
COMMAND = """\
import os, sys, time
now, later = time.time, float(os.environ["LATER"])
time.time = lambda: now() + later
time.time_ns = lambda: int(time.time() * 1e9)
import datetime
class Moved(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
datetime.datetime = Moved
os.umask(int(os.environ["UMASK"], 8))
from tinsmith import cli
sys.exit(cli.main(sys.argv[1:]))
"""
HERE = {"LATER": "0", "UMASK": "022", "TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"}
THERE = {"LATER": "86400000", "UMASK": "077", "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "77"}


def tinsmith(where: dict[str, str], folder: Path, *arguments: str | Path, cores: int) -> None:
    """A verb in a process of its own, in `folder`, on that many cores."""
    limit = f"import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])\n"
    done = subprocess.run(
        [sys.executable, "-c", limit + COMMAND, *arguments],
        cwd=folder,
        env=os.environ | where,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.gguf"
    sizes = {"hidden_size": 256, "intermediate_size": 256, "max_position_embeddings": 2048}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32}
    models.save_gguf(replace(tiny_spec(family.by_name("llama"), **sizes, **heads), chat_template=CHATML), path)
    return path


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_a_model_is_built_and_signed_to_the_same_bytes(base: Path, tmp_path: Path) -> None:
    write_keys(SecretKey(b"12345678", bytes(32)), tmp_path / "k.key", tmp_path / "k.pub", None)
    digests = []
    for name, where, cores in (("one", HERE, 1), ("other", THERE, 2)):
        folder = tmp_path / name
        folder.mkdir()
        tinsmith(where, folder, "build", base, "--format", "q8_0", "q4_k_m", "--out", "made", cores=cores)
        for tin in sorted((folder / "made").glob("*.tin")):
            tinsmith(where, folder, "sign", tin, "--key", tmp_path / "k.key", cores=cores)
        digests.append({file.name: file.read_bytes() for file in (folder / "made").iterdir()})
    assert sorted(digests[0]) == [
        f"base-{kind}" for kind in ("q4_k_m.gguf", "q4_k_m.tin", "q4_k_m.tin.minisig", "q8_0.gguf", "q8_0.tin",
                                    "q8_0.tin.minisig")
    ]  # fmt: skip
    for name in digests[0]:
        assert digests[0][name] == digests[1][name], name
    tin = Tin(tmp_path / "one" / "made" / "base-q8_0.tin")
    bill = json.loads(bytes(tin.entry("sbom.cdx.json")))
    ancestor = bill["metadata"]["component"]["pedigree"]["ancestors"][0]
    assert tin.manifest["base"]["sha256"] == ancestor["hashes"][0]["content"]
    assert str(tmp_path) not in bytes(tin.entry("manifest.json")).decode() + json.dumps(bill)


@pytest.mark.slow
def test_a_recipe_is_made_to_the_same_bytes(base: Path, tmp_path: Path) -> None:
    """From examples to measured tins, on as many cores: PyTorch's sums depend on how many there are."""
    digests = []
    for name, where in (("one", HERE), ("other", THERE)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "base.gguf").write_bytes(base.read_bytes())
        (folder / "home.toml").write_text(RECIPE)
        (folder / "sample.py").write_text(SAMPLE)
        tinsmith(where, folder, "make", "home.toml", "--out", "run", cores=1)
        files = [*(folder / "run").glob("*.tin"), *(folder / "run").glob("*.gguf")]
        digests.append({file.name: file.read_bytes() for file in files})
    assert len(digests[0]) == 4
    for name in digests[0]:
        assert digests[0][name] == digests[1][name], name
