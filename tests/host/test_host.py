"""tin_host: the flat interface that hosts bind, against the Python runtime."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.host import host as hosts
from tests.host.host import KERNELS, Refused, Session
from tests.models import c_programs, random_adapters
from tests.models.tiny_models import in_format, png_of, tiny_spec, with_vision
from tests.models.transformers_models import CHATML
from tinsmith import Model, _core
from tinsmith.compiler import build, build_image, build_tin, drafts
from tinsmith.constraint.makers import choices, schema
from tinsmith.formats import minisign
from tinsmith.models import family
from tinsmith.runtime.images import Image

SOURCES = [KERNELS / "tin_all.c", KERNELS / "host" / "tin_host.c"]
FLAGS = ("-O1", "-DTIN_SCALAR_ONLY", f"-I{KERNELS / 'include'}", "-pthread")
KEY = minisign.SecretKey(b"tinsmith", bytes(range(32)))
SIZES = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 512}
ASKED = {"role": "user", "content": "who?"}
TEN = "abcdefghij"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("host") / "libtinhost.so"
    return hosts.load(c_programs.program(path, SOURCES, *FLAGS, "-shared", "-fPIC"))


@pytest.fixture(scope="module")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Held to an enumeration, with two adapters, the second with a constraint of its own."""
    path = tmp_path_factory.mktemp("tins") / "tiny.tin"
    spec = in_format(replace(tiny_spec(family.by_name("llama"), **SIZES), chat_template=CHATML), "Q8_0")
    build_tin(spec, path)
    entries = {f"adapter/{name}.bin": random_adapters.compiled(path, seed=k) for k, name in enumerate("ab")}
    entries["grammar/answer.bin"] = schema({"enum": ["yes", "no", "yesterday"]}).data
    entries["adapter/b/grammar/answer.bin"] = choices(["left", "right"]).data
    build_tin(spec, path, entries=entries)
    path.with_name("tiny.tin.minisig").write_text(minisign.sign(path, KEY))
    return path


@pytest.fixture(scope="module")
def python(tin: Path) -> Model:
    return tinsmith.load(tin, isa="scalar")


@pytest.fixture
def model(host: Any, tin: Path) -> Iterator[Any]:
    opened = host.open(str(tin).encode(), None)
    assert host.model_status(opened) == 0, host.model_error(opened)
    yield opened
    host.close(opened)


@pytest.fixture
def session(host: Any, model: Any) -> Iterator[Session]:
    made = Session(host, model)
    yield made
    made.close()


def answer(session: Session, text: str = "who?", most: int = 16, **steps: int) -> dict[str, Any]:
    session.ask(text, most)
    return session.steps(**steps)


def answer_anew(session: Session, most: int = 8) -> dict[str, Any]:
    session.forget(0)
    return answer(session, most=most)


def test_every_function_of_the_header_is_there(host: Any) -> None:
    assert len(hosts.functions()) == 43
    assert host.session_open.argtypes[-1] is ctypes.c_int64


def test_answers_and_adapters_are_those_of_python(python: Model, session: Session) -> None:
    for name in (None, "a", "b", None):
        session.forget(0)
        session.adapter(None, 0.0)
        session.adapter(name, 1.0)
        found = answer(session)
        wanted = python.chat([ASKED], max_tokens=16, adapter=name, record=True)
        assert (found["text"], found["tokens"], found["finish"]) == (wanted.text, len(wanted.token_ids), 1)
        assert found["digest"] == str(wanted.digest)
    session.forget(0)
    session.constrained(0)
    session.adapter("a", 0.5)
    session.adapter("b", 0.25)
    session.sampling(0.9, 0.95, 1.1, 5)
    drawn = {"temperature": 0.9, "top_p": 0.95, "repetition_penalty": 1.1, "seed": 5}
    wanted = python.chat([ASKED], max_tokens=16, adapter={"a": 0.5, "b": 0.25}, constraint=None, **drawn)
    assert answer(session)["text"] == wanted.text  # bytes that are no UTF-8 among them
    assert "\N{REPLACEMENT CHARACTER}" in wanted.text


