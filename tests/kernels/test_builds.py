"""The builds of scripts/builds that need no more than scripts/test and CI install, each checked briefly."""

from __future__ import annotations

from pathlib import Path

import builds
import pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, build in builds.BUILDS.items() if build.brief])
def test_a_build_passes_its_checks_or_is_refused(name: str, tmp_path: Path) -> None:
    if reason := builds.lacking(name):
        pytest.skip(reason)
    figures = builds.check(name, tmp_path, brief=True)
    if builds.BUILDS[name].refusal:
        assert figures["refused"] == builds.BUILDS[name].refusal
        return
    assert figures["selftests"] == 15 * len(figures["sets"])
    assert figures["worked"] > 20
    assert figures["inputs"] > 400


def test_a_build_without_its_refusal_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the guard in the source went."""
    refused = builds.Build("cc", ("-O0", builds.SCALAR, "-fsyntax-only"), refusal=builds.ENDIAN)
    monkeypatch.setitem(builds.BUILDS, "here", refused)
    with pytest.raises(builds.Failed, match="should be refused"):
        builds.check("here", Path())
