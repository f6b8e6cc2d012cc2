"""GUIDE.md of a pack, for whoever stands before the device: what it is, how it is checked, and how it runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinsmith import __version__
from tinsmith.airgap.install import base
from tinsmith.formats.tin import Tin
from tinsmith.system.files import sha256_file
from tinsmith.targets import Target

_QUIET = """\
Nothing here opens a connection: neither the runtime nor the scripts. The same question gets the same answer on
every machine: `answer.txt` is what `prompt.txt` must give.
"""
_IS = "A language model, what runs it, and what proves both, for a machine without a network.\n"

_CHECK = """\
## Check it
Everything here is listed in `SHA256SUMS` with its SHA-256, and `SHA256SUMS.minisig` is the signature over that
list. The key in `key.pub` came along with the rest:

    {public}

Compare it with what its maker told you by another way, and give that one for RW... below.

    python3 -I install.py --check --key RW...

The same with tools of your own, before anything of this folder runs:

    minisign -Vm SHA256SUMS -P RW... && sha256sum -c SHA256SUMS
"""

_UNSIGNED = """\
## Check it
Nobody signed this folder: `sha256sum -c SHA256SUMS` finds damage, and no intent. Both scripts want
`--unsigned`.
"""

_PYTHON = """\
## With Python
    python3 -I install.py{options} --into DIR

checks the folder and installs `{wheel}`, what it needs, and
the model into the new folder DIR, by Python 3.11 or newer and its standard library alone. DIR may also be an
environment that `python3 -m venv --without-pip DIR` made. Then

    DIR/tinsmith run DIR/model/{tin} {prompt}

or, from a program (`sys.path` must have `DIR/site`, or the environment be active):

```python
import tinsmith

model = tinsmith.load("DIR/model/{tin}"{key})
print({call})
```
"""

_SERVE = """\
## As a server
    DIR/tinsmith serve DIR/model/{tin}

answers clients of OpenAI's, Anthropic's and Ollama's interfaces at http://127.0.0.1:8080/, which is also a page
to try it. `serve/tinsmith.service` is a unit of systemd, `serve/Containerfile` makes an image, both from this
folder and without a network: each begins with what to type.
"""

_SHELL = """\
## With a shell and the C program
    sh install.sh{options}