@pytest.mark.parametrize("turns", [0, 16])
def test_a_limit_is_obeyed_and_told(host: Any, tmp_path: Path, turns: int) -> None:
    """At each one: only what ended by itself says so, and is the answer without a limit."""
    path = tmp_path / "limits.tin"
    spec = in_format(replace(tiny_spec(family.by_name("llama"), **SIZES), chat_template=CHATML), "Q8_0")
    texts = ["turn on the lamp", "turn off the lamp", "turn the lamp", "no"]
    build_tin(spec, path, entries={"grammar/answer.bin": choices(texts).with_search(turns).data})
    python, model = tinsmith.load(path, isa="scalar"), host.open(str(path).encode(), None)
    session, finishes = Session(host, model), set()
    host.close(model)
    for asked in ("who?", "on?", "the lamp", "off"):
        whole = python.chat([{"role": "user", "content": asked}], max_tokens=40)
        for most in range(1, 20):
            session.forget(0)
            found = answer(session, asked, most)
            wanted = python.chat([{"role": "user", "content": asked}], max_tokens=most)
            finish = {1: "stop", 2: "length"}[found["finish"]]
            assert (found["text"], found["tokens"], finish) == (
                wanted.text,
                len(wanted.token_ids),
                wanted.finish,
            )
            assert found["tokens"] <= most
            assert finish != "stop" or found["text"] == whole.text
            finishes.add(finish)
    assert finishes == {"stop", "length"}
    session.close()


def test_drafts_are_by_the_table_of_the_skill_that_answers(host: Any, tin: Path, tmp_path: Path) -> None:
    """More of them at once than are looked up where there is none; they spare passes, and change no bit."""
    plain, path = tinsmith.load(tin, isa="scalar"), tmp_path / "drafts.tin"
    prompt, said = plain.render([ASKED]), {}
    for name in (None, "a"):
        said[name] = plain.generate(prompt, max_tokens=40, adapter=name, constraint=None).token_ids
    assert said[None] != said["a"]
    entries = {name: plain.core.entry(name) for name in ("adapter/a.bin", "adapter/b.bin")}
    entries["drafts/answer.bin"] = drafts.learn(plain.core, [(prompt, said[None])] * 20)
    entries["adapter/a/drafts/answer.bin"] = drafts.learn(plain.core, [(prompt, said["a"])] * 20)
    spec = in_format(replace(tiny_spec(family.by_name("llama"), **SIZES), chat_template=CHATML), "Q8_0")
    build_tin(spec, path, entries=entries)
    found: dict[Path, list[Any]] = {tin: [], path: []}
    passes: dict[Path, list[int]] = {tin: [], path: []}
    for one in found:
        model = host.open(str(one).encode(), None)
        session = Session(host, model)
        host.close(model)
        session.constrained(0)
        for name in (None, "a", "b", None):
            session.forget(0)
            session.adapter(None, 0.0)
            session.adapter(name, 1.0)
            found[one].append(answer(session, most=40))
            passes[one].append(session.passes())
        session.close()
    assert found[path] == found[tin]
    assert [a["tokens"] for a in found[tin]] == [40] * 4
    print(passes)
    for k in (0, 1, 3):
        assert passes[path][k] < 40 / 5 < passes[tin][k]


def test_a_conversation_goes_on(python: Model, session: Session) -> None:
    session.say(0, "be short")
    messages = [{"role": "system", "content": "be short"}]
    for text in ("who?", "why?"):
        messages.append({"role": "user", "content": text})
        wanted = python.chat(messages, max_tokens=16).text
        assert answer(session, text)["text"] == wanted
        messages.append({"role": "assistant", "content": wanted})
    told = [(session.message_role(k), session.message(k).decode()) for k in range(session.messages())]
    assert told == [(("system", "user", "assistant").index(m["role"]), m["content"]) for m in messages]
    assert session.message(5) is None
    session.forget(1)
    assert session.messages() == 1


def test_slices_threads_and_interruptions_change_nothing(host: Any, model: Any, session: Session) -> None:
    session.constrained(0)
    wanted = answer(session, most=40)
    for budget in (1, 50, 10_000):
        session.forget(0)
        assert answer(session, most=40, budget_us=budget) == wanted
    session.forget(1)
    session.begin(40)
    session.steps(most_tokens=7)
    session.cancel()
    assert session.step(0) == hosts.IDLE
    session.begin(40)
    assert session.steps() == wanted
    threaded = Session(host, model, 256, threads=2)
    threaded.constrained(0)
    assert answer(threaded, most=40) == wanted
    threaded.close()


