"""Formats against the renderings of models' own chat templates (tool_renderings.json) and model cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.system.growth import growth
from tinsmith.chat.tool_formats import FORMATS, Call, by_name, detect, read_tools
from tinsmith.errors import ConstraintError, InputError, UnsupportedError

RENDERED: dict[str, Any] = json.loads((Path(__file__).with_name("tool_renderings.json")).read_text())
TOOLS = read_tools(RENDERED["tools"])
TURNS = {
    "qwen": ("<|im_start|>{role}\n", "<|im_end|>\n"),
    "qwen35": ("<|im_start|>{role}\n", "<|im_end|>\n"),
    "llama3": ("<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>"),
}
ODD = [
    Call("get_weather", {"place": '</tool_call> "quoted" <tool_call>\n{é}\\', "unit": "celsius", "days": 1}),
    Call("switch_lights", {"on": False, "rooms": [], "level": 1e-7}),
    Call("switch_lights", {"on": True, "rooms": ["a, b", "{x:1}"]}),
]


@pytest.mark.parametrize("name", RENDERED["formats"])
def test_prompts_are_those_of_the_template(name: str) -> None:
    opening, ending = TURNS[name]
    for prompt in RENDERED["formats"][name]["prompts"]:
        prompted = by_name(name).messages(TOOLS, prompt["messages"])
        written = "".join(
            opening.format(role=message["role"]) + message["content"] + ending for message in prompted
        )
        if name == "llama3":
            # The head of the system message is the template's own, and stands whether there are tools or not.
            assert prompt["text"].endswith(written[written.index("<|start_header_id|>user") :])
            assert ("Be brief." in written) == ("Be brief." in prompt["text"])
        else:
            assert prompt["text"] == written


@pytest.mark.parametrize("name", FORMATS)
def test_partial_calls_grow_to_the_call(name: str) -> None:
    """Of every beginning of an answer: arguments only grow, and are the call's in the end."""
    known = FORMATS[name]
    calls = ODD if known.several else ODD[:1]
    answer, before = known.write(calls), 0
    seen: list[str] = []
    for end in range(len(answer) + 1):
        partial = known.partial_calls(answer[:end], TOOLS)
        texts = [one.arguments for one in partial]
        assert len(texts) >= len(seen) and all(map(str.startswith, texts, seen)), answer[:end]
        assert [one.name for one in partial] == [call.name for call in calls[: len(partial)]]
        assert all(one.complete for one in partial[:-1])
        before += sum(map(len, texts)) > sum(map(len, seen))
        seen = texts
    assert all(one.complete for one in partial)
    assert [json.loads(text) for text in seen] == [call.arguments for call in calls]
    assert before > 20  # pieces, in a text within an argument too


@pytest.mark.parametrize("name", RENDERED["formats"])
def test_answers_are_those_of_the_template(name: str) -> None:
    for answer in RENDERED["formats"][name]["answers"]:
        calls = [Call(**call) for call in answer["calls"]]
        assert by_name(name).turn(answer["said"], calls) == answer["text"]
        if not answer["said"]:
            assert by_name(name).write(calls) == answer["text"]
        assert by_name(name).parse(answer["text"], TOOLS) == calls


