"""From files to a server that runs."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.checks import whole
from tinsmith.errors import InputError
from tinsmith.serve import app, server, shelf
from tinsmith.serve.guard import Guard, is_loopback
from tinsmith.serve.house import House

if TYPE_CHECKING:
    import uvicorn

    from tinsmith.runtime.loaded import Loaded
    from tinsmith.serve.limits import Limits


def prepared(
    models: Sequence[tuple[Path, Loaded]],
    limits: Limits,
    *,
    places: int = 8,
    context: int | None = None,
    keys: Sequence[str] = (),
    origins: Sequence[str] = (),
    local: bool = True,
    tls: Mapping[str, Any] | None = None,
) -> tuple[House, uvicorn.Server]:
    """A house and a server for it, which is to run on a socket of its own. local: bound to the loopback."""
    import uvicorn

    served = [shelf.Served(path, model, places, context, limits) for path, model in models]
    house = House(shelf.Shelf(served), limits)
    made = app.make(house, Guard(keys, origins, local, limits), origins)
    return house, uvicorn.Server(server.config(made, limits, **(tls or {})))


def serve(
    files: Sequence[str],
    loading: Mapping[str, Any],
    limits: Limits,
    *,
    host: str,
    port: int,
    say: Callable[[str], None],
    **options: Any,
) -> int:
    """Until the process is told to end. options: as `prepared`."""
    if tls := options.get("tls"):
        server.check_tls(tls["ssl_certfile"], tls["ssl_keyfile"])
    options["local"] = is_loopback(host)
    port = whole("port", port, 0, 65535)
    try:
        bound = server.listen(host, port)
    except OSError as error:
        other = "--port" if error.errno == errno.EADDRINUSE else "--host or --port"
        raise InputError(f"{host}:{port}: can't listen there: {error.strerror}; give another {other}") from None
    house, running = prepared(shelf.opened(files, **loading), limits, **options)
    server.allow_files(2 * limits.connections)
    with bound:
        scheme = "https" if tls else "http"
        shown = f"[{host}]" if ":" in host else host
        bound.listen()  # who reads the line below may connect at once
        say(f"serving {', '.join(house.shelf.names)} at {scheme}://{shown}:{bound.getsockname()[1]}/")
        if not is_loopback(host) and not options.get("keys"):
            say("warning: other machines may ask, without a key (--insecure)")
        running.run(sockets=[bound])
    return 0
