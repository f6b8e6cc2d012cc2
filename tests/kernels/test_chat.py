"""tin_chat: the tokens of a conversation, by the C core from the compiled template."""

from __future__ import annotations

import itertools
import random
import re
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chat.test_chat_template import DAY, FINISHED, GEMMA, LLAMA3, LLAMA32, MODED, SMOLLM, THINKING, talks
from tests.models import c_programs
from tests.models.tiny_models import tiny_spec
from tinsmith import _core
from tinsmith.chat import packed as turns_file
from tinsmith.chat.chat_template import with_date, with_quoted_input
from tinsmith.chat.turns import ROLES, Turns
from tinsmith.compiler import build_image, build_tin
from tinsmith.errors import InputError, RuntimeFault, UnsupportedError
from tinsmith.formats.tin import pack_bytes
from tinsmith.models import family
from tinsmith.runtime import Model

KERNELS = Path(__file__).parents[2] / "kernels"
QWEN = (
    "{%- if messages[0]['role'] == 'system' %}"
    "{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
    "{%- else %}{{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud.<|im_end|>\\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'user' or (message.role == 'system' and not loop.first) or "
    "message.role == 'assistant' %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
# No control token between the turns: template and contents are one run of plain text.
PLAIN = (
    "{% for m in messages %}{{ '### ' + m['role'] + ':' + m['content'] | trim + ' in' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant:' }}{% endif %}"
)
TEMPLATES = {
    "smollm": SMOLLM,
    "llama3": LLAMA3,
    "qwen": QWEN,
    "plain": PLAIN,
    "gemma": GEMMA,
    "llama32": with_date(LLAMA32, DAY),
    "thinking": THINKING,
    "moded": MODED,
    "finished": FINISHED,
    "spelled": with_quoted_input(SMOLLM),
    "spelled plain": with_quoted_input(PLAIN),
    "spelled thinking": with_quoted_input(THINKING),
}
CONTROL = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)
BROKEN = ("<|im_", "end|>", "<tool>", "<to", "ol>", "\u3000", "\u2028", "\x85", "\x1c", "\ufeff", "\xa0x\xa0")


@pytest.fixture(scope="module", params=TEMPLATES)
def model(request: pytest.FixtureRequest) -> Model:
    """A tiny model whose control tokens are those of the templates."""
    spec = tiny_spec(family.by_name("llama"), vocab_size=280)
    tokens, types = list(spec.tokenizer.tokens), list(spec.tokenizer.types)
    for place, token in enumerate(CONTROL[3:], start=tokens.index(f"[PAD{types.index('unused')}]")):
        tokens[place], types[place] = token, "control"
    tokenizer = replace(spec.tokenizer, tokens=tokens, types=types)
    image = build_image(replace(spec, tokenizer=tokenizer, chat_template=TEMPLATES[request.param]))
    return Model(_core.Model(image), image, threads=1)


def reference(model: Model, pieces: list[tuple[str, bool]]) -> list[int]:
    """Control tokens where the template's own text has them; what lies between is tokenized as plain text."""
    ids = {token: model.tokenize(token, special=True) for token in CONTROL}
    ids = {token: several for token, several in ids.items() if len(several) == 1}
    tokens, plain = [], ""
    for text, is_template in pieces:
        for part in re.split("(" + "|".join(map(re.escape, ids)) + ")", text) if is_template else [text]:
            if is_template and part in ids:
                tokens += model.tokenize(plain) + ids[part]
                plain = ""
            else:
                plain += part
    return tokens + model.tokenize(plain)


def switches(model: Model) -> tuple[bool | None, ...]:
    return (None, True, False) if model.skill.templates.thinking else (None,)


def hostile(source: random.Random) -> list[dict[str, str]]:
    """A conversation of a usual shape, whose contents try to pass for what they are not."""
    [messages] = talks(source, 1)
    pieces = [*CONTROL, *BROKEN, "the in the", " ", "\n", "", "é漢🙂", "user\n", "### user:", "\x00"]
    place = source.randrange(len(messages))
    messages[place]["content"] += "".join(source.choices(pieces, k=source.randrange(7)))
    return messages


def as_core(messages: list[dict[str, str]]) -> list[tuple[int, bytes]]:
    return [(ROLES.index(message["role"]), message["content"].encode()) for message in messages]


def test_tokens_are_those_of_the_table_and_contents_stay_text(model: Model) -> None:
    """The core agrees with Python's table on everything, refusals among it."""
    source, compared = random.Random(7), 0
    for _ in range(250):
        messages, generate, switch = hostile(source), source.random() < 0.5, source.choice(switches(model))
        flags = generate | {None: 0, True: 2, False: 4}[switch]
        try:
            pieces = list(model.skill.templates.table(switch).pieces(messages, generate))
        except InputError:
            with pytest.raises(RuntimeFault, match="message"):
                model.core.chat(as_core(messages), flags)
            continue
        compared += 1
        assert model.core.chat(as_core(messages), flags) == reference(model, pieces)
        assert model.render(messages, generate=generate, thinking=switch) == reference(model, pieces)
    assert compared > 60


