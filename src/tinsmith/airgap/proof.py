"""What a device shows of itself once a pack is installed: its model's self-test, and one answer."""

from __future__ import annotations

from pathlib import Path

MOST_TOKENS = 32


def selftest(tin: Path) -> str:
    """Runs the tin's own test on every instruction set there is here, and names them. Raises FormatError for a
    damaged file, RuntimeFault where the logits are others than those it was sealed with."""
    from tinsmith import _core
    from tinsmith.compiler import selftest
    from tinsmith.files import map_file
    from tinsmith.formats.tin import Tin

    image = map_file(tin)
    Tin(image).verify()
    names = _core.isa_names()
    for isa in names:
        selftest.check(_core.Model(image, isa))
    return ", ".join(names)


def answer(tin: Path, prompt: str) -> bytes:
    """The likeliest answer, of at most 32 tokens, and a line's end: the same bytes on every machine, and what
    `tin run FILE PROMPT --tokens 32` prints. A model that can't chat goes on with the prompt."""
    from tinsmith.runtime import load

    model = load(tin)
    if model.can_chat:
        found = model.chat([{"role": "user", "content": prompt}], max_tokens=MOST_TOKENS)
    else:
        found = model.generate(model.tokenize(prompt, bos=True), max_tokens=MOST_TOKENS)
    pieces = (model.core.token(token) for token in found.token_ids)
    return b"".join(text for text, control, _ in pieces if not control) + b"\n"
