"""Downloads over HTTP, resumed after failures and checked against their digest. Standard library only."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, OfflineError
from tinsmith.system.files import replace, sha256_file, write_fault

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known

_CHUNK = 1 << 18
_TIMEOUT = 60  # seconds without a byte
_TRIES = 4
_PAUSE = 0.5  # seconds before the second try, doubled for each later one


def get(url: str, headers: dict[str, str], certificates: str | None) -> Any:
    """Opens `url`; moves a user and password in it to the Authorization header."""
    parts = urllib.parse.urlsplit(url)
    request = urllib.request.Request(url, headers={"User-Agent": "tinsmith", **headers})
    if parts.username is not None:
        secret = urllib.parse.unquote(f"{parts.username}:{parts.password or ''}")
        plain = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        request.full_url = urllib.parse.urlunsplit(plain)
        # Unredirected: another host must not get the password.
        encoded = base64.b64encode(secret.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {encoded}")
    context = ssl.create_default_context(cafile=certificates) if parts.scheme == "https" else None
    return urllib.request.urlopen(request, timeout=_TIMEOUT, context=context)


def reason(error: Exception) -> str:
    """The error of a request, in one line."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


def fetch(
    url: str,
    path: Path,
    *,
    size: int,
    sha256: str,
    certificates: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Downloads `url` to `path` through `<path>.part`, which a later call resumes.

    Raises OfflineError when the server can't be reached or refuses, FormatError for another digest (and removes
    the part), InputError for a disk fault. The caller must hold a lock.
    """
    part = path.with_name(path.name + ".part")
    if part.exists() and part.stat().st_size > size:
        part.unlink()
    for attempt in range(_TRIES):
        try:
            _continue(url, part, size, certificates, progress)
            break
        except (OSError, http.client.HTTPException) as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if refused or attempt == _TRIES - 1:
                done = part.stat().st_size if part.exists() else 0
                kept = f" after {done} of {size} bytes, which are kept" if done else ""
                raise OfflineError(
                    f"{_shown(url)}: download failed{kept}: {reason(error)}; try again later"
                ) from error
            time.sleep(_PAUSE * 2**attempt)
    digest = sha256_file(part)
    if digest != sha256:
        part.unlink()
        raise FormatError(f"{_shown(url)}: its SHA-256 is {digest}, expected {sha256}; removed, try again")
    replace(part, path)


def _continue(url: str, part: Path, size: int, certificates: str | None, progress: Progress | None) -> None:
    done = part.stat().st_size if part.exists() else 0
    if done == size:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with get(url, headers, certificates) as response:
        resumed = str(response.headers.get("Content-Range", "")).startswith(f"bytes {done}-")
        if response.status != 206 or not resumed:
            done = 0
        # _on_disk tells faults of the disk from those of the network.
        file = _on_disk(part, lambda: part.open("ab" if done else "wb"))
        with file:
            while done < size:
                chunk = response.read(min(_CHUNK, size - done))
                if not chunk:
                    raise http.client.IncompleteRead(b"", size - done)
                _on_disk(part, lambda: file.write(chunk))  # noqa: B023 (called at once)
                done += len(chunk)
                if progress is not None:
                    progress(done, size)
            _on_disk(part, file.flush)
            _on_disk(part, lambda: os.fsync(file.fileno()))


def _on_disk(part: Path, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except OSError as error:
        part.unlink(missing_ok=True)  # frees the space on a full disk
        raise write_fault(part, error) from error


def _shown(url: str) -> str:
    """The URL without a password."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
