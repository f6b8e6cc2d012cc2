"""The settings: sampling, schema and tools, and their effect on requests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
from playwright.sync_api import Browser, expect

from tests.serve.page.desk import Desk, served

SCHEMA = {
    "type": "object",
    "properties": {"room": {"enum": ["kitchen", "loft"]}, "on": {"type": "boolean"}},
    "required": ["room", "on"],
    "additionalProperties": False,
}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "switch", "description": "Switches the lights.", "parameters": SCHEMA},
    }
]


def test_fields_become_the_request(desk: Desk) -> None:
    desk.shape("any")
    given = {
        "temperature": 0.5, "max_tokens": 8, "seed": 7, "top_p": 0.9, "top_k": 40, "min_p": 0.05,
        "repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": -0.5,
    }  # fmt: skip
    for name, value in given.items():
        desk.set(name, str(value))
    desk.set("stop", "END\n\nDONE")
    desk.page.locator("#system").fill("Be short.")
    desk.ask("hello")
    body = desk.sent[0]
    assert {name: body[name] for name in given} == given
    assert body["stop"] == ["END", "DONE"]
    assert body["messages"][0] == {"role": "system", "content": "Be short."}
    expect(desk.page.locator(".failure")).to_have_count(0)


def test_invalid_number_is_shown_and_not_sent(desk: Desk) -> None:
    desk.set("top_p", "3")
    desk.page.get_by_text("More", exact=True).click()
    desk.page.locator("#prompt").fill("hello")
    desk.page.locator("#send").click()
    expect(desk.page.locator("#problem")).to_contain_text("Top p")
    expect(desk.page.locator("[name=top_p]")).to_be_focused()
    assert not desk.sent
    expect(desk.page.locator("#prompt")).to_have_value("hello")


def test_answer_satisfies_the_schema_on_the_page(desk: Desk) -> None:
    desk.editor("schema", json.dumps(SCHEMA))
    expect(desk.verdict("schema")).to_contain_text(re.compile(r"Compiles: \d+ states"))
    answer = desk.ask("light, please")
    jsonschema.validate(json.loads(answer.locator(".text").text_content() or ""), SCHEMA)
    forced = answer.locator(".text .forced")
    assert forced.count() > 0
    expect(answer.locator(".foot")).to_contain_text(f"{forced.count()} forced")
    forced.first.hover()
    expect(desk.page.locator("#alternatives")).to_contain_text("Forced: the constraint left no other token")
    free = answer.locator(".text .token:not(.forced)").first
    free.hover()
    expect(desk.page.locator("#alternatives")).to_contain_text(
        re.compile(r"Chosen among \d+ tokens? that the constraint")
    )
    names = r'Masked, among all tokens: "(.|\n)*" [<\d.]+ %, "'
    expect(desk.page.locator("#alternatives .masked")).to_have_text(re.compile(names))
    spoken = answer.get_by_role("slider", name="Walk through the tokens")
    expect(spoken).to_have_attribute("aria-valuetext", re.compile("Masked, among all tokens"))


def test_model_output_is_not_markup(desk: Desk) -> None:
    markup = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    desk.editor("schema", json.dumps({"const": markup}))
    for tokens in (True, False):
        desk.page.locator("[name=tokens]").set_checked(tokens)
        answer = desk.ask(markup)
        expect(answer.locator(".text")).to_have_text(json.dumps(markup))
    expect(desk.page.locator("#turns").locator("img, script")).to_have_count(0)
    expect(desk.page).to_have_title("tinsmith")


WRONG = [
    ('{\n  "type": "object",\n}', "Line 2, column 19: a comma stands before '}'; remove it"),
    ('{"type" "object"}', "Line 1, column 9: expected ':' and not '\"'"),
    ('{"type": objekt}', "Line 1, column 10: expected a value and not 'objekt'"),
    ('{"a": 1, "a": 2}', 'Line 1, column 10: the name "a" stands twice in one object'),
    ('{"type":\n', "Line 2, column 1: a value is missing at the end"),
    ('{"type": "objekt"}', "Line 1, column 2: 'objekt' is no type"),
    ('{"properties": {\n "a": {"contains": {}}}}', "Line 2, column 8: 'contains' can't be enforced"),
    ('{"items": {"items": {"pattern": "("}}}', "Line 1, column 22: the pattern '(' at character 1"),
]


def test_schema_error_is_shown_at_its_position(desk: Desk) -> None:
    for text, said in WRONG:
        area = desk.editor("schema", text)
        expect(desk.verdict("schema")).to_contain_text(said)
        expect(area).to_have_attribute("aria-invalid", "true")
        line = re.match(r"Line (\d+)", said)
        assert line
        expect(desk.page.locator("#schema .numbers .bad")).to_have_text(line[1])
        expect(desk.page.locator("#schema .marks mark")).to_have_count(1)


def test_invalid_schema_is_not_sent(desk: Desk) -> None:
    area = desk.editor("schema", '{"type": "objekt"}')
    expect(desk.verdict("schema")).to_contain_text("'objekt' is no type")
    desk.page.locator("#prompt").fill("hello")
    desk.page.locator("#send").click()
    expect(desk.page.locator("#problem")).to_contain_text("Line 1, column 2")
    expect(area).to_be_focused()
    assert not desk.sent
    desk.page.locator("#prompt").focus()
    desk.page.get_by_role("button", name="Go to it").first.click()
    expect(area).to_be_focused()
    assert area.evaluate("one => one.value.slice(one.selectionStart, one.selectionEnd)") == '"type"'


def test_suggestions_write_a_schema(desk: Desk) -> None:
    area = desk.editor("schema", "")
    area.press("Control+Space")
    options = desk.page.locator("#schema [role=option]")
    expect(options.first).to_have_text("an object")
    area.press("Escape")
    expect(options.first).to_be_hidden()
    area.press_sequentially('{"ty')
    expect(options.first).to_have_text("type")
    expect(area).to_have_attribute("aria-activedescendant", re.compile("-0$"))
    area.press("Enter")
    expect(options).to_have_count(7)  # in quotes: the types of JSON
    area.press_sequentially("ob")
    area.press("Enter")
    expect(area).to_have_value('{"type": "object"')
    area.press_sequentially(', "')
    area.press("Enter")
    expect(area).to_have_value('{"type": "object", "properties": {}')
    area.press("End")
    area.press_sequentially("}")
    expect(desk.verdict("schema")).to_contain_text("Compiles")
    desk.page.locator("#schema").get_by_role("button", name="Tidy").click()
    expect(area).to_have_value('{\n  "type": "object",\n  "properties": {}\n}')
    area.press("Control+z")
    expect(area).to_have_value('{"type": "object", "properties": {}}')


def test_suggestions_know_the_names_and_references_of_the_schema(desk: Desk) -> None:
    area = desk.editor("schema", '{"$defs": {"lamp": {}}, "properties": {"room": {}}, "required": []}')
    expect(desk.verdict("schema")).to_contain_text("Compiles")
    area.press("End")
    area.press("ArrowLeft")
    area.press("ArrowLeft")
    area.press('"')
    option = desk.page.locator("#schema [role=option]")
    expect(option).to_have_text(["room"])
    option.click()
    expect(area).to_have_value(re.compile(r'"required": \["room"\]'))
    area.fill('{"$defs": {"lamp": {}}, "items": {}}')
    area.press("End")
    area.press("ArrowLeft")
    area.press("ArrowLeft")
    area.press_sequentially('"$r')
    area.press("Enter")
    expect(option).to_have_text(["#/$defs/lamp"])
    area.press("Enter")
    expect(area).to_have_value('{"$defs": {"lamp": {}}, "items": {"$ref": "#/$defs/lamp"}}')


def test_tools_are_called_and_get_results(desk: Desk) -> None:
    area = desk.editor("tools", "")
    desk.page.locator("#tools").get_by_role("button", name="Suggest").click()
    desk.page.locator("#tools [role=option]").click()
    assert json.loads(area.input_value())[0]["function"]["name"] == "switch"
    area.fill(json.dumps(TOOLS))
    expect(desk.verdict("tools")).to_contain_text("Compiles")
    desk.page.locator("[name=parallel]").uncheck()
    answer = desk.ask("light in the loft")
    body = desk.sent[0]
    assert (body["tools"], body["tool_choice"], body["parallel_tool_calls"]) == (TOOLS, "required", False)
    call = answer.locator(".call").first
    expect(call).to_contain_text("Calls switch")
    jsonschema.validate(json.loads(call.locator("pre").text_content() or ""), SCHEMA)
    call.get_by_label("Result of switch").fill("done")
    answer.get_by_role("button", name="Send the result").click()
    desk.answered()
    asked, told = desk.sent[1]["messages"][-2:]
    assert told == {"role": "tool", "tool_call_id": asked["tool_calls"][0]["id"], "content": "done"}
    expect(answer.locator(".failure")).to_have_count(0)


def test_tool_error_is_shown_at_its_position(desk: Desk) -> None:
    wrong = json.dumps(TOOLS).replace('"boolean"', '"bool"')
    desk.editor("tools", wrong)
    column = wrong.index('"type": "bool"') + 1
    expect(desk.verdict("tools")).to_contain_text(f"Line 1, column {column}: 'bool' is no type")


def test_settings_survive_a_reload(desk: Desk) -> None:
    desk.set("seed", "11")
    desk.page.locator("#system").fill("Be short.")
    desk.editor("schema", json.dumps(SCHEMA))
    desk.page.reload()
    expect(desk.page.locator("[name=seed]")).to_have_value("11")
    expect(desk.page.locator("#system")).to_have_value("Be short.")
    expect(desk.page.locator("#schema textarea")).to_have_value(json.dumps(SCHEMA))
    expect(desk.verdict("schema")).to_contain_text("Compiles")


def test_own_constraint_applies_until_lifted(desk: Desk) -> None:
    own = desk.page.locator("[name=shape][value=own]")
    expect(own).to_be_hidden()
    desk.page.locator("#model-a").select_option("held")
    expect(own).to_be_checked()
    assert re.fullmatch("[ab]{4}", desk.ask("hello").locator(".text").text_content() or "")
    assert desk.sent[0]["tinsmith"] == {"choices": True}
    desk.shape("any")
    assert not re.fullmatch("[ab]{4}", desk.ask("hello").locator(".text").text_content() or "")
    assert desk.sent[1]["tinsmith"] == {"choices": True, "unconstrained": True}
    desk.page.locator("#model-a").select_option("plain")
    expect(own).to_be_hidden()


def test_page_sends_the_key(browser: Browser, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("the-key-of-this-test\n")
    with served(files[0], "--api-key-file", tmp_path / "keys") as address:
        context = browser.new_context()
        desk = Desk(context.new_page(), address)
        page = desk.page
        page.goto(address)
        dialog = page.locator("#key-dialog")
        for key in ("wrong-key-of-this-test", "the-key-of-this-test"):
            expect(dialog).to_be_visible()
            page.locator("#key").fill(key)
            page.locator("#key").press("Enter")
        expect(page.locator("#compare")).to_be_enabled()
        expect(dialog).to_be_hidden()
        expect(desk.ask("hello").locator(".text")).to_be_visible()
        page.locator("#open-about").click()
        expect(page.locator("#about-body table").first).to_be_visible()
        # A key is kept nowhere but in the page.
        assert "the-key" not in json.dumps(
            page.evaluate("[{...sessionStorage}, {...localStorage}, document.cookie]")
        )
        context.close()
