#!/usr/bin/env python3
"""Makes docs/images/report.png, the README's image: the beginning of a report, as Chromium shows it.

python scripts/report_image.py [runs/home/report.html]     the report of ./scripts/demo by default
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "docs" / "images" / "report.png"
SIZE = "1000,900"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", nargs="?", type=Path, default=ROOT / "runs" / "home" / "report.html")
    report = parser.parse_args().report.resolve()
    if not report.is_file():
        sys.exit(f"{report}: no such file; ./scripts/demo makes one")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("chromium is not installed")
    IMAGE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
        ]
        flags += [f"--window-size={SIZE}", f"--screenshot={IMAGE}"]
        subprocess.run([browser, *flags, report.as_uri()], check=True, capture_output=True)
    print(IMAGE, IMAGE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
