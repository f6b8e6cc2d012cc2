"""Files damaged at random and sealed again, through all that opens them: nothing but a TinsmithError comes out.

Seeds are fixed, so a round that fails does so again: its number is in the message. `-m slow` runs 12 times as
many, and with TINSMITH_EFFORT=4 those 48 times.
"""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.chat.test_chat_template import THINKING
from tests.models import random_adapters
from tests.models.effort import EFFORT
from tests.models.tiny_models import tiny_spec
from tinsmith import _core, compiler, models
from tinsmith.chat import chat_template, jinja_process, turn_probes
from tinsmith.cli import inspect
from tinsmith.compiler import selftest
from tinsmith.compiler.unpack import write_gguf
from tinsmith.errors import TinsmithError
from tinsmith.formats import gguf, safetensors, tin
from tinsmith.formats.sbom import Bill
from tinsmith.quant.shipping import Extra
from tinsmith.system import reading
from tinsmith.train.adapters import tin as adapter_tin

CASES = ("llama", "qwen35", "lfm2", "gemma3", "qwen3_moe", "phi3")
ODD: tuple[Any, ...] = (
    *(
        None,
        0,
        -1,
        1,
        2**31,
        2**63,
        2**64,
        1e300,
        float("nan"),
        float("inf"),
        True,
        "",
        "x",
        "\ud800",
        "\x1b[31m",
    ),
    *([], {}, [1], {"a": 1}, [[]] * 3, [None], ["a"], "a" * 5000),
)
# A round's randomness, and a folder that all rounds of a target share, to what it opens.
Target = Callable[[random.Random, Path], None]


def odd_json(source: random.Random, value: Any) -> Any:
    """One place of a JSON value made odd."""
    if isinstance(value, dict) and value and source.random() < 0.8:
        key, value = source.choice(list(value)), dict(value)
        if source.random() < 0.15:
            del value[key]
        else:
            value[key] = odd_json(source, value[key]) if source.random() < 0.6 else source.choice(ODD)
        return value
    if isinstance(value, list) and value and source.random() < 0.8:
        at, value = source.randrange(len(value)), list(value)
        value[at] = odd_json(source, value[at])
        return value
    return source.choice(ODD)


def damaged(source: random.Random, given: bytes) -> bytes:
    """A few bytes changed, cut off or put in, rather near the beginning."""
    data = bytearray(given)
    for _ in range(source.choice([1, 1, 2, 4])):
        if not data:
            break
        at = source.randrange(min(len(data), source.choice([64, 256, 4096, 1 << 30])))
        kind = source.randrange(5)
        if kind == 0:
            data[at] ^= 1 << source.randrange(8)
        elif kind == 1:
            data[at] = source.randrange(256)
        elif kind == 2:
            at -= at % 4
            wild = source.choice([0, 1, 2, 0xFFFFFFFF, 0x7FFFFFFF, 1 << 20, source.getrandbits(32)])
            data[at : at + 4] = struct.pack("<I", wild)[: len(data) - at]
        elif kind == 3:
            del data[at:]
        else:
            data[at:at] = bytes(source.randrange(1, 9))
    return bytes(data)


def tried(*uses: Callable[[], Any]) -> None:
    for use in uses:
        with suppress(TinsmithError):
            use()


def answered(path: Path) -> None:
    """Loads the model, and asks it for all that it gives."""
    try:
        model = tinsmith.load(path, threads=1)
    except TinsmithError:
        return
    user = [{"role": "user", "content": "hi"}]
    tried(
        lambda: model.info,
        lambda: model.skill.templates,
        lambda: model.constraint,
        lambda: model.tool_format,
        lambda: model.end_token,
        lambda: selftest.check(model.core),
        lambda: model.generate("the thing", max_tokens=3),
        lambda: model.chat(user, max_tokens=2),
        lambda: model.json("hi", max_tokens=3),
        lambda: model.choose("hi", ["a", "b"]),
        lambda: model.call("hi", [{"name": "f", "parameters": {}}], max_tokens=5),
    )
    tried(
        lambda: list(map(model.adapters.get, model.adapters)),
        lambda: model.skill_of("short").constraint,
        lambda: model.skill_of("short").tool_format,
        lambda: model.chat(user, adapter="short", max_tokens=2),
        lambda: model.choose("hi", ["a", "b"], adapter="short"),
    )


