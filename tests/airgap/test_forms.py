"""tinsmith pack --as: packages, an image and a ZIP file, held to what Debian's tools make and say of them."""

from __future__ import annotations

import email
import filecmp
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from textwrap import wrap
from typing import Any

import pytest

from tinsmith import __version__, airgap, cli
from tinsmith.airgap import forms, openpgp, rpm, tar
from tinsmith.errors import InputError
from tinsmith.formats import minisign
from tinsmith.system.progress import PlainDisplay

PROMPT = "dim the kitchen lights"
NAMES = ["libtin", "tinsmith-tool", "python3-tinsmith", "tinsmith-model-tiny"]
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ARCH, reason="packs for Linux on x86-64 and ARM64"),
]


@pytest.fixture(scope="session")
def make(tin: Path, system: Path, maker: minisign.SecretKey, gpg: str) -> Callable[[Path, str], Path]:
    def made(out: Path, form: str, target: str = "host") -> Path:
        signer = openpgp.find(gpg) if form in forms.SIGNED else None
        display = PlainDisplay()
        return airgap.pack(tin, target, out, PROMPT, maker, display, system, form=form, signer=signer)[0]

    return made


@pytest.fixture(scope="session")
def deb(make: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("deb") / "site", "deb")


@pytest.fixture(scope="session")
def rpms(make: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("rpm") / "site", "rpm")


@pytest.fixture(scope="session")
def image(make: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("oci") / "site", "oci")


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def paragraphs(text: str) -> dict[str, dict[str, str]]:
    """Of a list of Debian packages, by name."""
    read = [dict(email.message_from_string(one).items()) for one in text.strip().split("\n\n")]
    return {one["Package"]: one for one in read}


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("form", ["zip", "deb", "rpm", "oci"])
def test_the_same_parts_give_the_same_bytes(form: str, make: Callable, tmp_path: Path) -> None:
    one, two = make(tmp_path / "one" / "site", form), make(tmp_path / "two" / "site", form)
    assert files(one.parent) == files(two.parent)


def test_a_date_is_taken_from_the_environment(
    make: Callable, gpg: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    late = openpgp.find(gpg).made + 86400
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(late))
    made = make(tmp_path / "site", "deb")
    package = next(made.glob("libtin*"))
    head = package.read_bytes()[8:68]
    assert int(head[16:28]) == late
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "400000000")  # before the key was made
    with pytest.raises(InputError, match="before the key"):
        make(tmp_path / "early", "deb")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH=yesterday: give seconds"):
        tar.epoch()


def test_debian_reads_the_packages(deb: Path, run: Callable, tin: Path, tmp_path: Path) -> None:
    need("dpkg-deb")
    listed = paragraphs((deb / "Packages").read_text())
    assert list(listed) == NAMES
    for name, fields in listed.items():
        package = deb / fields["Filename"]
        assert package.stat().st_size == int(fields["Size"])
        assert hashlib.sha256(package.read_bytes()).hexdigest() == fields["SHA256"]
        assert run("dpkg-deb", "--field", package, "Package", "Architecture").stdout.split()[1::2] == [
            name,
            "all" if "model" in name else ARCH,
        ]
        done = run("dpkg-deb", "--raw-extract", package, tmp_path / name)
        assert done.returncode == 0, done.stderr
        sums = (tmp_path / name / "DEBIAN/md5sums").read_text()
        assert run("md5sum", "--check", "--quiet", "-", input=sums, cwd=tmp_path / name).returncode == 0
    model = tmp_path / NAMES[3] / "usr/share/tinsmith/tiny"
    assert (model / "tiny.tin").read_bytes() == tin.read_bytes()
    assert (model / "key.pub").is_file() and (model / "LICENSES/model/data.txt").is_file()
    python = tmp_path / NAMES[2] / "usr/lib/python3/dist-packages"
    assert (python / "tinsmith/_core.abi3.so").is_file() and not list(python.rglob("RECORD"))
    assert os.access(tmp_path / NAMES[1] / "usr/bin/tin", os.X_OK)


def test_the_list_is_what_apts_own_maker_of_lists_writes(deb: Path, run: Callable) -> None:
    need("apt-ftparchive")
    theirs = paragraphs(run("apt-ftparchive", "packages", ".", cwd=deb).stdout)
    for name, fields in paragraphs((deb / "Packages").read_text()).items():
        assert fields.items() <= theirs[name].items()
        assert theirs[name].keys() - fields.keys() <= {"MD5sum", "SHA1", "SHA512"}


