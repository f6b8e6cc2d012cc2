"""The page at /: one HTML file, which sends requests to its own server only.

page.html has placeholders for page.css, the scripts, and the keywords of JSON Schema that the editors suggest.
The headers allow this style and this script by their digests, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources

SCRIPTS = (
    *("parts.js", "json.js", "suggest.js", "editor.js"),
    *("server.js", "tokens.js", "reply.js", "images.js", "chat.js", "settings.js", "about.js", "page.js"),
)


@cache
def page() -> tuple[bytes, dict[str, str]]:
    """The page and its headers."""
    style, script = _text("page.css"), "\n".join(map(_text, SCRIPTS))
    html = _text("page.html")
    for name, text in (("style", style), ("script", script), ("words", _words())):
        html = html.replace(f"{{{name}}}", text)
    policy = {
        "default-src": "'none'",
        "script-src": _digest(script),
        "style-src": _digest(style),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return html.encode(), {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def _text(name: str) -> str:
    return (resources.files(__name__) / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """An inline style or script in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _words() -> str:
    """The keywords that the constraint compiler supports."""
    from tinsmith.constraint.schema import document, formats

    words = {
        "types": document.TYPES,
        "formats": formats.NAMES,
        "known": sorted(document.KNOWN),
        "one": document.ONE,
        "many": document.MANY,
        "named": document.NAMED,
    }
    return json.dumps(words).replace("<", "\\u003c")
