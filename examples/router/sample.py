"""Makes the data of three other examples, and off-topic prompts.

    python sample.py

runs the scripts of ../extract, ../classify and ../api where their data is missing, and writes off_topic.txt
(300) and off_topic_test.txt (100): sentences of editorials and questions, out of the packages that
../skills/packages.sh downloads.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = {"extract": "sample.py", "classify": "mails.py", "api": "sample.py"}
COUNTS = {"off_topic": 300, "off_topic_test": 100}


def main() -> int:
    for name, script in SCRIPTS.items():
        folder = HERE.parent / name
        if not (folder / "data" / "train.jsonl").exists():
            subprocess.run([sys.executable, script], cwd=folder, check=True)
    sys.path.insert(0, str(HERE.parent / "skills"))
    import sample as skills

    texts = iter(skills.off_topic(HERE.parent / "skills" / "packages", random.Random(1)))
    (HERE / "data").mkdir(exist_ok=True)
    for name, count in COUNTS.items():
        lines = "".join(f"{' '.join(next(texts).split())}\n" for _ in range(count))
        (HERE / "data" / f"{name}.txt").write_text(lines, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
