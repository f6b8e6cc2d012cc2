"""install.py of a pack: it installs without a network, and takes nothing that was changed."""

from __future__ import annotations

import io
import os
import platform
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tinsmith import airgap
from tinsmith.airgap import install
from tinsmith.formats import minisign

# RFC 8032, 7.1: public key, message and signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_signatures_of_the_rfc(public: str, message: str, signature: str) -> None:
    key, text, good = (bytes.fromhex(part) for part in (public, message, signature))
    assert install.signed(key, text, good)
    assert not install.signed(key, text + b"x", good)
    for position in range(0, 64, 7):
        bad = bytearray(good)
        bad[position] ^= 1
        assert not install.signed(key, text, bytes(bad))
    scalar = int.from_bytes(good[32:], "little") + install.ORDER  # the same signature, spelled otherwise
    assert not install.signed(key, text, good[:32] + scalar.to_bytes(32, "little"))


def test_a_key_of_small_order_signs_nothing() -> None:
    identity = (1).to_bytes(32, "little")
    assert not install.signed(identity, b"anything", identity + bytes(32))


def test_it_installs_and_answers_without_a_network_or_anything_else(
    packed: Path, maker: minisign.SecretKey, offline: list[str], run: Callable, tmp_path: Path
) -> None:
    into = tmp_path / "installed"
    python = [*offline, "env", "-i", "HOME=/nonexistent", sys.executable, "-I", "-S"]
    done = run(*python, packed / "install.py", "--key", maker.public, "--into", into, cwd="/")
    assert done.returncode == 0, done.stderr
    assert "self-test: passed on scalar" in done.stdout
    assert f"asked: {(packed / 'prompt.txt').read_text()}\nanswered: " in done.stdout
    again = run(*offline, into / "tinsmith", "run", into / "model/tiny.tin", "hello", "--max-tokens", "4")
    assert again.returncode == 0, again.stderr


def test_it_installs_where_the_answer_can_not_be_shown(
    packed: Path, maker: minisign.SecretKey, run: Callable, tmp_path: Path
) -> None:
    """As on a terminal of Latin-1: a model that answers in Greek runs nevertheless."""
    answered = (packed / "answer.txt").read_bytes().decode("utf-8", "replace").rstrip()
    assert not answered.isascii()
    ascii = ["env", "LC_ALL=C", sys.executable, "-I", "-X", "utf8=0"]
    into = tmp_path / "installed"
    done = run(*ascii, packed / "install.py", "--key", maker.public, "--into", into)
    assert done.returncode == 0, done.stderr
    assert answered.encode("ascii", "backslashreplace").decode() in done.stdout
    words = ["-c", "import sys; from tinsmith.airgap.proof import main; main(*sys.argv[1:])", packed]
    shown = subprocess.run([*ascii, *words, packed / "tiny.tin"], capture_output=True)
    assert f"answered: {answered}" in shown.stdout.decode(), shown.stderr


WHERE = "import sysconfig; print(sysconfig.get_path('platlib'))"


def test_it_installs_into_an_environment(
    packed: Path, maker: minisign.SecretKey, run: Callable, tmp_path: Path
) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env")
    key = ["--key", maker.public]
    done = run(sys.executable, packed / "install.py", *key, "--into", tmp_path / "env")
    assert done.returncode == 0, done.stderr
    code = "import tinsmith; print(tinsmith.__version__)"
    assert run(tmp_path / "env/bin/python", "-c", code).returncode == 0
    assert run(tmp_path / "env/bin/tinsmith", "--version").stdout.startswith("tinsmith ")
    code = "import click; print(click.__file__)"
    assert run(tmp_path / "env/bin/python", "-I", "-c", code).stdout.startswith(str(tmp_path / "env"))


def test_an_environment_keeps_the_click_that_it_has(
    packed: Path, maker: minisign.SecretKey, run: Callable, tmp_path: Path
) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env")
    site = Path(run(tmp_path / "env/bin/python", "-c", WHERE).stdout.strip())
    (site / "click").mkdir()
    done = run(sys.executable, packed / "install.py", "--key", maker.public, "--into", tmp_path / "env")
    assert done.returncode != 0 and "the model does not run here" in done.stderr
    assert list((site / "click").iterdir()) == []


