"""tin.wasm and tin.mjs in a page: the same files as in node, fetched from a server."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import tinsmith
from tests.cross.test_cross_verify import sealed
from tinsmith import targets
from tinsmith.cross import runtime
from tinsmith.system import progress

PAGE = """<!doctype html>
<meta charset="utf-8">
<pre id="result"></pre>
<script type="module">
const result = document.getElementById("result");
try {
  const { load } = await import("./tin.mjs");
  const model = await load(await (await fetch("tiny.tin")).arrayBuffer());
  const messages = [{ role: "user", content: "Turn on the light" }];
  const answer = [...model.session({ context: 200 }).chat(messages, { maxTokens: 16 })].join("");
  const found = model.selftest().map((one) => one.found);
  result.textContent = JSON.stringify({ isa: model.isa, found, answer });
} catch (error) {
  result.textContent = JSON.stringify({ error: String(error) });
}
</script>
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, tiny_tin: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    runtime.emit(targets.load("wasm32"), folder, progress.display())
    shutil.copy(tiny_tin, folder / "tiny.tin")
    (folder / "index.html").write_text(PAGE)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


@pytest.mark.slow
def test_a_page_gives_the_bits_and_the_words_of_this_machine(
    browser: Browser, address: str, tiny_tin: Path
) -> None:
    page = browser.new_page()
    page.goto(address)
    page.wait_for_function("document.getElementById('result').textContent", timeout=300_000)
    printed = json.loads(page.text_content("#result") or "")
    page.close()
    assert printed.get("found") == sealed(tiny_tin), printed
    assert printed["isa"] == "wasmsimd"
    messages = [{"role": "user", "content": "Turn on the light"}]
    assert printed["answer"] == tinsmith.load(tiny_tin).chat(messages, max_tokens=16).text
