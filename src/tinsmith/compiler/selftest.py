"""selftest.bin: prompts with the digests of their logits, to prove the bit contract on a device.

Little-endian: "TINTEST1", uint32 prompts; for each: uint32 tokens, int32 ids, and the SHA-256 of the float32
logits of every position, shape (tokens, vocabulary).

A model with vision also has vision/selftest.bin, with an image in a prompt (kernels/core/vision/vision_test.h):
selftest.png, resized to few patches whatever the model's own rule, so that it needs little time and memory.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

from tinsmith import _core
from tinsmith.errors import FormatError, RuntimeFault
from tinsmith.spec import Buffer, Vision
from tinsmith.vision import pixels

VISION_TEST = "vision/selftest.bin"
_MAGIC = b"TINTEST1"
_VISION_TEST_MAGIC, _VISION_TEST_VERSION = 0x53455945, 1
_DIGEST = slice(112, 144)  # in vision/selftest.bin
_DOWN, _ACROSS = 2, 3  # the image's states, where the encoder allows that many
_PROMPTS = ("The quick brown fox jumps over the lazy dog.", '1 + 2 = 3; {"name": "tin"}\n')


def logits_digest(
    model: _core.Model,
    tokens: list[int],
    *,
    threads: int = 1,
    chunk: int = 0,
    adapter: _core.Adapter | None = None,
) -> str:
    """SHA-256 of the logits of every position, in hexadecimal. chunk: tokens at once; 0 for the model's own."""
    size = chunk or model.info()["chunk"]
    rank, prefix = (adapter.info()["rank"], adapter.info()["prefix"]) if adapter else (0, 0)
    context = min(model.info()["context"], prefix + max(len(tokens), 1))
    session = _core.Session(
        model, context=context, chunk=size, logit_rows=size, threads=threads, adapter_rank=rank
    )
    session.adapter(adapter)
    session.want_logits(0)
    session.append(tokens)
    digest = hashlib.sha256()
    while session.step() == _core.STEP_LOGITS:
        digest.update(session.logits()[1])
    return digest.hexdigest()


def make(model: _core.Model) -> bytes:
    """The self-test of a model, computed by this machine's best instruction set."""
    parts = [_MAGIC, struct.pack("<I", len(_PROMPTS))]
    for prompt in _PROMPTS:
        tokens = model.tokenize(prompt)
        parts.append(struct.pack(f"<I{len(tokens)}i", len(tokens), *tokens))
        parts.append(bytes.fromhex(logits_digest(model, tokens)))
    return b"".join(parts)


def make_vision_test(model: _core.Model, vision: Vision, most: int) -> bytes:
    """vision/selftest.bin of a model with vision. most: patches of an image."""
    side = vision.joint.merge
    across = min(_ACROSS, most // side**2)
    down = min(_DOWN, most // side**2 // across)
    image = Path(__file__).with_name("selftest.png").read_bytes()
    tokens = model.tokenize("In the image ") + [_core.EMBEDDED] * (down * across)
    tokens += model.tokenize(" there is a red sun.")
    head = struct.pack("<2I", _VISION_TEST_MAGIC, _VISION_TEST_VERSION) + pixels.resized(
        vision, down * side, across * side
    )
    head += struct.pack("<2I", len(tokens), len(image))
    body = struct.pack(f"<{len(tokens)}i", *tokens) + image
    return head + model.vision_test(head + bytes(32) + body)[1] + body


def of_adapter(model: _core.Model, adapter: _core.Adapter) -> list[str]:
    """The digests of the self-test's prompts under an adapter. Raises FormatError for a tin without
    self-test."""
    return [logits_digest(model, tokens, adapter=adapter) for tokens, _ in _sealed(model)]


def check(model: _core.Model) -> list[str]:
    """Computes the digest of each prompt's logits, and last of the image's, where the tin has one. Returns
    them, all equal to the sealed ones.

    Raises FormatError for a tin without a self-test, RuntimeFault for a different digest or a build that does
    not keep the bit contract.
    """
    prompts = _sealed(model)
    _core.selfcheck()
    digests = []
    for number, (tokens, sealed) in enumerate(prompts):
        digests.append(_checked(model, f"prompt {number}", logits_digest(model, tokens), sealed))
    test = vision_test(model)
    if test is not None:
        digests.append(_checked(model, "the image", model.vision_test(test)[1].hex(), test[_DIGEST].hex()))
    return digests


def vision_test(model: _core.Model) -> bytes | None:
    """vision/selftest.bin; None for a tin without it."""
    try:
        return model.entry(VISION_TEST)
    except KeyError:
        return None


def _checked(model: _core.Model, what: str, digest: str, sealed: str) -> str:
    if digest != sealed:
        raise RuntimeFault(
            "TIN_ERR_UNSUPPORTED",
            f"{what} of the self-test gives the logits {digest[:12]} by {model.info()['isa']} here, "
            f"and {sealed[:12]} where the file was sealed; report this, with the processor's name",
        )
    return digest


def _sealed(model: _core.Model) -> list[tuple[list[int], str]]:
    try:
        data = model.entry("selftest.bin")
    except KeyError:
        raise FormatError("the tin has no selftest.bin; build it again") from None
    return list(read(data))


def read(data: Buffer) -> Iterator[tuple[list[int], str]]:
    """(tokens, digest) of every prompt. Raises FormatError for a damaged entry."""
    try:
        magic, count = struct.unpack_from("<8sI", data)
        if magic != _MAGIC:
            raise FormatError("selftest.bin is not a self-test")
        position = 12
        for _ in range(count):
            (length,) = struct.unpack_from("<I", data, position)
            tokens = struct.unpack_from(f"<{length}i", data, position + 4)
            position += 4 + 4 * length
            (digest,) = struct.unpack_from("32s", data, position)
            position += len(digest)
            yield list(tokens), digest.hex()
    except struct.error as error:
        raise FormatError(f"selftest.bin is cut short: {error}") from error
