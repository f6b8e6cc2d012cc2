"""Conversations: the prompt, the stream, the tokens, the comparison of two models."""

from __future__ import annotations

import json
import re
import shlex

from playwright.sync_api import expect

from tests.serve.page.desk import Desk


def test_answer_is_shown_with_its_figures(desk: Desk) -> None:
    answer = desk.ask("hello")
    expect(answer).to_have_count(1)
    expect(answer.locator(".foot")).to_contain_text(
        re.compile(r"\d+ tokens? .*first after \d+ ms .*receipt [0-9a-f]{12}")
    )
    assert desk.sent[0]["messages"] == [{"role": "user", "content": "hello"}]
    assert desk.sent[0]["stream"] is True
    expect(desk.page.locator("#announcer")).to_contain_text(desk.sent[0]["model"])


def test_conversation_continues_and_restarts(desk: Desk) -> None:
    desk.page.locator("#prompt").fill("one")
    desk.page.locator("#prompt").press("Shift+Enter")
    desk.page.locator("#prompt").press_sequentially("two")
    desk.page.locator("#send").click()
    desk.answered()
    desk.ask("three")
    first, answer, second = desk.sent[1]["messages"]
    assert (first, second) == ({"role": "user", "content": "one\ntwo"}, {"role": "user", "content": "three"})
    assert answer["role"] == "assistant"
    assert answer["content"]
    desk.page.locator("#clear").click()
    expect(desk.page.locator(".turn")).to_have_count(0)
    expect(desk.page.locator("#empty")).to_be_visible()
    desk.ask("four")
    assert [one["content"] for one in desk.sent[2]["messages"]] == ["four"]


def test_button_and_key_stop_the_answer(slow_desk: Desk) -> None:
    desk = slow_desk
    desk.set("max_tokens", "16000")
    desk.set("temperature", "2")  # what is drawn is not guessed: the answer goes on until it is stopped
    desk.editor("schema", '{"type": "string", "minLength": 12000}')
    for act in ("#stop", "Escape"):
        desk.page.locator("#prompt").fill("go on")
        desk.page.locator("#prompt").press("Enter")
        expect(desk.token(desk.page.locator(".turn").last)).to_be_visible()
        desk.page.locator(act).click() if act.startswith("#") else desk.page.keyboard.press(act)
        expect(desk.page.locator(".turn").last.locator(".foot")).to_contain_text("stopped by you")
        expect(desk.page.locator("#send")).to_be_visible()
        desk.page.locator("#clear").click()  # what was said leaves the next answer less room


def test_regenerating_replaces_the_answer(desk: Desk) -> None:
    answer = desk.ask("hello")
    before = answer.locator(".text").inner_text()
    answer.locator(".again").click()
    desk.answered()
    expect(answer.locator(".text")).to_have_count(1)
    assert answer.locator(".text").inner_text() == before
    assert desk.sent[0] == desk.sent[1]
    desk.ask("next")
    assert len(desk.sent[2]["messages"]) == 3


def test_answer_and_receipt_are_copied(desk: Desk) -> None:
    desk.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer = desk.ask("hello")
    text = answer.locator(".text").text_content()
    answer.get_by_role("button", name="Copy", exact=True).click()
    assert desk.page.evaluate("navigator.clipboard.readText()") == text
    answer.get_by_role("button", name="Copy the receipt").click()
    assert re.fullmatch("[0-9a-f]{64}", desk.page.evaluate("navigator.clipboard.readText()"))


def test_pointer_shows_alternatives(desk: Desk) -> None:
    desk.shape("any")
    desk.token(desk.ask("hello")).hover()
    box = desk.page.locator("#alternatives")
    expect(box).to_contain_text("Chosen among all tokens")
    shares = [float(one.strip("<% ")) for one in box.locator("td:nth-child(2)").all_inner_texts()]
    assert len(shares) >= 5
    assert 0 < sum(shares) <= 100.5
    assert shares[:5] == sorted(shares[:5], reverse=True)
    expect(box.locator(".chosen")).to_have_count(1)
    desk.page.keyboard.press("Escape")
    expect(box).to_be_hidden()


