"""A signed tin in which anything is changed: every reader that asks for the signature refuses it."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tinsmith import _core, cli
from tinsmith.compiler import build_tin
from tinsmith.errors import FormatError, InputError, RuntimeFault, SignatureError
from tinsmith.formats import minisign, tin
from tinsmith.formats.minisign import SecretKey
from tinsmith.formats.tin import MANIFEST, PAGE, Tin
from tinsmith.models import family

KEY = SecretKey(b"owner..1", bytes(range(32)))
OTHER = SecretKey(b"owner..1", bytes(range(1, 33)))  # says that it is the same key

Change = Callable[[random.Random, bytearray, bytearray], None]  # of a tin, and of its signature


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("signed") / "home.tin"
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    build_tin(tiny_spec(family.by_name("llama"), **sizes), path, entries={"LICENSES/base.txt": b"MIT"})
    Path(f"{path}.minisig").write_text(minisign.sign(path, KEY, "third floor"))
    return path


def flip_bit(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    image[rng.randrange(len(image))] ^= 1 << rng.randrange(8)


def set_bytes(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    at, size = rng.randrange(len(image)), rng.choice([1, 2, 4, 8, 64])
    image[at : at + size] = rng.randbytes(len(image[at : at + size]))


def flip_outside(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    """In the padding, a header or the directory."""
    data = Tin(bytes(image))
    inside = [(bytes(image).index(bytes(data.entry(name))), len(data.entry(name))) for name in data.names]
    while True:
        at = rng.choice([rng.randrange(len(image)), rng.randrange(len(image) - 1500, len(image))])
        if not any(begin <= at < begin + size for begin, size in inside):
            image[at] ^= 1 << rng.randrange(8)
            return


def swap(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    size = rng.choice([1, 4, 64, PAGE])
    a, b = (rng.randrange(0, len(image) - size, size) for _ in range(2))
    image[a : a + size], image[b : b + size] = image[b : b + size], image[a : a + size]


def cut(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    del image[rng.randrange(len(image)) :]


def cut_out(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    at = rng.randrange(len(image) - PAGE)
    del image[at : at + rng.choice([1, PAGE])]


def append(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    image += rng.choice([b"\0", b"PK\5\6" + bytes(18), bytes(image[-22:]), rng.randbytes(PAGE)])


def prepend(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    image[:0] = bytes(rng.choice([1, PAGE]))


def header_field(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    """A number of the end record, which says where everything is."""
    at = len(image) - 22 + rng.choice([4, 6, 8, 10, 12, 16, 20])
    value = struct.unpack_from("<H", image, at)[0]
    struct.pack_into("<H", image, at, (value + rng.choice([1, 2, 46, 0xFFFF])) % 65536)


def exchange_names(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    """program.bin is called weights.bin and the other way round, everywhere but in the manifest."""
    manifest = bytes(Tin(bytes(image)).entry(MANIFEST))
    at = image.index(manifest)
    for old, new in (
        (b"program.bin", b"p"),
        (b"weights.bin", b"program.bin"),
        (b"p**********", b"weights.bin"),
    ):
        image[:] = image.replace(old, new.ljust(11, b"*"))
    image[at : at + len(manifest)] = manifest


def reorder(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    old = Tin(bytes(image))
    names = [name for name in old.names if name != MANIFEST]
    first, second = rng.sample(range(len(names)), 2)
    names[first], names[second] = names[second], names[first]
    image[:] = tin.pack_bytes([(name, old.entry(name)) for name in names], old.manifest)


def seal_again(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    """A sound tin with a changed weight, digests and all: the signature alone tells."""
    old = Tin(bytes(image))
    entries = {name: bytearray(old.entry(name)) for name in old.names if name != MANIFEST}
    weights = entries["weights.bin"]
    weights[rng.randrange(len(weights))] ^= 1 << rng.randrange(8)
    image[:] = tin.pack_bytes(list(entries.items()), old.manifest)
    Tin(bytes(image)).verify()


def sign_again(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    """As above, signed by another who gives his key the same number."""
    seal_again(rng, image, signature)
    signature[:] = OTHER.sign(Tin(bytes(image)).entry(MANIFEST), "third floor").encode()


def drop_entry(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    old = Tin(bytes(image))
    names = [name for name in old.names if name != MANIFEST]
    names.remove(rng.choice(names))
    image[:] = tin.pack_bytes([(name, old.entry(name)) for name in names], old.manifest)


def change_signature(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    """A character of what is signed or of a signature; minisign signs no untrusted comment."""
    begin = signature.index(b"\n") + 1
    signature[rng.randrange(begin, len(signature) - 1)] ^= 1 << rng.randrange(7)


def cut_signature(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    del signature[rng.randrange(len(signature) - 1) :]


def lengthen_signature(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    signature += rng.choice([b"x", b"\n", bytes(signature)])


def change_comment(rng: random.Random, image: bytearray, signature: bytearray) -> None:
    signature[:] = signature.replace(b"third floor", rng.choice([b"fourth floor", b"third floor ", b""]))


CHANGES: list[Change] = [
    flip_bit, set_bytes, flip_outside, swap, cut, cut_out, append, prepend, header_field, exchange_names,
    reorder, seal_again, sign_again, drop_entry, change_signature, cut_signature, lengthen_signature,
    change_comment,
]  # fmt: skip


def refusals(signed: Path, folder: Path, count: int, seed: int) -> int:
    """Makes `count` changes one at a time, holds that all are refused in every way, and returns how many."""
    rng = random.Random(seed)
    whole, whole_signature = signed.read_bytes(), Path(f"{signed}.minisig").read_bytes()
    path = folder / "home.tin"
    done = 0
    while done < count:
        change = CHANGES[done % len(CHANGES)]
        image, signature = bytearray(whole), bytearray(whole_signature)
        change(rng, image, signature)
        if (image, signature) == (whole, whole_signature):
            continue
        path.write_bytes(image)
        Path(f"{path}.minisig").write_bytes(signature)
        where = f"change {done}, {change.__name__}, seed {seed}"
        with pytest.raises((FormatError, SignatureError)) as error:
            tinsmith.load(path, key=KEY.public)
            pytest.fail(where)
        assert "\n" not in str(error.value), where
        with pytest.raises(RuntimeFault) as fault:
            _core.file_verify(bytes(image), bytes(signature), KEY.public)
            pytest.fail(where)
        assert fault.value.status in ("TIN_ERR_FORMAT", "TIN_ERR_SIGNATURE"), where
        done += 1
    return done


def test_the_whole_file_is_taken(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signature = Path(f"{signed}.minisig").read_bytes()
    assert tinsmith.load(signed, key=KEY.public).info.family == "llama"
    _core.file_verify(signed.read_bytes(), signature, KEY.public)
    _core.file_verify(signed.read_bytes())
    assert cli.main(["verify", str(signed), "--key", KEY.public]) == 0
    assert "third floor" in capsys.readouterr().out
    assert cli.main(["run", str(signed), "hi", "--raw", "--max-tokens", "2", "--key", KEY.public]) == 0


def test_300_changes_are_refused_by_python_and_c(signed: Path, tmp_path: Path) -> None:
    assert refusals(signed, tmp_path, 300, 1) == 300


@pytest.mark.slow
def test_1000_changes_are_refused_by_python_and_c(signed: Path, tmp_path: Path) -> None:
    assert refusals(signed, tmp_path, 1000, 2) == 1000


def test_without_a_signature_or_by_another_key(
    signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare.tin"
    bare.write_bytes(signed.read_bytes())
    with pytest.raises(SignatureError, match="is not signed"):
        tinsmith.load(bare, key=KEY.public)
    with pytest.raises(RuntimeFault, match="there is none"):
        _core.file_verify(signed.read_bytes(), None, KEY.public)
    with pytest.raises(SignatureError, match="not of this content"):
        tinsmith.load(signed, key=OTHER.public)
    assert cli.main(["verify", str(bare), "--key", KEY.public]) == 1
    assert "is not signed" in capsys.readouterr().err
    monkeypatch.setenv("TINSMITH_KEY", KEY.public)
    assert cli.main(["run", str(bare), "hi", "--raw", "--max-tokens", "2"]) == cli.FAILED
    assert cli.main(["run", str(signed), "hi", "--raw", "--max-tokens", "2"]) == 0


def test_only_a_tin_can_be_asked_for_a_signature(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match="only a .tin is signed"):
        tinsmith.load(tmp_path / "model.gguf", key=KEY.public)


def test_the_verb_makes_keys_and_signs(
    signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.tin"
    path.write_bytes(signed.read_bytes())
    assert cli.main(["sign", "--generate", str(tmp_path / "k"), "--no-password"]) == 0
    secret, public = capsys.readouterr().out.split()
    assert cli.main(["sign", str(path), "--key", secret, "--comment", "release 3"]) == 0
    assert cli.main(["verify", str(path), "--key", public]) == 0
    out = capsys.readouterr().out
    assert f"{path}.minisig" in out and "release 3" in out
    assert cli.main(["sign", "--generate", str(tmp_path / "k"), "--no-password"]) == cli.FAILED
    assert cli.main(["sign", str(path)]) == cli.FAILED
    assert cli.main(["sign", str(path), "--key", public]) == cli.FAILED
    capsys.readouterr()
