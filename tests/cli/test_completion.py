"""Completion, as a shell asks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tinsmith import cli

Complete = Callable[..., list[str]]


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Complete:
    """What completes the last of some words, in a folder with files of many kinds."""
    for name in (
        "home.tin",
        "home.gguf",
        "home.toml",
        "home.txt",
        "tools.json",
        "more/deep.tin",
        "more/deep.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)

    def ask(*words: str) -> list[str]:
        monkeypatch.setenv(cli.COMPLETE, "bash_complete")
        monkeypatch.setenv("COMP_WORDS", "\n".join(["tinsmith", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        assert cli.main([]) == 0
        return capfd.readouterr().out.split()

    return ask


def plain(items: list[str]) -> list[str]:
    return [item.removeprefix("plain,") for item in items if item.startswith("plain,")]


def test_verbs_and_options(complete: Complete) -> None:
    assert plain(complete("")) == [verb.partition(" ")[0] for verb in cli.verbs()]
    assert plain(complete("ma")) == ["make"]
    assert plain(complete("data", "")) == ["check"]
    assert plain(complete("run", "--th")) == ["--threads", "--think"]
    assert "--version" in plain(complete("--"))


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["run", ""], ["home.gguf", "home.tin", "/"]),
        (["run", "more/d"], ["more/deep.tin", "/"]),
        (["make", ""], ["home.toml", "/"]),
        (["verify", "h"], ["home.tin", "/"]),
        (["run", "home.tin", "--tools", ""], ["tools.json", "/"]),
        (["build", "home.gguf", "--format", "q4_0", "q8"], ["q8_0"]),
        (["build", "--target", "raspberrypi-5", "jetson-orin-na"], ["jetson-orin-nano", "/"]),
        (["pack", "home.tin", "--target", "hos"], ["host", "/"]),
        (["verify", "home.tin", "--target", "hos"], ["/"]),
        (["pull", "smollm2-135m-i"], ["smollm2-135m-instruct", "smollm2-135m-instruct-float", "/"]),
        (["run", "home.tin", "--kv", ""], ["f16", "q8"]),
        (["run", "home.tin", "--kv", "=", "q"], ["q8"]),
        (["run", "home.tin", "--isa", "neond"], ["neondot"]),
        (["run", "home.tin", "--backend", "on"], ["onnxruntime"]),
        (["bench", "home.tin", "--against", "llama.cpp,"], ["llama.cpp,onnxruntime"]),
        (["quantize", "home.gguf", "out.gguf", "--type", "au"], ["auto"]),
        (["completion", "f"], ["fish"]),
    ],
)
def test_values(complete: Complete, words: list[str], completed: list[str]) -> None:
    """A slash: the shell adds folders."""
    items = complete(*words)
    assert [*plain(items), *("/" for item in items if item.startswith("dir,"))] == completed


def test_any_file_is_left_to_the_shell(complete: Complete) -> None:
    assert complete("perplexity", "home.tin", "ho") == ["file,ho"]
    assert complete("make", "home.toml", "--out", "ru") == ["dir,ru"]


def test_a_verb_alone_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys; from tinsmith import cli; code = cli.main([])\n"
        "print([v for v in cli.verbs() if 'tinsmith.cli.' + v in sys.modules], 'tinsmith._core' in sys.modules)"
    )
    for words, count, loaded in (
        ("tinsmith ru", 1, "['completion']"),
        ("tinsmith run --", 2, "['completion', 'run']"),
    ):
        environment = {
            **os.environ,
            cli.COMPLETE: "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(count),
        }
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
        assert done.stdout.splitlines()[-1] == f"{loaded} False", done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_the_shells(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    script = capfd.readouterr().out
    assert f"{cli.COMPLETE}={shell}_complete" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# Each prints what the shell offers for the last word of `tinsmith run m`.
ASKING = {
    "bash": [
        "--norc",
        "-c",
        'eval "$(tinsmith completion bash)"; compopt() { :; }\n'
        "COMP_WORDS=(tinsmith run m); COMP_CWORD=2; _tinsmith_completion tinsmith\n"
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ],
    "zsh": [
        "-f",
        "-c",
        "compdef() { :; }; _path_files() { :; }; compadd() { print -l $completions; }\n"
        'eval "$(tinsmith completion zsh)"; words=(tinsmith run m); CURRENT=3; _tinsmith_completion',
    ],
    "fish": ["--no-config", "-c", 'tinsmith completion fish | source; complete -C "tinsmith run m"'],
}


@pytest.mark.parametrize("shell", ASKING)
def test_a_shell_completes(shell: str, tmp_path: Path) -> None:
    """The shell's own function asks tinsmith, and takes what it says."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "tinsmith").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from tinsmith.cli import main; main()" "$@"\n'
    )
    (tmp_path / "tinsmith").chmod(0o755)
    for name in ("my model.tin", "mine.toml"):
        (tmp_path / name).touch()
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [shell, *ASKING[shell]], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert (done.stdout.replace("\\", ""), done.stderr) == ("my model.tin\n", "")
