"""Limits of chat templates, which come from untrusted model files: time, memory, and access."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tinsmith import models
from tinsmith.chat import chat_template, jinja_process, turn_probes
from tinsmith.errors import InputError, MissingExtraError, TinsmithError, UnsupportedError
from tinsmith.models import family

USER = [{"role": "user", "content": "hi"}]
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
PLAIN = (
    "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
ANY = "the chat template"
# Each with what its error says.
HOSTILE = {
    LOOPS: "takes too long: over 0.5 seconds",
    "{% set x = 9 ** (9 ** 9) %}": "takes too long: over 0.5 seconds",
    "{% macro f(n) %}{% for k in range(99) %}{{ f(n + 1) }}{% endfor %}{% endmacro %}{{ f(1) }}": ANY,
    "{% set n = namespace(s='a') %}{% for a in range(40) %}{% set n.s = n.s * 2 %}{% endfor %}": "memory|long",
    "{{ 'a' * 10 ** 13 }}": "memory",
    "{{ 'a' * 10 ** 8 }}": ANY,
    "{{ [[0] * 10 ** 6] * 10 ** 6 }}": ANY,
    "{{ '%999999999d' % 1 }}": ANY,
    "{{ '{:>999999999}'.format(1) }}": ANY,
    "{{ 'x' | center(10 ** 12) }}": "memory",
    "{{ messages | tojson(indent=10 ** 10) }}": "memory",
    "{{ 1 // 0 }}": "ZeroDivisionError",
    "{{ 1 / 0 }}": "ZeroDivisionError",
    "{{ 2.0 ** 100000 }}": "OverflowError",
    "{{ 10 ** 5000 }}": "ValueError",
    "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}": "RecursionError",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}": ANY,
    "{{ " + "[" * 150 + "]" * 150 + " }}": "fails",
    "{{ " + "not " * 90000 + "1 }}": ANY,
    "{{ lipsum.__globals__.os }}": "refuses",
    "{{ strftime_now('%999999999d') }}": "state the date",
    "{% include '/etc/passwd' %}": "fails",
    "{% if %}": "refuses the conversation",
    "{{ raise_exception('\x1b[31mred\n\nline') }}": "refuses",
}


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    jinja_process.close()


@pytest.mark.parametrize("template", HOSTILE, ids=lambda text: text[:40])
def test_a_hostile_template_is_an_error_of_one_line(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(jinja_process, "SECONDS", 0.5)
        with pytest.raises(TinsmithError, match=HOSTILE[template]) as raised:
            chat_template.render(template, USER, generate=True)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500
    # The process that reads templates goes on, or is replaced.
    assert chat_template.render(PLAIN, USER, generate=True) == "<user>hi\n<assistant>"


@pytest.mark.parametrize("template", [LOOPS, "{{ 1 // 0 }}", "{{ 'a' * 10 ** 13 }}", "{% if %}", "{{ (" * 9999])
def test_a_file_with_a_hostile_template_answers_raw_prompts(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_probes, "SECONDS", 1.0)
    spec = replace(tiny_spec(family.by_name("llama")), chat_template=template)
    models.save_gguf(spec, tmp_path / "model.gguf")
    model = tinsmith.load(tmp_path / "model.gguf", threads=1)
    assert model.generate("a", max_tokens=1).token_ids
    with pytest.raises(UnsupportedError, match="this model can't chat: the chat template"):
        model.chat(USER)


def test_requests_for_a_template_share_one_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template that takes almost all of the time of one rendering can't take it a thousand times."""
    monkeypatch.setattr(turn_probes, "SECONDS", 2.0)
    slow = "{% for a in range(60) %}{% for b in range(9999) %}{% endfor %}{% endfor %}" + PLAIN
    begin = time.monotonic()
    with pytest.raises(InputError, match="takes too long: over 2 seconds"):
        turn_probes.compile_turns(slow)
    assert time.monotonic() - begin < 60  # it would take half an hour


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
def test_templates_are_rendered_without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "hunter2")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    chat_template.render(PLAIN, USER, generate=False)
    process = jinja_process._shared._child
    assert process is not None
    place = Path("/proc") / str(process.pid)
    names = [entry.partition(b"=")[0] for entry in (place / "environ").read_bytes().split(b"\0") if entry]
    assert not set(names) - {name.encode() for name in jinja_process._KEPT}
    assert b"\0-I\0-S\0" in (place / "cmdline").read_bytes()
    limits = (place / "limits").read_text()
    assert f"Max address space         {512 << 20} " in limits
    assert "Max core file size        0 " in limits