def test_one_of_some_options(python: Model, session: Session) -> None:
    options = ["north", "northeast", "south", "wait a while", "é!", "ß"]
    for seed in range(6):
        session.forget(0)
        session.sampling(8.0, 1.0, 1.0, seed)
        session.say(1, "where?")
        session.choose("\n".join(options))
        found = session.steps()
        held = {"constraint": tinsmith.choices(options), "temperature": 8.0, "seed": seed}
        wanted = python.chat([{"role": "user", "content": "where?"}], max_tokens=12, **held).text
        assert (found["text"], options[found["chosen"]]) == (wanted, wanted)
    session.sampling(0, 1, 1, 0)
    for texts in (
        ["north", "northeast"],
        ["north"],
        ["north", "nor"],
        ["ab", "c"],
        ["ab", "c", "d"],
    ):  # like those of before
        for _ in range(2):
            session.forget(0)
            session.say(1, "where?")
            session.choose("\n".join(texts) + "\n")
            found = session.steps()
            assert texts[found["chosen"]] == found["text"]
            assert (
                found["text"]
                == python.chat([{"role": "user", "content": "where?"}], constraint=tinsmith.choices(texts)).text
            )
    session.begin(16)  # the file's own constraint again
    assert session.steps()["text"] in ('"yes"', '"no"', '"yesterday"')
    for wrong in (
        "",
        "\n",
        "\n\n",
        "a\n\n",
        "a\nb\n\n",
        "\na",
        "a\n\nb",
        "a\nb\na",
        "x\n" * 1025,
        "y" * 20_000,
    ):
        with pytest.raises(Refused, match="options") as refused:
            session.choose(wrong)
        assert refused.value.status == -1


def test_thoughts_that_the_prompt_opens_stay_in_the_conversation(host: Any, tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 512}
    spec = tiny_spec(family.by_name("llama"), **sizes)
    opening = CHATML.replace("assistant\n' }}{% endif", "assistant\n<think>\n' }}{% endif")
    assert opening != CHATML
    build_tin(in_format(replace(spec, chat_template=opening), "Q8_0"), tmp_path / "t.tin")
    model = host.open(str(tmp_path / "t.tin").encode(), None)
    session = Session(host, model)
    host.close(model)  # the session holds it
    found = answer(session, most=4)
    assert session.message(1).decode() == "<think>" + found["text"]
    with pytest.raises(Refused) as refused:
        session.think(1) or session.begin(4)
    assert refused.value.status == -4  # its template has no switch
    session.close()


