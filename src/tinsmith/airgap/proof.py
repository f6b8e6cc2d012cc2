"""The proof that an installed pack runs: the model's self-test, and one answer."""

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
    """Runs a tin's self-test on every instruction set of this machine, and its adapters' on the best. Returns
    the sets' names. Raises FormatError for a damaged file, RuntimeFault for logits other than the sealed
    ones."""
    from tinsmith import _core
    from tinsmith.compiler import selftest
    from tinsmith.formats.tin import Tin
    from tinsmith.train.adapters import tin as adapter_tin

    file = Tin(tin)
    file.verify()
    names = _core.isa_names()
    for isa in names:
        selftest.check(_core.Model(file.image, isa))
    adapter_tin.check(file, _core.Model(file.image))
    return ", ".join(names)


def answer(model: Model, prompt: str) -> bytes:
    """The greedy answer of at most 32 tokens, and a newline: the same bytes on every machine, as
    `tin run FILE PROMPT --tokens 32` prints them. A model without chat continues the prompt."""
    if model.can_chat:
        generation = model.chat([{"role": "user", "content": prompt}], max_tokens=MOST_TOKENS)
    else:
        generation = model.generate(model.tokenize(prompt, bos=True), max_tokens=MOST_TOKENS)
    pieces = (model.core.token(token) for token in generation.token_ids)
    return b"".join(text for text, control, _ in pieces if not control) + b"\n"


def main(pack: str, tin: str, key: str | None = None) -> None:
    """Prints the results, or exits with a one-line error. pack: a folder with prompt.txt and answer.txt. tin,
    key: the installed model and public key."""
    from tinsmith.errors import TinsmithError
    from tinsmith.runtime import load

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # the installer reads UTF-8 in any locale
    prompt, expected = (Path(pack) / "prompt.txt").read_text("utf-8"), (Path(pack) / "answer.txt").read_bytes()
    try:
        model = load(tin, key=None if key is None else Path(key))
        given = answer(model, prompt)
        print(f"self-test: passed on {selftest(model.tin.image)}")
    except TinsmithError as error:
        sys.exit(str(error))
    if given != expected:
        sys.exit(f"it answers {given!r} to {prompt!r}, and should answer {expected!r}")
    print(f"asked: {prompt}\nanswered: {given.decode('utf-8', 'replace').rstrip()}")
