"""What goes along with tinsmith's wheel: the files that pip installed, and nothing that was changed since."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from tinsmith import _core
from tinsmith.cross import needed, sources, wheel
from tinsmith.errors import InputError

ROOT = Path(__file__).parents[2]


def test_a_cross_built_wheel_requires_what_the_project_does(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel.write(Path(str(_core.__file__)), "win_arm64", tmp_path)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    stated = [line for line in metadata.get_all("Requires-Dist", []) if ";" not in line]
    assert stated == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


@pytest.mark.parametrize("builds", [True, False])
def test_an_installed_wheel_has_the_sources_if_it_builds_for_others(builds: bool, tmp_path: Path) -> None:
    made = wheel.write(Path(str(_core.__file__)), "linux_x86_64", tmp_path, builds=builds)
    shutil.unpack_archive(made, tmp_path / "site", "zip")
    script = "from tinsmith.cross import sources; print(sources.__file__, sources.digest(sources.core()))"
    # -S: the checkout's editable install is not found.
    environment = {"PYTHONPATH": f"{tmp_path / 'site'}"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    if builds:
        path, digest = done.stdout.split()
        assert path.startswith(str(tmp_path)) and digest == sources.digest(sources.core())
    else:
        assert "has no C sources" in done.stderr


def test_pip_installs_the_same_files_again(tmp_path: Path) -> None:
    (made,) = needed.write("linux_x86_64", tmp_path)
    first = made.read_bytes()
    assert needed.write("linux_x86_64", tmp_path) == [made] and made.read_bytes() == first
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-compile",
        "--target",
        site,
        made,
    ]
    subprocess.run(pip, check=True)
    files = [file for file in distribution("click").files or () if file.hash and file.name != "INSTALLER"]
    assert len(files) > 15
    for file in files:
        assert (site / file).read_bytes() == file.read_binary()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with click alone, which is what counts as installed."""
    info = Path(str(distribution("click").locate_file(f"click-{distribution('click').version}.dist-info")))
    shutil.copytree(info, tmp_path / info.name)
    shutil.copytree(info.with_name("click"), tmp_path / "click", ignore=shutil.ignore_patterns("__pycache__"))
    real = wheel.installed
    of_copy = Distribution.at(tmp_path / info.name)
    monkeypatch.setattr(wheel, "installed", lambda name: of_copy if name == "click" else real(name))
    return tmp_path


def test_what_was_changed_or_is_not_whole_is_not_passed_on(copied: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert len(needed.write("linux_x86_64", out)) == 1
    source = copied / "click" / "core.py"
    text = source.read_text()
    source.write_text(text + "\n")
    with pytest.raises(InputError, match=r"core.py: changed since it was installed; run: pip install"):
        needed.write("linux_x86_64", out)
    source.write_text(text)
    (record,) = copied.glob("*.dist-info/RECORD")
    record.unlink()
    with pytest.raises(InputError, match="click: was not installed from a wheel"):
        needed.write("linux_x86_64", out)


@pytest.mark.parametrize(
    ("line", "linux", "windows"),
    [
        ("colorama; platform_system == 'Windows'", False, True),
        ("importlib-metadata ; python_version < '3.8'", False, False),
        ("more; extra == 'all'", False, False),
        ("more>=1", True, True),
    ],
)
def test_what_is_needed_in_turn(line: str, linux: bool, windows: bool) -> None:
    assert needed._applies(line, "manylinux_2_17_aarch64") == linux
    assert needed._applies(line, "win_amd64") == windows
