"""Adapters in a sealed file; each change writes a whole new file."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinsmith import __version__, _core
from tinsmith.chat import jinja_process
from tinsmith.chat.chat_template import digest
from tinsmith.compiler import selftest
from tinsmith.compiler.build import template_entries
from tinsmith.compiler.unpack import words_of
from tinsmith.errors import FormatError, InputError, RuntimeFault, UnsupportedError
from tinsmith.formats import sbom, tin
from tinsmith.formats.sbom import Bill
from tinsmith.formats.tin import ADAPTERS, BILL, CONSTRAINT, Tin
from tinsmith.quant.shipping import Extra
from tinsmith.runtime.adapters import aligned, entry, explained, folder
from tinsmith.system.files import map_file
from tinsmith.train.adapters import bin as adapter_bin
from tinsmith.train.adapters import router_tin

_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*")


def listed(file: str | Path) -> dict[str, dict[str, Any]]:
    """The manifest's descriptions of the file's adapters, by name."""
    adapters: dict[str, dict[str, Any]] = Tin(file).manifest.get(ADAPTERS, {})
    return adapters


def add(
    file: str | Path,
    name: str,
    source: str | Path,
    out: str | Path,
    format: str,
    extra: Extra = Extra(),  # noqa: B008
) -> None:
    """Writes the tin `file` to `out` with one more adapter: a GGUF file, a folder of a prefix or in peft's
    format, or a compiled adapter.

    format: one of bin.FORMATS, for an adapter that is not compiled. extra: what the adapter adds to the tin:
    entries (its constraint as tin.CONSTRAINT, LICENSES/…), facts (`constraint`, `abstention`, `metrics`,
    `license` …) and its bill of materials. The chat template is that of the adapter's training, if it says so.

    Raises InputError for a name that is taken or invalid, an adapter of another base, and one that changes no
    logit of the self-test; FormatError for a damaged one.
    """
    known = listed(file)
    _check_new(file, name, known)
    source, archive = Path(source), Tin(file)
    trained = adapter_bin.is_source(source)
    data = adapter_bin.compiled(source, archive, format) if trained else bytes(map_file(source))
    model = _core.Model(map_file(file))
    facts = {**_opened(model, archive, source, data), **extra.manifest}
    brought = dict(extra.entries)
    if CONSTRAINT in brought:
        try:
            _core.Constraint(model, brought[CONSTRAINT])
        except RuntimeFault as fault:
            raise FormatError(f"{source}: {CONSTRAINT}: {fault}") from fault
    if trained:
        facts["sha256"] = adapter_bin.digest_of(source)
        _bring_template(archive, source, brought, facts)
    entries = {entry(name): data, **{f"{folder(name)}{at}": content for at, content in brought.items()}}
    if BILL in archive.names:
        bill = extra.bill or Bill(
            name, __version__, license=facts.get("license"), metrics=facts.get("metrics", {})
        )
        bill = replace(bill, name=name, digest=hashlib.sha256(data).hexdigest())
        entries[BILL] = sbom.with_adapter(bytes(archive.entry(BILL)), bill)
    tin.rewrite(file, out, entries, {ADAPTERS: {**known, name: facts}})


def _opened(model: _core.Model, archive: Tin, source: Path, data: bytes) -> dict[str, Any]:
    """A compiled adapter's description of itself, and its digests of the self-test."""
    with explained(source):
        opened = _core.Adapter(model, aligned(data))
    digests = selftest.of_adapter(model, opened)
    if digests == [sealed for _, sealed in selftest.read(archive.entry("selftest.bin"))]:
        raise InputError(f"{source}: changes no logit of the model's self-test; it has learned nothing")
    facts = {**opened.info(), "selftest": digests}
    del facts["fingerprint"]
    if not facts["prefix"]:
        del facts["prefix"]
    return facts


def _bring_template(archive: Tin, source: Path, entries: dict[str, bytes], facts: dict[str, Any]) -> None:
    """Adds the chat template of the adapter's training, if it differs from the file's own."""
    template = adapter_bin.template(source)
    if template is None:
        return
    facts["template"] = digest(template)
    tokenizer, own = words_of(archive)
    if template == own:
        return
    try:
        made, told = template_entries(tokenizer, template, source.name)
    finally:
        jinja_process.close()
    if not made:
        raise UnsupportedError(
            f"{source}: the chat template that it was trained under can't be compiled for this base: "
            f"{told['template_refused']}; take the template away and it is asked as the base is"
        )
    entries |= made
    facts |= told


def remove(file: str | Path, name: str, out: str | Path) -> None:
    """Writes the tin `file` to `out` without that adapter; its router then routes the adapter's prompts to
    none. Raises InputError for an unknown adapter."""
    known = listed(file)
    _check(file, name, known)
    rest, archive = {other: facts for other, facts in known.items() if other != name}, Tin(file)
    bill = {BILL: sbom.without_adapter(bytes(archive.entry(BILL)), name)} if BILL in archive.names else {}
    routed, facts, gone = router_tin.changed(file, lambda router: router.without(name))
    tin.rewrite(file, out, bill | routed, {ADAPTERS: rest, **facts}, [*_moved(archive, name, name), *gone])


def rename(file: str | Path, old: str, new: str, out: str | Path) -> None:
    """Writes the tin `file` to `out` with that adapter renamed, in its router too."""
    known = listed(file)
    _check(file, old, known)
    _check_new(file, new, known)
    archive = Tin(file)
    facts = {new if name == old else name: told for name, told in known.items()}
    moved = _moved(archive, old, new)
    entries = {at: bytes(archive.entry(before)) for before, at in moved.items()}
    if BILL in archive.names:
        entries[BILL] = sbom.rename_adapter(bytes(archive.entry(BILL)), old, new)
    routed, router_facts, _ = router_tin.changed(file, lambda router: router.renamed(old, new))
    tin.rewrite(file, out, entries | routed, {ADAPTERS: facts, **router_facts}, list(moved))


def _moved(archive: Tin, old: str, new: str) -> dict[str, str]:
    """The new names of the entries of a renamed adapter, by their old names."""
    beside = {
        name: folder(new) + name.removeprefix(folder(old))
        for name in archive.names
        if name.startswith(folder(old))
    }
    return {entry(old): entry(new), **beside}


def check(archive: Tin, model: _core.Model) -> dict[str, list[str]]:
    """By adapter, the digests of the self-test's logits, computed here and equal to the sealed ones. Raises
    FormatError or RuntimeFault as selftest.check does."""
    found = {}
    for name, facts in archive.manifest.get(ADAPTERS, {}).items():
        opened = _core.Adapter(model, archive.entry(entry(name)))
        found[name] = selftest.of_adapter(model, opened)
        if found[name] != facts.get("selftest"):
            raise RuntimeFault(
                "TIN_ERR_UNSUPPORTED",
                f"{archive.where}: the adapter {name} gives other logits with {model.info()['isa']} here than "
                "where it was sealed; report this with the processor's name",
            )
    return found


def _check(file: str | Path, name: str, known: dict[str, Any]) -> None:
    if name not in known:
        raise InputError(f"{file}: has no adapter {name!r}; it has: {', '.join(known) or 'none'}")


def _check_new(file: str | Path, name: str, known: dict[str, Any]) -> None:
    if name in known or not _NAME.fullmatch(name):
        why = "it is taken" if name in known else "give one of A-Z a-z 0-9 . _ + -"
        raise InputError(f"{file}: an adapter can't be named {name!r}: {why}")
