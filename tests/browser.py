"""Let tests open pages in a headless Chromium, and see what the pages do there.

A test file takes the fixtures with `from browser import browser, open_page  # noqa: F401`.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from helpers.lab import rgb_to_lab

# Where this is "required", a missing browser is a failure; elsewhere its tests are skipped, and say why.
NEED = "COURSE_BROWSER"
FLAGS = (
    # Chromium's sandbox does not start for root, which is who runs the tests in most containers.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOCAL_SCHEMES = {"about", "blob", "data", "file"}
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
PIXELS = """async (image) => {
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"),
        { width: image.naturalWidth, height: image.naturalHeight });
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    return [canvas.height, canvas.width, Array.from(data)];
}"""


def is_local(address: str) -> bool:
    """Say whether a request for this address stays in the page, on the disk or on loopback."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return parts.hostname in (None, "localhost")
    return parts.scheme in LOCAL_SCHEMES or parts.hostname in LOOPBACK


@dataclass
class Watched:
    """A page, what its console and scripts complained of, and the requests that would leave."""

    page: Any
    errors: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Collect from now on; a request that would leave is noted, then refused."""
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("websocket", lambda socket: self._note(socket.url))
        self.page.context.route("**/*", self._route)

    @contextmanager
    def waiting_for(self, what: str, folder: Path) -> Iterator[None]:
        """Fail with what was waited for, and leave a picture of the page, if it does not come in time."""
        try:
            yield
        except find_playwright().TimeoutError:
            self.page.screenshot(path=(picture := folder / "page.png"))
            pytest.fail(f"waited in vain for {what}; console: {self.errors}; see {picture}", pytrace=False)

    def _note(self, address: str) -> bool:
        local = is_local(address)
        if not local:
            self.left.append(address)
        return local

    def _route(self, route: Any) -> None:
        if self._note(route.request.url):
            route.continue_()
        else:
            route.abort()


def serious_violations(watched: Watched) -> list[str]:
    """Return what axe-core finds in the page that keeps people from using it: rules, and where they fail."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        missing('axe-core is not installed: python -m pip install -e ".[browser]"')
    return [
        f"{found['id']}: {', '.join(str(node['target']) for node in found['nodes'])}"
        for found in Axe().run(watched.page, options={"resultTypes": ["violations"]}).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


def drawn(image: Any) -> np.ndarray:
    """Return what the browser shows of an image, a locator: (height, width, 3) uint8."""
    height, width, numbers = image.evaluate(PIXELS)
    return np.array(numbers, np.uint8).reshape(height, width, 4)[..., :3]


def said(page: Any, line: str) -> None:
    """Wait until the controls around a picture say something that begins so."""
    page.wait_for_function("line => document.querySelector('.says').textContent.startsWith(line)", arg=line)


def color_at(page: Any, x: float, y: float, selector: str = ".after") -> np.ndarray:
    """Return the mean a and b, CIE units, of what the browser shows around a place."""
    rgb = drawn(page.locator(selector))
    row, column = int(y * rgb.shape[0]), int(x * rgb.shape[1])
    return rgb_to_lab(rgb[row - 4 : row + 5, column - 4 : column + 5])[..., 1:].mean(axis=(0, 1))


def missing(reason: str) -> None:
    """Fail where a browser is required, skip elsewhere; either way with the reason."""
    if os.environ.get(NEED) == "required":
        pytest.fail(f"{NEED}=required, but {reason}", pytrace=False)
    pytest.skip(reason)


def find_playwright() -> ModuleType:
    """Return Playwright's synchronous API."""
    try:
        from playwright import sync_api
    except ImportError:
        missing('Playwright is not installed: python -m pip install -e ".[browser]"')
    return sync_api


def find_chromium() -> str:
    """Return the path of the machine's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        missing("no Chromium is on the PATH (on Debian: apt-get install chromium)")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start one headless Chromium for a test file."""
    sync_api, chromium = find_playwright(), find_chromium()
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Watched]]:
    """Open addresses: `open_page(address, width=1100, scheme="light")`, each with a profile of its own.

    `patience` is how many seconds are waited for anything.
    """
    contexts = []

    def open_address(
        address: str,
        width: int = 1100,
        height: int = 900,
        scheme: str = "light",
        patience: float = 30,
        **options: Any,
    ) -> Watched:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **options
        )
        context.set_default_timeout(1000 * patience)
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.watch()
        watched.page.goto(address)
        return watched

    yield open_address
    for context in contexts:
        context.close()
