"""Targets of which some forms are built."""

from __future__ import annotations

from dataclasses import replace

from tinsmith import targets


def target(name: str, *forms: str) -> targets.Target:
    """forms: all without any."""
    found = targets.load(name)
    return replace(found, build=replace(found.build, forms=forms or found.build.forms))
