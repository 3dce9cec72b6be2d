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
from browser import (  # noqa: F401
    browser,
    color_at,
    drawn,
    open_page,
    said,
    serious_violations,
)
from PIL import Image, ImageColor

from helpers import colorize, places, recorded
from helpers.__main__ import main
from helpers.errors import CourseError
from helpers.hints import Hint
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


def test_hints_are_heeded(url):
    original = colorize.read(LEMUR.read_bytes())
    hints = [
        Hint(0.25, 0.5, 60, -60),
        Hint(1, 0, *rgb_to_lab(np.array([48, 96, 160], np.uint8))[1:].tolist()),
    ]
    asked = COLOR | {"hints": "25%,50%=60,-60;100.00%,0%=#3060a0"}
    found = pixels(requests.post(f"{url}color", params=asked, data=LEMUR.read_bytes()).content).astype(int)
    colorizer = colorize.load("colorizer", 0.5, hints=True)
    wanted, without = (
        pixels(colorize.encode(original, colorize.colorize([original], colorizer, [each])[0]))
        for each in (hints, [])
    )
    assert np.abs(found - wanted).mean() < np.abs(found - without).mean() / 4


def test_the_likely_colors_of_a_place_are_shown_at_its_lightness(url):
    place = {"network": "colorizer", "x": 0.3, "y": 0.8}
    found, told = (
        requests.post(f"{url}likely", params=place | hints, data=LEMUR.read_bytes()).json()
        for hints in ({}, {"hints": "31%,80%=60,-60"})
    )
    original = colorize.read(LEMUR.read_bytes())
    wanted = colorize.likely(original, colorize.load(hints=True), 0.3, 0.8)
    assert [(each["a"], each["b"]) for each in found] == [(hint.a, hint.b) for hint, _ in wanted]
    np.testing.assert_allclose([each["probability"] for each in found], [odds for _, odds in wanted], 1e-4)
    assert [each["probability"] for each in told] != [each["probability"] for each in found]
    height, width = original.pixels.shape[:2]
    lightness = rgb_to_lab(original.pixels)[int(0.8 * height), int(0.3 * width), 0]
    for each in found:
        L, a, b = rgb_to_lab(np.array(ImageColor.getrgb(each["color"]), np.uint8))
        assert abs(L - lightness) < 1
        assert abs(a * each["b"] - b * each["a"]) < 100  # the same hue
    assert len({each["color"] for each in found}) == len(found) > 3


def test_hints_are_offered_for_the_network_that_takes_them_if_it_is_there(url, monkeypatch):
    offered = requests.get(f"{url}settings").json()
    assert [each["name"] for each in offered["networks"] if each["hints"]] == ["colorizer"]
    assert offered["mostHints"] == 100
    monkeypatch.setattr(recorded, "has", lambda name: name == "colorizer")
    assert [(each["name"], each["hints"]) for each in app._networks()] == [("colorizer", False)]


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


NO_HINT = "a hint is a place in percent and a color, such as 50%,25%=#3060a0 or 50%,25%=40,-20"


@pytest.mark.parametrize(
    ("hints", "line"),
    [
        (";".join(["50%,50%=1,2"] * 101), "101 hints are too many: 100 are the most"),
        ("50%,50%=128,0", "a hint's a is a number from -128 to 127, not 128.0"),
        ("50%,50%=0,-129", "a hint's b is a number from -128 to 127, not -129.0"),
        ("50%,101%=1,2", "the hint 50%,101%=1,2 lies outside of the picture"),
        ("-1%,50%=1,2", "the hint -1%,50%=1,2 lies outside of the picture"),
        ("50,50=1,2", NO_HINT),
        ("nan%,50%=1,2", NO_HINT),
        ("50%,50%=inf,2", NO_HINT),
        ("50%,50%=1e1,2", NO_HINT),
        ("50%,50%=red", NO_HINT),
        ("50%,50%=#F00", NO_HINT),
        ("50%,50%=1,2;", NO_HINT),
        ("50%,50%=1,2\n", NO_HINT),
        ("50%,\u0665%=1,2", NO_HINT),
        ("[]", NO_HINT),
        ("0" * 10_000, NO_HINT),
    ],
)
def test_a_wrong_hint_is_a_line(url, hints, line):
    for path, asked in (("color", COLOR), ("likely", {"network": "colorizer", "x": 0.5, "y": 0.5})):
        answer = requests.post(url + path, params=asked | {"hints": hints}, data=png(40, 40))
        assert answer.status_code == 422
        assert answer.text.startswith(line)
        assert "\n" not in answer.text