def test_keyboard_navigates_tokens(desk: Desk) -> None:
    desk.shape("any")
    answer = desk.ask("hello")
    walk = answer.get_by_role("slider", name="Walk through the tokens")
    walk.focus()
    expect(desk.page.locator("#alternatives")).to_be_visible()
    total = answer.locator(".token").count()
    for at in range(1, min(4, total) + 1):
        expect(walk).to_have_attribute(
            "aria-valuetext", re.compile(rf'^Token {at} of {total}: ".*"\. [<\d.]+ .*Else: ')
        )
        expect(answer.locator(".current")).to_have_attribute("data-at", str(at - 1))
        desk.page.keyboard.press("ArrowRight")
    desk.page.keyboard.press("Tab")
    expect(desk.page.locator("#alternatives")).to_be_hidden()


def test_keyboard_shows_alternatives_of_an_answer_scrolled_away(desk: Desk) -> None:
    """The focus scrolls the slider into view, and its box stays."""
    desk.shape("any")
    page, walk = desk.page, desk.ask("hello").get_by_role("slider", name="Walk through the tokens")
    page.locator("#turns").evaluate("turns => turns.style.paddingBottom = '3000px'")
    page.locator("#view").evaluate("view => view.scrollTop = view.scrollHeight")
    expect(walk).not_to_be_in_viewport()
    walk.focus()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(walk).to_be_in_viewport()
    expect(page.locator("#alternatives")).to_be_in_viewport(ratio=1)


def test_without_tokens_the_text_is_plain(desk: Desk) -> None:
    desk.page.locator("[name=tokens]").uncheck()
    answer = desk.ask("hello")
    assert "tinsmith" not in desk.sent[0]
    expect(answer.locator(".token")).to_have_count(0)
    expect(answer.locator(".text")).not_to_be_empty()
    plain = answer.locator(".text").text_content()
    desk.page.locator("#clear").click()
    desk.page.locator("[name=tokens]").check()
    assert desk.ask("hello").locator(".text").text_content() == plain


def test_two_models_side_by_side(desk: Desk) -> None:
    page = desk.page
    desk.ask("before")
    page.locator("#compare").check()
    names = page.locator("#model-b option").all_inner_texts()
    assert len(names) >= 2
    page.locator("#model-b").select_option(names[1])
    answers = desk.ask("hello")
    expect(answers).to_have_count(2)
    assert answers.locator("h3").all_inner_texts() == [page.locator("#model-a").input_value(), names[1]]
    left, right = (answers.nth(k).bounding_box() for k in (0, 1))
    assert left and right
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    texts = [answers.nth(k).locator(".text").text_content() for k in (0, 1)]
    said = page.locator(".same").last.inner_text()
    assert ("the same" in said) == (texts[0] == texts[1])
    # The side that was not there at first knows what the other was told.
    assert desk.sent[1]["messages"] == desk.sent[2]["messages"]
    assert desk.sent[2]["messages"][0]["content"] == "before"
    page.locator("#clear").click()
    page.locator("#model-b").select_option(names[0])
    desk.ask("once more")
    expect(page.locator(".same").last).to_have_text("Both answers are the same.")


def test_server_error_is_shown_in_place(desk: Desk) -> None:
    desk.page.route("**/v1/chat/completions", lambda route: route.continue_(post_data='{"model": "none"}'))
    answer = desk.ask("hello")
    expect(answer.locator(".failure")).to_have_attribute("role", "alert")
    expect(answer.locator(".failure")).not_to_be_empty()
    desk.page.unroute("**/v1/chat/completions")
    answer.locator(".again").click()
    desk.answered()
    expect(answer.locator(".text")).to_be_visible()
    desk.page.route("**/v1/chat/completions", lambda route: route.abort())
    expect(desk.ask("hello").locator(".failure")).to_have_text(
        "The server does not answer; is it still running?"
    )


def test_curl_command_sends_the_same_request(desk: Desk) -> None:
    desk.page.locator("#system").fill("It's short.")
    desk.page.locator("#prompt").fill("hello")
    desk.page.locator("#show-request").click()
    words = shlex.split(desk.page.locator("#request-text").inner_text())
    assert words[:3] == ["curl", "-N", f"{desk.address}v1/chat/completions"]
    desk.page.locator("#request-dialog .close").click()
    desk.page.locator("#prompt").press("Enter")
    desk.answered()
    assert json.loads(words[words.index("-d") + 1]) == desk.sent[0]