def test_the_makers_key_is_the_one_that_counts(packed: Path, maker: minisign.SecretKey) -> None:
    install.check(packed, maker.public, unsigned=False)
    for empty in ("", " "):
        with pytest.raises(install.Refused, match="public key"):
            install.check(packed, empty, unsigned=False)
    with pytest.raises(install.Refused, match="not made by this key"):
        install.check(packed, minisign.SecretKey(b"somebody", bytes(32)).public, unsigned=False)
    same_number = minisign.SecretKey(maker.number, bytes(32)).public
    with pytest.raises(install.Refused, match="signature"):
        install.check(packed, same_number, unsigned=False)


def test_fitting_digests_do_not_make_a_signature(
    packed: Path, maker: minisign.SecretKey, resealed: Callable, tmp_path: Path
) -> None:
    folder = shutil.copytree(packed, tmp_path / "copy")
    (folder / "GUIDE.md").write_text("Trust me.\n")
    resealed(folder)
    with pytest.raises(install.Refused, match="was changed"):
        install.check(folder, None, unsigned=True)
    (folder / "SHA256SUMS.minisig").unlink()
    with pytest.raises(install.Refused, match="not signed"):
        install.check(folder, None, unsigned=True)
    (folder / "key.pub").unlink()
    resealed(folder)
    with pytest.raises(install.Refused, match="not signed"):
        install.check(folder, maker.public, unsigned=True)


