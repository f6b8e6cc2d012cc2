"""Images of the prompt: selected, pasted, removed, and sent with the conversation."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

import tinsmith
from tests.serve.page.desk import Desk, served
from tests.serve.page.test_page_looks import findings
from tests.vision.chat_models import asking, photo, png

TEXT = "what is the thing?"
PASTE = """(area, data) => {
  const given = new DataTransfer();
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  given.items.add(new File([bytes], "b.png", { type: "image/png" }));
  area.dispatchEvent(new ClipboardEvent("paste", { clipboardData: given, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def sighted(eyes: Path) -> Iterator[str]:
    with served(eyes, eyes.with_name("blind.tin"), "--context", "512") as address:
        yield address


@pytest.fixture
def desk(browser: Browser, sighted: str) -> Iterator[Desk]:
    context = browser.new_context()
    desk = Desk(context.new_page(), sighted)
    desk.open()
    yield desk
    context.close()
    assert not desk.complaints


def coded(seed: int) -> str:
    return base64.b64encode(png(photo(50, 40, seed))).decode()


def choose(desk: Desk, data: bytes, name: str = "a.png") -> None:
    desk.page.set_input_files("#choose-file", {"name": name, "mimeType": "image/png", "buffer": data})


def test_images_go_with_the_prompt_and_stay_in_the_conversation(desk: Desk, eyes: Path) -> None:
    page = desk.page
    desk.set("max_tokens", "8")
    page.locator("[name=tokens]").uncheck()
    choose(desk, png(photo(50, 40, 1)))
    page.locator("#prompt").evaluate(PASTE, coded(2))
    expect(page.locator("#images img")).to_have_count(2)
    page.get_by_role("button", name="Remove a.png").click()
    expect(page.locator("#images img")).to_have_count(1)
    answer = desk.ask(TEXT)
    expect(page.locator(".turn .shown img")).to_have_count(1)
    expect(page.locator("#images")).to_be_hidden()
    asked = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{coded(2)}"}}
    first = {"role": "user", "content": [asked, {"type": "text", "text": TEXT}]}
    assert desk.sent[0]["messages"] == [first]
    alone = tinsmith.load(eyes).chat(asking(photo(50, 40, 2)), max_tokens=8)
    expect(answer.locator(".text")).to_have_text(alone.text)
    desk.ask("and?")
    assert desk.sent[1]["messages"][0] == first
    assert desk.sent[1]["messages"][2] == {"role": "user", "content": "and?"}


def test_a_large_image_is_scaled_down(desk: Desk) -> None:
    choose(desk, png(photo(2100, 210)))
    choose(desk, b"no image", "b.gif")
    desk.page.set_input_files(
        "#choose-file", {"name": "c.webp", "mimeType": "image/webp", "buffer": b"no image"}
    )
    expect(desk.page.locator("#problem")).to_contain_text("c.webp")
    shown = desk.page.locator("#images img").first
    assert (shown.get_attribute("src") or "").startswith("data:image/jpeg;base64,")
    assert shown.evaluate("(one) => [one.naturalWidth, one.naturalHeight]") == [2048, 205]


def test_image_input_is_hidden_without_vision(desk: Desk) -> None:
    button = desk.page.get_by_role("button", name="Image", exact=True)
    expect(button).to_be_visible()
    expect(desk.page.locator("#take-image")).to_be_hidden()  # no phone
    desk.page.locator("#model-a").select_option("blind")
    expect(button).to_be_hidden()
    desk.page.locator("#prompt").evaluate(PASTE, coded(2))
    expect(desk.page.locator("#images")).to_be_hidden()


def test_axe_finds_nothing_serious_about_images(browser: Browser, sighted: str) -> None:
    context = browser.new_context(bypass_csp=True)
    desk = Desk(context.new_page(), sighted)
    desk.open()
    choose(desk, png(photo(50, 40)))
    expect(desk.page.locator("#images img")).to_have_count(1)
    assert findings(desk) == []
    desk.set("max_tokens", "8")
    desk.page.locator("#send").click()  # without a text
    desk.answered()
    expect(desk.page.locator(".turn .shown img")).to_have_count(1)
    assert findings(desk) == []
    context.close()