def test_saved_and_copied_sessions_go_on_alike(host: Any, model: Any, session: Session) -> None:
    session.adapter("a", 0.5)
    with pytest.raises(Refused, match="1 to 100"):
        session.duty_cycle(0)
    session.duty_cycle(60)  # of the first only: no bit changes
    first = answer(session)
    saved = session.saved()
    wanted = answer(session, "why?")
    for make in ("restore", "copy"):
        other = Session(host, model)
        if make == "restore":
            other.restore(saved, len(saved))
        else:
            session.forget(2)
            other.copy(session.handle)
        assert (other.messages(), other.message(1).decode()) == (2, first["text"])
        assert answer(other, "why?") == wanted
        other.close()
    held, messages = session.saved(), session.messages()
    for wrong in (
        saved[:-1],
        saved[:30],
        b"",
        b"x" * 64,
        saved[:8] + b"x" + saved[9:],
        saved[:4] + b"\2" + saved[5:],
    ):
        with pytest.raises(Refused):
            session.restore(wrong, len(wrong))
        assert (session.saved(), session.messages()) == (held, messages)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with image input."""
    path = tmp_path_factory.mktemp("seeing") / "vision.tin"
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 512}
    spec = replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML)
    build_tin(with_vision(spec), path)
    return path


def test_images_are_answered_about_as_python_does(host: Any, seeing: Path) -> None:
    python = tinsmith.load(seeing, isa="scalar")
    pixels = [bytes((7 * k * (at + 3) + at // 5) % 256 for at in range(40 * 30 * 3)) for k in (1, 2)]
    first, second = (Image(40, 30, one) for one in pixels)
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "image", "pixels": first}, {"type": "text", "text": "who?"}]}
    ]
    wanted = python.chat(messages, max_tokens=8, record=True)
    messages += [
        {"role": "assistant", "content": wanted.text},
        {
            "role": "user",
            "content": [
                {"type": "image", "pixels": second},
                {"type": "image", "pixels": first},
                {"type": "text", "text": "and here?"},
            ],
        },
    ]
    then = python.chat(messages, max_tokens=8, record=True)

    model = host.open(str(seeing).encode(), None)
    session, other = Session(host, model), Session(host, model, threads=2)
    rgba = b"".join(pixels[0][k : k + 3] + b"\xff" for k in range(0, len(pixels[0]), 3))
    session.pixels(rgba, len(rgba), 40, 30, 4)
    session.ask("who?", 8)
    slices = 0
    while session.step(1) == hosts.PENDING:
        slices += 1
    assert slices > 20  # the encoder is stepped as the answer is
    while session.step(0) != hosts.DONE:
        pass
    assert (session.digest(), session.answer().decode()) == (wanted.digest, wanted.text)

    saved = session.saved()
    other.restore(saved, len(saved))
    for one in (session, other):
        one.image(png := png_of(pixels[1], 40, 30), len(png))
        one.pixels(pixels[0], len(pixels[0]), 40, 30, 3)
        assert answer(one, "and here?", 8)["text"] == then.text
        assert one.digest() == then.digest
    assert other.messages() == 4
    third = Session(host, model)
    third.copy(other.handle)
    third.forget(2)
    third.image(png, len(png))
    third.pixels(pixels[0], len(pixels[0]), 40, 30, 3)
    assert answer(third, "and here?", 8)["text"] == then.text
    for cut in (40, 3000):  # within a message, within its image
        with pytest.raises(Refused, match="damaged, or cut short"):
            third.restore(saved[:cut], cut)
    for one in (session, other, third):
        one.close()
    host.close(model)


def test_an_image_that_can_not_be_seen_is_refused(host: Any, model: Any, seeing: Path) -> None:
    blind, opened = Session(host, model), host.open(str(seeing).encode(), None)
    sees = Session(host, opened)
    for session, call, said in (
        (blind, lambda one: one.pixels(bytes(12), 12, 2, 2, 3), "has no image input"),
        (sees, lambda one: one.pixels(bytes(12), 12, 2, 3, 3), "height rows of width pixels"),
        (sees, lambda one: one.pixels(bytes(12), 12, 3, 2, 2), "height rows of width pixels"),
        (sees, lambda one: one.image(b"GIF89a", 6), "neither PNG nor JPEG"),
        (sees, lambda one: one.image(png := png_of(bytes(3600), 40, 30)[:60], len(png)), "can't be read"),
    ):
        with pytest.raises(Refused, match=said):
            call(session)
    answer(sees, "who?", 4)  # of text alone, since no image was taken
    assert sees.messages() == 2
    blind.close()
    sees.close()
    host.close(opened)


def test_what_is_refused_says_why(host: Any, tin: Path, model: Any, session: Session, tmp_path: Path) -> None:
    def opened(path: Path, key: str | None = None) -> tuple[int, str]:
        made = host.open(str(path).encode(), key.encode() if key else None)
        told = host.model_status(made), host.model_error(made).decode()
        host.close(made)
        return told

    assert opened(tin, KEY.public) == (0, "")
    status, said = opened(tin, minisign.generate().public)
    assert (status, str(tin) in said) == (-9, True)
    unsigned = tmp_path / "unsigned.tin"
    unsigned.write_bytes(tin.read_bytes())
    assert opened(unsigned, KEY.public)[0] == -9
    for name, text in (("nowhere.tin", None), ("empty.tin", b""), ("other.tin", b"no tin" * 100)):
        if text is not None:
            (tmp_path / name).write_bytes(text)
        status, said = opened(tmp_path / name)
        assert status in (-1, -2)
        assert name in said
    with pytest.raises(Refused, match="no adapter c; it has: a b"):
        session.adapter("c", 1.0)
    with pytest.raises(Refused, match="role"):
        session.say(4, "hm")
    with pytest.raises(Refused, match="system"):
        session.say(1, "a") or session.say(0, "b") or session.begin(4)
    session.forget(0)
    with pytest.raises(Refused, match="room for 512"):
        session.ask("long " * 200, 4)
    assert session.messages() == 0
    session.ask("who?", 4)
    with pytest.raises(Refused, match="under way"):
        session.ask("and?", 4)
    with pytest.raises(Refused, match="64"):
        Session(host, model, threads=65)
    with pytest.raises(Refused, match=r"takes \d+ bytes, and may take 1000") as refused:
        Session(host, model, most_bytes=1000)
    assert refused.value.status == -5


def test_a_file_in_memory(host: Any, tin: Path, python: Model) -> None:
    data = tin.read_bytes()
    room = ctypes.create_string_buffer(len(data) + 65)
    aligned = -ctypes.addressof(room) % 64
    signature = tin.with_name("tiny.tin.minisig").read_bytes()
    for offset in (0, 1):
        at = ctypes.addressof(room) + aligned + offset
        ctypes.memmove(at, data, len(data))
        model = host.open_memory(at, len(data), signature, KEY.public.encode())
        assert host.model_error(model) == b""
        assert host.fingerprint(model) != 0
        assert [host.adapter_name(model, k) for k in range(-1, 3)] == [None, b"a", b"b", None]
        assert b'"entries"' in host.entry(model, b"manifest.json")
        session = Session(host, model)
        assert answer(session)["text"] == python.chat([ASKED], max_tokens=16).text
        session.close()
        host.close(model)


def test_texts_go_on_without_a_template(python: Model, session: Session) -> None:
    session.constrained(0)
    session.complete("the th", 12)
    assert session.steps()["text"] == python.generate("the th", max_tokens=12, constraint=None).text
    assert session.messages() == 0


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten adapters, of which a session can have eight at once."""
    path = tmp_path_factory.mktemp("many") / "many.tin"
    spec = in_format(replace(tiny_spec(family.by_name("llama"), **SIZES), chat_template=CHATML), "Q8_0")
    build_tin(spec, path)
    adapters = {f"adapter/{name}.bin": random_adapters.compiled(path, seed=k) for k, name in enumerate(TEN)}
    build_tin(spec, path, entries=adapters)
    return path


