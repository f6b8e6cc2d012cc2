"""How the page looks and reads: light, dark and on a phone, to axe-core, and to a browser's policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ViewportSize, expect

from tests.serve.page.desk import Desk

SIZES = {"desktop": ViewportSize(width=1280, height=860), "phone": ViewportSize(width=390, height=844)}
FOCUSED = """(() => {
  const one = document.activeElement;
  const box = one.getBoundingClientRect();
  const unseen = box.width && box.bottom > 0 && box.top < innerHeight ? "" : " unseen";
  const number = [...document.querySelectorAll("*")].indexOf(one);
  const name = one.id || one.name || one.className || one.tagName;
  return one === document.body ? "" : `${number} ${name}${unseen}`;
})()"""
REACHED = (
    *("clear", "send", "system", "shape", "temperature", "max_tokens", "seed", "SUMMARY", "tokens"),
    *("show-request", "model-a", "compare", "open-about", "theme", "view", "walk", "prompt"),
)
SERIOUS = ("serious", "critical")


@pytest.fixture(params=["desktop-light", "desktop-dark", "phone-dark"])
def seen(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Desk]:
    size, scheme = request.param.split("-")
    context = browser.new_context(
        viewport=SIZES[size], color_scheme=scheme, has_touch=size == "phone", bypass_csp=True
    )
    desk = Desk(context.new_page(), address)
    desk.open()
    yield desk
    context.close()
    assert not desk.complaints


def findings(desk: Desk) -> list[Any]:
    """What axe-core calls serious, of the page as it is now; nothing may be wider than the window."""
    assert desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(desk.page).response["violations"]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found if one["impact"] in SERIOUS]


def test_axe_finds_nothing_serious(seen: Desk) -> None:
    page = seen.page
    phone = page.locator("#open-settings").is_visible()
    assert findings(seen) == []
    page.locator("#compare").check()
    seen.ask("hello")
    page.locator(".walk").first.focus()
    expect(page.locator("#alternatives")).to_be_visible()
    assert findings(seen) == []
    if phone:
        page.locator("#open-settings").click()
        expect(page.locator("#settings")).to_be_visible()
    page.get_by_text("More", exact=True).click()
    seen.editor("tools", "[]")
    area = seen.editor("schema", '{"type": "objekt"}')
    expect(seen.verdict("schema")).to_contain_text("no type")
    assert findings(seen) == []
    area.fill("")
    area.press("Control+Space")
    expect(page.locator("#schema [role=option]").first).to_be_visible()
    assert findings(seen) == []
    area.press("Escape")
    if phone:
        page.locator("#close-settings").click()
    page.locator("#open-about").click()
    expect(page.locator("#about-body table").first).to_be_visible()
    assert findings(seen) == []


def test_page_loads_nothing_external(browser: Browser, address: str) -> None:
    context = browser.new_context()
    desk = Desk(context.new_page(), address)
    response = desk.page.goto(address)
    assert response
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self'" in policy
    expect(desk.page.locator("#compare")).to_be_enabled()
    # The page itself is all that the first paint needs; the list of models comes from the same server.
    assert [asked for asked in desk.asked if not asked.startswith("data:")] == [address, f"{address}v1/models"]
    # The policy is obeyed: what the page may not ask is not asked.
    asked = desk.page.evaluate("fetch('http://localhost:9/').then(() => 'asked', () => 'refused')")
    assert asked == "refused"
    assert "Content Security Policy" in " ".join(desk.complaints)
    context.close()


def test_color_scheme_is_remembered(desk: Desk) -> None:
    page, button = desk.page, desk.page.locator("#theme")
    colour = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for name in ("light", "dark", "auto"):
        button.click()
        expect(button).to_have_text(f"Theme: {name}")
        seen[name] = page.evaluate(colour)
    assert seen["light"] != seen["dark"]
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) == seen["dark"]
    button.click()
    page.reload()
    expect(button).to_have_text("Theme: light")
    assert page.evaluate(colour) == seen["light"]


def test_settings_overlay_the_conversation_on_a_phone(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport=SIZES["phone"], has_touch=True)
    desk = Desk(context.new_page(), address)
    desk.open()
    page = desk.page
    expect(page.locator("#settings")).to_be_hidden()
    page.locator("#open-settings").tap()
    expect(page.locator("#open-settings")).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#settings")).to_be_in_viewport(ratio=0.9)
    page.locator("#close-settings").tap()
    expect(page.locator("#settings")).to_be_hidden()
    answer = desk.ask("hello")
    desk.token(answer).tap()
    box = page.locator("#alternatives")
    expect(box).to_be_in_viewport(ratio=1)
    page.locator("#empty, .prompt").last.tap()
    expect(box).to_be_hidden()
    # A schema that is wrong opens them.
    page.locator("#open-settings").tap()
    desk.editor("schema", "{")
    page.keyboard.press("Escape")
    expect(page.locator("#settings")).to_be_hidden()
    page.locator("#prompt").fill("again")
    page.locator("#send").tap()
    expect(page.locator("#schema textarea")).to_be_focused()
    context.close()


def test_nothing_overflows_the_window(desk: Desk) -> None:
    desk.page.locator("#compare").check()
    desk.ask("W" * 300)
    for width in (320, 860, 2000):
        desk.page.set_viewport_size({"width": width, "height": 700})
        assert desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        desk.page.locator("#open-about").click()
        expect(desk.page.locator("#about-body table").first).to_be_visible()
        assert desk.page.evaluate("document.querySelector('#about').scrollWidth <= innerWidth")
        desk.page.keyboard.press("Escape")


def test_line_numbers_align_with_lines(desk: Desk) -> None:
    area = desk.editor("schema", "{\n" + "\n" * 60 + "}")
    area.press("Control+End")
    pane, box = (desk.page.locator(name).first.bounding_box() for name in ("#schema .pane", "#schema textarea"))
    assert pane and box
    assert abs(pane["height"] - box["height"]) < 4
    last = desk.page.locator("#schema .numbers div").last
    expect(last).to_have_text("62")
    number = last.bounding_box()
    assert number
    assert box["y"] < number["y"] < box["y"] + box["height"]


def test_about_describes_the_file(desk: Desk) -> None:
    page = desk.page
    page.locator("#open-about").click()
    body = page.locator("#about-body")
    with page.expect_response(re.compile("/tinsmith/about")) as told:
        page.locator("#about-model").select_option(index=1)
    contents = told.value.json()["contents"]
    expect(body).to_contain_text("Plan")
    for name, entry in contents["entries"].items():
        expect(body).to_contain_text(name)
        if "sha256" in entry:
            expect(body).to_contain_text(entry["sha256"][:16])
    expect(body).to_contain_text(contents["family"])
    with page.context.expect_page() as opened:
        body.get_by_role("link", name="Open the report").click()
    expect(opened.value.locator("p")).to_have_text("What was measured.")
    page.locator("#about .close").click()
    expect(page.locator("#about")).to_be_hidden()


def test_the_keyboard_reaches_every_control(desk: Desk) -> None:
    """Tab goes through all that can be used and comes back; what has the focus has a name and is in sight."""
    desk.ask("hello")
    page = desk.page
    page.locator("#prompt").focus()
    names: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate(FOCUSED)
        if name in names:
            break
        names.append(name)
    assert not [name for name in names if name.endswith("unseen")]
    for one in REACHED:
        assert any(one in name for name in names), (one, names)
