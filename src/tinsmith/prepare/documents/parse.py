"""The program of the child process that parses documents."""

from __future__ import annotations

import os
from pathlib import Path

from tinsmith.errors import DataError, MissingExtraError
from tinsmith.prepare.documents.kinds import LARGEST, kinds
from tinsmith.system import limited


def answer(request: limited.Answer) -> limited.Answer:
    """The blocks of a document, or its fault. Its path is relative to the request's folder."""
    os.chdir(request["folder"])
    path = Path(request["path"])
    made, size = [], 0
    try:
        for block in kinds()[path.suffix.lower()].parse(path):
            size += len(block.text)
            if size > LARGEST:
                return {"fault": f"{path}: holds more than {LARGEST:,} characters of text; split it"}
            made.append((block.text, block.number, block.heading))
    except MissingExtraError as error:
        return {"missing": [error.module, error.extra]}
    except DataError as error:
        return {"fault": str(error)}
    except MemoryError:
        made.clear()
        return {"fault": f"{path}: needs more than {limited.MEMORY >> 20:,} MiB of memory to be read; split it"}
    return {"blocks": made}


if __name__ == "__main__":
    limited.serve(answer)
