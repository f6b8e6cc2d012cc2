"""sizes.py FOLDER: the compressed size of each package of a repository without the library; at most 1 MB."""

import lzma
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

MOST = 1_000_000
LIBRARY = (".so", ".a")

for package in sorted(Path(sys.argv[1]).glob("*.deb")):
    if "-model-" in package.name:
        continue
    with tempfile.TemporaryFile() as files:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=files, check=True)
        files.seek(0)
        with tarfile.open(fileobj=files) as archive:
            rest = [
                archive.extractfile(one).read()
                for one in archive
                if one.isfile() and not one.name.endswith(LIBRARY)
            ]
    size = len(lzma.compress(b"".join(rest), preset=9))
    print(f"{size:>9,} {package.name}, beside the library")
    if size > MOST:
        sys.exit(f"{package.name}: {size:,} bytes beside the library; at most {MOST:,}")
