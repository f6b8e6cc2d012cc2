"""Tins and folders in the form that other runtimes read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.tiny_models import in_format
from tinsmith.backends.files import as_gguf, fingerprint
from tinsmith.compiler import build_tin
from tinsmith.errors import FormatError
from tinsmith.models import Spec, save_gguf, save_hf


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_gguf_is_its_own(spec: Spec, tmp_path: Path, cache: Path) -> None:
    save_gguf(spec, tmp_path / "a.gguf")
    assert as_gguf(tmp_path / "a.gguf") == tmp_path / "a.gguf"
    assert not cache.exists()


def test_a_tin_is_unpacked_once_to_the_same_bytes(spec: Spec, tmp_path: Path, cache: Path) -> None:
    quantized = in_format(spec, "Q8_0")
    save_gguf(quantized, tmp_path / "a.gguf")
    build_tin(quantized, tmp_path / "a.tin")
    made = as_gguf(tmp_path / "a.tin")
    assert made.parent.parent == cache
    assert made.read_bytes() == (tmp_path / "a.gguf").read_bytes()
    written = made.stat().st_mtime_ns
    assert as_gguf(tmp_path / "a.tin") == made
    assert made.stat().st_mtime_ns == written
    build_tin(in_format(spec, "Q4_0"), tmp_path / "a.tin")
    assert as_gguf(tmp_path / "a.tin") != made


def test_a_folder_is_converted(spec: Spec, tmp_path: Path, cache: Path) -> None:
    save_hf(spec, tmp_path / "a")
    made = as_gguf(tmp_path / "a")
    assert made.read_bytes()[:4] == b"GGUF"
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="no model"):
        fingerprint(tmp_path / "empty")


def test_what_is_neither_is_said(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "a.tin").write_bytes(b"PK no tin")
    with pytest.raises(FormatError, match=r"a\.tin"):
        as_gguf(tmp_path / "a.tin")
    assert list(cache.rglob("*.gguf")) == []
