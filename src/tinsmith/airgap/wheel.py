"""This very install as a wheel, so that a machine like this one can be given it without a compiler."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

from tinsmith.errors import UnsupportedError


def this_wheel() -> tuple[str, bytes]:
    """Name and bytes; the same install gives the same bytes."""
    found = distribution("tinsmith")
    tag = _metadata(found, "WHEEL").partition("\nTag: ")[2].partition("\n")[0]
    stem = f"tinsmith-{found.version}"
    files = {f"tinsmith/{name}": path.read_bytes() for name, path in package_files().items()}
    head = f"Wheel-Version: 1.0\nGenerator: tinsmith {found.version}\nRoot-Is-Purelib: false\nTag: {tag}\n"
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        files[f"{stem}.dist-info/{name}"] = _metadata(found, name).encode()
    files[f"{stem}.dist-info/WHEEL"] = head.encode()
    record = f"{stem}.dist-info/RECORD"
    lines = [f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in sorted(files.items())]
    files[record] = "".join([*lines, f"{record},,\n"]).encode()
    return f"{stem}-{tag}.whl", _zipped(files)


def license_text() -> str:
    """tinsmith's own."""
    return _metadata(distribution("tinsmith"), "licenses/LICENSE")


def package_files() -> dict[str, Path]:
    """The package's modules and data, and the extension, by their place in the package."""
    import tinsmith

    # An editable install has its modules in one folder, and what was built in another.
    return {
        path.relative_to(root).as_posix(): path
        for root in map(Path, tinsmith.__path__)
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _metadata(found: Distribution, name: str) -> str:
    text = found.read_text(name)
    if text is None:
        raise UnsupportedError(
            f"this tinsmith was installed without its {name}; install it by pip, and try again"
        )
    return text


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def _zipped(files: dict[str, bytes]) -> bytes:
    """Sorted, each dated 1980: the digest of what is in it decides every byte."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o100644 << 16
            info.create_system = 3
            archive.writestr(info, data)
    return target.getvalue()
