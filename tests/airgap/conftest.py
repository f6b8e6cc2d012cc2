"""A tiny tin that chats, and its pack."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models import c_programs
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import airgap
from tinsmith.airgap import wheel
from tinsmith.compiler import build_tin
from tinsmith.formats import minisign
from tinsmith.models import family
from tinsmith.system.progress import PlainDisplay

KERNELS = Path(__file__).parents[2] / "kernels"
KEY = minisign.SecretKey(b"tinsmith", bytes(range(32)))
PROMPT = "dim the kitchen lights"


@pytest.fixture(scope="session")
def chatml() -> str:
    return CHATML


@pytest.fixture(scope="session")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tin") / "tiny.tin"
    spec = tiny_spec(family.by_name("llama"), hidden_size=64, intermediate_size=96)
    entries = {"sbom.cdx.json": b'{"bomFormat": "CycloneDX"}\n', "LICENSES/data.txt": b"CC0-1.0\n"}
    build_tin(replace(spec, chat_template=CHATML), path, entries=entries)
    path.with_name("tiny.tin.minisig").write_text(minisign.sign(path, KEY))
    return path


@pytest.fixture(scope="session")
def maker() -> minisign.SecretKey:
    """The key that signs."""
    return KEY


@pytest.fixture(scope="session")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its file."""
    folder = tmp_path_factory.mktemp("keys")
    minisign.write_keys(KEY, folder / "maker.key", folder / "maker.pub", None)
    return folder / "maker.key"


@pytest.fixture(scope="session")
def packed(tin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signed."""
    return airgap.pack(tin, "host", tmp_path_factory.mktemp("pack") / "tiny-pack", PROMPT, KEY, PlainDisplay())[
        0
    ]


@pytest.fixture(scope="session")
def unsigned(tin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return airgap.pack(
        tin, "host", tmp_path_factory.mktemp("unsigned") / "tiny-pack", PROMPT, None, PlainDisplay()
    )[0]


@pytest.fixture(scope="session")
def resealed() -> Callable[[Path], None]:
    """What somebody without the key can do: fitting digests."""
    return _resealed


def _resealed(folder: Path) -> None:
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    names = [name for name in names if not name.startswith("SHA256SUMS")]
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


@pytest.fixture
def changed() -> Callable[[Path, random.Random], str]:
    """Changes something of a folder, and says what."""
    return _changed


def _changed(folder: Path, source: random.Random) -> str:
    path = source.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    name = path.relative_to(folder).as_posix()
    data = bytearray(path.read_bytes())
    position = source.randrange(len(data))
    match source.choice(["flip", "flip", "flip", "flip", "cut", "longer", "remove", "add", "swap"]):
        case "flip":
            data[position] ^= 1 << source.randrange(8)
            _rewrite(path, data)
            return f"{name} at {position}"
        case "cut":
            _rewrite(path, data[:position])
            return f"{name} cut at {position}"
        case "longer":
            _rewrite(path, data + b"\n")
            return f"{name} with a line more"
        case "remove":
            path.unlink()
            return f"{name} removed"
        case "add":
            path.with_name("hashlib.py").write_text("raise SystemExit(0)\n")
            return f"a module beside {name}"
        case _:
            other = source.choice(sorted(p for p in folder.rglob("*") if p.is_file() and p != path))
            text = other.read_bytes()
            _rewrite(other, data)
            _rewrite(path, text)
            return f"{name} and {other.name} exchanged"


def _rewrite(path: Path, data: bytes | bytearray) -> None:
    """Another file in its place: the folder may hold links to another one's."""
    path.unlink()
    path.write_bytes(data)


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    def started(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            command, capture_output=True, text=True, errors="replace", **options
        )

    return started


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As cross makes it, but by this machine's compiler: the static program, and the shared library."""
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed")
    folder = tmp_path_factory.mktemp("runtime")
    (folder / "bin").mkdir()
    (folder / "lib").mkdir()
    flags = ["-std=c11", "-O1", "-fPIC", "-ffp-contract=off", "-pthread", "-DTIN_SHARED"]
    flags.append(f"-I{KERNELS}/include")
    core = str(c_programs.core())
    for command in (
        [*flags, "-static", str(KERNELS / "tool/tin.c"), core, "-o", str(folder / "bin/tin")],
        [*flags, "-shared", core, "-o", str(folder / "lib/libtin.so")],
    ):
        subprocess.run(["cc", *command], check=True)
    return folder


@pytest.fixture(scope="session")
def gpg() -> Iterator[str]:
    """The number of a key of OpenPGP, in a folder of gpg's whose sockets' names are short enough."""
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    with tempfile.TemporaryDirectory(prefix="gpg-") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", home)
        made = [
            "--passphrase",
            "",
            "--quick-generate-key",
            "Site <keys@site.example>",
            "ed25519",
            "sign",
            "never",
        ]
        subprocess.run(["gpg", "--batch", *made], check=True, capture_output=True)
        listed = subprocess.run(
            ["gpg", "--with-colons", "--list-keys"], check=True, capture_output=True, text=True
        )
        yield next(line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fpr"))
        subprocess.run(["gpgconf", "--kill", "all"], check=False)


@pytest.fixture(scope="session")
def system(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that packages are made of: program, library, header, wheels."""
    folder = tmp_path_factory.mktemp("system") / "runtime"
    shutil.copytree(runtime, folder)
    (folder / "include").mkdir()
    shutil.copy(KERNELS / "include/tin.h", folder / "include")
    wheel.this_wheel(folder)
    return folder


@pytest.fixture(scope="session")
def programmed(tin: Path, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signed, with the C program."""
    out = tmp_path_factory.mktemp("programmed") / "tiny-pack"
    return airgap.pack(tin, "host", out, PROMPT, KEY, PlainDisplay(), runtime)[0]
