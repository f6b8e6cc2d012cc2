"""tinsmith logits: the logits of a text, to compare machines bit by bit."""

from __future__ import annotations

import hashlib
import struct
import sys

from tinsmith.cli import _model
from tinsmith.cli._command import Args, flag, one_of, option
from tinsmith.cli._types import File, Text, Whole, Wholes

HELP = "compute the logits of every position of a text, or their SHA-256"
SECTION = "measure"
PARAMETERS = [
    *_model.PARAMETERS,
    *one_of(
        option("--text", Text(), help="text, without chat template"),
        option("--tokens", Wholes(), metavar="1,2,3", help="token ids"),
        required=True,
    ),
    option("--chunk", Whole(1), help="tokens of one step; changes no bit"),
    flag("--sha256", help="print the SHA-256 of the float32 bytes (default)"),
    option(
        "--out",
        File(".npy", out=True),
        metavar="F.npy",
        help="write them as float32 of shape (tokens, vocabulary)",
    ),
]


def run(args: Args) -> int:
    model = _model.open_model(args)
    tokens = model.tokenize(args.text, bos=True) if args.text is not None else args.tokens
    logits = model.logits(tokens, chunk=args.chunk)
    if args.out:
        _write_npy(args.out, logits)
    if args.sha256 or not args.out:
        print(hashlib.sha256(logits).hexdigest())
    return 0


def _write_npy(path: str, logits: memoryview[float]) -> None:
    """The NPY format 1.0 (numpy.lib.format), which needs no numpy to write."""
    from tinsmith.system.files import atomic_write

    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {logits.shape}, }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    assert sys.byteorder == "little"
    with atomic_write(path) as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin-1"))
        file.write(logits.cast("B"))
