"""Debian's Chromium, driven by playwright, on the page that a server of tiny models serves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from desk import Desk
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # One a module: as long as playwright runs, no other test of this thread can run a loop of asyncio's.
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is missing; install it, so that the page is tried")
        pytest.skip("chromium is not installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address() -> str:
    return os.environ["STUB"]


@pytest.fixture
def desk(browser: Browser, address: str) -> Iterator[Desk]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    desk = Desk(context.new_page(), address)
    desk.open()
    yield desk
    context.close()
    assert not desk.complaints
    assert all(asked.startswith((address, "data:", "blob:")) for asked in desk.asked)