def test_a_link_to_a_folder_is_a_file_too_many(unsigned: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(unsigned, tmp_path / "copy")
    (folder / "more").symlink_to(tmp_path)
    with pytest.raises(install.Refused, match="more is not listed"):
        install.check(folder, None, unsigned=True)


def test_an_unsigned_pack_is_taken_only_when_asked_for(unsigned: Path, run: Callable) -> None:
    assert run(sys.executable, "-I", unsigned / "install.py", "--check", "--unsigned").returncode == 0
    done = run(sys.executable, "-I", unsigned / "install.py", "--check")
    assert done.returncode == 1
    assert "not signed" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_changed_folder_is_refused(
    packed: Path, maker: minisign.SecretKey, changed: Callable, run: Callable, tmp_path: Path
) -> None:
    source = random.Random("changes")
    for number in range(60):
        folder = tmp_path / str(number)
        shutil.copytree(packed, folder)
        what = changed(folder, source)
        if number % 6:
            with pytest.raises((install.Refused, OSError)) as refused:
                install.check(folder, maker.public if number % 3 else None, unsigned=True)
            assert "\n" not in str(refused.value), what
        elif (
            folder / "install.py"
        ).exists():  # as people call it; a script that was changed itself must not pass
            key = ["--key", maker.public]
            done = run(sys.executable, folder / "install.py", *key, "--into", folder / "into")
            assert done.returncode != 0, what
            assert not (folder / "into").exists(), what
        shutil.rmtree(folder)


@pytest.mark.slow
def test_of_a_thousand_changes_none_is_missed(
    packed: Path, maker: minisign.SecretKey, changed: Callable, tmp_path: Path
) -> None:
    source, key = random.Random("a thousand"), maker.public
    for number in range(1000):
        folder = shutil.copytree(packed, tmp_path / str(number), copy_function=os.link)
        what = changed(folder, source)
        with pytest.raises((install.Refused, OSError)):
            install.check(folder, key, unsigned=False)
            print(f"missed: {what}")
        shutil.rmtree(folder)


def test_a_wheel_for_another_machine_is_said_to_be_that() -> None:
    with pytest.raises(install.Refused, match="linux_s390x"):
        install.wheel_of({"runtime/tinsmith-0.1.0-cp311-abi3-linux_s390x.whl": ""})
    assert install.wheel_of({"runtime/image.bin": "", "runtime/click-8.1.3-py3-none-any.whl": ""}) is None


def test_a_key_that_came_along_vouches_for_nothing(
    packed: Path, resealed: Callable, run: Callable, tmp_path: Path
) -> None:
    """Somebody signs the changed folder with a key of their own, and puts that into it: nothing of it may run
    before its receiver has compared the key."""
    folder = shutil.copytree(packed, tmp_path / "pack")
    other = minisign.SecretKey(b"somebody", bytes(32))
    (folder / "key.pub").write_text(f"untrusted comment: minisign public key\n{other.public}\n")
    (wheel,) = (folder / "runtime").glob("tinsmith-*.whl")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinsmith/__init__.py", f"open({str(tmp_path / 'mark')!r}, 'w')")
    resealed(folder)
    airgap.sign(folder, other, "tiny.tin for host")
    script = [sys.executable, "-I", folder / "install.py", "--into", tmp_path / "into"]
    done = run(*script)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"--key {other.public}" in done.stderr
    assert not (tmp_path / "mark").exists() and not (tmp_path / "into").exists()
    assert run(*script, "--check").returncode == 0  # which runs nothing
    run(*script, "--key", other.public)
    assert (tmp_path / "mark").exists()  # the trap is one


# What a shell, a batch file and Python's own strings would make something of.
NAMES = [
    "$(touch PWNED)",
    "`touch PWNED`",
    "a b",
    "it's",
    '"; touch PWNED; "',
    "%PATH%",
    "$HOME",
    "\\x",
    "-e",
    "a;b",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_folders_name_is_a_name_and_no_code(
    name: str, packed: Path, maker: minisign.SecretKey, run: Callable, tmp_path: Path
) -> None:
    """It is not signed: a pack may come in a folder of any name."""
    folder = shutil.copytree(packed, tmp_path / name)
    done = run(sys.executable, "-I", folder / "install.py", "--key", maker.public, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    into = tmp_path / f"{name}-installed"
    done = run(into / "tinsmith", "inspect", into / "model" / "tiny.tin", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"{name}-installed"])


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\udcffb"])
def test_a_name_that_no_script_can_hold_is_refused(
    name: str, packed: Path, maker: minisign.SecretKey, run: Callable, tmp_path: Path
) -> None:
    folder = shutil.copytree(packed, tmp_path / name)
    done = run(sys.executable, "-I", folder / "install.py", "--key", maker.public, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "--into" in done.stderr
    assert len(list(tmp_path.iterdir())) == 1


def test_the_script_for_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    text = install.script(["C:\\100% sure\\python.exe", "-c", "import sys"], windows=True, variables={})
    assert text == '@"C:\\100%% sure\\python.exe" "-c" "import sys" %*\n'
    text = install.script(["python"], windows=True, variables={"CACHE": "C:\\100%"})
    assert text == '@set "CACHE=C:\\100%%"\n@"python" %*\n'


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="of Linux with glibc")
@pytest.mark.parametrize(
    ("tag", "fits"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("py2-none-any", False),
        ("py3-none-manylinux_2_17_{here}", True),
        ("py3-none-manylinux_2_17_elsewhere", False),
        ("{own}-{own}-manylinux_2_28_{here}.manylinux2014_{here}", True),
        ("cp27-cp27-manylinux_2_28_{here}", False),
        ("cp39-abi3-linux_{here}", True),
        ("cp39-abi3-win_{here}", False),
        ("{own}-{own}-musllinux_1_2_{here}", False),
    ],
)
def test_which_wheels_are_for_this_python(tag: str, fits: bool) -> None:
    own = f"cp{sys.version_info.major}{sys.version_info.minor}"
    name = tag.format(own=own, here=platform.machine())
    assert install.fits(f"wheels/name-1-{name}.whl") is fits


def test_a_wheels_own_folders_go_where_imports_find_them(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in (
            "one.py",
            "x-1.data/purelib/two.py",
            "x-1.data/platlib/three/four.py",
            "x-1.data/scripts/five",
        ):
            archive.writestr(name, name)
    install.unpack(data, tmp_path)
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["one.py", "three/four.py", "two.py"]
