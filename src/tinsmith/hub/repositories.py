"""Base models in repositories of the Hugging Face hub, by huggingface_hub.

Branches and tags move. So the first pull records the commit and the SHA-256 of each file, in `pulled.json` or
in the file TINSMITH_LOCK, which can be committed beside a recipe. Later pulls get the same files or fail, until
--accept.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, InputError, MissingExtraError, OfflineError
from tinsmith.hub.entries import Entry
from tinsmith.system import reading
from tinsmith.system.download import reason
from tinsmith.system.files import locked, sha256_file, write_text

# The downloaded files: no pickles, no code, no other frameworks' weights.
FILES = ["*.json", "*.safetensors", "*.jinja", "README.md", "LICENSE*", "NOTICE*"]
RECORD = "pulled.json"  # in a cache
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Wanted:
    """name: as the user gave it. revision: None for the main branch. page: to accept a gated model's
    licence."""

    name: str
    repository: str
    revision: str | None
    page: str | None = None

    @property
    def key(self) -> str:
        """The model's key in the record."""
        return f"{self.repository}@{self.revision}" if self.revision else self.repository


def wanted(name: str, entry: Entry | None, revision: str | None) -> Wanted:
    if entry is not None and entry.repository is not None:
        return Wanted(name, entry.repository, revision, entry.source if entry.gated else None)
    repository, _, tagged = name.removeprefix("hf:").partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise InputError(f"{name!r} names no hub repository; write hf:org/name or hf:org/name@revision")
    return Wanted(name, repository, revision or tagged or None)


def pull(model: Wanted, lock: Path, *, offline: bool, accept: bool) -> Path:
    """The folder of its files, which match the record, or are recorded now."""
    recorded = None if accept else _read(lock).get(model.key)
    folder = _snapshot(model, recorded, offline)
    if recorded is None:
        _record(model, folder, lock, accept)
    else:
        _check(model, folder, recorded["files"], lock)
    return folder


def carried(model: Wanted, folder: Path, lock: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """The record of a pulled model in `folder`, and its files by their paths in a cache."""
    record = _read(lock)[model.key]
    place = f"hub/models--{model.repository.replace('/', '--')}/snapshots/{record['commit']}"
    return {model.key: record}, {f"{place}/{name}": folder / name for name in record["files"]}


def here(model: Wanted, lock: Path) -> Path | None:
    """The folder of its recorded files on this disk, by their names alone."""
    recorded = _read(lock).get(model.key)
    try:
        return _snapshot(model, recorded, offline=True) if recorded else None
    except (OfflineError, MissingExtraError):
        return None


def _snapshot(model: Wanted, recorded: dict[str, Any] | None, offline: bool) -> Path:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when huggingface_hub is imported
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "train") from error
    commit = recorded["commit"] if recorded else None
    revision = commit or model.revision
    try:
        return Path(
            snapshot_download(
                model.repository, revision=revision, local_files_only=offline, allow_patterns=FILES
            )
        )
    except errors.HFValidationError as error:
        raise InputError(f"{model.name}: is no name of the hub: {error}; write hf:org/name") from error
    except errors.LocalEntryNotFoundError as error:
        why = "offline, and it is not in the hub's cache" if offline else "the hub can't be reached"
        raise OfflineError(f"{model.name}: {why}; connect once, or give a folder or .gguf file") from error
    except errors.GatedRepoError as error:
        page = model.page or f"https://huggingface.co/{model.repository}"
        raise InputError(
            f"{model.name}: its maker asks you to accept a licence: do so at {page}, and set HF_TOKEN to a "
            "token of that account"
        ) from error
    except errors.RevisionNotFoundError as error:
        if commit:
            what, todo = f"the recorded {commit}", f"accept what it has now: {_accepting(model)}"
        else:
            what, todo = f"a revision {model.revision}", "give a branch, tag or commit of it"
        raise InputError(f"{model.name}: the hub has not {what}; {todo}") from error
    except errors.HfHubHTTPError as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{model.name}: the hub refuses: {first}; check the name and the revision") from error
    except OSError as error:
        raise OfflineError(f"{model.name}: could not fetch: {reason(error)}; try again") from error


def _accepting(model: Wanted) -> str:
    revision = f" --revision {model.revision}" if model.revision and "@" not in model.name else ""
    return f"tinsmith pull {model.name}{revision} --accept"


def _digests(folder: Path) -> dict[str, str]:
    """By name, of FILES: other programs share the folder."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    ours = [name for name in sorted(paths) if any(fnmatchcase(name, pattern) for pattern in FILES)]
    return {name: sha256_file(paths[name]) for name in ours}


def _check(model: Wanted, folder: Path, recorded: dict[str, str], lock: Path) -> None:
    found = _digests(folder)
    for name in sorted(found.keys() | recorded.keys()):
        if found.get(name) != recorded.get(name):
            what = "is missing" if name not in found else "is not the file" if name in recorded else "is new"
            raise FormatError(
                f"{model.name}: {folder / name} {what} that {lock} records; remove {folder} to fetch it again, "
                f"or accept what the hub has now: {_accepting(model)}"
            )


def _record(model: Wanted, folder: Path, lock: Path, accept: bool) -> None:
    """Records the files, unless another process has recorded the model meanwhile."""
    record = {"commit": folder.name, "files": _digests(folder)}
    with locked(lock.with_name(lock.name + ".lock")):
        records = _read(lock)
        if not accept and model.key in records:
            _check(model, folder, records[model.key]["files"], lock)
            return
        records[model.key] = record
        write_text(lock, encoded(records).decode())


def encoded(records: dict[str, Any]) -> bytes:
    """The text of RECORD."""
    return (json.dumps(records, indent=1, sort_keys=True) + "\n").encode()


def _read(lock: Path) -> dict[str, Any]:
    if not lock.exists():
        return {}
    records = reading.json(reading.read_bytes(lock), str(lock), FormatError)
    if not isinstance(records, dict) or not all(map(_is_record, records.values())):
        raise FormatError(f"{lock}: is no record of pulled models; restore it, or remove it and pull again")
    return records


def _is_record(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("commit"), str)
        and isinstance(value.get("files"), dict)
        and all(isinstance(one, str) and _DIGEST.fullmatch(one) for one in value["files"].values())
    )