@pytest.mark.parametrize("name", FORMATS)
def test_written_calls_parse_to_the_same_calls(name: str) -> None:
    known = FORMATS[name]
    for call in ODD:
        assert known.parse(known.write([call]), TOOLS) == [call]
    if known.several:
        assert known.parse(known.write(ODD), TOOLS) == ODD
    else:
        with pytest.raises(InputError, match="one call an answer, got 3"):
            known.write(ODD)
    assert known.parse("It will rain, I am afraid.", TOOLS) == []


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_answers_are_refused(name: str) -> None:
    known = FORMATS[name]
    written = known.write(ODD[:1])
    with pytest.raises(InputError, match="damaged"):
        known.parse(written[: len(written) // 2], TOOLS)
    with pytest.raises(InputError, match="no tool; the tools are get_weather, switch_lights"):
        known.parse(known.write([Call("launch", {})]), TOOLS)


def test_functiongemma_writes_its_guides_example() -> None:
    """The example of ai.google.dev/gemma/docs/functiongemma/formatting-and-best-practices."""
    tools = read_tools(
        [
            {
                "name": "get_current_weather",
                "description": "Gets the current weather in a given location.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "location": {
                            "type": "string",
                            "description": 'The city and state, e.g. "San Francisco, CA" or "Tokyo, JP"',
                        },
                        "unit": {
                            "type": "string",
                            "enum": ["celsius", "fahrenheit"],
                            "description": "The unit to return the temperature in.",
                        },
                    },
                    "required": ["location"],
                },
            }
        ]
    )
    known = by_name("functiongemma")
    developer = known.messages(tools, [{"role": "user", "content": "hi"}])[0]["content"]
    assert developer == (
        "You are a model that can do function calling with the following functions"
        "<start_function_declaration>declaration:get_current_weather{description:<escape>Gets the current "
        "weather in "
        "a given location.<escape>,parameters:{properties:{location:{description:<escape>The city and state, "
        "e.g. "
        '"San Francisco, CA" or "Tokyo, '
        'JP"<escape>,type:<escape>STRING<escape>},unit:{description:<escape>The unit '
        "to return the temperature in.<escape>,enum:[<escape>celsius<escape>,<escape>fahrenheit<escape>],type:"
        "<escape>STRING<escape>}},required:[<escape>location<escape>],type:<escape>OBJECT<escape>}}"
        "<end_function_declaration>"
    )
    call = Call("get_current_weather", {"location": "Tokyo, Japan"})
    written = (
        "<start_function_call>call:get_current_weather{location:<escape>Tokyo, Japan<escape>}"
        "<end_function_call>"
    )
    assert known.write([call]) == written
    assert known.parse(written, tools) == [call]


def test_gemma_4_is_prompted_as_its_template_has_it() -> None:
    """The rendering of these tools and this call by Google's template of Gemma 4."""
    guests = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    place = {
        "type": "object",
        "properties": {"zip": {"type": "integer", "nullable": True}, "city": {"type": "string", "enum": ["a"]}},
        "required": ["city"],
    }
    properties = {"who": {"type": "array", "description": "all", "items": guests}, "where": place}
    parameters = {"type": "object", "properties": properties, "required": ["who"]}
    tools = read_tools([{"name": "book", "description": "Books", "parameters": parameters}])
    known = by_name("gemma4")
    messages = [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "hi"}]
    assert known.messages(tools, messages)[0]["content"] == (
        'Be brief.<|tool>declaration:book{description:<|"|>Books<|"|>,parameters:{properties:{where:{'
        'properties:{city:{enum:[<|"|>a<|"|>],type:<|"|>STRING<|"|>},zip:{nullable:true,type:<|"|>INTEGER<|"|>}},required:'
        '[<|"|>city<|"|>],type:<|"|>OBJECT<|"|>},who:{description:<|"|>all<|"|>,items:{properties:{age:{type:'
        '<|"|>INTEGER<|"|>}},required:[<|"|>age<|"|>],type:<|"|>OBJECT<|"|>},type:<|"|>ARRAY<|"|>}},required:'
        '[<|"|>who<|"|>],type:<|"|>OBJECT<|"|>}}<tool|>'
    )
    call = Call("book", {"who": [{"age": 3}], "where": {"city": "a"}})
    written = '<|tool_call>call:book{where:{city:<|"|>a<|"|>},who:[{age:3}]}<tool_call|>'
    assert known.write([call]) == written
    assert known.parse(written, tools) == [call]


