"""Every code block of the book is run, or checked as far as it can be; one that can't be fails.

Blocks of `text` are output and drawings; commands in them behind a `$` are checked too.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click
import pytest
import yaml

import tinsmith
from tests.docs.blocks import PAGES, ROOT, Block, Provide, blocks, commands, spans
from tests.models import c_programs
from tinsmith import cli, targets
from tinsmith.cli import _group
from tinsmith.pipeline import recipe

KERNELS = ROOT / "kernels"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
BOOK = {str(page.relative_to(ROOT)): page for page in PAGES}

# Verbs that take a second or less with a tiny model, and so are run where their files can be provided.
CHEAP = {"targets", "inspect", "logits", "run", "verify", "export", "quantize", "plan"}
# Flags whose values are written, and flags that need another machine, an emulator or a measurement.
WRITES, DEVICE = (
    {"--out", "--gguf", "--onnx", "--generate"},
    {"--onnx", "--adapter", "--imatrix", "--gptq", "host"},
)

# Programs of others: that they are called right is not checked here.
OTHERS = {
    "accelerate",
    "apt-get",
    "cc",
    "cd",
    "grep",
    "install",
    "llama-cli",
    "minisign",
    "nvpmodel",
    "openssl",
    "open-webui",
    "podman",
    "sha256sum",
    "source",
    "systemctl",
    "tar",
    "tegrastats",
    "unzip",
    "vcgencmd",
    ".",
}
# Our programs by the name that a page gives them, and the source that has their flags.
OURS = {
    "tin": KERNELS / "tool",
    "install.py": ROOT / "src/tinsmith/airgap/install.py",
    "install.sh": ROOT / "src/tinsmith/airgap/install.sh",
}
# Packages that a page's Python needs beyond what the tests install (continuous integration has them).
NEEDS = {
    "docs/onnx.md": ("onnxruntime", "onnxruntime_genai", "llama_cpp"),
    "docs/for/clients.md": ("langchain_openai", "litellm", "llama_index"),
}
MODULES = {"llama.cpp": "llama_cpp", "onnxruntime": "onnxruntime"}  # by --backend
SERVED = "http://127.0.0.1:8080"  # where a page's Python asks a server
SHIPPED_BY_PIP = {"llama-cpp-python", "scikit-learn"}

# What a fragment of C may use that the program around it has.
AROUND = {
    "model": "tin_model *model",
    "session": "tin_session *session",
    "file": "const void *file",
    "data": "const void *data",
    "memory": "void *memory",
    "now": "int64_t now",
    "signature": "const char *signature",
    "signature_size": "size_t signature_size",
    "length": "size_t length",
    "size": "size_t size",
}


def only(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language in languages]


# ---- What the page's folder is


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def save(page: Path, folder: Path) -> None:
    """The files that a page shows, by the names that it gives them."""
    for block in blocks(page):
        if block.name and block.language in ("json", "jsonl", "toml"):
            path = folder / block.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(block.text)


# ---- One check a language


@pytest.mark.parametrize("page", BOOK)
def test_every_block_is_of_a_kind_that_is_checked(page: str) -> None:
    for block in blocks(BOOK[page]):
        directive = page.startswith("docs/") and block.language.startswith("{")  # Sphinx checks it
        assert directive or block.language in LANGUAGES, (
            f"{block}: a block of {block.language or 'no language'}"
        )


@pytest.mark.parametrize(
    "page", [name for name in BOOK if any(b.language == "python" for b in blocks(BOOK[name]))]
)
def test_python_runs(
    page: str,
    folder: Path,
    provide: Provide,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page's blocks one after the other, in one namespace."""
    chosen = [block for block in blocks(BOOK[page]) if block.language == "python"]
    save(BOOK[page], folder)
    for block in chosen:
        for call in (node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Call)):
            if ast.unparse(call.func).startswith("tinsmith."):
                signature = inspect.signature(
                    getattr(tinsmith, ast.unparse(call.func).removeprefix("tinsmith."))
                )
                signature.bind(*call.args, **{str(word.arg): 0 for word in call.keywords})
        for text in re.findall(r'"([\w./-]+\.(?:tin|gguf|pub|jsonl|adapter))"', block.text):
            provide(folder / text)
    missing = [name for name in NEEDS.get(page, ()) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)}: not installed")
    if page == "docs/onnx.md":
        assert cli.main(["export", "home.gguf", "--onnx", "home-onnx", "--precision", "int4"]) == 0
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # where dataclasses look annotations up
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else its import fetches one
    asks = any(SERVED in block.text for block in chosen)
    with served(folder / "home.tin", provide) if asks else nullcontext(SERVED) as address:
        for block in chosen:
            text = block.text.replace(SERVED, address)
            code = compile("\n" * block.line + text, str(block.page), "exec", dont_inherit=True)
            exec(code, module.__dict__)
    capsys.readouterr()


