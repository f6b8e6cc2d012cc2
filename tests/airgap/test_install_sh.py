"""install.sh of a pack, by busybox and the C program alone: in a root with nothing else, and no network."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith.airgap import proof
from tinsmith.compiler import build_tin
from tinsmith.constraint.json_schema import compile_schema
from tinsmith.formats import minisign
from tinsmith.models import family
from tinsmith.runtime import load


def test_the_program_answers_as_python_does(
    runtime: Path, tin: Path, chatml: str, run: Callable, tmp_path: Path
) -> None:
    """Also within what a file says that its answers may be; and where it has no chat template."""
    constraint = compile_schema({"type": "object", "properties": {"room": {"enum": ["den", "hall"]}}})
    spec = tiny_spec(family.by_name("llama"), hidden_size=64, intermediate_size=96)
    facts = {"constraint": {key: value for key, value in asdict(constraint).items() if key != "data"}}
    entries = {"grammar/answer.bin": constraint.data}
    build_tin(replace(spec, chat_template=chatml), tmp_path / "held.tin", entries=entries, manifest=facts)
    build_tin(replace(spec, chat_template=None), tmp_path / "raw.tin")
    for path in (tin, tmp_path / "held.tin", tmp_path / "raw.tin"):
        done = run(runtime / "bin/tin", "run", path, "dim it", "--tokens", "32")
        assert done.stdout == proof.answer(load(path), "dim it").decode("utf-8", "replace")
        assert (path.stem == "held") == done.stdout.startswith("{")


def test_the_program_asks_for_a_version_and_a_day(
    runtime: Path, tin: Path, maker: minisign.SecretKey, run: Callable, tmp_path: Path
) -> None:
    """Of a tin and of any file; the device's clock counts where no day is given."""
    program, path = runtime / "bin/tin", tmp_path / "home.tin"
    shutil.copy(tin, path)
    Path(f"{path}.minisig").write_text(minisign.sign(path, maker, version=7, not_after=date(2027, 1, 31)))
    (tmp_path / "text").write_bytes(b"text")
    (tmp_path / "text.minisig").write_text(maker.sign(b"text", "tinsmith version=7 not-after=2027-01-31"))
    key = ["--key", maker.public]
    commands = [["verify", path, *key], ["run", path, "dim it", *key], ["signature", tmp_path / "text", *key]]
    for words, reported in (
        (["--min-version", "7", "--now", "2027-01-31"], None),
        (["--now", "2026-01-01"], None),
        (["--min-version", "8", "--now", "2027-01-31"], "8 is the least"),
        (["--now", "2027-02-01"], "good until 2027-01-31"),
        (["--min-version", "7", "--now", "3000-01-01"], "good until 2027-01-31"),
    ):
        for command in commands:
            done = run(program, *command, *words)
            assert done.returncode == (0 if reported is None else 1), done.stderr
            assert reported is None or (reported in done.stderr and done.stdout == "")
    for words in (
        ["--min-version", "4294967296"],
        ["--min-version", "x"],
        ["--min-version", "-1"],
        ["--now", "1"],
    ):
        assert run(program, *commands[0], *words).returncode == 2
    assert run(program, "verify", path, "--min-version", "7").returncode == 2  # of whom?
    Path(f"{path}.minisig").write_text(minisign.sign(path, maker, version=7, not_after=date(2001, 1, 1)))
    assert "good until 2001-01-01" in run(program, *commands[0], "--min-version", "7").stderr


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, offline: list[str], run: Callable, runtime: Path) -> Path:
    """A root folder of busybox and its names, and a `tin`: no devices, no /proc, no libraries."""
    busybox = shutil.which("busybox")
    if busybox is None or run("ldd", busybox).returncode == 0:
        pytest.skip("a static busybox is not installed (Debian: busybox-static)")
    if os.geteuid():
        pytest.skip("only root can change the root folder")
    folder = tmp_path_factory.mktemp("root")
    (folder / "bin").mkdir()
    shutil.copy(busybox, folder / "bin/busybox")
    for name in set(run(busybox, "--list").stdout.split()) - {"busybox"}:
        (folder / "bin" / name).symlink_to("busybox")
    (folder / "verifier").mkdir()
    shutil.copy(runtime / "bin/tin", folder / "verifier/tin")  # that was there before
    return folder


