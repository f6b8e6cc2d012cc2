"""The page in Debian's chromium: check.py SITE OUT, where SITE is as `test` makes it."""

from __future__ import annotations

import http.server
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

import tinsmith

ASKED = "Please shut the port hatch."
CALL = "async (name) => (await import('/check.mjs'))[name]()"
# Clicks as soon as it may: an answer of a few tokens is over before a click from out here comes.
STOP = """() => {
  const stop = document.querySelector("#stop");
  const seen = new MutationObserver(() => stop.disabled || (seen.disconnect(), stop.click()));
  seen.observe(stop, { attributes: true });
}"""


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The folder's address, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *_: Any) -> None:
            asked.append(self.path)

        def log_message(self, *_: Any) -> None: ...

    Handler.extensions_map = {**Handler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def demo(page: Page, address: str, tin: Path) -> None:
    answer = tinsmith.load(tin).chat([{"role": "user", "content": ASKED}], max_tokens=128, record=True)
    title = f"{len(answer.token_ids)} tokens; digest {answer.digest % 2**64:x}"
    page.goto(f"{address}/demo/index.html?file=/plain.tin")
    expect(page.locator("#about")).to_contain_text("kept by this browser", timeout=60_000)
    page.fill("#text", ASKED)
    page.press("#text", "Enter")
    expect(page.locator("#talk .answer")).to_have_attribute("title", title, timeout=60_000)
    page.evaluate(STOP)
    page.fill("#text", "And now open it again.")
    page.press("#text", "Enter")
    expect(page.locator("#talk .answer")).to_have_count(2)
    expect(page.locator("#ask")).to_be_enabled(timeout=10_000)
    assert page.locator("#talk .answer").last.get_attribute("title") is None, "it was not stopped"
    expect(page.locator("#error")).to_be_empty()
    page.goto(f"{address}/demo/index.html?file=/nowhere.tin")
    expect(page.locator("#error")).to_contain_text("nowhere.tin: 404")


def main() -> int:
    site, out = map(Path, sys.argv[1:])
    program = shutil.which("chromium")
    with served(site) as (address, asked), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{address}/demo/blank.html")
        cases = page.evaluate(CALL, "cases")
        report = {"host": "browser", "version": f"Chromium {browser.version}", "cases": cases}
        out.write_text(json.dumps(report) + "\n")
        print(json.dumps(report))
        assert cases
        assert set(cases.values()) == {"passed"}
        assert asked.count("/plain.tin") == 1, "the file was kept, and fetched again"
        smooth = page.evaluate(CALL, "smooth")
        print(json.dumps(smooth))
        assert smooth["frames"] > 5
        *found, refused, forgotten = page.evaluate(CALL, "kept")
        assert found == [False, True, False]
        assert "should have" in refused
        assert forgotten is False
        assert page.evaluate(CALL, "wrong") == ["FORMAT", "ARGUMENT", "ARGUMENT", "ARGUMENT", "FORMAT"]
        demo(page, address, site / "plain.tin")
        assert not faults, faults
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
