"""From files to a server that runs."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.checks import whole
from tinsmith.errors import InputError
from tinsmith.serve import app, server, shelf
from tinsmith.serve.guard import Guard, is_loopback
from tinsmith.serve.house import House
from tinsmith.system.cores import usable_cores

if TYPE_CHECKING:
    import uvicorn

    from tinsmith.runtime.loaded import Loaded
    from tinsmith.serve.limits import Limits

Ready = tuple[list[str], "uvicorn.Server"]  # names of models, and what serves them


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
    guard = Guard(keys, origins, local, limits)
    return behind(guard, models, limits, places, context, origins, tls)


def behind(
    guard: Guard,
    models: Sequence[tuple[Path, Loaded]],
    limits: Limits,
    places: int,
    context: int | None,
    origins: Sequence[str] = (),
    tls: Mapping[str, Any] | None = None,
) -> tuple[House, uvicorn.Server]:
    import uvicorn

    served = [shelf.Served(path, model, places, context, limits) for path, model in models]
    house = House(shelf.Shelf(served), limits)
    made = app.make(house, guard, origins)
    return house, uvicorn.Server(server.config(made, limits, **(tls or {})))


@contextmanager
def _alone(files: Sequence[str], loading: Mapping[str, Any], limits: Limits, **options: Any) -> Iterator[Ready]:
    house, made = prepared(shelf.opened(files, **loading), limits, **options)
    yield house.shelf.names, made


@contextmanager
def _divided(
    workers: int,
    files: Sequence[str],
    loading: Mapping[str, Any],
    limits: Limits,
    *,
    places: int,
    context: int | None,
    keys: Sequence[str],
    origins: Sequence[str],
    local: bool,
    tls: Mapping[str, Any],
) -> Iterator[Ready]:
    """The files dealt out to so many processes, behind this one."""
    import uvicorn
    from starlette.routing import Mount

    from tinsmith.serve.front import Front
    from tinsmith.serve.hands import Hands

    threads = loading.get("threads") or max(1, usable_cores() // workers)
    common = {
        "loading": {**loading, "threads": threads},
        "limits": asdict(limits),
        "places": places,
        "context": context,
    }
    hands = Hands([files[k::workers] for k in range(workers)], common)
    front = Front(hands.all, Guard(keys, origins, local, limits), limits)

    async def close() -> None:
        await asyncio.to_thread(hands.close)

    try:
        made = app.around([Mount("/", front)], origins, limits, close)
        yield front.names, uvicorn.Server(server.config(made, limits, **tls))
    finally:
        hands.close()


def _check_workers(workers: int, files: Sequence[str]) -> None:
    shelf.check_names([Path(one) for one in files])
    if workers > len(files):
        known = "is 1 file" if len(files) == 1 else f"are {len(files)} files"
        raise InputError(f"--workers {workers}: there {known}, and a file's answers share one process")
    if workers > 1 and not hasattr(asyncio, "open_unix_connection"):
        raise InputError("--workers: this system has no Unix sockets; start a server for each file")


def serve(
    files: Sequence[str],
    loading: Mapping[str, Any],
    limits: Limits,
    *,
    host: str,
    port: int,
    say: Callable[[str], None],
    workers: int = 1,
    **options: Any,
) -> int:
    """Until the process is told to end. options: as `prepared`."""
    if tls := options.get("tls"):
        server.check_tls(tls["ssl_certfile"], tls["ssl_keyfile"])
    _check_workers(workers, files)
    options["local"] = is_loopback(host)
    port = whole("port", port, 0, 65535)
    try:
        bound = server.listen(host, port)
    except OSError as error:
        other = "--port" if error.errno == errno.EADDRINUSE else "--host or --port"
        raise InputError(f"{host}:{port}: can't listen there: {error.strerror}; give another {other}") from None
    ready = (
        _alone(files, loading, limits, **options)
        if workers == 1
        else _divided(workers, files, loading, limits, **options)
    )
    server.allow_files(2 * limits.connections)
    with bound, ready as (names, running):
        scheme = "https" if tls else "http"
        shown = f"[{host}]" if ":" in host else host
        bound.listen()  # who reads the line below may connect at once
        say(f"serving {', '.join(names)} at {scheme}://{shown}:{bound.getsockname()[1]}/")
        if not is_loopback(host) and not options.get("keys"):
            say("warning: other machines may ask, without a key (--insecure)")
        running.run(sockets=[bound])
    return 0