def test_gpg_verifies_the_repository(deb: Path, run: Callable, gpg: str) -> None:
    done = run("gpgv", "--keyring", deb / "site.gpg", "--output", "-", deb / "InRelease")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (deb / "Release").read_text()
    assert run("gpgv", "--keyring", deb / "site.gpg", deb / "Release.gpg", deb / "Release").returncode == 0
    release = email.message_from_string(done.stdout)
    for line in release["SHA256"].strip().splitlines():
        digest, size, name = line.split()
        data = (deb / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), str(len(data))) == (digest, size)


def test_the_page_has_both_keys_and_is_signed(deb: Path, gpg: str, maker: minisign.SecretKey) -> None:
    page = (deb / "CHECK.md").read_text()
    assert " ".join(wrap(gpg, 4)) in page and maker.public in page
    assert f"apt-get install {' '.join(NAMES)}" in page
    assert "CHECK.md" in (deb / "SHA256SUMS").read_text()


def test_rpm_verifies_and_reads_the_packages(rpms: Path, run: Callable, tin: Path, tmp_path: Path) -> None:
    need("rpm")
    db = f"--dbpath={tmp_path / 'db'}"
    packages = sorted(rpms.glob("*.rpm"))
    assert run("rpm", db, "-K", *packages).returncode != 0  # by a key that it does not know
    assert run("rpm", db, "--import", rpms / rpm.KEY).returncode == 0
    done = run("rpm", db, "-Kv", *packages)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("EdDSA/SHA512 Signature") == done.stdout.count("Payload SHA256 digest: OK") == 4
    asked = "%{NAME} %{VERSION} %{ARCH}\n"
    told = run("rpm", db, "-qp", "--qf", asked, *packages).stdout.splitlines()
    machine = platform.machine()
    assert sorted(told) == sorted(
        [*(f"{name} {__version__} {machine}" for name in NAMES[:3]), f"{NAMES[3]} 0 noarch"]
    )
    root = tmp_path / "root"
    options = [f"--root={root}", "--dbpath=/db", "--nodeps", "--noscripts", "--ignoreos"]
    done = run("rpm", "-i", *options, *packages)
    assert done.returncode == 0, done.stderr
    assert (root / "usr/share/tinsmith/tiny/tiny.tin").read_bytes() == tin.read_bytes()
    assert run("rpm", "-Va", *options[:2], "--nodeps").stdout == ""
    (root / "usr/bin/tin").write_bytes(b"another")
    assert "/usr/bin/tin" in run("rpm", "-Va", *options[:2], "--nodeps").stdout


@pytest.mark.parametrize("place", ["header", "payload"])
def test_rpm_refuses_a_changed_byte(place: str, rpms: Path, run: Callable, tmp_path: Path) -> None:
    need("rpm")
    data = bytearray(next(rpms.glob("tinsmith-model*")).read_bytes())
    at = data.index(b"tinsmith-model-tiny", 200) if place == "header" else len(data) - 2000
    data[at] ^= 1
    (tmp_path / "changed.rpm").write_bytes(data)
    db = f"--dbpath={tmp_path / 'db'}"
    run("rpm", db, "--import", rpms / rpm.KEY)
    done = run("rpm", db, "-i", f"--root={tmp_path / 'root'}", "--nodeps", tmp_path / "changed.rpm")
    assert done.returncode != 0
    assert not (tmp_path / "root/usr/share/tinsmith").exists()


