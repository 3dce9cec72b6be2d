"""Downloads over unreliable networks.

A download grows under the name `….part` and gets its own name when its size and
checksum are right, so that a file under its final name is always whole.
"""

import re
import sys
import time
from collections.abc import Iterator
from hashlib import file_digest
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from tqdm.auto import tqdm
from urllib3 import Retry
from urllib3.exceptions import MaxRetryError

from helpers import files
from helpers.errors import CourseError
from helpers.photographs import archives

AT_ONCE = 8
# Seconds without a byte after which a connection counts as lost.
TIMEOUT = 30


class _Retry(Retry):
    """Tries again after growing pauses, unless that cannot help."""

    def increment(self, method=None, url=None, response=None, error=None, _pool=None, _stacktrace=None):
        if _hopeless(error):
            raise MaxRetryError(_pool, url, error)
        return super().increment(method, url, response, error, _pool, _stacktrace)


def _hopeless(error: Exception | None) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error) or " 407 " in str(error)


# A server that is away or busy is tried again after growing pauses, at first at once.
RETRY = _Retry(
    5,
    backoff_factor=1,
    status_forcelist=(429, 500, 502, 503, 504),
    raise_on_status=False,
    retry_after_max=60,
)
SECONDS_UNSEEN = 2
_BLOCK = 2**14


class GoneError(CourseError):
    """The server has no such file, or keeps it to itself."""


class _CutError(Exception):
    """The connection ended before the file did; what arrived is kept."""


def progress(notebook: bool = True, **options) -> tqdm:
    """Start a progress bar where someone can see it: in a terminal or a notebook.

    Parameters
    ----------
    notebook : bool
        Whether a notebook shows it too: its cell then keeps a trace of the bar among its outputs.
    **options
        What `tqdm.tqdm` takes.

    Returns
    -------
    tqdm.tqdm
        A bar that appears after two seconds and goes when it is done.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    seen = notebook if hasattr(shell, "kernel") else sys.stderr.isatty()
    return tqdm(disable=not seen, delay=SECONDS_UNSEEN, leave=False, **options)


def connect() -> requests.Session:
    """Open a session that tries again, by `RETRY`, when a server is away or busy.

    Returns
    -------
    requests.Session
        For up to `AT_ONCE` threads.
    """
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=RETRY, pool_maxsize=AT_ONCE))
    return session


def get(session: requests.Session, url: str, headers: dict[str, str] | None = None) -> requests.Response:
    """Get a file, and turn every way in which that fails into one line.

    Parameters
    ----------
    session : requests.Session
        From `connect`.
    url : str
        Where the file is.
    headers : dict of str to str, optional
        Sent along.

    Returns
    -------
    requests.Response
        With status 200, 206 or 416 (nothing left to send), its body not yet read.

    Raises
    ------
    GoneError
        If the server has no such file or refuses it.
    CourseError
        If there is no network, no answer, or an answer that is no file.
    """
    host = urlsplit(url).hostname
    try:
        response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except OSError as error:
        raise CourseError(_trouble(error, url)) from None
    status = response.status_code
    web_page = response.headers.get("Content-Type", "").startswith("text/html")
    if status in (200, 206, 416) and not web_page:
        return response
    response.close()
    if status == 200:
        raise CourseError(f"{host} sends a web page instead of {url}: does this network want a login first?")
    if status == 407:
        raise CourseError(_proxy_wants_a_password(url))
    if status in (401, 403):
        raise GoneError(f"{host} refuses to give {url} ({status}): choose another source")
    if status in (404, 410):
        raise GoneError(f"{host} has no {url} any more ({status}): choose another source")
    raise CourseError(f"{host} is in trouble ({status}): run this again later")


def _trouble(error: OSError, url: str) -> str:
    """Say why nothing came, and what to do, in one line without a proxy's password."""
    host, said = urlsplit(url).hostname, " ".join(str(error).split())
    if not isinstance(error, requests.RequestException):
        return "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names certificates that are not there: mend or unset it"
    if isinstance(error, requests.exceptions.SSLError):
        if reason := re.search(r"certificate verify failed: (.*?)\.? \(_ssl", said):
            return (
                f"the certificate of {host} is not trusted ({reason[1]}): where a company's proxy looks into "
                "what is sent, let REQUESTS_CA_BUNDLE name a file with its certificate; else check this "
                "computer's clock"
            )
        return f"no safe connection to {host}: check the network, its proxy and REQUESTS_CA_BUNDLE"
    if "SOCKS" in said:
        return (
            f"{_proxy(url)} speaks SOCKS, for which a package is missing: python -m pip install PySocks, "
            "or unset ALL_PROXY"
        )
    if " 407 " in said:
        return _proxy_wants_a_password(url)
    if isinstance(error, requests.exceptions.ProxyError):
        return (
            f"{_proxy(url)} cannot be reached or refuses {host}: check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
        )
    # A proxy's address that cannot be read, too, is an invalid URL to `requests`.
    if isinstance(error, requests.exceptions.InvalidURL) and _proxied(url):
        return "a proxy's address cannot be read: write http://HOST:PORT into HTTPS_PROXY or ALL_PROXY"
    if "timed out" in said:
        return f"{host} does not answer: run this again later"
    return f"{host} cannot be reached: check the network and run this again"