def test_a_scale_is_what_float32_makes_of_it(host: Any, many: Path) -> None:
    """One that rounds to 0 takes an adapter off, as 0 does; and a ninth adapter has no room."""
    model = host.open(str(many).encode(), None)
    session = Session(host, model, adapters=8)
    host.close(model)
    nothing = answer(session, most=8)
    for name in TEN:
        session.adapter(name, 1e-60)
    assert answer_anew(session) == nothing
    assert session.saved()[20:24] == bytes(4)  # how many adapters, as saved.c writes it
    for name in TEN[:8]:
        session.adapter(name, 0.1)
    full, told = session.saved(), answer_anew(session)
    assert told != nothing
    for scale in (1.0, -1e-30):
        with pytest.raises(Refused, match="at most 8 adapters"):
            session.adapter(TEN[8], scale)
    for scale in (float("nan"), float("inf"), -float("inf"), 1e300, -1e300, 65536.0):
        with pytest.raises(Refused, match="scale must be a number below 65536"):
            session.adapter(TEN[0], scale)
    assert answer_anew(session) == told
    session.adapter(TEN[0], -1e-60)
    session.adapter(TEN[8], 0.1)
    assert answer_anew(session) != told
    session.restore(full, len(full))
    assert answer_anew(session) == told
    session.close()


def test_sampling_is_tested_as_float32_has_it(session: Session) -> None:
    nan, inf = float("nan"), float("inf")
    for wrong in (
        *((t, 1.0, 1.0) for t in (nan, inf, 1e300, -1.0, -1e-30)),
        *((0.5, p, 1.0) for p in (nan, inf, 1.1, -1e-30)),
        *((0.5, 1.0, r) for r in (nan, inf, 1e300, 1e-60, 0.0, -1.0)),
    ):
        with pytest.raises(Refused, match="temperature is at least 0"):
            session.sampling(*wrong, 0)
    session.constrained(0)
    greedy = answer(session)
    session.sampling(5e-324, 1.0, 1.0, -1)  # 0 in float32
    assert answer_anew(session, 16) == greedy


