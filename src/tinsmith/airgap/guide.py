"""GUIDE.md of a pack: its contents, and how to check, install and run them on the device."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from tinsmith import __version__
from tinsmith.airgap.install import base
from tinsmith.errors import one_line
from tinsmith.formats.tin import Tin
from tinsmith.system.files import sha256_file
from tinsmith.targets import Target

_QUIET = """\
Neither the runtime nor the scripts open a connection. Every machine gives the same answer to the same question:
`answer.txt` is the answer to `prompt.txt`.
"""
_IS = "A language model with its runtime and the means to verify both, for a machine without a network.\n"

_CHECK = """\
## Check it
`SHA256SUMS` lists every file with its SHA-256, and `SHA256SUMS.minisig` is that list's signature. The key in
`key.pub` came with the folder:

    {public}

Compare it with the key that the maker gave you through another channel, and give that one for RW... below.

    python3 -I install.py --check --key RW...

The same with your own tools, before anything from this folder runs:

    minisign -Vm SHA256SUMS -P RW... && sha256sum -c SHA256SUMS
"""

_UNSIGNED = """\
## Check it
Nobody signed this folder: `sha256sum -c SHA256SUMS` finds damage, not tampering. Both scripts need
`--unsigned`.
"""

_PYTHON = """\
## With Python
    python3 -I install.py{options} --into DIR

checks the folder and installs `{wheel}`, its dependencies and
the model into the new folder DIR. It needs Python 3.11 or newer and the standard library. DIR may also be a
virtual environment made by `python3 -m venv --without-pip DIR`. Then run

    DIR/tinsmith run DIR/model/{tin} {shell_prompt}

or, in a program (with `DIR/site` in `sys.path`, or in the active environment):

```python
import tinsmith

model = tinsmith.load("DIR/model/{tin}"{key})
print(model.{call}.text)
```
"""

_SERVE = """\
## As a server
    DIR/tinsmith serve DIR/model/{tin}

serves OpenAI's, Anthropic's and Ollama's APIs at http://127.0.0.1:8080/, where a page lets you try the model.
`serve/tinsmith.service` is a systemd unit; `serve/Containerfile` builds an image. Both use this folder alone,
without a network, and begin with their commands.
"""

_SHELL = """\
## With a shell and the C program
    sh install.sh{options}

checks the folder and asks the model once. It needs a POSIX shell (busybox's will do) and `{tool}`.
A program outside the folder checks the signature: `minisign`, `tin` or `tinsmith` in your PATH, or
`--verifier PROGRAM`. Without one the script runs nothing, unless `--own-verifier` lets `{tool}` verify itself.
"""

_WEB = """\
## In a browser or in Node.js
Serve `{web}/tin.mjs` and `{web}/tin.wasm` from one folder:

```js
import {{ load }} from "./tin.mjs";

const model = await load(await (await fetch("{tin}")).arrayBuffer());
const session = model.session({{ context: 1024 }});
for (const piece of session.chat([{{ role: "user", content: {prompt} }}])) show(piece);
```
"""

_BOARD = """\
## On the board
Write `{board}/firmware.bin` to the board's program memory and `{tin}` to its memory-mapped flash, at the
addresses in `memory.ld` beside it. The weights stay in flash. `firmware.json` lists the RAM's bytes by use. The
image answers a prompt; without one it runs the file's self-test.
"""

_C = """\
## From C
`{header}` documents each function. Link one of

{libraries}
The library allocates nothing, and starts threads only for a pool that you create.
"""


def text(tin: Path, target: Target | None, prompt: str, names: Sequence[str], public: str | None) -> str:
    """names: the pack's files. target: None for machines like this one. public: the signer's key."""

    def folder(name: str) -> str:
        """The folder of the first file of this name; "" for none."""
        return next((one.removesuffix(f"/{name}") for one in names if one.endswith(f"/{name}")), "")

    quoted = json.dumps(prompt, ensure_ascii=False)
    chats = "turns.bin" in Tin(tin).names
    libraries = [f"- `{name}`\n" for name in names if name.endswith((".a", ".so", ".dylib", ".dll", ".lib"))]
    words = {
        "tin": tin.name,
        "public": public,
        "options": " --key RW..." if public else " --unsigned",
        "key": ', key="RW..."' if public else "",
        "prompt": quoted,
        "shell_prompt": shlex.quote(prompt),
        "call": f'chat([{{"role": "user", "content": {quoted}}}])' if chats else f"generate({quoted})",
        "wheel": next((n for n in names if n.endswith(".whl") and base(n).startswith("tinsmith-")), ""),
        "tool": f"{folder('tin')}/tin",
        "header": f"{folder('tin.h')}/tin.h",
        "libraries": "".join(libraries),
        "web": folder("tin.mjs"),
        "board": folder("firmware.bin"),
    }
    parts = {
        _CHECK if public else _UNSIGNED: True,
        _PYTHON: words["wheel"],
        _SERVE: "serve/tinsmith.service" in names,
        _SHELL: folder("tin"),
        _C: libraries and folder("tin.h"),
        _WEB: words["web"],
        _BOARD: words["board"],
    }
    told = [part.format(**words) for part, applies in parts.items() if applies]
    return "\n".join([_overview(tin, target), *told, _memory(tin, target)])


def _overview(tin: Path, target: Target | None) -> str:
    manifest = Tin(tin).facts("family", "parameters", "tensors")
    base = manifest.get("base", {})
    facts = {
        "model": f"`{tin.name}`, {tin.stat().st_size:,} bytes",
        "SHA-256": f"`{sha256_file(tin)}`",
        "device": target.title if target else "machines like the one that made this",
        "family": f"{manifest['family']}, {manifest['parameters']:,} parameters",
        "weights": manifest.get("weights") or ", ".join(sorted(manifest["tensors"])),
        "made from": " ".join(filter(None, (base.get("name"), base.get("license")))) or None,
        "made by": f"tinsmith {__version__}",
    }
    # one_line: a manifest's text must not look like lines of the page, which people type.
    rows = [f"| {name} | {one_line(str(value))} |\n" for name, value in facts.items() if value]
    head = f"# {one_line(str(manifest.get('name') or tin.stem))}\n{_IS}"
    return f"{head}\n| | |\n| --- | --- |\n{''.join(rows)}"


def _memory(tin: Path, target: Target | None) -> str:
    """The memory need, as `tinsmith plan` computes it."""
    from tinsmith import plan
    from tinsmith.plan.contents import of_tin

    contents = of_tin(tin)
    if target is None:
        needs, most, speed = plan.memory_of(contents, None, plan.Options()), "", ""
    else:
        planned = plan.make(contents, target, plan.Options(plan.context_of(contents, target)))
        needs, rate = planned.memory, planned.speed
        most = f", of {planned.ram:,} available to a model there"
        speed = (
            f"By the device's data sheet it reads {rate.prompt_tok_s:,.0f} prompt tokens a second\n"
            f"and generates {rate.decode_tok_s:,.1f}.\n"
        )
    session = needs.session
    rows = {
        "weights in the file": needs.weights,
        "tables in the file": needs.tables,
        f"a conversation of up to {session.context:,} tokens": session.bytes,
        f"total memory{most}": needs.ram,
    }
    table = "".join(f"| {what} | {size:,} |\n" for what, size in rows.items())
    ending = f"{speed}The runtime allocates nothing after that.\n\n{_QUIET}"
    return f"## Memory\n| | bytes |\n| --- | --- |\n{table}\n{ending}"