def test_the_image_is_as_its_specification_has_it(image: Path, tin: Path) -> None:
    """Each blob is called by its digest, and each reference is to one, of its size."""
    with tarfile.open(image / "image.tar") as archive:
        held = {one.name: archive.extractfile(one).read() for one in archive if one.isfile()}  # type: ignore[union-attr]
    assert json.loads(held["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    for name, data in held.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"

    def blob(reference: dict[str, Any]) -> bytes:
        data = held["blobs/" + reference["digest"].replace(":", "/")]
        assert len(data) == reference["size"]
        return data

    (only,) = json.loads(held["index.json"])["manifests"]
    manifest = json.loads(blob(only))
    config = json.loads(blob(manifest["config"]))
    assert (config["architecture"], config["os"]) == (ARCH, "linux")
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    assert config["config"]["User"] == "65534:65534"
    assert only["digest"] in (image / "CHECK.md").read_text()
    assert tin.read_bytes() in blob(manifest["layers"][1])


def test_the_program_of_the_image_is_the_packed_one(
    image: Path, system: Path, tmp_path: Path, run: Callable
) -> None:
    """Both layers, one over the other, answer as packed; without a loader and without a system's library."""
    with tarfile.open(image / "image.tar") as archive:
        archive.extractall(tmp_path / "image")
    index = json.loads((tmp_path / "image/index.json").read_text())
    blobs = tmp_path / "image/blobs/sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())["config"]
    for layer in manifest["layers"]:
        with tarfile.open(blobs / layer["digest"][7:]) as archive:
            archive.extractall(tmp_path / "root")
    words = [*config["Entrypoint"], *config["Cmd"]]
    placed = [str(tmp_path / "root" / word[1:]) if word.startswith("/") else word for word in words]
    done = subprocess.run(placed, capture_output=True)
    assert (done.returncode, done.stdout) == (0, (image / "answer.txt").read_bytes()), done.stderr


def test_a_zip_file_holds_the_folder(make: Callable, tmp_path: Path) -> None:
    folder = make(tmp_path / "site", "zip")
    with zipfile.ZipFile(tmp_path / "site.zip") as archive:
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.getinfo("site/install.sh").external_attr >> 16 & 0o111
        archive.extractall(tmp_path / "out")
    assert not filecmp.dircmp(folder, tmp_path / "out/site").diff_files
    assert files(folder) == files(tmp_path / "out/site")


def test_a_folder_alone(make: Callable, tmp_path: Path) -> None:
    make(tmp_path / "site", "dir")
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_package_has_the_targets_architecture_and_the_signatures_version(
    tin: Path, runtime: Path, maker: minisign.SecretKey, tmp_path: Path
) -> None:
    copy = tmp_path / "Home_Q4.tin"
    shutil.copy(tin, copy)
    Path(f"{copy}.minisig").write_text(minisign.sign(copy, maker, version=7))
    out = tmp_path / "site"
    airgap.pack(copy, "raspberrypi-5", out, PROMPT, maker, PlainDisplay(), runtime, form="deb")
    names = sorted(path.name for path in out.glob("*.deb"))
    assert names == [
        f"libtin_{__version__}_arm64.deb",
        "tinsmith-model-home-q4_7_all.deb",
        f"tinsmith-tool_{__version__}_arm64.deb",
    ]


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["--as", "msi", "--unsigned"], "give one of tar, dir, zip, deb, rpm, oci"),
        (["--as", "deb", "--key", "{secret}"], "give --gpg-key ID"),
        (["--as", "deb", "--key", "{secret}", "--gpg-key", "nobody@nowhere"], "gpg:"),
        (["--as", "zip", "--key", "{secret}", "--gpg-key", "Site"], "--gpg-key is for --as deb and rpm"),
        (["--as", "deb", "--unsigned", "--gpg-key", "Site"], "--gpg-key needs --key"),
        (["--as", "rpm", "--unsigned", "--serve"], "has no server"),
        (
            ["--as", "deb", "--unsigned", "--target", "cortex-m55"],
            "packs for Linux, which cortex-m55 does not run",
        ),
        (["--as", "oci", "--unsigned"], "needs the static program tin"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    arguments: list[str], reported: str, tin: Path, secret: Path, gpg: str, tmp_path: Path, capsys: Any
) -> None:
    given = [word.format(secret=secret) for word in arguments]
    assert cli.main(["pack", str(tin), "--out", str(tmp_path / "out"), *given]) == 2
    error = capsys.readouterr().err
    assert reported in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_key_must_be_one(gpg: str) -> None:
    found = openpgp.find(gpg)
    assert (found.fingerprint, found.owner, found.is_rsa) == (gpg, "Site <keys@site.example>", False)
    with pytest.raises(InputError, match=r"gpg: .*"):
        openpgp.find("nobody@nowhere")


def test_what_nobody_signed_says_so(tin: Path, system: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    airgap.pack(tin, "host", out, PROMPT, None, PlainDisplay(), system, form="deb")
    assert not (out / "InRelease").exists() and not (out / "site.gpg").exists()
    page = (out / "CHECK.md").read_text()
    assert "Nobody signed" in page and "trusted=yes" in page