@pytest.mark.parametrize("chunk", [3, 32])
def test_a_session_has_logits_for_what_it_drafts(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """Four drafts and the token before, or as many as a chunk has: Python takes the memory for these."""
    monkeypatch.setattr(build, "_chunk", lambda graph: chunk)
    spec = replace(tiny_spec(family.by_name("llama"), **SIZES), chat_template=CHATML)
    build_tin(spec, tmp_path / "m.tin")
    rows, image = min(chunk, 5), build_image(spec)
    model = host.open(str(tmp_path / "m.tin").encode(), None)
    session = Session(host, model, 64)
    host.close(model)
    planned = _core.Session(_core.Model(image), context=64, logit_rows=rows).size()
    assert 0 <= session.session_bytes() - planned < 4 * _core.Model(image).info()["vocab"]
    assert answer(session, "a", 8)["tokens"] == 8
    session.close()


def test_memory_that_is_below_nothing_is_refused(host: Any, model: Any) -> None:
    with pytest.raises(Refused, match="most_bytes are at least 0"):
        Session(host, model, most_bytes=-1)


def test_a_nul_in_an_answer_does_not_end_its_text(host: Any, tmp_path: Path) -> None:
    spec = in_format(replace(tiny_spec(family.by_name("llama"), **SIZES), chat_template=CHATML), "Q8_0")
    build_tin(spec, tmp_path / "m.tin", entries={"grammar/answer.bin": choices(["a\0bcd"]).data})
    model = host.open(str(tmp_path / "m.tin").encode(), None)
    session = Session(host, model)
    host.close(model)
    assert answer(session)["text"] == "a\N{REPLACEMENT CHARACTER}bcd"
    assert session.message(1).decode() == "a\N{REPLACEMENT CHARACTER}bcd"
    session.close()


def test_a_refused_call_leaves_the_answer_as_it_was(session: Session) -> None:
    session.constrained(0)
    wanted = answer(session, most=16)
    session.forget(0)
    session.ask("who?", 16)
    session.steps(most_tokens=4)
    for wrong in (-1, 2, 2**31 - 1):
        with pytest.raises(Refused, match="not so many messages"):
            session.forget(wrong)
    while session.step(0) != hosts.DONE:
        pass
    assert session.digest() == int(wanted["digest"])
    with pytest.raises(Refused, match="no text"):
        session.complete(None, 4)
    assert session.answer().decode() == wanted["text"]


def test_a_budget_is_a_bound_whatever_its_value(session: Session) -> None:
    """The largest: as long as it takes. Below 0, as what is left of a frame that is over: the least step."""
    session.constrained(0)
    wanted = answer(session, most=24)
    for large in (2**63 - 1, 2**63 // 1000, 2**53):
        session.forget(0)
        session.ask("who?", 24)
        assert session.step(large) == hosts.DONE
        assert session.digest() == int(wanted["digest"])
    for small in (-1, -1_000_000, -(2**63)):
        session.forget(0)
        session.ask("who?", 24)
        steps = 1
        while session.step(small) != hosts.DONE:
            steps += 1
        assert steps > 24 * 4  # not a token in one
        assert session.digest() == int(wanted["digest"])


SLICES = r"""
#include "tin_host.h"
#include "tin.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SLICE = 300000, SLICES = 50 };
static uint64_t now = 1, done; /* nothing but the slices takes time */
int __wrap_clock_gettime(clockid_t id, struct timespec *to) {
    (void)id;
    *to = (struct timespec){(time_t)(now / 1000000000), (long)(now % 1000000000)};
    return 0;
}

/* The core, as if a token were so many slices of so many nanoseconds: as it promises, some of it is done in any
 * call, and the next only where it fits. */
int32_t __real_tin_step(tin_session *session, uint64_t budget_ns);
int32_t __wrap_tin_step(tin_session *session, uint64_t budget_ns) {
    for (uint64_t spent = 0;;) {
        now += SLICE;
        spent += SLICE;
        if (++done % SLICES == 0)
            return __real_tin_step(session, 0);
        if (budget_ns && spent + SLICE > budget_ns)
            return TIN_STEP_PENDING;
    }
}

int main(int argc, char **argv) {
    tinhost_model *model = tinhost_open(argv[1], NULL);
    tinhost_session *s = tinhost_session_open(model, 256, 1, 0, 0);
    tinhost_close(model);
    for (int k = 2; k < argc; k++) {
        uint64_t longest[2] = {0}; /* microseconds, of steps that waited and of those with a piece */
        done = 0;
        tinhost_forget(s, 0);
        tinhost_constrained(s, 0);
        if (tinhost_ask(s, "who?", 20))
            return 1;
        for (int event = TINHOST_PENDING; event != TINHOST_DONE;) {
            uint64_t begun = now;
            int32_t tokens = tinhost_tokens(s);
            event = tinhost_step(s, atoll(argv[k]));
            if (event < 0)
                return 2;
            uint64_t *most = &longest[event == TINHOST_DONE || tinhost_tokens(s) > tokens];
            uint64_t took = (now - begun) / 1000;
            *most = took > *most ? took : *most;
        }
        printf("%llu %llu %lld\n", (unsigned long long)longest[0], (unsigned long long)longest[1],
               (long long)tinhost_digest(s));
    }
    tinhost_session_close(s);
    return 0;
}
"""


def test_a_step_is_over_once_the_core_has_no_room(tin: Path, session: Session, tmp_path: Path) -> None:
    """A core of known slices, and a clock that they alone move: what another call would begin does not fit."""
    source = tmp_path / "slices.c"
    source.write_text(SLICES)
    wraps = [f"-Wl,--wrap={name}" for name in ("clock_gettime", "tin_step")]
    program = c_programs.program(tmp_path / "slices", [source, *SOURCES], *FLAGS, "-fPIC", *wraps)
    done = subprocess.run([program, tin, "1", "1000", "5000"], capture_output=True, text=True, check=True)
    session.constrained(0)
    digest = answer(session, most=20)["digest"]
    told = [line.split() for line in done.stdout.splitlines()]
    # A slice is the least, and the first of the next token may be one too many.
    assert told == [["300", "300", digest], ["900", "1200", digest], ["4800", "5100", digest]]


PROGRAM = r"""
#include "tin_host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long left = -1, taken; /* allocations until one fails; -1: none does */
void *__real_malloc(size_t), *__real_calloc(size_t, size_t), *__real_realloc(void *, size_t);
static int fails(void) { taken++; return left >= 0 && !left--; }
void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t m) { return fails() ? NULL : __real_calloc(n, m); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }

/* A life: two answers, a choice, a saved and a copied session; about an image, where the model sees and has no
 * adapter. 0 where something failed. */
static int live(const char *path, int sees) {
    static const unsigned char pixels[16] = {1, 2, 3, 4};
    tinhost_model *model = tinhost_open(path, NULL);
    tinhost_session *a = tinhost_session_open(model, 256, 2, 2, 0);
    tinhost_session *b = tinhost_session_open(model, 256, 0, 0, 0);
    tinhost_close(model);
    int good = !tinhost_say(a, 0, "be") && (!sees || !tinhost_pixels(a, pixels, 16, 2, 2, 4)) &&
               !tinhost_ask(a, "who?", 9);
    long before = taken;
    for (int event = 0; good && event != TINHOST_DONE; good = event >= 0 && taken == before)
        event = tinhost_step(a, 100);
    good = good && !tinhost_adapter(a, sees ? NULL : "a", 1) && !tinhost_say(a, 1, "one") &&
           !tinhost_choose(a, "x\nyes\ny");
    if (good) {
        before = taken;
        while (tinhost_step(a, 0) != TINHOST_DONE) {
        }
        good = taken == before && tinhost_chosen(a) >= 0;
    }
    void *saved = good ? malloc((size_t)tinhost_save_size(a)) : NULL;
    good = good && saved && !tinhost_save(a, saved, tinhost_save_size(a)) &&
           !tinhost_restore(b, saved, tinhost_save_size(a)) && !tinhost_copy(b, a) && !tinhost_forget(a, 1) &&
           tinhost_entry(model, "manifest.json");
    if (!good && left < 0)
        fprintf(stderr, "%s; %s\n", tinhost_error(a), tinhost_error(b));
    free(saved);
    tinhost_session_close(b);
    tinhost_session_close(a);
    return good;
}

int main(int argc, char **argv) {
    int sees = argc > 2;
    if (!live(argv[1], sees))
        return 2;
    long all = taken, passed = 0;
    for (long k = 0; k < all; k++) {
        left = k;
        passed += live(argv[1], sees);
    }
    printf("%ld %ld\n", all, passed);
    return 0;
}
"""


@pytest.mark.slow
def test_every_allocation_may_fail(tin: Path, seeing: Path, tmp_path: Path) -> None:
    """No leak, no crash, and no memory taken by a step; and nothing goes on without what it asked for."""
    source = tmp_path / "life.c"
    source.write_text(PROGRAM)
    wraps = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc")]
    flags = [*FLAGS, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *wraps]
    program = c_programs.program(tmp_path / "life", [source, *SOURCES], *flags)
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=1"}
    for arguments in ([tin], [seeing, "sees"]):
        done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        all_of_them, passed = map(int, done.stdout.split())
        assert all_of_them > 30
        assert passed <= 1  # to shrink what a message keeps
