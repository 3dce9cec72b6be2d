"""Downloads from a real server on this machine that cuts, stalls, refuses and lies."""

import csv
import dataclasses
import hashlib
import importlib.util
import io
import json
import os
import random
import shutil
import ssl
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from helpers import places
from helpers.errors import CourseError
from helpers.photographs import load, sources, transfer, unsplash
from helpers.photographs.download import fetch
from helpers.photographs.transfer import download
from helpers.places import SAMPLE

pytestmark = pytest.mark.quick

ATTEMPTS = 3
LARGE = Path(os.environ.get("LARGE_ARCHIVE", ""))  # any archive of more than 100 MB


class Server(ThreadingHTTPServer):
    """Serves `files`; for a path in `plans`, one plan after the other decides how, the last one for good."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.plans, self.requests = {}, {}, []
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.busy = self.busiest = 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def put(self, name, content, *plans):
        self.files[name] = content
        self.plans[name] = list(plans)
        return self.url(name)

    def stop(self):
        self.over.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        self.do_GET()

    def do_GET(self):
        name = self.path.lstrip("/").partition("?")[0]
        with self.server.lock:
            self.server.requests.append((self.path.lstrip("/"), self.headers.get("Range")))
            self.server.busy += 1
            self.server.busiest = max(self.server.busiest, self.server.busy)
            plans = self.server.plans.get(name, [])
            plan = (plans.pop(0) if len(plans) > 1 else plans[0]) if plans else serve
        try:
            plan(self, self.server.files.get(name))
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.server.lock:
                self.server.busy -= 1


def send(handler, status, body, length=None, **headers):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def serve(handler, content, cut=None):
    if content is None:
        return send(handler, 404, b"gone")
    wanted = handler.headers.get("Range")
    start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
    if wanted and start >= len(content):
        return send(handler, 416, b"", Content_Range=f"bytes */{len(content)}")
    stated = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if wanted else {}
    rest = content[start:]
    send(handler, 206 if wanted else 200, rest[:cut], length=len(rest), **stated)


def cut_after(count):
    return lambda handler, content: serve(handler, content, cut=count)


def ignore_ranges(handler, content):
    send(handler, 200, content)


def ignore_ranges_and_cut(handler, content):
    send(handler, 200, content[: len(content) // 2], length=len(content))


def wrong_range(handler, content):
    send(handler, 206, content[7:], Content_Range=f"bytes 7-{len(content) - 1}/{len(content)}")


def stall(handler, content):
    serve(handler, content, cut=len(content) // 2)
    handler.wfile.flush()
    handler.server.over.wait()


def silence(handler, content):
    handler.server.over.wait()


def answer(status, body=b"", **headers):
    return lambda handler, _: send(handler, status, body, **headers)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(transfer, "TIMEOUT", 0.3)
    monkeypatch.setattr(transfer, "RETRY", transfer.RETRY.new(total=ATTEMPTS, backoff_factor=0.001))
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def content():
    return random.Random(0).randbytes(300_000)


def get(url, target, content, **changes):
    wanted = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} | changes
    download(url, target, **wanted)


def assert_refused(message, url, target, content, **changes):
    with pytest.raises(CourseError, match=message) as refusal:
        get(url, target, content, **changes)
    assert "\n" not in str(refusal.value)
    assert not target.exists()


def ranges(server):
    return [wanted for _, wanted in server.requests]


def test_a_whole_file(server, content, tmp_path):
    get(server.put("x", content), tmp_path / "deep" / "x", content)
    assert (tmp_path / "deep" / "x").read_bytes() == content
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["x"]
    assert ranges(server) == [None]


def test_a_cut_is_resumed_where_it_happened(server, content, tmp_path):
    get(server.put("x", content, cut_after(100_000), cut_after(100_000), serve), tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == content
    assert ranges(server)[0] is None
    starts = [int(each[6:-1]) for each in ranges(server)[1:]]
    assert 80_000 <= starts[0] <= 100_000
    assert 160_000 <= starts[1] <= 200_000


def test_many_cuts_are_survived_as_long_as_something_new_comes(server, content, tmp_path):
    get(server.put("x", content, cut_after(30_000)), tmp_path / "x", content)
    assert len(ranges(server)) > 2 * ATTEMPTS
    assert (tmp_path / "x").read_bytes() == content


def test_a_later_run_goes_on_where_an_earlier_one_ended(server, content, tmp_path):
    url = server.put("x", content, cut_after(100_000), answer(404))
    assert_refused("has no .* any more", url, tmp_path / "x", content)
    kept = (tmp_path / "x.part").stat().st_size
    assert kept > 0
    get(server.put("x", content), tmp_path / "x", content)
    assert ranges(server)[-1] == f"bytes={kept}-"
    assert (tmp_path / "x").read_bytes() == content


def test_a_part_that_is_all_there_needs_no_server(content, tmp_path):
    (tmp_path / "x.part").write_bytes(content)
    get("http://127.0.0.1:9/x", tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == content


@pytest.mark.parametrize("plan", [ignore_ranges, wrong_range])
def test_a_server_that_cannot_resume_sends_everything(plan, server, content, tmp_path):
    get(server.put("x", content, cut_after(100_000), plan, serve), tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == content


def test_a_part_longer_than_the_file_is_dropped(server, content, tmp_path):
    (tmp_path / "x.part").write_bytes(content + b"more")
    get(server.put("x", content), tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == content


@pytest.mark.parametrize("plans", [(stall, serve), (silence, serve), (stall, silence, stall, serve)])
def test_a_stall_is_a_cut(plans, server, content, tmp_path):
    get(server.put("x", content, *plans), tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == content


def test_silence_without_end_is_given_up(server, content, tmp_path):
    assert_refused("127.0.0.1 does not answer", server.put("x", content, silence), tmp_path / "x", content)
    assert len(server.requests) == 1 + ATTEMPTS


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_tried_again(status, server, content, tmp_path):
    get(server.put("x", content, answer(status), answer(status), serve), tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == content
    assert len(server.requests) == 3
    url = server.put("y", content, answer(status))
    assert_refused(
        f"127.0.0.1 is in trouble \\({status}\\): run this again later", url, tmp_path / "y", content
    )


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_believed_at_once(status, server, content, tmp_path):
    url = server.put("x", content, answer(status))
    assert_refused(f"\\({status}\\): choose another source", url, tmp_path / "x", content)
    assert len(server.requests) == 1
    assert not list(tmp_path.iterdir())


def test_a_wrong_size_is_noticed_before_the_first_byte(server, content, tmp_path):
    url = server.put("x", content + b"!")
    message = "offers 300,001 bytes where the catalogue says 300,000"
    assert_refused(message, url, tmp_path / "x", content)
    assert not list(tmp_path.iterdir())


def test_no_server_and_no_network(server, content, tmp_path):
    server.stop()
    assert_refused("127.0.0.1 cannot be reached: check the network", server.url("x"), tmp_path / "x", content)
    assert_refused("no.invalid cannot be reached", "http://no.invalid/x", tmp_path / "x", content)


# Between this computer and the server -------------------------------------------------------------------


@pytest.fixture
def network(monkeypatch):
    """No proxy and no certificates but those that the test names, and no pauses."""
    for name in os.environ:
        if name.lower().endswith(("_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(transfer, "RETRY", transfer.RETRY.new(total=ATTEMPTS, backoff_factor=0.001))
    return monkeypatch.setenv


def assert_one_line(message, url, tmp_path):
    with pytest.raises(CourseError, match=message) as refusal:
        download(url, tmp_path / "x")
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody has signed, with its key."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("needs openssl")
    file = tmp_path_factory.mktemp("certificate") / "own.pem"
    made = "-x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, "req", *made.split(), "-keyout", f"{file}.key", "-out", f"{file}"],
        check=True,
        capture_output=True,
    )
    return file


@pytest.fixture
def safe_server(server, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, str(certificate) + ".key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def test_a_certificate_that_is_not_trusted_is_named_at_once(
    safe_server, certificate, network, tmp_path, monkeypatch
):
    url = safe_server.put("x", b"content").replace("http:", "https:")
    connections, accept = [], safe_server.get_request
    monkeypatch.setattr(safe_server, "get_request", lambda: connections.append(1) or accept())
    message = (
        r"^the certificate of 127\.0\.0\.1 is not trusted \(self-signed certificate\): .* REQUESTS_CA_BUNDLE"
    )
    assert_one_line(message, url, tmp_path)
    assert len(connections) == 1
    network("REQUESTS_CA_BUNDLE", str(certificate))
    message = r"^the certificate of localhost is not trusted \(Hostname mismatch, .*\): "
    assert_one_line(message, url.replace("127.0.0.1", "localhost"), tmp_path)
    download(url, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"content"


def test_certificates_that_are_not_there_are_named(safe_server, network, tmp_path):
    url = safe_server.put("x", b"content").replace("http:", "https:")
    network("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    assert_one_line(
        "^REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names certificates that are not there", url, tmp_path
    )
    network("REQUESTS_CA_BUNDLE", __file__)
    assert_one_line("^no safe connection to 127.0.0.1: check the network", url, tmp_path)


def test_a_server_that_is_not_safe_is_named(server, network, tmp_path):
    url = server.put("x", b"content").replace("http:", "https:")
    assert_one_line("^no safe connection to 127.0.0.1: check the network, its proxy", url, tmp_path)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password_says_so_at_once(scheme, server, network, tmp_path):
    wants = answer(407, b"", Proxy_Authenticate="Basic")
    server.plans["x"] = server.plans["http://no.invalid/x"] = server.plans["no.invalid:443"] = [wants]
    proxy = server.url("").replace("//", "//name:secret@")
    network("NO_PROXY", "")
    network("HTTP_PROXY", proxy)
    network("HTTPS_PROXY", proxy)
    message = (
        r"^the proxy 127\.0\.0\.1 wants a name and a password \(407\): write http://NAME:PASSWORD@HOST:PORT"
    )
    assert_one_line(message, f"{scheme}://no.invalid/x", tmp_path)
    assert len(server.requests) == 1


@pytest.mark.skipif(importlib.util.find_spec("socks") is not None, reason="PySocks is installed")
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4"])
def test_a_proxy_of_socks_names_the_package_that_is_missing(scheme, network, tmp_path):
    network("ALL_PROXY", f"{scheme}://name:secret@127.0.0.1:1")
    message = r"^the proxy 127\.0\.0\.1 speaks SOCKS, .* python -m pip install PySocks, or unset ALL_PROXY$"
    assert_one_line(message, "https://no.invalid/x", tmp_path)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1:1", "no.invalid:80"])
def test_a_proxy_that_is_not_there_is_named(host, scheme, network, tmp_path):
    network(f"{scheme.upper()}_PROXY", f"http://name:secret@{host}")
    message = (
        rf"^the proxy {host.partition(':')[0]} cannot be reached or refuses example\.org: check HTTPS_PROXY"
    )
    assert_one_line(message, f"{scheme}://example.org/x", tmp_path)


def test_a_proxy_that_refuses_is_named(server, network, tmp_path):
    server.plans["no.invalid:443"] = [answer(403)]
    network("HTTPS_PROXY", server.url(""))
    network("NO_PROXY", "")
    message = r"^the proxy 127\.0\.0\.1 cannot be reached or refuses no\.invalid"
    assert_one_line(message, "https://no.invalid/x", tmp_path)


@pytest.mark.parametrize("proxy", ["http://", "http://:secret", "http://host:99999999", "ftp://127.0.0.1:1"])
def test_a_proxy_s_address_that_is_none_is_named(proxy, network, tmp_path):
    network("ALL_PROXY", proxy)
    message = "^a proxy's address cannot be read: write http://HOST:PORT into HTTPS_PROXY"
    assert_one_line(message, "https://no.invalid/x", tmp_path)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_speed_and_time_left(server, content, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "SECONDS_UNSEEN", 0)
    monkeypatch.setattr("sys.stderr", Terminal())
    (tmp_path / "x.part").write_bytes(content[:150_000])
    get(server.put("x", content), tmp_path / "x", content)
    shown = transfer.sys.stderr.getvalue()
    assert "x:  50%" in shown
    assert "150k/300k" in shown
    assert "B/s" in shown


def test_nobody_looks_at_a_file(server, content, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "SECONDS_UNSEEN", 0)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    get(server.put("x", content), tmp_path / "x", content)
    assert transfer.sys.stderr.getvalue() == ""


def test_without_a_checksum_an_old_part_is_not_trusted(server, content, tmp_path):
    (tmp_path / "x.part").write_bytes(b"old")
    get(server.put("x", content), tmp_path / "x", content, size=0, sha256="")
    assert (tmp_path / "x").read_bytes() == content
    assert ranges(server) == [None]


def catalogue(monkeypatch, name, **changes):
    entry = dataclasses.replace(sources.SOURCES[name], **changes)
    monkeypatch.setitem(sources.SOURCES, name, entry)


@pytest.fixture
def flowers(server, content, monkeypatch):
    sha256 = hashlib.sha256(content).hexdigest()
    catalogue(
        monkeypatch, "flowers", url=server.put("a/flowers.tgz", content), bytes=len(content), sha256=sha256
    )


def test_fetch_shows_license_size_and_space_and_fetches_once(flowers, server, content, tmp_path, capsys):
    path = fetch("flowers", tmp_path)
    assert path == tmp_path / "flowers.tgz"
    assert path.read_bytes() == content
    shown = capsys.readouterr().out
    for part in ("CC BY 2.0", "0 MB, from 127.0.0.1", "free on this disk", "3,670 photographs"):
        assert part in shown
    assert fetch("flowers", tmp_path) == path
    assert capsys.readouterr().out == ""
    assert len(server.requests) == 1
    path.write_bytes(content[:100])
    fetch("flowers", tmp_path)
    assert path.read_bytes() == content


def test_a_source_is_loaded_by_its_name(server, tmp_path, monkeypatch):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for number in range(12):
            entry = tarfile.TarInfo(f"flower_photos/{'roses' if number % 2 else 'daisy'}/{number}.jpg")
            entry.size = len(photograph(number))
            archive.addfile(entry, io.BytesIO(photograph(number)))
    content = packed.getvalue()
    url, sha256 = server.put("flowers.tgz", content), hashlib.sha256(content).hexdigest()
    catalogue(monkeypatch, "flowers", url=url, bytes=len(content), sha256=sha256)
    monkeypatch.setattr(places, "DOWNLOADS", tmp_path / "downloads")
    monkeypatch.setattr(places, "CACHE", tmp_path / "cache")
    for _ in range(2):
        photographs = load("flowers", 32)
    assert photographs.name == "flowers"
    assert len(photographs) == 12
    assert set(photographs.labels) == {"roses", "daisy"}
    assert len(server.requests) == 1


HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["flowers", "unsplash-lite"])
def test_two_processes_do_not_fetch_the_same(name, flowers, server, tmp_path):
    message = f"another process is fetching {name}: let it finish, or end it"
    with FileLock(tmp_path / f"{name}.lock"), pytest.raises(CourseError, match=message):
        fetch(name, tmp_path)
    assert server.requests == []
    assert [file.name for file in tmp_path.iterdir()] == [f"{name}.lock"]


def test_a_process_that_is_killed_leaves_no_lock(flowers, content, tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "flowers.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(CourseError, match="another process is fetching flowers"):
            fetch("flowers", tmp_path)
        process.kill()
    assert fetch("flowers", tmp_path).read_bytes() == content


def test_what_is_whole_needs_no_lock(flowers, tmp_path):
    path = fetch("flowers", tmp_path)
    with FileLock(tmp_path / "flowers.lock"):
        assert fetch("flowers", tmp_path) == path


def test_a_part_that_vanishes_is_no_trouble(server, content, tmp_path):
    def remove(handler, _):
        (tmp_path / "x.part").unlink()
        wrong_range(handler, content)

    url = server.put("x", content, cut_after(100_000), remove, serve)
    get(url, tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == content


def test_fetch_of_what_is_not_in_the_catalogue(tmp_path):
    with pytest.raises(
        CourseError, match=r"no source is called 'tulips': choose one of sample, imagenette-160"
    ):
        fetch("tulips", tmp_path)
    assert fetch("sample") == SAMPLE


def test_an_archive_without_a_checksum_is_still_an_archive(flowers, content, tmp_path, monkeypatch):
    catalogue(monkeypatch, "flowers", sha256="")
    assert fetch("flowers", tmp_path).read_bytes() == content


def test_too_little_space_is_said_before_the_download(flowers, server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with pytest.raises(CourseError, match=r"flowers takes 0 MB, and .* has 0 MB left: make room"):
        fetch("flowers", tmp_path)
    assert "CC BY 2.0" in capsys.readouterr().out
    assert server.requests == []


def photograph(seed):
    pixels = random.Random(seed).randbytes(48)
    buffer = io.BytesIO()
    Image.frombytes("RGB", (4, 4), pixels).resize((64, 64), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def unsplash_server(server, monkeypatch):
    """Forty photographs, thirty of which are wanted."""
    # None of its tests is about silence, and eight connections at once may wait on a machine that is busy.
    monkeypatch.setattr(transfer, "TIMEOUT", 30)
    rows = [
        {
            "photo_id": f"Ab_{number}-x",
            "photo_url": f"https://unsplash.com/photos/{number}",
            "photo_image_url": server.put(f"photo-{number}", photograph(number)),
            "photo_description": 'a "quoted"\ttitle,\nover two lines' if number % 2 else "",
            "photographer_first_name": "Ada",
            "photographer_last_name": "" if number % 3 else "Lovelace",
        }
        for number in range(40)
    ]
    rows.append(rows[0] | {"photo_id": "../../escape"})
    publish(server, monkeypatch, rows)
    return server


def publish(server, monkeypatch, rows, delimiter="\t", name="photos.tsv000"):
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, rows[0].keys(), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("README.md", "terms")
        archive.writestr(name, table.getvalue())
        archive.writestr("keywords.tsv000", "photo_id\tkeyword\n")
    url = server.put("lite.zip", packed.getvalue())
    catalogue(monkeypatch, "unsplash-lite", url=url, photographs=30)


def photographs_requested(server):
    return [name for name, _ in server.requests if name.startswith("photo-")]


def test_unsplash_from_list_to_photographs(unsplash_server, tmp_path, capsys, monkeypatch):
    server = unsplash_server
    folder = fetch("unsplash-lite", tmp_path / "to")
    assert "training is allowed, republishing" in capsys.readouterr().out
    assert len(list(folder.glob("*.jpg"))) == 30
    assert all(name.endswith(unsplash.CUT) for name in photographs_requested(server))
    assert 2 <= server.busiest <= transfer.AT_ONCE
    assert not list(tmp_path.rglob("*escape*"))
    assert {file.name for file in (tmp_path / "to" / "unsplash-lite").iterdir()} == {
        "photographs",
        "manifest.json",
    }
    requests = len(server.requests)
    assert fetch("unsplash-lite", tmp_path / "to") == folder
    assert len(server.requests) == requests
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(places, "CACHE", tmp_path / "cache")
    photographs = load(folder, 32)
    assert len(photographs) + len(photographs.set_aside) == 30
    assert photographs.skipped == []
    assert all("Ada" in credit and "Unsplash Dataset" in credit for credit in photographs.credits)


def test_unsplash_draws_the_same_photographs_from_the_same_list(unsplash_server, tmp_path, monkeypatch):
    first = {file.name for file in fetch("unsplash-lite", tmp_path / "1").iterdir()}
    with zipfile.ZipFile(io.BytesIO(unsplash_server.files["lite.zip"])) as archive:
        table = archive.read("photos.tsv000").decode()
    rows = list(csv.DictReader(io.StringIO(table, newline=""), delimiter="\t"))
    publish(unsplash_server, monkeypatch, rows[::-1], ",", "unsplash/photos.csv000")
    assert {file.name for file in fetch("unsplash-lite", tmp_path / "2").iterdir()} == first


def test_unsplash_goes_on_photograph_by_photograph(unsplash_server, tmp_path, capsys):
    server = unsplash_server
    for number in range(40):
        server.plans[f"photo-{number}"] = [answer(503)] if number % 4 == 0 else []
    folder = fetch("unsplash-lite", tmp_path)
    there = {file.stem for file in folder.glob("*.jpg")}
    shown = capsys.readouterr().out
    assert f"{30 - len(there)} of 30 photographs could not be fetched:" in shown
    assert "is in trouble (503)" in shown
    for number in range(40):
        server.plans[f"photo-{number}"] = []
    server.requests.clear()
    fetch("unsplash-lite", tmp_path)
    assert len(list(folder.glob("*.jpg"))) == 30
    assert len(photographs_requested(server)) == 30 - len(there)
    assert "license" not in capsys.readouterr().out


def test_unsplash_photographs_that_are_gone_are_named_and_not_tried_again(unsplash_server, tmp_path, capsys):
    server = unsplash_server
    for number in range(0, 40, 4):
        server.plans[f"photo-{number}"] = [answer(404) if number % 8 else answer(200, b"no picture")]
    folder = fetch("unsplash-lite", tmp_path)
    missing = 30 - len(list(folder.glob("*.jpg")))
    assert missing > 0
    shown = capsys.readouterr().out
    assert shown.count("(404)") + shown.count("text, not a picture") == missing
    assert not list(tmp_path.rglob("*.part"))
    server.requests.clear()
    fetch("unsplash-lite", tmp_path)
    assert server.requests == []
    assert f"{missing} of 30" in capsys.readouterr().out


def test_unsplash_gives_up_when_nothing_works(unsplash_server, tmp_path):
    for number in range(40):
        unsplash_server.plans[f"photo-{number}"] = [cut_after(10)]
    with pytest.raises(
        CourseError, match=r"25 photographs in a row failed, the last because 127.0.0.1 broke off"
    ):
        fetch("unsplash-lite", tmp_path)
    manifest = json.loads((tmp_path / "unsplash-lite" / "manifest.json").read_text(encoding="utf-8"))
    assert len(manifest["chosen"]) == 30
    assert manifest["gone"] == {}


@pytest.mark.parametrize("body", [b"PK no zip", None])
def test_unsplash_without_a_list(body, unsplash_server, tmp_path):
    if body is None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("photos.tsv000", "something\telse\n1\t2\n")
        body = packed.getvalue()
    unsplash_server.put("lite.zip", body)
    with pytest.raises(CourseError, match="no list of photographs"):
        fetch("unsplash-lite", tmp_path)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["unsplash-lite.lock"]


@pytest.mark.skipif(not LARGE.is_file(), reason="LARGE_ARCHIVE names no archive")
def test_the_large_archive_through_cuts_and_stalls(server, tmp_path):
    content = LARGE.read_bytes()
    server.put("x.tar", content, cut_after(50_000_000), stall, answer(503), serve)
    get(server.url("x.tar"), tmp_path / "x.tar", content)
    assert hashlib.sha256((tmp_path / "x.tar").read_bytes()).digest() == hashlib.sha256(content).digest()
    assert len(server.requests) == 4