def shown(document: dict[str, Any]) -> None:
    """What inspect prints of a file holds nothing that a terminal would obey, and can be written."""
    with redirect_stdout(io.StringIO()) as printed:
        inspect._print(document)
    assert all(line.isprintable() for line in printed.getvalue().splitlines())
    printed.getvalue().encode()


def base(folder: Path, case: str, make: Callable[[Any, Path], Any], name: str) -> Path:
    path = folder / f"{case}{name}"
    if not path.exists():
        make(replace(tiny_spec(case), chat_template=THINKING), path)
    return path


def with_adapter(spec: Any, path: Path) -> None:
    """A tin that holds an adapter, with all that one can bring."""
    compiler.build_tin(spec, path, entries={tin.BILL: Bill("base", "1", digest="ab" * 32).encode()})
    template = chat_template.with_system(THINKING, "be short")
    folder = random_adapters.folder(spec, path.parent / f"{path.stem}-adapter", template)
    held = tinsmith.regex("[ab]+")
    facts = {
        "constraint": {"kind": held.kind},
        "abstention": {"error": 0.1, "constrained": None},
        "license": "MIT",
    }
    adapter_tin.add(path, "short", folder, path, "Q8_0", Extra({tin.CONSTRAINT: held.data}, facts))


def tins(source: random.Random, folder: Path) -> None:
    before = tin.Tin(base(folder, source.choice(CASES[:3]), with_adapter, ".tin"))
    entries = {name: bytes(before.entry(name)) for name in before.names if name != tin.MANIFEST}
    manifest = before.manifest
    if source.random() < 0.35:
        manifest = odd_json(source, manifest)
        manifest = manifest if isinstance(manifest, dict) else {}
    else:
        name = source.choice([name for name in entries if name != "weights.bin"])
        if name.endswith("template.json") and source.random() < 0.7:
            entries[name] = json.dumps(odd_json(source, json.loads(entries[name]))).encode()
        elif source.random() < 0.05:
            del entries[name]
        else:
            entries[name] = damaged(source, entries[name])
    path = folder / "damaged.tin"
    path.write_bytes(tin.pack_bytes(list(entries.items()), manifest))
    opened: list[Callable[[], Any]] = [
        lambda: shown(inspect._tin(path)),
        lambda: write_gguf(path, folder / "out.gguf"),
        lambda: tin.Tin(path).verify(),
        lambda: adapter_tin.rename(path, "short", "long", folder / "renamed.tin"),
        lambda: adapter_tin.check(tin.Tin(path), _core.Model(tin.Tin(path).image)),
    ]
    tried(*opened)
    answered(path)


_TEXTS = ("", " ", "\u2581", "<0x-1>", "<0xZZ>", "a b", "\udc80", "a" * 3000)
_VALUES = (
    *(0, 1, 2, 3, 7, 64, 300, 2**16, 2**31 - 1, 2**40, -1, True),
    *(1.5, 0.0, -1.0, float("nan"), float("inf"), 1e38, "", "x", "\udcff", [], [1, 2], ["a"], [0.5], [0], [-1]),
)


def ggufs(source: random.Random, folder: Path) -> None:
    file = gguf.read(base(folder, source.choice(CASES), models.save_gguf, ".gguf"))
    metadata = dict(file.metadata)
    for _ in range(source.choice([1, 1, 2])):
        key = source.choice(list(metadata))
        held = metadata[key]
        if source.random() < 0.1:
            del metadata[key]
        elif isinstance(held.value, list) and held.value and source.random() < 0.6:
            items, at = list(held.value), source.randrange(len(held.value))
            other: dict[type, tuple[Any, ...]] = {
                str: _TEXTS,
                int: (0, 1, 2, 3, 4, 5, 6, 7),
                float: (0.0, float("nan"), float("inf"), -1e38),
            }
            items[at] = source.choice([items[source.randrange(len(items))], *other.get(type(items[at]), ())])
            metadata[key] = replace(held, value=items if source.random() < 0.8 else items[:at])
        else:
            metadata[key] = gguf.value(source.choice(_VALUES))
    path = folder / "damaged.gguf"
    gguf.write(path, metadata, list(file.tensors.values()))
    if source.random() < 0.3:
        path.write_bytes(damaged(source, path.read_bytes()))
    tried(lambda: shown(inspect._base(path, None)))
    answered(path)


