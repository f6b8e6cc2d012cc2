"""The page that a server of two tiny models serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import tinsmith
from tests.models import random_adapters
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tests.serve.page.desk import Desk, served
from tinsmith import models
from tinsmith.compiler import build_tin
from tinsmith.formats import tin
from tinsmith.models import family
from tinsmith.train.adapters import tin as adapter_tin

CONTEXT = 16384


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model with an adapter, and one whose file holds its answers to a constraint."""
    folder = tmp_path_factory.mktemp("page")
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": CONTEXT}
    spec = replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML)
    plain, held = folder / "plain.tin", folder / "held.tin"
    models.save_gguf(spec, folder / "base.gguf")
    build_tin(spec, plain, entries={tin.SOURCE: bytes(range(32))})
    random_adapters.folder(spec, folder / "lamps", CHATML)
    adapter_tin.add(plain, "lamps", folder / "lamps", plain, "Q8_0")
    (folder / "report.html").write_text("<title>report</title><p>What was measured.</p>", "utf-8")
    own = tinsmith.regex("[ab]{4}")
    build_tin(spec, held, entries={tin.CONSTRAINT: own.data}, manifest={"constraint": {"kind": own.kind}})
    return [plain, held]


@pytest.fixture(scope="session")
def address(files: list[Path]) -> Iterator[str]:
    with served(*files, "--context", str(CONTEXT)) as address:
        yield address


@pytest.fixture
def desk(browser: Browser, address: str) -> Iterator[Desk]:
    yield from at_desk(browser, address)


@pytest.fixture
def slow_desk(browser: Browser, files: list[Path]) -> Iterator[Desk]:
    """Of a server that takes its time, so that there is some to stop it in."""
    with served(files[0], "--context", str(CONTEXT), "--duty-cycle", "5") as address:
        yield from at_desk(browser, address)


def at_desk(browser: Browser, address: str) -> Iterator[Desk]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    desk = Desk(context.new_page(), address)
    desk.open()
    yield desk
    context.close()
    assert not desk.complaints
    assert all(asked.startswith((address, "data:", "blob:")) for asked in desk.asked)
