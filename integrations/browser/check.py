"""The page in Debian's chromium: check.py SITE OUT, where SITE has build.py's files, demo/, the tins and conformance.mjs."""

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

CASES = """async () => {
  const { conformance } = await import("/conformance.mjs");
  const { open } = await import("/tinsmith.mjs");
  const given = await (await fetch("/cases.json")).json();
  return conformance((file, options) => open(`/${file}`, options), given);
}"""
# Frames that the page painted while an answer came; the longest time between two, in milliseconds.
SMOOTH = """async () => {
  const { open } = await import("/tinsmith.mjs");
  const model = await open("/plain.tin");
  const session = await model.session({ context: 512 });
  let frames = 0, longest = 0, last = performance.now(), on = true;
  const frame = (now) => { frames++; longest = Math.max(longest, now - last); last = now; on && requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  for await (const _ of session.ask("Please shut the port hatch.", { maxTokens: 24 }));
  on = false;
  model.close();
  return { frames, longest, digest: String(session.answer.digest) };
}"""
# What is kept is used, not asked for; a byte that changed there is found, and the file fetched anew.
KEPT = """async () => {
  const { open, forget } = await import("/tinsmith.mjs");
  const url = new URL("/tiny.tin", location).href, found = [];
  const once = async (options) => { const model = await open(url, options); model.close(); found.push(model.kept); return model.digest; };
  const sha256 = await once();
  await once({ sha256 });
  const store = await caches.open("tinsmith"), kept = await store.match(url);
  const bytes = new Uint8Array(await kept.arrayBuffer());
  bytes[bytes.length >> 1] ^= 1;
  await store.put(url, new Response(bytes, { headers: kept.headers }));
  await once({ sha256 });
  await open(url, { sha256: sha256.replace(/./, (c) => (c === "0" ? "1" : "0")) }).catch((error) => found.push(error.message));
  found.push(await forget(url), await forget(url));
  return found;
}"""
WRONG = """async () => {
  const { open } = await import("/tinsmith.mjs");
  const model = await open("/tiny.tin"), session = await model.session({ context: 128 }), found = [];
  for (const attempt of [
    () => open(new Uint8Array(100)),
    () => session.say("user", "a\\0b"),
    () => session.adapter("zebra"),
    () => session.choose(["one\\ntwo"]),
    () => session.restore(new Uint8Array(100)),
  ]) await attempt().then(() => found.push("it was not refused"), (error) => found.push(error.code));
  model.close();
  return found;
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


def demo(page: Page, address: str) -> None:
    page.goto(f"{address}/demo/index.html?file=/plain.tin")
    expect(page.locator("#about")).to_contain_text("kept by this browser", timeout=60_000)
    page.fill("#text", "Please shut the port hatch.")
    page.press("#text", "Enter")
    expect(page.locator("#talk .answer")).to_have_attribute("title", "13 tokens; digest 5c021a176d45e78f", timeout=60_000)
    page.fill("#text", "And now open it again.")
    page.press("#text", "Enter")
    page.click("#stop")
    expect(page.locator("#ask")).to_be_enabled(timeout=10_000)
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
        cases = page.evaluate(CASES)
        out.write_text(json.dumps({"host": "browser", "version": f"Chromium {browser.version}", "cases": cases}) + "\n")
        print(json.dumps(cases))
        assert len(cases) == 10 and set(cases.values()) == {"passed"}
        assert asked.count("/plain.tin") == 1, "the file was kept, and fetched again"
        smooth = page.evaluate(SMOOTH)
        print(json.dumps(smooth))
        assert smooth["frames"] > 5
        kept = page.evaluate(KEPT)
        assert kept[:3] == [False, True, False] and "should have" in kept[3] and kept[4:] == [False, False], kept
        assert page.evaluate(WRONG) == ["FORMAT", "ARGUMENT", "ARGUMENT", "ARGUMENT", "FORMAT"]
        demo(page, address)
        assert not faults, faults
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
