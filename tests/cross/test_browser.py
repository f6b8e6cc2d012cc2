"""tin.wasm and tin.mjs in a page: the same files as in node, fetched from a server."""

from __future__ import annotations

import html
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from test_cross_verify import sealed

import tinsmith
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
    address: str, tiny_tin: Path, tmp_path: Path
) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    done = subprocess.run(
        [chromium, *flags, "--virtual-time-budget=60000", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=300,
    )
    shown = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, flags=re.S)
    assert shown and shown[1], done.stdout + done.stderr
    printed = json.loads(html.unescape(shown[1]))
    assert printed.get("found") == sealed(tiny_tin), printed
    assert printed["isa"] == "wasmsimd"
    messages = [{"role": "user", "content": "Turn on the light"}]
    assert printed["answer"] == tinsmith.load(tiny_tin).chat(messages, max_tokens=16).text