def test_a_load_leaves_no_process_behind(tmp_path: Path) -> None:
    spec = replace(tiny_spec(family.by_name("llama")), chat_template=PLAIN.replace("<", "<<"))
    models.save_gguf(spec, tmp_path / "model.gguf")
    model = tinsmith.load(tmp_path / "model.gguf", threads=1)
    assert jinja_process._shared._child is None
    assert model.render(USER) == model.tokenize("<<user>hi\n<<assistant>", special=True)
    assert jinja_process._shared._child is None  # asking a loaded model renders no template


def test_threads_take_turns() -> None:
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        for _ in range(20):
            answers[number] = chat_template.render(
                PLAIN, [{"role": "user", "content": str(number)}], generate=False
            )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"<user>{number}\n" for number in range(4)}


def test_an_expired_limit_does_not_affect_later_requests() -> None:
    chat_template.render(PLAIN, USER, generate=False)
    process = jinja_process._shared._child
    for _ in range(2):
        with jinja_process.within(0.05):
            pass
        with jinja_process.within(10):
            time.sleep(0.2)
            chat_template.render(PLAIN, USER, generate=False)
        time.sleep(0.1)
        assert process is jinja_process._shared._child and process is not None and process.poll() is None
        with pytest.raises(InputError, match="too long: over 0.05"), jinja_process.within(0.05):
            chat_template.render(LOOPS, USER, generate=False)
        chat_template.render(PLAIN, USER, generate=False)
        process = jinja_process._shared._child


@pytest.mark.skipif(sys.platform != "linux", reason="where the clock limits, a busy machine does too")
def test_the_time_limit_is_cpu_time() -> None:
    chat_template.render(PLAIN, USER, generate=False)
    process = jinja_process._shared._child
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    resume = threading.Timer(0.6, process.send_signal, [signal.SIGCONT])
    resume.start()
    with jinja_process.within(0.2):
        assert chat_template.render(PLAIN, USER, generate=False) == "<user>hi\n"
    resume.join()


def _in_fork(pipe: Any) -> None:
    pipe.send([chat_template.render(PLAIN, USER, generate=False), jinja_process._shared._child.pid])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_starts_its_own_child() -> None:
    chat_template.render(PLAIN, USER, generate=False)
    assert jinja_process._shared._child is not None
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_in_fork, args=(theirs,))
    child.start()
    assert ours.poll(60)
    text, pid = ours.recv()
    child.join()
    assert text == "<user>hi\n" and pid != jinja_process._shared._child.pid
    assert chat_template.render(PLAIN, USER, generate=False) == "<user>hi\n"


def test_errors_where_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuses(error: type[Exception], match: str) -> None:
        jinja_process.close()
        with pytest.raises(error, match=match):
            chat_template.render(PLAIN, USER, generate=False)

    with monkeypatch.context() as patch:
        patch.setattr(sys, "frozen", True, raising=False)
        refuses(UnsupportedError, "frozen application .* use a .tin")
    for program, match in (
        ("", "frozen"),
        (str(tmp_path / "none"), "No such file"),
        ("/bin/false", "status (1|-9)"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", program)
            refuses(UnsupportedError, match)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "jinja2", None)
        refuses(MissingExtraError, r"pip install 'tinsmith\[gguf\]'")
    with monkeypatch.context() as patch:
        patch.setattr(jinja_process, "LEAST", (99, 1))
        refuses(UnsupportedError, r"CVE-2025-27516.*jinja2>=99\.1")


def test_every_extra_requires_a_jinja_with_a_safe_sandbox() -> None:
    path = Path(__file__).parents[2] / "pyproject.toml"
    extras = tomllib.loads(path.read_text("utf-8"))["project"]["optional-dependencies"]
    asked = [one for extra in extras.values() for one in extra if one.startswith("jinja2")]
    least = ".".join(map(str, jinja_process.LEAST))
    assert asked and set(asked) == {f"jinja2>={least}"}


def test_a_conversation_that_is_not_json_is_rejected() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for content in (deep, 10**5000, object()):
        with pytest.raises(InputError):
            chat_template.render(PLAIN, [{"role": "user", "content": content}], generate=False)


def test_an_interrupted_requests_reply_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(process: Any, line: bytes) -> bytes:
        process.stdin.write(line)
        process.stdin.flush()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(jinja_process._shared, "_exchange", interrupted)
        with pytest.raises(KeyboardInterrupt):
            chat_template.render("first", USER, generate=False)
    assert chat_template.render("second", USER, generate=False) == "second"
