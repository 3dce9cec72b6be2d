"""A page on which visitors drop a photograph and get it back in color, as the story's author had one.

Gradio would be the usual choice, but up to its version 6.31 it asks for a Pillow below 13, and the course
decodes with Pillow 13. So this is a page of its own behind Starlette and Uvicorn. That has advantages: what a
visitor gives never touches the disk, nothing is loaded from elsewhere, no route reads a file by its name.
"""

import ipaddress
import json
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from urllib.parse import quote

import anyio
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from helpers import colorize, preview, recorded
from helpers.colorize import Colorizer, Original
from helpers.errors import CourseError, trace
from helpers.hints import Hint
from helpers.records import HINTED

PORT = 8000  # looked at first, if none is asked for
LIMITS = preview.Limits(megabytes=50, megapixels=50)
VISITORS = 4  # whose pictures are held at one time; others wait before they send theirs
PATIENCE = 60  # seconds, in which a picture must have come over
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/picture.css": ("picture.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
AT_HOME = ("127.0.0.1", "localhost", "[::1]")
# No request leaves the page, no other page embeds it, and no browser keeps what it shows.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def create(hosts: Sequence[str] = AT_HOME) -> Starlette:
    """Make the application that serves the page and colors what visitors send.

    Parameters
    ----------
    hosts : sequence of str
        The names by which browsers may ask for it; ``["*"]`` for any. On loopback, another site could give
        its own name this address, and read what only this machine should.

    Returns
    -------
    Starlette
        For Uvicorn. It holds pictures in memory alone, and only while it answers.
    """
    networks = _networks()
    offered = {
        "examples": [],
        "networks": networks,
        "mostBytes": LIMITS.megabytes * 10**6,
        "mostHints": preview.MOST_HINTS,
        "limits": str(LIMITS),
    }
    loaded = lru_cache(colorize.load)
    wanted = {each["name"]: {"name": each["name"], "hints": each["hints"]} for each in networks}
    loaded(**wanted[networks[0]["name"]])
    visitors = anyio.Semaphore(VISITORS)
    one_at_a_time = anyio.CapacityLimiter(1)

    async def settings(_request: Request) -> Response:
        return JSONResponse(offered)

    async def look(request: Request) -> Response:
        async with visitors:
            data = await _body(request)
            return await anyio.to_thread.run_sync(_look, data, limiter=one_at_a_time)

    async def ask(request: Request, answer: Callable[..., Response], *told: float | None) -> Response:
        network = wanted.get(request.query_params.get("network"))
        if network is None:
            raise CourseError("there is no such network")
        hints = preview.hints(request.query_params.get("hints"))
        async with visitors:
            data = await _body(request)
            return await anyio.to_thread.run_sync(
                lambda: answer(data, loaded(**network), hints, *told), limiter=one_at_a_time
            )

    async def color(request: Request) -> Response:
        return await ask(request, _color, _vividness(request.query_params.get("vividness")))

    async def likely(request: Request) -> Response:
        return await ask(request, _likely, *(_share(request.query_params.get(side), side) for side in "xy"))

    return Starlette(
        routes=[
            *(
                Route(path, _give((preview.PAGE / name).read_bytes(), kind), methods=["GET"])
                for path, (name, kind) in FILES.items()
            ),
            Route("/picture.js", _give(preview.script().encode(), "text/javascript"), methods=["GET"]),
            Route("/settings", settings, methods=["GET"]),
            Route("/preview", look, methods=["POST"]),
            Route("/color", color, methods=["POST"]),
            Route("/likely", likely, methods=["POST"]),
        ],
        middleware=[Middleware(_Headers), Middleware(TrustedHostMiddleware, list(hosts), www_redirect=False)],
        exception_handlers={CourseError: _refuse, MemoryError: _refuse},
    )