def test_tokens_are_those_of_the_rendered_template(model: Model) -> None:
    for messages, generate in itertools.product(talks(random.Random(8), 20), (False, True)):
        try:
            text = model.skill.templates.default.render(messages, generate=generate)
        except InputError:
            continue
        if not any(token in message["content"] for message in messages for token in CONTROL):
            assert model.render(messages, generate=generate) == model.tokenize(text, special=True)


def test_messages_out_of_place_are_refused(model: Model) -> None:
    for bad, what in [
        ([(1, b"x"), (0, b"y")], "message 2: a system message can only be the first"),
        ([(1, b"x"), (3, b"y")], "message 2: a tool's message follows"),
        ([(4, b"x")], "message 1: role 4 is none of TIN_ROLE_"),
        ([], "no messages"),
    ]:
        with pytest.raises(RuntimeFault, match=what):
            model.core.chat(bad)
    for flags in (8, 6):
        with pytest.raises(RuntimeFault, match="unknown flag"):
            model.core.chat([(1, b"x")], flags)
    if not model.skill.templates.thinking:
        with pytest.raises(RuntimeFault, match="no switch for thinking"):
            model.core.chat([(1, b"x")], 2)
        with pytest.raises(UnsupportedError, match="no switch for thinking"):
            model.render([{"role": "user", "content": "x"}], thinking=True)
    with pytest.raises(InputError, match="message 1: role 'function'"):
        model.render([{"role": "function", "content": "x"}])


def test_a_model_without_a_template_is_unsupported() -> None:
    spec = tiny_spec(family.by_name("llama"))
    core = _core.Model(build_image(replace(spec, chat_template=None)))
    with pytest.raises(RuntimeFault, match="no chat template") as fault:
        core.chat([(1, b"hi")])
    assert fault.value.status == "TIN_ERR_UNSUPPORTED"


@pytest.mark.parametrize("model", ["thinking"], indirect=True)
def test_a_damaged_table_is_refused_or_works(model: Model) -> None:
    """Truncations, and flips of bits outside the plain text, of which any is a good one."""
    entries = [(name, bytes(model.tin.entry(name))) for name in model.tin.names if name != "manifest.json"]
    place = [name for name, _ in entries].index("turns.bin")
    whole = entries[place][1]

    def opens(data: bytes) -> bool:
        entries[place] = ("turns.bin", data)
        try:
            core = _core.Model(pack_bytes(entries, model.tin.manifest))
        except RuntimeFault as fault:
            assert "turns.bin" in str(fault)
            return False
        vocab = core.info()["vocab"]
        try:
            assert all(0 <= token < vocab for token in core.chat([(0, b"a"), (1, b" b "), (2, b"c")]))
        except RuntimeFault as fault:  # the rules may now refuse it
            assert "message" in str(fault)
        return True

    assert opens(whole)
    assert not any(opens(whole[:size]) for size in range(0, len(whole), 1 + len(whole) // 100))
    assert not opens(whole + b"\0")
    parts, text = struct.unpack_from("<2I", whole, 28)
    bits = 8 * (len(whole) - text)
    flips = range(0, bits, bits // 500 | 1)
    refused = sum(not opens(flipped(whole, bit)) for bit in flips)
    assert parts
    assert len(flips) * 0.7 < refused < len(flips)


@pytest.mark.parametrize("model", ["thinking"], indirect=True)
def test_a_word_that_contents_are_searched_for_is_short(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search takes as many steps as both are long together multiplied."""
    tokenizer = tiny_spec(family.by_name("llama")).tokenizer
    table = model.skill.templates.default

    def opened(length: int) -> _core.Model:
        turns = Turns(replace(table, special={"user": ["x" * length]}))
        entries = {name: model.tin.entry(name) for name in model.tin.names if name != "manifest.json"}
        entries["turns.bin"] = memoryview(turns_file.encode(turns, tokenizer))
        return _core.Model(pack_bytes(list(entries.items()), model.tin.manifest))

    core = opened(1024)
    with pytest.raises(RuntimeFault, match="its content means something"):
        core.chat([(1, b"x" * 1024)])
    core.chat([(1, b"x" * 1023)])
    with pytest.raises(UnsupportedError, match="a text of 1025 bytes; the maximum is 1024"):
        opened(1025)
    monkeypatch.setattr(turns_file, "LONGEST_WORD", 1025)
    with pytest.raises(RuntimeFault, match=r"turns\.bin: word 0 is damaged"):
        opened(1025)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_capacities_scratch_and_errors_are_as_the_header_says(tmp_path: Path) -> None:
    """Under the sanitizers where the compiler has them, with not a byte of scratch to spare."""
    sizes = {"max_position_embeddings": 512}
    spec = replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=SMOLLM)
    build_tin(spec, tmp_path / "tiny.tin")
    sources = [Path(__file__).with_name("chat_check.c"), KERNELS / "tin_all.c"]
    include = f"-I{KERNELS / 'include'}"
    try:
        program = c_programs.program(tmp_path / "check", sources, include, *c_programs.SANITIZED)
    except subprocess.CalledProcessError:
        program = c_programs.program(tmp_path / "check", sources, include, *c_programs.TOOL)
    done = subprocess.run([program, tmp_path / "tiny.tin"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