def folders(source: random.Random, folder: Path) -> None:
    path = base(folder, source.choice(CASES), models.save_hf, "")
    names = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]
    file = path / source.choice([*names, *names, safetensors.SINGLE])
    whole = file.read_bytes()
    try:
        if file.suffix == ".safetensors":
            size = struct.unpack_from("<Q", whole)[0]
            odd = odd_json(source, json.loads(whole[8 : 8 + size]))
            header = json.dumps(odd).encode()
            file.write_bytes(struct.pack("<Q", len(header)) + header + whole[8 + size :])
        else:
            file.write_text(json.dumps(odd_json(source, json.loads(whole))))
        if source.random() < 0.2:
            file.write_bytes(damaged(source, file.read_bytes()))
        answered(path)
    finally:
        file.write_bytes(whole)


def jsons(source: random.Random, folder: Path) -> None:
    """What is read is what json reads, and can be written and read again."""
    value: Any = [0, 1.5, "a", {"b": [None, True, "é"]}, {"c": {}}]
    for _ in range(4):
        value = odd_json(source, value)
    written = json.dumps(value).encode()
    for data in (written, damaged(source, written)):
        try:
            back = reading.json(data, folder, unique=True)
        except TinsmithError as error:
            assert str(error).isprintable()
            continue
        assert back == json.loads(data)
        assert json.loads(json.dumps(back, ensure_ascii=False, allow_nan=False).encode()) == back


_PIECES = (
    *(
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "-",
        " ",
        "\n",
        "'",
        '"',
        "(",
        ")",
        "[",
        "]",
        "|",
        "~",
        "+",
        "*",
        "**",
    ),
    *(
        " for m in messages ",
        " endfor ",
        " if ",
        " else ",
        " endif ",
        " set x = ",
        " macro f(x) ",
        " endmacro ",
    ),
    *(
        "m",
        ".role",
        ".content",
        "['role']",
        "x",
        "1",
        "99999999",
        "range(",
        "loop",
        ".index0",
        "namespace(x=1)",
    ),
    *("trim", "tojson", "strftime_now('%Y')", "raise_exception('no')", "bos_token", "tools", "enable_thinking"),
    *(
        "f(",
        "''.join",
        "'%s' % ",
        ".format(",
        ".__class__",
        " generation ",
        " endgeneration ",
        " break ",
        " in ",
    ),
    *(" == ", "'user'", "'<|im_end|>'", "add_generation_prompt", " is defined ", " not ", " and ", ":", ","),
)


def templates(source: random.Random, folder: Path) -> None:
    """A template's pieces in another order, or any that templates are made of."""
    at = sorted(source.sample(range(len(THINKING)), 4))
    cut = [THINKING[a:b] for a, b in zip([0, *at], [*at, len(THINKING)], strict=True)]
    source.shuffle(cut)
    pieces = [*cut, *source.choices(_PIECES, k=3)] if source.random() < 0.5 else source.choices(_PIECES, k=12)
    template = "".join(pieces)
    user = [{"role": "user", "content": "hi"}]
    tried(
        lambda: chat_template.render(template, user, generate=True),
        lambda: chat_template.thinking_switch(template),
        lambda: chat_template.settle(template, system="x", thinking=True, tools=[{"name": "f"}]),
        lambda: turn_probes.compile_turns(template, control=["<|im_end|>"]),
    )


TARGETS: dict[str, tuple[Target, int]] = {  # and rounds of some two seconds in all
    "tins": (tins, 60),
    "ggufs": (ggufs, 25),
    "folders": (folders, 40),
    "jsons": (jsons, 3000),
    "templates": (templates, 150),
}


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    yield
    jinja_process.close()


def run(name: str, rounds: range, folder: Path) -> None:
    target = TARGETS[name][0]
    for number in rounds:
        try:
            target(random.Random(f"{name} {number}"), folder)
        except Exception as error:
            raise AssertionError(f"round {number} of {name}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_damaged_ends_in_an_error_of_ours(name: str, tmp_path: Path) -> None:
    run(name, range(TARGETS[name][1]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_what_is_damaged_in_many_ways_ends_in_an_error_of_ours(name: str, tmp_path: Path) -> None:
    run(name, range(TARGETS[name][1], 12 * EFFORT * TARGETS[name][1]), tmp_path)