@contextmanager
def served(file: Path, provide: Provide) -> Iterator[str]:
    """`tinsmith serve` with a tiny model, and its address."""
    provide(file)
    command = [sys.executable, "-m", "tinsmith", "serve", str(file), "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = re.search(r"http://[\d.]+:\d+", (process.stderr and process.stderr.readline()) or "")
            assert said
            yield said[0]
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def library() -> Path:
    return c_programs.core()


@pytest.mark.parametrize("block", [b for b in only("c") if "int main(" in b.text], ids=str)
def test_a_c_program_compiles_and_runs(block: Block, folder: Path, library: Path, provide: Provide) -> None:
    (folder / "program.c").write_text(block.text, "utf-8")
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{KERNELS / 'include'}", "program.c", str(library)]
    subprocess.run([os.environ.get("CC", "cc"), *flags, "-o", "program", "-pthread"], check=True)
    provide(folder / "home.tin")
    given = re.search(r"argc != (\d)", block.text)
    assert given, f"{block}: says not how many arguments it takes"
    arguments = ["home.tin", "Turn on the lamp"][: int(given[1]) - 1]
    done = subprocess.run(["./program", *arguments], capture_output=True, timeout=60, check=True)
    assert done.stdout


@pytest.mark.parametrize("block", [b for b in only("c") if "int main(" not in b.text], ids=str)
def test_a_c_fragment_compiles(block: Block, folder: Path) -> None:
    used = [
        declaration
        for name, declaration in AROUND.items()
        if re.search(rf"\b{name}\b", block.text) and not re.search(rf"\w[ *]+{name}( =|;)", block.text)
    ]
    head = f"int fragment({', '.join(used) or 'void'})"
    body = (
        f"    tin_error error = {{0}};\n    (void)error;\n{textwrap.indent(block.text, '    ')}    return 0;\n"
    )
    text = f'#include "tin_host.h"\n#include <stdio.h>\n{head};\n{head} {{\n{body}}}\n'
    (folder / "fragment.c").write_text(text, "utf-8")
    flags = [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{KERNELS / 'include'}",
        "-fsyntax-only",
        "fragment.c",
    ]
    subprocess.run([os.environ.get("CC", "cc"), *flags], check=True)


@pytest.mark.parametrize("block", only("toml"), ids=str)
def test_toml_loads(block: Block, folder: Path) -> None:
    """A target, a recipe, or some tables of one: the others are made."""
    given = tomllib.loads(block.text)
    path = folder / "block.toml"
    if "inherits" in given:
        path.write_text(block.text, "utf-8")
        targets.read(path)
        return
    text = block.text
    if not {"base", "scratch"} & set(given):
        text += '\n[base]\nmodel = "smollm2-135m-instruct"\n'
    if not {"data", "task"} & set(given):
        text += '\n[data]\ntrain = "a.jsonl"\nvalidation = "b.jsonl"\ntest = "c.jsonl"\n'
    path.write_text(text, "utf-8")
    recipe.load(path)


@pytest.mark.parametrize("block", only("json", "jsonl"), ids=str)
def test_json_parses(block: Block) -> None:
    for text in block.text.splitlines() if block.language == "jsonl" else [block.text]:
        json.loads(text)


@pytest.mark.parametrize("block", only("js"), ids=str)
def test_javascript_parses_and_calls_what_there_is(block: Block, folder: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    (folder / "block.mjs").write_text(block.text, "utf-8")
    subprocess.run([node, "--check", "block.mjs"], check=True)
    wrapper = (KERNELS / "wasm" / "tin.mjs").read_text("utf-8")
    for name in re.findall(r"\b(?:model|session)\.(\w+)", block.text):
        assert re.search(rf"^  (?:async )?\*?(?:get )?{name}\(", wrapper, re.M), (
            f"{block}: tin.mjs has no {name}"
        )


@pytest.mark.parametrize("block", only("sh"), ids=str)
def test_commands_are_right(
    block: Block, folder: Path, provide: Provide, capsys: pytest.CaptureFixture[str]
) -> None:
    save(block.page, folder)
    for words in commands(block.text):
        check_command(block, words)
        if Path(words[0]).name == "tinsmith" and cheap(words[1:], folder, provide):
            engine = words[words.index("--backend") + 1] if "--backend" in words else None
            if engine and importlib.util.find_spec(MODULES[engine]) is None:
                pytest.skip(f"{MODULES[engine]}: not installed")
            assert cli.main(words[1:]) == 0, f"{block}: {' '.join(words)}: {capsys.readouterr().err}"


@pytest.mark.parametrize("block", [b for b in only("text") if re.search(r"^\$ ", b.text, re.M)], ids=str)
def test_commands_before_their_output_are_right(block: Block) -> None:
    for line in re.findall(r"^\$ (.*)", block.text, re.M):
        for words in commands(line):
            check_command(block, words)


@pytest.mark.parametrize("page", [name for name in BOOK if list(spans(BOOK[name]))])
def test_verbs_and_flags_in_the_prose_are_there(page: str) -> None:
    for span in spans(BOOK[page]):
        verb, words = verb_of(span.replace("[", " ").replace("]", " ").split()[1:], f"{page}: `{span}`")
        for word in words:
            if word.startswith("--"):
                assert word in flags_of(verb), f"{page}: `{span}`: {verb.name} has no {word}"


@pytest.mark.parametrize("block", only("yaml"), ids=str)
def test_yaml_loads(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.text), dict)


LANGUAGES = {"python", "c", "toml", "json", "jsonl", "js", "sh", "text", "yaml"}


# ---- Commands


def verb_of(words: list[str], where: str) -> tuple[click.Command, list[str]]:
    """The verb that a command line begins with, or the group where it says VERB; and the words after that."""
    command: click.Command = _group.root()
    while isinstance(command, click.Group) and words and not (words[0].startswith("-") or words[0].isupper()):
        inner = command.get_command(click.Context(command), words[0])
        assert inner, f"{where}: no such verb"
        command, words = inner, words[1:]
    return command, words


def flags_of(verb: click.Command) -> set[str]:
    params = verb.get_params(click.Context(verb))
    return {name for param in params for name in (*param.opts, *param.secondary_opts) if name.startswith("-")}


def check_command(block: Block, words: list[str]) -> None:
    where = f"{block}: {' '.join(words)}"
    while re.match(r"[A-Z_]+=", words[0]):  # a variable of the environment
        words = words[1:]
    program, arguments = Path(words[0]).name, words[1:]
    if program == "tinsmith":
        verb, rest = verb_of(arguments, where)
        assert not isinstance(verb, click.Group), f"{where}: no verb"
        try:
            verb.make_context(str(verb.name), rest)  # understands the words, and runs nothing
        except click.exceptions.Exit:  # of --help
            pass
        except click.UsageError as error:
            pytest.fail(f"{where}: {_group.reason(error)}")
    elif program == "pip":
        check_pip(block, arguments, where)
    elif program in ("python", "python3", "python3.11", "sh"):
        check_script(block, [word for word in arguments if word not in ("-I",)], where)
    elif words[0].startswith("./scripts/"):
        assert (ROOT / words[0]).is_file(), where
    elif program == "eval":  # "$(...)"
        for inner in commands(arguments[0][2:-1]):
            check_command(block, inner)
    elif program in OURS:
        check_flags(OURS[program], arguments, where)
    else:
        built = re.findall(r"^cc .* -o (\S+)", block.text, re.M)
        assert words[0] in OTHERS or program in built, f"{where}: not a program that is known here"


def check_pip(block: Block, arguments: list[str], where: str) -> None:
    if arguments[0] == "download":  # of what an extra needs, for another machine
        names = {re.split("[>=]", line)[0] for line in (*EXTRAS["serve"], "click")}
        assert {word for word in arguments[1:] if not word.startswith("-")} <= names, where
        return
    assert arguments[0] == "install", where
    found = any(word.startswith("--find-links=") for word in arguments)
    assert found or "--no-index" not in arguments, f"{where}: nothing is found, and the command needs click"
    for word in arguments[1:]:
        if extras := re.fullmatch(r"(?:tinsmith|\.)\[([\w,]+)\]", word):
            assert set(extras[1].split(",")) <= set(EXTRAS), f"{where}: no such extra"
        elif word.endswith(".txt"):
            assert (ROOT / word).is_file() or (block.page.parent / word).is_file(), where
        else:
            assert word.startswith("-") or word in SHIPPED_BY_PIP or word.startswith("tinsmith-") or found, (
                where
            )


def check_script(block: Block, arguments: list[str], where: str) -> None:
    if arguments[:2] == ["-m", "venv"]:
        return
    source = OURS.get(arguments[0], ROOT / arguments[0])
    assert source.exists(), f"{where}: no such script"
    check_flags(source, arguments[1:], where)


def check_flags(source: Path, arguments: list[str], where: str) -> None:
    """Flags, and a first word that is a verb, stand in the source."""
    files = [source] if source.is_file() else sorted(source.glob("*.c"))
    text = "\n".join(file.read_text("utf-8") for file in files)
    for word in arguments:
        if word.startswith("--"):
            assert f'"{word}' in text or f"{word})" in text or f"{word} " in text, f"{where}: no {word}"
    if source == OURS["tin"]:
        assert f'"{arguments[0]}"' in text, f"{where}: tin has no such verb"


def cheap(arguments: list[str], folder: Path, provide: Callable[[Path], bool]) -> bool:
    """Whether the command is run here; its files are then there."""
    verb, *words = arguments
    if verb not in CHEAP or DEVICE & set(words) or (verb == "verify" and "--target" in words):
        return False
    reads = [word for before, word in zip([verb, *words], words, strict=False) if before not in WRITES]
    if verb == "quantize":
        reads = reads[:1]
    files = [
        word
        for word in reads
        if not word.startswith("-") and re.search(r"\.(tin|gguf|pub|json|gbnf|lark)$", word)
    ]
    if verb != "targets" and not files:
        return False
    assert not any(Path(word).is_absolute() or ".." in Path(word).parts for word in files), (
        "outside of the test's folder"
    )
    return all(provide(folder / word) for word in files)