def _proxied(url: str) -> str | None:
    return select_proxy(url, get_environ_proxies(url))


def _proxy(url: str) -> str:
    return f"the proxy {urlsplit(_proxied(url) or '').hostname or ''}".rstrip()


def _proxy_wants_a_password(url: str) -> str:
    return (
        f"{_proxy(url)} wants a name and a password (407): write http://NAME:PASSWORD@HOST:PORT into "
        "HTTPS_PROXY and HTTP_PROXY"
    )


def download(url: str, target: Path, size: int = 0, sha256: str = "") -> None:
    """Download one file, in as many pieces as the network makes of it.

    Parameters
    ----------
    url : str
        Where it is.
    target : pathlib.Path
        What it is called once it is whole.
    size : int
        Its size in bytes; 0 if that is not known.
    sha256 : str
        Its checksum; '' if that is not known, and then no earlier part is built upon.

    Raises
    ------
    CourseError
        If the server refuses, stays silent, or sends something else.
    OSError
        If the file cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    if not sha256:
        part.unlink(missing_ok=True)
    bytes_of_file = progress(desc=target.name, unit="B", unit_scale=True, unit_divisor=1000)
    with connect() as session, bytes_of_file as bar:
        _fill(session, url, part, size, bar)
    if sha256 and (found := _sha256(part)) != sha256:
        part.unlink(missing_ok=True)
        raise CourseError(
            f"{target.name} arrived with the checksum {found[:12]}…, not {sha256[:12]}…: it was removed; "
            "run this again, and if that does not help, the publisher changed the file"
        )
    files.rename(part, target)


def _fill(session: requests.Session, url: str, part: Path, size: int, bar: tqdm) -> None:
    """Get the rest of a file until all of it is there, or nothing new comes any more."""
    furthest = in_vain = 0
    while not size or _length(part) != size:
        try:
            return _receive(session, url, part, size, bar)
        except _CutError:
            have = _length(part)
            in_vain = 0 if have > furthest else in_vain + 1
            furthest = max(furthest, have)
        if in_vain == RETRY.total:
            raise CourseError(
                f"{urlsplit(url).hostname} breaks off again and again: check the network and run this again; "
                f"{_length(part):,} bytes are kept"
            )
        time.sleep(RETRY.backoff_factor * (2**in_vain - 1))


def _receive(session: requests.Session, url: str, part: Path, size: int, bar: tqdm) -> None:
    have = _length(part)
    # Without compression on the way, bytes received are bytes of the file.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with get(session, url, headers) as response:
        if response.status_code == 416 or not _continues(response, have):
            part.unlink(missing_ok=True)
            raise _CutError
        start = have if response.status_code == 206 else 0
        stated = response.headers.get("Content-Length", "")
        offered = start + int(stated) if stated.isdecimal() else 0
        if size and offered and offered != size:
            raise CourseError(
                f"{urlsplit(url).hostname} offers {offered:,} bytes where the catalogue says {size:,}: "
                "the publisher changed the file; choose another source"
            )
        bar.reset(offered or size or None)
        bar.initial = bar.n = start  # what was there before does not count for the speed
        bar.refresh()
        received, most = start, size or archives.MOST_BYTES
        with part.open("ab" if start else "wb") as file:
            for block in _blocks(response):
                received += len(block)
                if received > most:
                    break
                file.write(block)
                bar.update(len(block))
    if received > most:
        part.unlink()
        raise CourseError(
            f"{urlsplit(url).hostname} sends more than the {most:,} bytes of {url}: choose another source"
        )
    if size and _length(part) != size:
        raise _CutError


def _continues(response: requests.Response, have: int) -> bool:
    stated = response.headers.get("Content-Range", "")
    return response.status_code != 206 or stated.startswith(f"bytes {have}-")


def _blocks(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(_BLOCK)
    except requests.RequestException:
        raise _CutError from None


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