@pytest.fixture
def install(root: Path, offline: list[str], run: Callable) -> Callable:
    """Runs install.sh of a folder that is copied into the root."""

    def started(pack: Path, *options: str) -> object:
        shutil.rmtree(root / "pack", ignore_errors=True)
        shutil.copytree(pack, root / "pack")
        chroot = shutil.which("chroot", path=f"{os.environ['PATH']}:/usr/sbin") or "chroot"
        return run(*offline, "env", "-i", chroot, root, "/bin/sh", "/pack/install.sh", *options)

    return started


def test_busybox_and_the_program_are_enough(
    programmed: Path, install: Callable, maker: minisign.SecretKey
) -> None:
    for options in (["--verifier", "/verifier/tin"], ["--own-verifier"]):
        for key in (maker.public, "/pack/key.pub"):
            done = install(programmed, "--key", key, *options)
            assert done.returncode == 0, done.stderr
            assert "self-test: passed on scalar" in done.stdout
            assert (programmed / "answer.txt").read_text(errors="replace") in done.stdout
            assert ("not checked" in done.stdout) == (options == ["--own-verifier"])
    done = install(programmed)  # the key is to be compared first
    assert (done.returncode, done.stdout) == (1, "")
    assert f"--key {maker.public}" in done.stderr


def test_another_key_is_refused(
    programmed: Path, install: Callable, maker: minisign.SecretKey, tmp_path: Path
) -> None:
    for number in (b"somebody", maker.number):
        key = minisign.SecretKey(number, bytes(32)).public
        done = install(programmed, "--key", key, "--verifier", "/verifier/tin")
        assert done.returncode == 1
        assert "signature" in done.stderr
    altered = shutil.copytree(programmed, tmp_path / "altered")
    text = (altered / "SHA256SUMS.minisig").read_text()
    (altered / "SHA256SUMS.minisig").write_text(text.replace("pack", "sack", 1))  # which is not signed
    assert "damaged" in install(altered).stderr


def test_a_folder_without_a_signature_is_taken_only_when_asked_for(
    programmed: Path, install: Callable, tmp_path: Path
) -> None:
    folder = shutil.copytree(programmed, tmp_path / "copy")
    (folder / "SHA256SUMS.minisig").unlink()
    assert "not signed" in install(folder, "--unsigned").stderr
    (folder / "key.pub").unlink()
    sums = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
    (folder / "SHA256SUMS").write_text("".join(line for line in sums if not line.endswith("  key.pub\n")))
    assert "not signed" in install(folder).stderr
    assert install(folder, "--unsigned").returncode == 0


def test_a_changed_folder_is_refused(
    programmed: Path, install: Callable, changed: Callable, maker: minisign.SecretKey, tmp_path: Path
) -> None:
    source = random.Random("shell")
    for number in range(30):
        folder = shutil.copytree(programmed, tmp_path / str(number))
        what = changed(folder, source)
        done = install(folder, "--key", maker.public, "--verifier", "/verifier/tin")
        if "install.sh" in what:  # a script that was changed itself may do anything: the other one finds it
            continue
        assert done.returncode != 0, what
        assert "self-test" not in done.stdout, what
        shutil.rmtree(folder)


