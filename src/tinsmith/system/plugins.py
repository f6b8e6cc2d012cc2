"""Finds what the modules of a package export under one name, so that adding a module needs no list."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from operator import attrgetter
from typing import Any


def exported(package: str, name: str) -> list[Any]:
    """The items of the tuple `name` of every module in the package that has one, by module name."""
    return [item for items in _found(package, name, ()) for item in items]


def instances(package: str, name: str, kind: type) -> list[Any]:
    """The item `name` of every module in the package that has one of this kind, by the item's `name`."""
    items = (item for item in _found(package, name, None) if isinstance(item, kind))
    return sorted(items, key=attrgetter("name"))


def _found(package: str, name: str, default: Any) -> list[Any]:
    modules = pkgutil.iter_modules(import_module(package).__path__)
    return [getattr(import_module(f"{package}.{module.name}"), name, default) for module in modules]
