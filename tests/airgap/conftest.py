"""A tiny tin that chats, and its pack."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_models import tiny_spec

from tinsmith import airgap
from tinsmith.compiler import build_tin
from tinsmith.models import family

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PROMPT = "dim the kitchen lights"


@pytest.fixture(scope="session")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tin") / "tiny.tin"
    spec = tiny_spec(family.by_name("llama"), hidden_size=64, intermediate_size=96)
    entries = {"sbom.cdx.json": b'{"bomFormat": "CycloneDX"}\n', "LICENSES/data.txt": b"CC0-1.0\n"}
    build_tin(replace(spec, chat_template=CHATML), path, entries=entries)
    return path


@pytest.fixture(scope="session")
def packed(tin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return airgap.pack(tin, "host", tmp_path_factory.mktemp("pack") / "tiny-pack", PROMPT)[0]


@pytest.fixture(scope="session")
def offline() -> list[str]:
    """What a command begins with to run where there is no network interface."""
    command = ["unshare", "-n"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a network namespace can't be made here: unshare -n needs the right to")
    return command


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    def started(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            command, capture_output=True, text=True, errors="replace", **options
        )

    return started
