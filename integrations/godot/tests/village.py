"""The village's tin with adapters of random factors, for tests: `village.py FILE`. Its calls obey the tools."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PARTS = (".", "integrations/conformance", "integrations/godot/demo")
sys.path[:0] = [str(ROOT / part) for part in PARTS]

import characters  # noqa: E402
import make  # noqa: E402
from tests.models import random_adapters  # noqa: E402


def main(tin: Path) -> None:
    folder = tin.with_suffix(".part")
    characters.main(folder / "data")
    make.run("build", make.BASE, "--format", "q4_0", "--tools", folder / "data/tools.json", "--out", folder)
    (built,) = folder.glob("*.tin")
    for seed, name in enumerate(characters.CHARACTERS, 1):
        factors = folder / f"{name}.adapter"
        factors.write_bytes(random_adapters.compiled(built, layers=("q", "v"), seed=seed))
        added = folder / f"{name}-added.tin"
        make.run("adapters", built, "--add", name, "--from", factors, "--out", added)
        built = added
    built.rename(tin)
    shutil.rmtree(folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
