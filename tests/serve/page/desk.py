"""A browser's page in tests: its requests, its console errors, and common steps."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, expect


class Desk:
    """sent: the bodies of chat requests. asked: every address. complaints: what the console has."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.sent: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(15_000)  # ms
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)
        if request.url.endswith("/v1/chat/completions") and request.post_data:
            self.sent.append(json.loads(request.post_data))

    def _console(self, message: ConsoleMessage) -> None:
        # The browser itself says that a request was refused; the page shows why.
        if "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def open(self) -> None:
        self.page.goto(self.address)
        expect(self.page.locator("#compare")).to_be_enabled()

    def set(self, name: str, value: str) -> None:
        """A field of the settings."""
        field = self.page.locator(f"#settings [name={name}]")
        if not field.is_visible():
            self.page.get_by_text("More", exact=True).click()
        field.fill(value)

    def shape(self, name: str) -> None:
        self.page.locator(f"#settings [name=shape][value={name}]").check()

    def editor(self, kind: str, text: str) -> Locator:
        """Chooses the shape of answer, writes its editor and waits for the server's verdict."""
        self.shape(kind)
        area = self.page.locator(f"#{kind} textarea")
        area.fill(text)
        return area

    def verdict(self, kind: str) -> Locator:
        return self.page.locator(f"#{kind} .verdict")

    def ask(self, prompt: str = "hello") -> Locator:
        """Sends, and waits for the end. The last turn's answers."""
        self.page.locator("#prompt").fill(prompt)
        self.page.locator("#prompt").press("Enter")
        return self.answered()

    def token(self, answer: Locator) -> Locator:
        """The first that can be seen: some are part of a character."""
        return answer.locator(".token", has_text=re.compile(r"\w")).first

    def answered(self) -> Locator:
        expect(self.page.locator("#prompt")).to_have_value("")
        expect(self.page.locator("#send")).to_be_visible(timeout=30_000)
        return self.page.locator(".turn").last.locator("article")


@contextmanager
def served(*arguments: str | Path) -> Iterator[str]:
    """`tinsmith serve`, and the address that it says."""
    command = [sys.executable, "-m", "tinsmith", "serve", *map(str, arguments), "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            said = re.search(r"http://[\d.]+:\d+", process.stderr.readline())
            assert said, process.stderr.read()
            yield f"{said[0]}/"
        finally:
            process.terminate()
