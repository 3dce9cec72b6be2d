"""Visitors give the page a photograph and get it in color; nothing else can be had, and nothing stays."""

import http.client
import io
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from PIL import Image

from helpers import colorize, places
from helpers.__main__ import main
from helpers.errors import CourseError
from helpers.lab import rgb_to_lab

pytest.importorskip("starlette", reason="the app's extra is not installed")
pytest.importorskip("uvicorn", reason="the app's extra is not installed")

from helpers import app

LEMUR = places.SAMPLE / "animal_lemur.jpg"
COLOR = {"network": "colorizer", "vividness": "0.5"}


@contextmanager
def started(folder, *words):
    """The app as a process of its own, in an empty folder, with an empty folder for what is temporary."""
    places_of_its_own = folder / "here", folder / "temporary"
    for place in places_of_its_own:
        place.mkdir()
    command = [sys.executable, "-m", "helpers", "app", *words]
    settings = {**os.environ, "PYTHONPATH": str(places.ROOT), "TMPDIR": str(places_of_its_own[1])}
    process = subprocess.Popen(
        command,
        cwd=places_of_its_own[0],
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert line.endswith("colors photographs; Ctrl-C ends it\n"), process.stderr.read()
        yield process, line.split()[0]
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with started(tmp_path_factory.mktemp("app"), "--port", "0") as (_, address):
        yield address


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def chroma(rgb):
    return np.linalg.norm(rgb_to_lab(rgb)[..., 1:], axis=-1).mean()


def png(width, height, mode="L"):
    target = io.BytesIO()
    Image.new(mode, (width, height)).save(target, "PNG")
    return target.getvalue()


def test_a_photograph_comes_back_as_the_command_colors_it(url):
    answer = requests.post(f"{url}color", params=COLOR, data=LEMUR.read_bytes())
    assert (answer.headers["content-type"], answer.headers["x-ending"]) == ("image/jpeg", ".jpg")
    original = colorize.read(LEMUR.read_bytes())
    wanted = colorize.encode(original, colorize.colorize([original], colorize.load("colorizer", 0.5))[0])
    assert np.abs(pixels(answer.content).astype(int) - pixels(wanted)).mean() < 0.5


def test_the_preview_is_grey_small_and_says_what_there_is_to_say(url):
    large = io.BytesIO()
    Image.open(LEMUR).resize((1800, 1200)).save(large, "PNG")
    answer = requests.post(f"{url}preview", data=large.getvalue())
    assert pixels(answer.content).shape == (427, 640, 3)
    assert chroma(pixels(answer.content)) < 1
    assert requests.utils.unquote(answer.headers["x-notes"]) == f'["{colorize.HAS_COLOR}"]'


def test_the_network_and_the_vividness_are_heeded(url):
    found = [
        chroma(pixels(requests.post(f"{url}color", params=asked, data=LEMUR.read_bytes()).content))
        for asked in (
            {"network": "baseline"},
            {"network": "colorizer", "vividness": 0},
            {"network": "colorizer", "vividness": 1},
        )
    ]
    assert len(set(found)) == 3
    assert found[1] < found[2]
    offered = requests.get(f"{url}settings").json()["networks"]
    assert offered[0]["name"] == "colorizer"
    assert [each["name"] for each in offered if each["vivid"]] == ["colorizer"]


def test_several_visitors_at_once_each_get_their_own(url):
    photographs = [path.read_bytes() for path in sorted(places.SAMPLE.glob("monument_*.jpg"))[:6]]
    with ThreadPoolExecutor(len(photographs)) as visitors:
        answers = list(
            visitors.map(lambda data: requests.post(f"{url}color", params=COLOR, data=data), photographs)
        )
    for given, answer in zip(photographs, answers, strict=True):
        lightness, wanted = (rgb_to_lab(pixels(data))[..., 0] for data in (answer.content, given))
        assert np.abs(lightness - wanted).mean() < 1


@pytest.mark.parametrize(
    "path",
    [
        "/file=/etc/passwd",
        "/gradio_api/file=/etc/passwd",
        f"/file={places.ROOT}/README.md",
        f"/gradio_api/file={places.ROOT}/README.md",
        "/../app.py",
        "/page/../../app.py",
        "/..%2f..%2fREADME.md",
        "/%2e%2e/app.py",
        "//etc/passwd",
        "/etc/passwd",
        "/widget.js",
        "/docs",
        "/openapi.json",
    ],
)
def test_no_file_can_be_had_by_its_path(url, path):
    # A plain connection: a client would tidy the path.
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (404, b"Not Found")


@pytest.mark.parametrize(
    ("asked", "data", "line"),
    [
        (COLOR, b"", "the file is empty"),
        (COLOR, b"<script>alert(1)</script>", "text, not a picture"),
        (COLOR, LEMUR.read_bytes()[:3000], "damaged or cut off"),
        (COLOR, png(8000, 7000, "1"), "56 megapixels are too many. At most 50 MB and 50 megapixels."),
        (COLOR, bytes(50_000_001), "the file is too large. At most 50 MB and 50 megapixels."),
        ({"network": "../../baseline"}, b"", "there is no such network"),
        ({"network": "colorizer", "vividness": "nan"}, b"", "the vividness is a number from 0 to 1"),
        ({"network": "colorizer", "vividness": "bold"}, b"", "the vividness is a number from 0 to 1"),
        ({"network": "baseline", "vividness": "1"}, png(9, 9), None),
    ],
)
def test_what_cannot_be_colored_is_a_line(url, asked, data, line):
    answer = requests.post(f"{url}color", params=asked, data=data)
    if line is None:
        assert answer.ok
        return
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith(line)
    assert "\n" not in answer.text


def test_every_answer_forbids_what_comes_from_elsewhere(url):
    for path in ("", "page.js", "settings", "nothing"):
        headers = requests.get(url + path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
    page = (
        requests.get(url).text + requests.get(f"{url}page.css").text + requests.get(f"{url}picture.css").text
    )
    assert "//" not in page.replace("<!--", "")


def test_on_loopback_no_other_name_is_answered(url):
    assert requests.get(url, headers={"host": "evil.example"}).status_code == 400
    assert requests.get(url, headers={"host": f"localhost:{urlsplit(url).port}"}).ok


def test_ctrl_c_ends_it_and_nothing_stays(tmp_path):
    with started(tmp_path, "--port", "0") as (process, url):
        assert requests.post(f"{url}color", params=COLOR, data=LEMUR.read_bytes()).ok
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


# Where it listens -------------------------------------------------------------------------------------


@pytest.fixture
def taken():
    """A port that another program listens at."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_port_that_is_taken_is_refused_in_one_line(taken, capsys):
    assert main(["app", "--port", str(taken)]) == 2
    said = capsys.readouterr().err
    assert said == f"error: cannot listen at 127.0.0.1, port {taken}: Address already in use\n"


def test_an_address_that_is_none_is_refused_in_one_line(capsys):
    assert main(["app", "--host", "256.0.0.1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: cannot listen at 256.0.0.1: ")
    assert said.count("\n") == 1


@pytest.fixture
def served(monkeypatch):
    """Who would be served: the names that are answered, in place of a server."""
    names = []
    monkeypatch.setattr(app, "create", names.append)
    monkeypatch.setattr(app.uvicorn.Server, "run", lambda self, sockets: None)
    return names


def test_if_the_usual_port_is_taken_another_is_said(taken, served, monkeypatch, capsys):
    monkeypatch.setattr(app, "PORT", taken)
    app.run("127.0.0.1", None)
    said = capsys.readouterr()
    assert said.err == f"port {taken} is taken: this is another one\n"
    assert urlsplit(said.out.split()[0]).port not in (None, taken)
    assert served == [app.AT_HOME]


def test_other_machines_are_let_in_only_if_asked_for_and_it_is_said(served, capsys):
    app.run("0.0.0.0", 0)
    said = capsys.readouterr().err
    assert said == (
        "listening at 0.0.0.0: every machine that reaches this one can send it pictures, unencrypted\n"
    )
    assert served == [["*"]]
    app.run("127.0.0.1", 0)
    assert capsys.readouterr().err == ""
    assert served[1] == app.AT_HOME


@pytest.mark.parametrize("words", [["--port", "65536"], ["--port", "http"]])
def test_a_port_is_a_number(words):
    with pytest.raises(SystemExit):
        main(["app", *words])


def test_without_its_extra_it_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["app"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: uvicorn is not installed: run `")
    assert said.endswith('-m pip install -e ".[app]"` in the course\'s folder\n')
    assert said.count("\n") == 1


def test_a_picture_that_does_not_come_is_not_waited_for(monkeypatch):
    import anyio

    class Slow:
        async def stream(self):
            yield b"a"
            await anyio.sleep(60)

    monkeypatch.setattr(app, "PATIENCE", 0)
    with pytest.raises(CourseError, match="did not come over within 0 seconds"):
        anyio.run(app._body, Slow())
