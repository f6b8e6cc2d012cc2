"""A router in a sealed file; each change writes a whole new file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.compiler import selftest
from tinsmith.errors import FormatError, InputError, RuntimeFault
from tinsmith.formats import router, tin
from tinsmith.formats.router import ENTRY, Router
from tinsmith.formats.tin import Tin
from tinsmith.runtime.adapters import aligned, explained, named
from tinsmith.system.files import map_file

FACTS = "router"  # in the manifest


def put(file: str | Path, given: Router, out: str | Path, measured: Mapping[str, Any] | None = None) -> None:
    """Writes the tin `file` to `out` with this router in place of its own.

    measured: the router's measures for the manifest, as JSON values. Raises InputError for a task that is not
    an adapter of the tin or a router of another base, FormatError for numbers that are not finite.
    """
    archive = Tin(file)
    adapters = named(archive)
    for task in given.tasks:
        if task not in adapters:
            known = ", ".join(adapters) or "none"
            raise InputError(f"{file}: the router's task {task!r} is no adapter of the file; it has: {known}")
    data = given.pack()
    tin.rewrite(file, out, {ENTRY: data}, {FACTS: _facts(file, given, data, measured)})


def changed(
    file: str | Path, change: Callable[[Router], Router | None]
) -> tuple[dict[str, tin.Data], dict[str, Any], list[str]]:
    """The tin's router after a change of the adapters, if it has one; None removes it. Returns new entries,
    facts of the manifest, and names of removed entries."""
    old = router_of(file)
    new = old and change(old)
    if old is None or new is None:
        return {}, {FACTS: None} if old else {}, [ENTRY] if old else []
    same = len(new.tasks) == len(old.tasks)
    measured = Tin(file).manifest.get(FACTS, {}).get("measured") if same else None
    data = new.pack()
    return {ENTRY: data}, {FACTS: _facts(file, new, data, measured)}, []


def _facts(file: str | Path, given: Router, data: bytes, measured: Any) -> dict[str, Any]:
    """The manifest's description of a router, with the digests of its scores of the self-test's prompts."""
    model = _core.Model(map_file(file))
    with explained(file):
        opened = _core.Router(model, aligned(data))
    least = {task: round(one, 6) for task, one in zip(given.tasks, given.least, strict=True)}
    facts = {"tasks": least, "dim": given.dim, "bytes": len(data), "selftest": digests(model, opened)}
    return facts | ({"measured": dict(measured)} if measured else {})


def router_of(file: str | Path) -> Router | None:
    """The router in a tin; None where it has none."""
    archive = Tin(file)
    return router.read(archive.entry(ENTRY)) if ENTRY in archive.names else None


def digests(model: _core.Model, opened: _core.Router) -> list[str]:
    """SHA-256 of the float32 scores of each of the self-test's prompts, in hexadecimal."""
    found = []
    for tokens, _ in selftest.read(model.entry("selftest.bin")):
        session = _core.Session(model, context=min(model.info()["context"], max(len(tokens), 1)))
        session.append(tokens)
        session.step()
        found.append(hashlib.sha256(session.route(opened)[4]).hexdigest())
    return found


def check(archive: Tin, model: _core.Model) -> list[str]:
    """The digests of the router's scores, computed here and equal to the sealed ones; none without a router.
    Raises FormatError or RuntimeFault as selftest.check does."""
    if ENTRY not in archive.names:
        return []
    try:
        found = digests(model, _core.Router(model, archive.entry(ENTRY)))
    except RuntimeFault as fault:
        raise FormatError(f"{archive.where}: {ENTRY}: {fault}") from fault
    for task in router.read(archive.entry(ENTRY)).tasks:
        if task not in named(archive):
            raise FormatError(f"{archive.where}: {ENTRY} has the task {task!r}, and the file no such adapter")
    if found != archive.manifest.get(FACTS, {}).get("selftest"):
        raise RuntimeFault(
            "TIN_ERR_UNSUPPORTED",
            f"{archive.where}: the router gives other scores by {model.info()['isa']} here than where it was "
            "sealed; report this, with the processor's name",
        )
    return found
