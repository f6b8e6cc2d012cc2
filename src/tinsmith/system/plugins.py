"""Finds what the modules of a package export under one name, so that adding a module needs no list."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any


def exported(package: str, name: str) -> list[Any]:
    """The items of the tuple `name` of every module in the package that has one, by module name."""
    modules = pkgutil.iter_modules(import_module(package).__path__)
    exports = (getattr(import_module(f"{package}.{module.name}"), name, ()) for module in modules)
    return [item for items in exports for item in items]
