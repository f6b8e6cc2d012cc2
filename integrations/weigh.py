"""Measures the size and memory of an addon, in WORK/weight.json for `scripts/hosts table`.

weigh.py WORK beside [--library LIBTINHOST] PATH...
    bytes of files and folders; less those of the library, which is in one of them
weigh.py WORK added TIN CONTEXT COMMAND...
    the most memory of its own that COMMAND takes, {} in it being TIN, beyond what it takes where {} is missing

Fails past 1 MB beside the library, and past 8 MiB and the plan of a session of CONTEXT beside the mapped file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.host import host as hosts

MOST_BESIDE, MOST_ADDED = 1_000_000, 8 << 20


def size(path: Path) -> int:
    return sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())


def beside(words: list[str]) -> dict[str, int]:
    inside = 0
    if words[0] == "--library":
        inside, words = size(Path(words[1])), words[2:]
    found = sum(map(size, map(Path, words))) - inside
    if not 0 < found <= MOST_BESIDE:
        sys.exit(f"{found:,} bytes beside the library; at most {MOST_BESIDE:,}")
    return {"beside": found}


def peak(command: list[str]) -> tuple[int, int]:
    """Bytes that the process had to itself at the most, files' pages not among them; and its exit code."""
    most = 0
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while running.poll() is None:
        for line in Path(f"/proc/{running.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                most = max(most, int(line.split()[1]) << 10)
        time.sleep(0.001)
    return most, running.returncode


def planned(tin: str, context: int) -> int:
    """Bytes of a session's memory, as the library plans it."""
    host = hosts.load(Path(__file__).parents[1] / ".venv" / "hosts" / "native" / "libtinhost.so")
    model = host.open(tin.encode(), None)
    session = hosts.Session(host, model, context)
    found = int(host.session_bytes(session.handle))
    session.close()
    host.close(model)
    return found


def added(words: list[str]) -> dict[str, int]:
    tin, context, *command = words
    without, refused = peak([word.replace("{}", "nowhere.tin") for word in command])
    with_tin, failed = peak([word.replace("{}", tin) for word in command])
    if failed or not refused:
        sys.exit(f"{' '.join(command)}: left with {failed}, and {refused} without a file")
    plan, more = planned(tin, int(context)), with_tin - without
    if not 0 < more <= plan + MOST_ADDED:
        sys.exit(
            f"{more:,} bytes beside the file, of a session planned at {plan:,}; at most {MOST_ADDED:,} more"
        )
    return {"added": more, "planned": plan}


def main() -> int:
    if len(sys.argv) < 4 or sys.argv[2] not in ("beside", "added"):
        print(__doc__, file=sys.stderr)
        return 2
    kept = Path(sys.argv[1]) / "weight.json"
    found = (beside if sys.argv[2] == "beside" else added)(sys.argv[3:])
    kept.write_text(json.dumps({**(json.loads(kept.read_text()) if kept.exists() else {}), **found}) + "\n")
    print(", ".join(f"{name} {size:,} bytes" for name, size in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
