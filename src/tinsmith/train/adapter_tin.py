"""Adapters in a sealed file: each change writes a new one, whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.chat.chat_template import digest
from tinsmith.compiler import selftest
from tinsmith.errors import FormatError, InputError, RuntimeFault
from tinsmith.formats import tin
from tinsmith.formats.tin import Tin
from tinsmith.runtime.adapters import FOLDER, SUFFIX, aligned
from tinsmith.system.files import map_file
from tinsmith.train import adapter, adapter_bin, router_tin

FACTS = "adapters"  # in the manifest, by name
_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*")


def listed(file: str | Path) -> dict[str, dict[str, Any]]:
    """What the file's manifest says of its adapters, by name."""
    held = Tin(file).manifest.get(FACTS, {})
    if not isinstance(held, dict) or not all(isinstance(facts, dict) for facts in held.values()):
        raise FormatError(f"{file}: the manifest's {FACTS} are not as a tin has them; it is damaged")
    return held


def add(file: str | Path, name: str, source: str | Path, out: str | Path, format: str) -> None:
    """Writes the tin `file` to `out` with one more adapter: a folder in peft's format, or a compiled file.

    format: of adapter_bin.FORMATS, for a folder. Raises InputError for a name that is taken or can't be one, an
    adapter of another base, and one that changes no logit of the self-test; FormatError for a damaged one.
    """
    known = listed(file)
    _check_new(file, name, known)
    source, held = Path(source), Tin(file)
    data = adapter_bin.compiled(source, held, format) if source.is_dir() else bytes(map_file(source))
    model = _core.Model(map_file(file))
    try:
        opened = _core.Adapter(model, aligned(data))
    except RuntimeFault as fault:
        kind = InputError if fault.status == "TIN_ERR_ARGUMENT" else FormatError
        raise kind(f"{source}: {fault}") from fault
    digests = selftest.of_adapter(model, opened)
    if digests == [sealed for _, sealed in selftest.read(held.entry("selftest.bin"))]:
        raise InputError(f"{source}: changes no logit of the model's self-test; it has learned nothing")
    facts = {**opened.info(), "selftest": digests}
    del facts["fingerprint"]
    if source.is_dir():
        template = adapter.template(source)
        facts |= {"sha256": adapter.digest_of(source), **({"template": digest(template)} if template else {})}
    tin.rewrite(file, out, {_entry(name): data}, {FACTS: {**known, name: facts}})


def remove(file: str | Path, name: str, out: str | Path) -> None:
    """Writes the tin `file` to `out` without that adapter, whose prompts its router then takes for none's.
    Raises InputError where there is no such adapter."""
    known = listed(file)
    _check(file, name, known)
    rest = {other: facts for other, facts in known.items() if other != name}
    routed = router_tin.changed(file, lambda held: held.without(name))
    tin.rewrite(file, out, routed.entries, {FACTS: rest, **routed.facts}, [_entry(name), *routed.without])


def rename(file: str | Path, old: str, new: str, out: str | Path) -> None:
    """Writes the tin `file` to `out` with that adapter under another name, in its router too."""
    known = listed(file)
    _check(file, old, known)
    _check_new(file, new, known)
    facts = {new if name == old else name: held for name, held in known.items()}
    routed = router_tin.changed(file, lambda held: held.renamed(old, new))
    entries = {_entry(new): bytes(Tin(file).entry(_entry(old))), **routed.entries}
    tin.rewrite(file, out, entries, {FACTS: facts, **routed.facts}, [_entry(old)])


def check(file: str | Path, model: _core.Model) -> dict[str, list[str]]:
    """By adapter, the digests of the self-test's logits under it, computed here and equal to those that it was
    sealed with. Raises FormatError or RuntimeFault as selftest.check does."""
    held, found = Tin(file), {}
    for name, facts in listed(file).items():
        opened = _core.Adapter(model, held.entry(_entry(name)))
        found[name] = selftest.of_adapter(model, opened)
        if found[name] != facts.get("selftest"):
            raise RuntimeFault(
                "TIN_ERR_UNSUPPORTED",
                f"{file}: the adapter {name} gives other logits by {model.info()['isa']} here than where it "
                "was sealed; report this, with the processor's name",
            )
    return found


def _check(file: str | Path, name: str, known: dict[str, Any]) -> None:
    if name not in known:
        raise InputError(f"{file}: has no adapter {name!r}; it has: {', '.join(known) or 'none'}")


def _check_new(file: str | Path, name: str, known: dict[str, Any]) -> None:
    if name in known or not _NAME.fullmatch(name):
        why = "it is taken" if name in known else "give one of A-Z a-z 0-9 . _ + -"
        raise InputError(f"{file}: an adapter can't be named {name!r}: {why}")


def _entry(name: str) -> str:
    return f"{FOLDER}{name}{SUFFIX}"