def test_a_hundred_hints_are_taken(url):
    hints = ";".join(f"{each}%,{each}%=-20.25,40" for each in range(100))
    assert requests.post(f"{url}color", params=COLOR | {"hints": hints}, data=png(40, 40)).ok


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"network": "colorizer", "x": "0.5"}, "y is a number from 0 to 1"),
        ({"network": "colorizer", "x": "1.01", "y": "0.5"}, "x is a number from 0 to 1"),
        ({"network": "colorizer", "x": "nan", "y": "0.5"}, "x is a number from 0 to 1"),
        ({"network": "colorizer", "x": "0.5", "y": "here"}, "y is a number from 0 to 1"),
        ({"network": "baseline", "x": "0.5", "y": "0.5"}, "baseline has one answer alone"),
        ({"network": "none", "x": "0.5", "y": "0.5"}, "there is no such network"),
    ],
)
def test_where_no_color_can_be_likely_is_a_line(url, asked, line):
    answer = requests.post(f"{url}likely", params=asked, data=png(40, 40))
    assert (answer.status_code, answer.text.partition(":")[0]) == (422, line)


@pytest.mark.parametrize(
    ("asked", "data", "line"),
    [
        (COLOR | {"network": "baseline", "hints": "5%,5%=1,2"}, png(40, 40), "baseline takes no hints"),
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
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as gone:
            gone.sendall(b"POST /preview HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
        assert requests.get(url).ok
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


@pytest.fixture
def served(monkeypatch):
    """Who would be served: the names that are answered, in place of a server."""
    names = []
    monkeypatch.setattr(app, "create", names.append)
    monkeypatch.setattr(app.uvicorn.Server, "run", lambda self, sockets: None)
    return names


def test_a_port_that_is_taken_is_refused_in_one_line(taken, served, capsys):
    assert main(["app", "--port", str(taken)]) == 2
    said = capsys.readouterr().err
    assert said == f"error: cannot listen at 127.0.0.1, port {taken}: Address already in use\n"


def test_an_address_that_is_none_is_refused_in_one_line(served, capsys):
    assert main(["app", "--host", "256.0.0.1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: cannot listen at 256.0.0.1: ")
    assert said.count("\n") == 1


def test_if_the_usual_port_is_taken_another_is_said(taken, served, monkeypatch, capsys):
    monkeypatch.setattr(app, "PORT", taken)
    app.run("127.0.0.1", None)
    said = capsys.readouterr()
    assert said.err == f"port {taken} is taken: this is another one\n"
    assert urlsplit(said.out.split()[0]).port not in (None, taken)
    assert served == [[*app.AT_HOME, "127.0.0.1"]]


def test_other_machines_are_let_in_only_if_asked_for_and_it_is_said(served, capsys):
    app.run("0.0.0.0", 0)
    said = capsys.readouterr().err
    assert said == (
        "listening at 0.0.0.0: every machine that reaches this one can send it pictures, unencrypted\n"
    )
    assert served == [["*"]]
    app.run("127.0.0.2", 0)
    assert capsys.readouterr().err == ""
    assert served[1] == [*app.AT_HOME, "127.0.0.2"]


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


# In a browser -----------------------------------------------------------------------------------------

DROP = """([selector, name, numbers]) => {
    const carried = new DataTransfer();
    carried.items.add(new File([new Uint8Array(numbers)], name));
    document.querySelector(selector).dispatchEvent(
        new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


def drop(page, name, data):
    page.wait_for_selector(".own-picture")  # the page builds it when its networks have come
    page.evaluate(DROP, [".own-picture", name, list(data)])


def test_a_visitor_drops_a_photograph_and_gets_it_in_color(url, browser, tmp_path):  # noqa: F811
    page = browser.new_page()
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    assert "At most 50 MB and 50 megapixels." in page.locator(".limits").inner_text()
    drop(page, "grandmother.jpg", LEMUR.read_bytes())
    page.wait_for_selector(".wipe:not([hidden])")
    assert page.locator(".says").inner_text() == f"grandmother.jpg {colorize.HAS_COLOR}."
    before, after = drawn(page.locator(".before")), drawn(page.locator(".after"))
    assert chroma(before) < 1
    assert chroma(after) > 4
    assert np.abs(rgb_to_lab(before)[..., 0] - rgb_to_lab(after)[..., 0]).mean() < 1

    # The wipe, by its keys.
    clip = "image => getComputedStyle(image).clipPath"
    assert page.locator(".after").evaluate(clip) == "inset(0px 0px 0px 50%)"
    page.locator(".wipe input").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".after").evaluate(clip) == "inset(0px 0px 0px 51%)"

    # The vividness and the network: the picture follows.
    for act in (
        lambda: page.locator(".vividness input").fill("0"),
        lambda: page.locator(".networks select").select_option("baseline"),
    ):
        shown = page.locator(".after").get_attribute("src")
        act()
        page.wait_for_function("shown => document.querySelector('.after').src !== shown", arg=shown)
        last, after = after, drawn(page.locator(".after"))
        assert np.abs(last.astype(int) - after).mean() > 0.5
    assert page.locator(".vividness input").is_disabled()

    with page.expect_download() as download:
        page.get_by_role("button", name="Download in full size").click()
    assert download.value.suggested_filename == "grandmother-colored.jpg"
    download.value.save_as(tmp_path / "result.jpg")
    assert Image.open(tmp_path / "result.jpg").size == Image.open(LEMUR).size
    assert errors == []
    assert [each for each in asked if not each.removeprefix("blob:").startswith(url)] == []


def test_a_broken_file_is_a_line_on_the_page_and_the_picture_stays(url, browser):  # noqa: F811
    page = browser.new_page()
    page.goto(url)
    drop(page, "good.jpg", LEMUR.read_bytes())
    page.wait_for_selector(".wipe:not([hidden])")
    shown = page.locator(".after").get_attribute("src")
    drop(page, "<b>bad</b>.jpg", b"remember the milk")
    page.wait_for_selector(".says.wrong")
    assert page.locator(".says").inner_text() == "<b>bad</b>.jpg: text, not a picture"
    assert page.locator(".after").get_attribute("src") == shown
    page.evaluate(
        "() => document.querySelector('.own-picture').dispatchEvent(new DragEvent('drop',"
        "{ dataTransfer: new DataTransfer(), bubbles: true }))"
    )
    assert page.locator(".says").inner_text().startswith("That was no file")


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1100, "light")])
def test_the_page_fits_its_window_and_anyone_can_use_it(url, open_page, width, scheme):  # noqa: F811
    watched = open_page(url, width=width, scheme=scheme)
    page = watched.page
    wide = io.BytesIO()
    Image.open(LEMUR).resize((3000, 500)).save(wide, "JPEG")
    drop(page, "wide.jpg", wide.getvalue())
    page.wait_for_selector(".wipe:not([hidden])")
    click(page, 0.3, 0.5)
    page.locator(".swatch").first.click()
    said(page, "Colored with 1 hint.")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert serious_violations(watched) == []
    assert watched.errors == watched.left == []


# Hints in a browser -------------------------------------------------------------------------------------


def click(page, x, y):
    """Click on a place of the picture, and wait for the colors that are likely there."""
    box = page.locator(".pick").bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    said(page, "Likely colors at")


COLOR_OF = "button => button.style.getPropertyValue('--color')"


def rings(page):
    return [ring.get_attribute("aria-label").partition(",")[2] for ring in page.locator(".ring").all()]


@pytest.fixture
def page(url, open_page):  # noqa: F811
    """The page with a photograph in color."""
    watched = open_page(url)
    drop(watched.page, "grandmother.jpg", LEMUR.read_bytes())
    watched.page.wait_for_selector(".wipe:not([hidden])")
    yield watched.page
    assert watched.errors == watched.left == []


def test_a_click_and_a_color_and_the_picture_follows(page):
    untold = color_at(page, 0.25, 0.5)
    click(page, 0.25, 0.5)
    swatches = page.locator(".swatch")
    names = [each.get_attribute("aria-label") for each in swatches.all()]
    for name, percent in zip(names, swatches.all_inner_texts(), strict=True):
        assert name.partition(", ")[2] == percent
        assert percent.endswith(" %")
    assert len(set(names)) > 3
    # One that is likely.
    colors = [ImageColor.getrgb(each.evaluate(COLOR_OF)) for each in swatches.all()]
    far = np.linalg.norm(rgb_to_lab(np.array(colors, np.uint8))[:, 1:] - untold, axis=-1).argmax()
    swatches.nth(far).click()
    said(page, "Colored with 1 hint.")
    assert swatches.nth(far).get_attribute("aria-pressed") == "true"
    assert page.locator(".swatch[aria-pressed=true]").count() == 1
    # It lay where the picture was kept grey.
    assert page.locator(".wipe > input").input_value() == "0"
    likely = color_at(page, 0.25, 0.5)
    assert np.linalg.norm(likely - untold) > 1
    # One of one's own, in its place.
    page.locator(".own input").fill("#2040ff")
    said(page, "Colored with 1 hint.")
    assert rings(page) == [" #2040ff, 25 % from the left, 50 % from the top"]
    assert page.locator(".swatch[aria-pressed=true]").count() == 0
    assert color_at(page, 0.25, 0.5)[1] < min(likely[1], untold[1]) - 1


def test_hints_go_one_by_one_or_all_at_once_and_come_back(page):
    untold = drawn(page.locator(".after"))
    for x, color in ((0.25, "#2040ff"), (0.75, "#ff4020")):
        click(page, x, 0.5)
        page.locator(".own input").fill(color)
        said(page, "Colored with ")
    both = drawn(page.locator(".after"))
    left, right = rings(page)
    assert ("#2040ff" in left, "#ff4020" in right) == (True, True)
    page.locator(".ring").first.click()
    said(page, "Likely colors at 25 %")
    page.get_by_role("button", name="Remove this hint").click()
    said(page, "Hint removed. Colored with 1 hint.")
    assert rings(page) == [right]
    page.get_by_role("button", name="Undo").click()
    said(page, "Undone. Colored with 2 hints.")
    assert rings(page) == [left, right]
    np.testing.assert_array_equal(drawn(page.locator(".after")), both)
    page.get_by_role("button", name="Remove all hints").click()
    said(page, "All hints removed. Colored with no hint.")
    assert page.get_by_role("button", name="Remove all hints").is_disabled()
    np.testing.assert_array_equal(drawn(page.locator(".after")), untold)
    page.keyboard.press("Control+z")
    said(page, "Undone. Colored with 2 hints.")
    assert rings(page) == [left, right]
    # Another picture has none of them, nor can they be brought back to it.
    drop(page, "grandfather.jpg", LEMUR.read_bytes())
    said(page, "grandfather.jpg")
    assert rings(page) == []
    assert page.get_by_role("button", name="Undo").is_disabled()
    np.testing.assert_array_equal(drawn(page.locator(".after")), untold)


def test_hints_hold_at_every_vividness_and_in_the_download(page, tmp_path):
    click(page, 0.26, 0.51)  # well within one place of the network
    page.locator(".own input").fill("#2040ff")
    said(page, "Colored with 1 hint.")
    shown = page.locator(".after").get_attribute("src")
    page.locator(".vividness input").fill("0")
    page.wait_for_function("shown => document.querySelector('.after').src !== shown", arg=shown)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download in full size").click()
    download.value.save_as(tmp_path / "result.jpg")
    original = colorize.read(LEMUR.read_bytes())
    a, b = rgb_to_lab(np.array(ImageColor.getrgb("#2040ff"), np.uint8))[1:].tolist()
    colorizer = colorize.load(hints=True, vividness=0)
    with_hint, without = (
        pixels(colorize.encode(original, colorize.colorize([original], colorizer, [hints])[0]))
        for hints in ([Hint(0.26, 0.51, a, b)], [])
    )
    found = pixels((tmp_path / "result.jpg").read_bytes()).astype(int)
    assert np.abs(found - with_hint).mean() < np.abs(found - without).mean() / 4
    # Another network takes none, and is not sent any.
    page.locator(".networks select").select_option("baseline")
    page.wait_for_selector(".talk", state="hidden")
    assert page.locator(".ring").first.is_hidden()
    page.locator(".networks select").select_option("colorizer")
    assert page.locator(".ring").first.is_visible()
    assert page.locator(".wrong").count() == 0


def test_the_keyboard_alone_gives_hints_and_takes_them_away(page):
    page.locator(".file").focus()
    page.keyboard.press("Tab")
    focused = "() => document.activeElement.className"
    assert page.evaluate(focused) == "pick"
    for key in ("Shift+ArrowLeft", "Shift+ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    assert page.locator(".says").inner_text() == "30 % from the left, 50 % from the top."
    assert page.locator(".cursor").is_visible()
    untold = drawn(page.locator(".after"))
    page.keyboard.press("Enter")
    said(page, "Likely colors at 30 %")
    assert page.evaluate(focused) == "swatch"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    said(page, "Colored with 1 hint.")
    assert page.locator(".swatch").nth(1).get_attribute("aria-pressed") == "true"
    told = drawn(page.locator(".after"))
    assert np.abs(told.astype(int) - untold).mean() > 0.1
    page.keyboard.press("Escape")
    assert page.locator(".palette").is_hidden()
    assert page.evaluate(focused) == "pick"
    # The wipe, then the ring.
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "ring"
    page.keyboard.press("Delete")
    said(page, "Hint removed. Colored with no hint.")
    assert page.evaluate(focused) == "pick"
    np.testing.assert_array_equal(drawn(page.locator(".after")), untold)
    page.keyboard.press("Control+z")
    said(page, "Undone. Colored with 1 hint.")
    np.testing.assert_array_equal(drawn(page.locator(".after")), told)


def test_a_hint_too_many_is_said_and_not_placed(url, open_page):  # noqa: F811
    watched = open_page("about:blank")
    page = watched.page
    page.route(
        "**/settings",
        lambda route: route.fulfill(json=requests.get(f"{url}settings").json() | {"mostHints": 1}),
    )
    page.goto(url)
    drop(page, "grandmother.jpg", LEMUR.read_bytes())
    page.wait_for_selector(".wipe:not([hidden])")
    for x in (0.25, 0.75):
        click(page, x, 0.5)
        page.locator(".swatch").first.click()
        said(page, "Colored with 1 hint." if x == 0.25 else "1 hints are the most.")
    assert len(rings(page)) == 1
