"""What writes files for good, each over an older one where that may be: run by test_disk.py below disk.c.

disk_writers.py faults FOLDER NAME ERRNO      a line of JSON for each operation that was made to fail
disk_writers.py record FOLDER NAME [nosync]   the operations, in FOLDER/log; without syncs
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinsmith import airgap
from tinsmith.errors import TinsmithError
from tinsmith.formats import gguf, minisign, tin
from tinsmith.pipeline import recipe
from tinsmith.pipeline.run import Stage, opened
from tinsmith.pipeline.stage import Made
from tinsmith.system import files
from tinsmith.system.progress import PlainDisplay

OLD = b"old " * 5000
NO_STAGES = b'{"stages": {}}'  # an older run.json
KEY = minisign.SecretKey(b"tinsmith", bytes(range(32)))
RECIPE = '[base]\nmodel = "b"\n[data]\ntrain = "a"\nvalidation = "a"\ntest = "a"\n'


@dataclass(frozen=True)
class Text:
    """Facts of a stage."""

    text: str


@dataclass(frozen=True)
class Writer:
    """names: what is written, all of it or nothing; old: whether there are older ones."""

    names: tuple[str, ...]
    old: bool
    write: Callable[[Path], object]


def _tin(folder: Path) -> None:
    entries = [("program.bin", b"p" * 100), ("weights.bin", b"w" * 50_000)]
    tin.write(folder / "a.tin", entries, {"name": "a"}, lambda whole: [("selftest.bin", bytes(whole[:40]))])


def _gguf(folder: Path) -> None:
    tensors = [gguf.Tensor(f"t{k}", gguf.TENSOR_TYPES[0], (32, 300), bytes(38_400)) for k in range(2)]
    gguf.write(folder / "a.gguf", {"general.architecture": gguf.Value(gguf.ValueType.STRING, "llama")}, tensors)


def _run(folder: Path) -> None:
    loaded = recipe.load(folder / "r.toml")
    made = Made(list[Path](), Text("x" * 9000))
    stage = Stage("only", (), Text, lambda run: 2, lambda value: {"value": value}, lambda *given: made)
    with opened(loaded, folder, PlainDisplay()) as run:
        run.state |= {"stages": {}}
        run.update([stage], ["only"])


def _pack(folder: Path) -> None:
    model, runtime = Path(os.environ["DISK_TIN"]), Path(os.environ["DISK_TIN"]).parent / "runtime"
    airgap.pack(model, "cortex-m55", folder / "new" / "pack", "hello", KEY, PlainDisplay(), runtime)


def _key(folder: Path) -> None:
    minisign.write_keys(KEY, folder / "a.key", folder / "a.pub", None)


def _text(folder: Path) -> None:
    files.write_text(folder / "new" / "deep" / "a.txt", "new " * 9000)


WRITERS = {
    "tin": Writer(("a.tin",), True, _tin),
    "gguf": Writer(("a.gguf",), True, _gguf),
    "run": Writer(("run.json",), True, _run),
    "pack": Writer(("new/pack", "new/pack.tar"), False, _pack),
    "key": Writer(("a.key", "a.pub"), False, _key),
    "text": Writer(("new/deep/a.txt",), False, _text),
}
OWN = {"r.toml", ".tinsmith.lock"}  # of a run, beside run.json


def content(path: Path) -> bytes | None:
    if path.is_dir():
        held = sorted(one for one in path.rglob("*") if one.is_file())
        return b"".join(one.relative_to(path).as_posix().encode() + b"\0" + one.read_bytes() for one in held)
    return path.read_bytes() if path.exists() else None


def fresh(folder: Path, writer: Writer) -> Path:
    folder.mkdir(parents=True)
    if writer.old:
        for name in writer.names:
            (folder / name).write_bytes(OLD if name != "run.json" else NO_STAGES)
    (folder / "r.toml").write_text(RECIPE)
    return folder


def state(folder: Path, writer: Writer, new: list[bytes | None]) -> tuple[str, list[str]]:
    """ "old", "new" or "broken"; and what else there is."""
    older = [(NO_STAGES if name == "run.json" else OLD) if writer.old else None for name in writer.names]
    there = [content(folder / name) for name in writer.names]
    if writer.names == ("run.json",) and there[0] and there[0] != NO_STAGES:  # it has times
        which = "new" if json.loads(there[0])["stages"]["only"]["facts"]["text"] == "x" * 9000 else "broken"
    else:
        which = "old" if there == older else "new" if there == new else "broken"
    more = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    own = tuple(f"{name}/" for name in writer.names)
    return which, [name for name in more if name not in (*writer.names, *OWN) and not name.startswith(own)]


def faults(folder: Path, writer: Writer, error: int) -> None:
    disk = ctypes.CDLL(None)
    writer.write(fresh(folder / "good", writer))
    new = [content(folder / "good" / name) for name in writer.names]
    for number in range(1, 2000):
        here = fresh(folder / "tried", writer)
        reported = None
        disk.disk_arm(number, error)
        try:
            writer.write(here)
        except TinsmithError as fault:
            reported = str(fault)
        except Exception as fault:
            reported = f"\n{fault!r}"
        left = disk.disk_arm(0, 0)
        which, more = state(here, writer, new)
        print(
            json.dumps(
                {"number": number, "failed": left == 0, "reported": reported, "state": which, "more": more}
            )
        )
        shutil.rmtree(here)
        if left:
            return


def record(folder: Path, writer: Writer, synced: bool) -> None:
    here = fresh(folder / "here", writer)
    if not synced:
        os.fsync = lambda descriptor: None
    disk = ctypes.CDLL(None)
    disk.disk_log(str(folder / "log").encode())
    writer.write(here)
    disk.disk_log(None)


if __name__ == "__main__":
    what, where, name, *rest = sys.argv[1:]
    if what == "faults":
        faults(Path(where), WRITERS[name], int(rest[0]))
    else:
        record(Path(where), WRITERS[name], not rest)
