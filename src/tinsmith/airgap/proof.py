"""What a device shows of itself once a pack is installed: its model's self-test, and one answer."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinsmith.runtime import Model
    from tinsmith.spec import Buffer

MOST_TOKENS = 32


def selftest(tin: str | Path | Buffer) -> str:
    """Runs a tin's own test on every instruction set there is here, and names them; those of its adapters on
    the best. Raises FormatError for a damaged file, RuntimeFault where the logits are others than those it was
    sealed with."""
    from tinsmith import _core
    from tinsmith.compiler import selftest
    from tinsmith.formats.tin import Tin
    from tinsmith.train.adapters import tin as adapter_tin

    held = Tin(tin)
    held.verify()
    names = _core.isa_names()
    for isa in names:
        selftest.check(_core.Model(held.image, isa))
    adapter_tin.check(held, _core.Model(held.image))
    return ", ".join(names)


def answer(tin: Path, prompt: str, key: Path | None = None) -> bytes:
    """The likeliest answer, of at most 32 tokens, and a line's end: the same bytes on every machine, and what
    `tin run FILE PROMPT --tokens 32` prints. A model that can't chat goes on with the prompt.

    key: a public key; the tin must be signed by its owner, or not a weight is used."""
    from tinsmith.runtime import load

    return _answer(load(tin, key=key), prompt)


def _answer(model: Model, prompt: str) -> bytes:
    if model.can_chat:
        generation = model.chat([{"role": "user", "content": prompt}], max_tokens=MOST_TOKENS)
    else:
        generation = model.generate(model.tokenize(prompt, bos=True), max_tokens=MOST_TOKENS)
    pieces = (model.core.token(token) for token in generation.token_ids)
    return b"".join(text for text, control, _ in pieces if not control) + b"\n"


def main(pack: str, tin: str, key: str | None = None) -> None:
    """Prints the results, or ends with a line that says what is wrong. pack: the folder that was installed;
    tin, key: where its model and public key are now."""
    from tinsmith.errors import TinsmithError
    from tinsmith.runtime import load

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as the installer reads it, in any locale
    prompt, expected = (Path(pack) / "prompt.txt").read_text("utf-8"), (Path(pack) / "answer.txt").read_bytes()
    try:
        model = load(tin, key=None if key is None else Path(key))
        given = _answer(model, prompt)
        print(f"self-test: passed on {selftest(model.tin.image)}")
    except TinsmithError as error:
        sys.exit(str(error))
    if given != expected:
        sys.exit(f"it answers {given!r} to {prompt!r}, and should answer {expected!r}")
    print(f"asked: {prompt}\nanswered: {given.decode('utf-8', 'replace').rstrip()}")