checks the folder, and asks the model once, with nothing but a POSIX shell (busybox's will do) and `{tool}`.
The signature is checked by a program that you had before: `minisign`, `tin` or `tinsmith` of your PATH, or
`--verifier PROGRAM`. Without one it runs nothing, unless `--own-verifier` has `{tool}` judge itself.
"""

_WEB = """\
## In a browser, or in node
Serve `{folder}/tin.mjs` and `{folder}/tin.wasm` from one folder:

```js
import {{ load }} from "./tin.mjs";

const model = await load(await (await fetch("{tin}")).arrayBuffer());
const session = model.session({{ context: 1024 }});
for (const piece of session.chat([{{ role: "user", content: {prompt} }}])) show(piece);
```
"""

_BOARD = """\
## On the board
Write `{folder}/firmware.bin` to the board's program memory and `{tin}` to its memory-mapped flash, at the
addresses that `memory.ld` beside it has. The weights are read from there in place. `firmware.json` has the
bytes of ram by use. The image answers a prompt; without one it runs the file's self-test.
"""

_C = """\
## From C
`{header}` says what each function does. Link one of

{libraries}
The library allocates nothing, and starts no thread unless you make a pool.
"""


def text(tin: Path, target: Target | None, prompt: str, names: Sequence[str], public: str | None) -> str:
    """names: the files of the pack. target: None for machines like this one. public: the key that signed it."""
    manifest = Tin(tin).facts("family", "parameters", "tensors")
    wheel = next((n for n in names if n.endswith(".whl") and base(n).startswith("tinsmith-")), None)
    tool = next((name for name in names if name.endswith("/tin")), None)
    header = next((name for name in names if name.endswith("/tin.h")), None)
    libraries = [f"- `{name}`\n" for name in names if name.endswith((".a", ".so", ".dylib", ".dll", ".lib"))]
    chats = "turns.bin" in Tin(tin).names
    asked = json.dumps(prompt, ensure_ascii=False)
    call = f'model.chat([{{"role": "user", "content": {asked}}}]).text'
    options = " --key RW..." if public else " --unsigned"
    key = ', key="RW..."' if public else ""
    call = call if chats else f"model.generate({asked}).text"
    device = target.title if target else "machines like the one that made this"
    parts = [_what(tin, device, manifest), _CHECK.format(public=public) if public else _UNSIGNED]
    if wheel:
        parts.append(
            _PYTHON.format(
                wheel=wheel, tin=tin.name, prompt=shlex.quote(prompt), call=call, key=key, options=options
            )
        )
    if "serve/tinsmith.service" in names:
        parts.append(_SERVE.format(tin=tin.name))
    if tool:
        parts.append(_SHELL.format(tool=tool, options=options))
    if header and libraries:
        parts.append(_C.format(header=header, libraries="".join(libraries)))
    web = next((name for name in names if name.endswith("/tin.mjs")), None)
    if web:
        parts.append(_WEB.format(tin=tin.name, folder=web.removesuffix("/tin.mjs"), prompt=asked))
    image = next((name for name in names if name.endswith("/firmware.bin")), None)
    if image:
        parts.append(_BOARD.format(tin=tin.name, folder=image.removesuffix("/firmware.bin")))
    parts.append(_memory(tin, target))
    return "\n".join(parts)


def _what(tin: Path, target: str, manifest: dict[str, Any]) -> str:
    base = manifest.get("base", {})
    facts = {
        "model": f"`{tin.name}`, {tin.stat().st_size:,} bytes",
        "SHA-256": f"`{sha256_file(tin)}`",
        "device": target,
        "family": f"{manifest['family']}, {manifest['parameters']:,} parameters",
        "weights": manifest.get("weights") or ", ".join(sorted(manifest["tensors"])),
        "made from": " ".join(filter(None, (base.get("name"), base.get("license")))) or None,
        "made by": f"tinsmith {__version__}",
    }
    rows = [f"| {name} | {_line(value)} |\n" for name, value in facts.items() if value]
    head = f"# {_line(manifest.get('name') or tin.stem)}\n{_IS}"
    return f"{head}\n| | |\n| --- | --- |\n{''.join(rows)}"


def _line(text: str) -> str:
    """What a manifest says must not pass for lines of this guide, which people type."""
    return "".join(one if one.isprintable() else " " for one in str(text))


def _memory(tin: Path, target: Target | None) -> str:
    """What it needs, as `tinsmith plan` has it. target: None where only the machine that packs is known."""
    from tinsmith import plan
    from tinsmith.plan import memory
    from tinsmith.plan.contents import of_tin

    contents = of_tin(tin)
    if target is None:
        needs = memory.of(contents, plan.Options(), arch="x86_64", in_place=False, code=0, firmware=False)
        most, speed = "", ""
    else:
        planned = plan.make(contents, target, plan.Options(plan.context_of(contents, target)))
        needs, rate = planned.memory, planned.speed
        most = f", of {planned.ram:,} that a model may use there"
        speed = (
            f"By the device's data sheet it reads {rate.prompt_tok_s:,.0f} tokens of a prompt a second, and\n"
            f"writes {rate.decode_tok_s:,.1f}.\n"
        )
    session = needs.session
    rows = {
        "weights, of the file": needs.weights,
        "tables of the file": needs.tables,
        f"a conversation of up to {session.context:,} tokens": session.bytes,
        f"memory in all{most}": needs.ram,
    }
    table = "".join(f"| {what} | {size:,} |\n" for what, size in rows.items())
    return (
        f"## Memory\n| | bytes |\n| --- | --- |\n{table}\n{speed}Nothing is allocated after that.\n\n{_QUIET}"
    )