def test_smollm_is_prompted_and_read_as_its_card_has_it() -> None:
    """The model card of SmolLM2-1.7B-Instruct: the tools as json.dumps writes their list, and this call."""
    parameters = {"type": "object", "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}}}
    given = [{"type": "function", "function": {"name": "get_random_number_between", "parameters": parameters}}]
    tools, known = read_tools(given), by_name("smollm")
    prompted = known.messages(tools, [{"role": "user", "content": "Give me a number between 1 and 300"}])
    assert (
        f"You have access to the following tools:\n<tools>{json.dumps(given)}</tools>\n"
        in prompted[0]["content"]
    )
    call = Call("get_random_number_between", {"min": 1, "max": 300})
    written = (
        '<tool_call>[{"name": "get_random_number_between", "arguments": {"min": 1, "max": 300}}]</tool_call>'
    )
    assert known.write([call]) == written
    assert known.parse(written, tools) == [call]
    assert known.parse("<tool_call>[]</tool_call>", tools) == []


def test_gemma_is_prompted_as_its_guide_has_it() -> None:
    """The second example of ai.google.dev/gemma/docs/capabilities/function-calling, line by line."""
    tool = {
        "name": "get_product_name_by_PID",
        "description": "Finds the name of a product by its Product ID",
        "parameters": {"type": "object", "properties": {"PID": {"type": "string"}}, "required": ["PID"]},
    }
    question = "The product ID is 807ZPKBL9V. Can you help me find the name of this product?"
    [asked] = by_name("gemma3").messages(read_tools([tool]), [{"role": "user", "content": question}])
    lines = [line for line in asked["content"].splitlines() if line]
    assert " ".join(lines[:3]) == (
        "You have access to functions. If you decide to invoke any of the function(s), you MUST put it in the "
        'format of {"name": function name, "parameters": dictionary of argument name and its value} You SHOULD '
        "NOT include any other text in the response if you call a function"
    )
    assert lines[3:-1] == json.dumps([tool], indent=2).splitlines()
    assert lines[-1] == question


def test_tools_stand_before_the_images_of_the_first_message() -> None:
    parts = [{"type": "image", "path": "a.png"}, {"type": "text", "text": " so "}]
    known = by_name("gemma3")
    [asked] = known.messages(TOOLS, [{"role": "user", "content": parts}])
    [plain] = known.messages(TOOLS, [{"role": "user", "content": ""}])
    assert asked["content"] == [{"type": "text", "text": plain["content"]}, *parts]


def test_gemma_may_fence_its_json() -> None:
    text = '```json\n{"name": "switch_lights", "parameters": {"on": true}}\n```'
    assert by_name("gemma3").parse(text, TOOLS) == [Call("switch_lights", {"on": True})]


@pytest.mark.parametrize(
    ("template", "tokens", "name", "expected"),
    [
        ('… <tool_call>\n{"name": … <|im_start|>', (), "", "qwen"),
        ("<tool_call>\n<function=' + n + '>\n<parameter=' …", (), "", "qwen35"),
        ("{{ '<start_of_turn>' }} <start_function_call>", (), "", "functiongemma"),
        ("{{ '<|turn>model' }} <|tool_call>call:", (), "", "gemma4"),
        (None, ("<|tool_call>",), "", "gemma4"),
        ("{{ '<start_of_turn>model' }}", (), "gemma-3-270m-it", "gemma3"),
        ("<|start_header_id|>", (), "", "llama3"),
        ("You are a helpful AI assistant named SmolLM, trained by", (), "", "smollm"),
        ("<|im_start|>", ("<tool_call>",), "", "qwen"),
        (None, (), "SmolLM2 360M", "smollm"),
        (None, (), "", "json"),
    ],
)
def test_a_models_format_is_detected(
    template: str | None, tokens: tuple[str, ...], name: str, expected: str
) -> None:
    assert detect(template, tokens, name) == expected


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ([], "#: the list of tools is empty"),
        ({"name": "x"}, "#: tools must be a list"),
        ([3], "#/0: a tool is an object with name and parameters, got int"),
        ([{"type": "browser", "function": {}}], "#/0/type: 'browser' is not a kind of tool"),
        ([{"function": {"name": ""}}], "#/0/function/name: a tool needs a name"),
        ([{"name": "a"}, {"name": "a"}], "#/1: a second tool is named 'a'"),
        ([{"name": "a", "parameters": []}], "#/0/parameters: must be a JSON Schema, got list"),
    ],
)
def test_invalid_tools_are_rejected_with_their_position(tools: Any, message: str) -> None:
    with pytest.raises(ConstraintError, match=message.replace("(", r"\(")):
        read_tools(tools)


def test_reading_tools_takes_time_by_their_number() -> None:
    def tools(count: int) -> list[dict[str, Any]]:
        return [{"name": f"f{k}"} for k in range(count)]

    assert growth(read_tools, tools(8_000), tools(16_000)) < 3


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(UnsupportedError, match="the formats are json, qwen, qwen35, functiongemma"):
        by_name("xml")