def run(host: str, port: int | None) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    host : str
        The address to listen at; others than loopback let other machines in.
    port : int, optional
        If not given, `PORT`, or a free one where that is taken.

    Raises
    ------
    CourseError
        If nothing can listen there.
    """
    with _listen(host, port) as listening:
        address, number = listening.getsockname()[:2]
        at_home = ipaddress.ip_address(address).is_loopback
        shown = f"[{address}]" if ":" in address else address
        application = create([*AT_HOME, shown] if at_home else ["*"])
        if port is None and number != PORT:
            print(f"port {PORT} is taken: this is another one", file=sys.stderr)
        if not at_home:
            print(
                f"listening at {host}: every machine that reaches this one can send it pictures, unencrypted",
                file=sys.stderr,
            )
        print(f"http://{shown}:{number}/ colors photographs; Ctrl-C ends it", flush=True)
        config = uvicorn.Config(
            application,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=5,
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int | None) -> socket.socket:
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(host, port or PORT, type=socket.SOCK_STREAM)
        try:
            return socket.create_server((address[0], PORT if port is None else port), family=family)
        except OSError:
            if port is not None:
                raise
            return socket.create_server((address[0], 0), family=family)
    except OSError as error:
        at = host if port is None else f"{host}, port {port}"
        # Python tells the address a second time, in brackets.
        reason = error.strerror.partition(" (")[0]
        raise CourseError(f"cannot listen at {at}: {reason}") from None


def _networks() -> list[dict]:
    """List the networks that a visitor can choose from, the best first."""
    best = colorize.best()
    listed = []
    for name, title in sorted(recorded.names().items(), key=lambda known: known[0] != best):
        vivid = recorded.read(name).get("vivid")
        vividness = vivid["vividness"] if vivid else 0
        hints = name in HINTED and recorded.has(HINTED[name])
        listed.append(
            {"name": name, "title": title, "vivid": bool(vivid), "vividness": vividness, "hints": hints}
        )
    return listed


def _look(data: bytes) -> Response:
    original = preview.read(data, LIMITS)
    shown = preview.small(original)
    content = colorize.encode(shown, preview.grey(shown))
    return Response(content, media_type="image/jpeg", headers={"x-notes": quote(json.dumps(original.notes))})


def _color(data: bytes, colorizer: Colorizer, hints: Sequence[Hint], vividness: float | None) -> Response:
    original = preview.read(data, LIMITS)
    if vividness is not None:
        colorizer = replace(colorizer, vividness=vividness)
    (rgb,) = colorize.colorize([original], colorizer, [hints])
    return _picture(original, colorize.encode(original, rgb))


def _likely(data: bytes, colorizer: Colorizer, hints: Sequence[Hint], x: float, y: float) -> Response:
    return JSONResponse(preview.likely(preview.read(data, LIMITS), colorizer, x, y, hints))


def _picture(original: Original, content: bytes) -> Response:
    kind = colorize.result_format(original)
    headers = {"x-ending": colorize.ENDINGS[kind]}
    return Response(content, media_type=Image.MIME.get(kind, "application/octet-stream"), headers=headers)


def _vividness(text: str | None) -> float | None:
    return None if text is None else _share(text, "the vividness")


def _share(text: str | None, what: str) -> float:
    with suppress(ValueError):
        if text is not None and 0 <= float(text) <= 1:
            return float(text)
    raise CourseError(f"{what} is a number from 0 to 1")


async def _body(request: Request) -> bytes:
    """Take what a visitor sends, up to the limit."""
    most = LIMITS.megabytes * 10**6
    content = bytearray()
    try:
        with anyio.fail_after(PATIENCE):
            async for part in request.stream():
                content += part
                if len(content) > most:
                    raise CourseError(f"the file is too large. {LIMITS}")
    except ClientDisconnect:
        raise CourseError("the visitor has gone") from None
    except TimeoutError:
        raise CourseError(f"the photograph did not come over within {PATIENCE} seconds") from None
    return bytes(content)


def _give(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def give(_request: Request) -> Response:
        return Response(content, media_type=media_type)

    return give


async def _refuse(_request: Request, error: Exception) -> Response:
    trace(error)
    reason = "too large for this machine's memory" if isinstance(error, MemoryError) else str(error)
    return PlainTextResponse(reason, status_code=422)


class _Headers:
    """Send `HEADERS` with every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self._app(scope, receive, send_more)
