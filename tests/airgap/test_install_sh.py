"""install.sh of a pack, by busybox and the C program alone: in a root with nothing else, and no network."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from tiny_models import tiny_spec

from tinsmith.airgap import proof
from tinsmith.compiler import build_tin
from tinsmith.compiler.constraint.json_schema import compile_schema
from tinsmith.formats import minisign
from tinsmith.models import family


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
        assert done.stdout == proof.answer(path, "dim it").decode("utf-8", "replace")
        assert (path.stem == "held") == done.stdout.startswith("{")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, offline: list[str], run: Callable) -> Path:
    """A root folder of busybox and its names: no devices, no /proc, no libraries."""
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
    for options in ([], ["--key", maker.public], ["--key", "/pack/key.pub"]):
        done = install(programmed, *options)
        assert done.returncode == 0, done.stderr
        assert "self-test: passed on scalar" in done.stdout
        assert (programmed / "answer.txt").read_text(errors="replace") in done.stdout
    assert maker.public not in install(programmed, "--key", maker.public).stdout
    assert maker.public in install(programmed).stdout  # and that it is to be compared


def test_another_key_is_refused(
    programmed: Path, install: Callable, maker: minisign.SecretKey, tmp_path: Path
) -> None:
    for number in (b"somebody", maker.number):
        done = install(programmed, "--key", minisign.SecretKey(number, bytes(32)).public)
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
    programmed: Path, install: Callable, changed: Callable, tmp_path: Path
) -> None:
    source = random.Random("shell")
    for number in range(30):
        folder = shutil.copytree(programmed, tmp_path / str(number))
        what = changed(folder, source)
        done = install(folder)
        if "install.sh" in what:  # a script that was changed itself may do anything: the other one finds it
            continue
        assert done.returncode != 0, what
        assert "self-test" not in done.stdout, what
        shutil.rmtree(folder)