TOOLS = ["sh", "find", "sed", "sort", "cut", "grep", "sha256sum", "head", "tail", "wc", "dirname", "basename"]
TOOLS += ["uniq", "cmp", "cat", "tr"]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """What install.sh calls, without a verifier."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


@pytest.fixture
def evil(programmed: Path, resealed: Callable, tmp_path: Path) -> Path:
    """The pack with another program, which says yes to everything and leaves a mark; with fitting digests. It
    is there by the names of verifiers too."""
    folder = shutil.copytree(programmed, tmp_path / "pack")
    answer = "case $1 in --version) echo tin 0;; run) cat answer.txt;; verify) echo avx2 0 00 equal;; esac"
    text = f"#!/bin/sh\necho ran >>{tmp_path}/mark\n{answer}\n"
    for name in ("runtime/bin/tin", "minisign", "tinsmith"):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    resealed(folder)
    return folder


def verifiers(runtime: Path) -> dict[str, Path | None]:
    beside = Path(sys.executable).with_name("tinsmith")
    return {
        "minisign": Path(program) if (program := shutil.which("minisign")) else None,
        "tin": runtime / "bin/tin",
        "tinsmith": beside if beside.exists() else None,
    }


@pytest.mark.parametrize("name", ["minisign", "tin", "tinsmith"])
def test_a_program_from_outside_judges_before_anything_runs(
    name: str,
    programmed: Path,
    evil: Path,
    tools: Path,
    runtime: Path,
    maker: minisign.SecretKey,
    run: Callable,
) -> None:
    program = verifiers(runtime)[name]
    if program is None:
        pytest.skip(f"{name} is not installed")
    (tools / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    (tools / name).chmod(0o755)
    for key in (maker.public, str(programmed / "key.pub")):
        words = ["sh", evil / "install.sh", "--key", key]
        done = run(*words, env={"PATH": str(tools)})
        assert (done.returncode, done.stdout) == (1, ""), done.stdout
        assert "is not what the owner of the key signed" in done.stderr
        assert not evil.with_name("mark").exists()
        done = run("sh", programmed / "install.sh", "--key", key, env={"PATH": str(tools)})
        assert done.returncode == 0, done.stderr
        assert f"says {tools}/{name}" in done.stdout
        done = run(
            "sh", programmed / "install.sh", "--key", key, "--verifier", tools / name, env={"PATH": str(tools)}
        )
        assert done.returncode == 0, done.stderr


def test_without_such_a_program_nothing_runs(
    evil: Path, tools: Path, maker: minisign.SecretKey, run: Callable, tmp_path: Path
) -> None:
    """Also where PATH, or --verifier, leads into the folder itself."""
    words = ["sh", evil / "install.sh", "--key", maker.public]
    mark = tmp_path / "mark"
    (tmp_path / "link").symlink_to(evil)
    for path in ("", f"{evil}:", ".:", f"{evil}/runtime/bin:", f"{tmp_path}/link:"):
        done = run(*words, env={"PATH": f"{path}{tools}"}, cwd=evil)
        assert (done.returncode, done.stdout) == (1, ""), done.stdout
        assert "nothing of this folder was run" in done.stderr and "--verifier" in done.stderr
        assert not mark.exists(), path
    for program in (evil / "minisign", "./runtime/bin/tin", tmp_path / "link" / "tinsmith"):
        done = run(*words, "--verifier", program, env={"PATH": str(tools)}, cwd=evil)
        assert done.returncode == 1 and "can't vouch for it" in done.stderr
        assert not mark.exists()
    done = run("sh", evil / "install.sh", env={"PATH": str(tools)})
    assert done.returncode == 1 and not mark.exists()
    done = run(*words, "--own-verifier", env={"PATH": str(tools)})
    assert mark.exists() and "not checked: the signature" in done.stdout  # the trap is one


def test_a_verifier_loads_nothing_from_the_folder(
    programmed: Path, tools: Path, resealed: Callable, maker: minisign.SecretKey, run: Callable, tmp_path: Path
) -> None:
    """An empty entry of PYTHONPATH means the current folder, which the folder itself must not be."""
    folder = shutil.copytree(programmed, tmp_path / "pack")
    for name in ("json.py", "argparse.py", "tinsmith.py"):
        (folder / name).write_text(f"open({str(tmp_path / 'mark')!r}, 'w')")
    resealed(folder)
    program = verifiers(programmed)["tinsmith"]
    if program is None:
        pytest.skip("tinsmith has no script here")
    (tools / "tinsmith").symlink_to(program)
    done = run(
        "sh", "install.sh", "--key", maker.public, cwd=folder, env={"PATH": str(tools), "PYTHONPATH": ":"}
    )
    assert done.returncode == 1 and "is not what the owner" in done.stderr, done.stderr
    assert not (tmp_path / "mark").exists()
