"""tinsmith logits: what the model computes, to compare machines bit by bit."""

from __future__ import annotations

import argparse
import hashlib
import struct
import sys

from tinsmith.cli._model import add_model_arguments, open_model
from tinsmith.errors import InputError

HELP = "the logits of every position of a text, or their SHA-256"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--text", metavar="T", help="tokenized as it stands, without chat template")
    given.add_argument("--tokens", metavar="1,2,3", help="token ids")
    parser.add_argument("--chunk", type=int, metavar="N", help="tokens computed at once; changes no bit")
    parser.add_argument(
        "--sha256", action="store_true", help="print the SHA-256 of the float32 bytes (default)"
    )
    parser.add_argument("--out", metavar="F.npy", help="write them, float32 of shape (tokens, vocabulary)")


def run(args: argparse.Namespace) -> int:
    model = open_model(args)
    if args.chunk is not None and args.chunk < 1:
        raise InputError(f"--chunk {args.chunk}: give at least 1")
    tokens = model.tokenize(args.text, bos=True) if args.text is not None else _ids(args.tokens)
    logits = model.logits(tokens, chunk=args.chunk)
    if args.out:
        _write_npy(args.out, logits)
    if args.sha256 or not args.out:
        print(hashlib.sha256(logits).hexdigest())
    return 0


def _ids(text: str) -> list[int]:
    try:
        return [int(item) for item in text.split(",")]
    except ValueError:
        raise InputError(f"--tokens {text!r}: give token ids separated by commas, such as 1,2,3") from None


def _write_npy(path: str, logits: memoryview[float]) -> None:
    """The NPY format 1.0 (numpy.lib.format), which needs no numpy to write."""
    from tinsmith.files import atomic_write

    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {logits.shape}, }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    assert sys.byteorder == "little"
    with atomic_write(path) as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin-1"))
        file.write(logits.cast("B"))
