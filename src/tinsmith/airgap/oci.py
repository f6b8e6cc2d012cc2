"""A container image of the static program `tin` and a model, without a base image.

https://github.com/opencontainers/image-spec: image-layout.md, manifest.md, config.md, layer.md. The archive is
a tar file of that layout; podman, skopeo and others load it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from tinsmith import __version__
from tinsmith.airgap import packages, tar
from tinsmith.airgap.proof import MOST_TOKENS
from tinsmith.airgap.tar import Source
from tinsmith.errors import InputError

IMAGE = "image.tar"
NOBODY = "65534:65534"
_TYPE = "application/vnd.oci.image"
_TOOL = "runtime/bin/tin"
_PT_INTERP = 3  # the ELF program header that names the dynamic loader


def image(
    tin: Path, files: Mapping[str, Source], machine: str, folder: Path, version: str
) -> tuple[dict[str, Source], str]:
    """Writes the image into the folder. Returns it by its name; and its manifest's digest, which registries
    call the image's digest. files: the pack's. version: the model's.

    Raises InputError unless the pack has a static `tin`."""
    program = files.get(_TOOL)
    if not isinstance(program, Path) or not _is_static(program.read_bytes()):
        raise InputError("--as oci needs the static program tin; give --target, such as generic-x86_64-v2")
    runtime = ("runtime/", "install.")
    model = {f"model/{name}": source for name, source in files.items() if not name.startswith(runtime)}
    blobs: dict[str, Source] = {}
    created = datetime.fromtimestamp(tar.epoch(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {"org.opencontainers.image.title": tin.stem, "org.opencontainers.image.version": version}
    layers = [_layer({"usr/bin/tin": program}, folder, blobs), _layer(model, folder, blobs)]
    config = {
        "architecture": packages.ARCHS[machine],
        "os": "linux",
        "created": created,
        "config": {
            "User": NOBODY,
            "Entrypoint": ["/usr/bin/tin", "run", f"/model/{tin.name}"],
            # Without arguments the container prints answer.txt.
            "Cmd": [tar.content(files["prompt.txt"]).decode(), "--tokens", str(MOST_TOKENS)],
            "WorkingDir": "/model",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        "history": [{"created": created, "created_by": f"tinsmith {__version__}"}] * len(layers),
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_TYPE}.manifest.v1+json",
        "config": _blob(_json(config), "config.v1+json", blobs),
        "layers": layers,
        "annotations": labels,
    }
    # umoci finds the image by the first; podman and containerd name it by the second.
    named = {"org.opencontainers.image.ref.name": version, "io.containerd.image.name": name(tin, version)}
    index = {
        "schemaVersion": 2,
        "mediaType": f"{_TYPE}.index.v1+json",
        "manifests": [{**(entry := _blob(_json(manifest), "manifest.v1+json", blobs)), "annotations": named}],
    }
    layout = {"imageLayoutVersion": "1.0.0"}
    blobs |= {"index.json": _json(index), "oci-layout": _json(layout)}
    with (folder / IMAGE).open("wb") as file:
        tar.write_tree(blobs, file)
    return {IMAGE: folder / IMAGE}, entry["digest"]


def name(tin: Path, version: str) -> str:
    """The image's name after loading."""
    return f"localhost/tinsmith/{packages.plain(tin.stem)}:{version}"


def _layer(files: Mapping[str, Source], folder: Path, blobs: dict[str, Source]) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        tar.write_tree(files, cast(BinaryIO, file))
    return _blob(Path(file.name), "layer.v1.tar", blobs)


def _blob(source: Source, kind: str, blobs: dict[str, Source]) -> dict[str, Any]:
    """Adds it, and returns its descriptor."""
    sha256 = tar.digest(source, hashlib.sha256)
    blobs[f"blobs/sha256/{sha256}"] = source
    return {"mediaType": f"{_TYPE}.{kind}", "digest": f"sha256:{sha256}", "size": tar.size(source)}


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _is_static(program: bytes) -> bool:
    """Whether a 64-bit ELF program names no loader."""
    if program[:6] != b"\x7fELF\x02\x01":
        return False
    start, size, count = (int.from_bytes(program[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
    headers = (start + size * number for number in range(count))
    return all(int.from_bytes(program[at : at + 4], "little") != _PT_INTERP for at in headers)
