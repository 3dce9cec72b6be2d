import browser as browser_module
import pytest
from browser import browser, is_local, open_page, serious_violations  # noqa: F401

BAD_PAGE = """<!doctype html><html lang="en"><title>Bad</title><body>
<img src="https://example.org/picture.png" alt="">
<script>console.error("complaint"); setTimeout(() => { throw new Error("thrown"); });</script>"""


@pytest.mark.quick
@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("file:///tmp/page.html", True),
        ("file://server/page.html", False),
        ("http://127.0.0.1:8888/lab", True),
        ("ws://localhost:8888/api", True),
        ("http://[::1]:1/", True),
        ("data:text/plain,x", True),
        ("https://example.org/", False),
        ("http://127.0.0.1.example.org/", False),
        ("http://localhost@example.org/", False),
    ],
)
def test_tells_requests_that_leave(address, local):
    assert is_local(address) == local


@pytest.mark.quick
def test_a_missing_chromium_skips_elsewhere_and_fails_where_it_is_required(monkeypatch):
    monkeypatch.setattr(browser_module.shutil, "which", lambda name: None)
    monkeypatch.delenv(browser_module.NEED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        browser_module.find_chromium()
    monkeypatch.setenv(browser_module.NEED, "required")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"):
        browser_module.find_chromium()


def test_sees_complaints_and_requests_that_leave(open_page, tmp_path):  # noqa: F811
    (tmp_path / "bad.html").write_text(BAD_PAGE)
    watched = open_page((tmp_path / "bad.html").as_uri())
    watched.page.wait_for_load_state("networkidle")
    assert watched.left == ["https://example.org/picture.png"]
    assert "complaint" in watched.errors
    assert any("thrown" in error for error in watched.errors)


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1100, "dark")])
def test_opens_at_a_width_and_in_a_color_scheme(open_page, tmp_path, width, scheme):  # noqa: F811
    (tmp_path / "good.html").write_text("<!doctype html><title>Good</title><p>Good")
    watched = open_page((tmp_path / "good.html").as_uri(), width=width, scheme=scheme)
    assert watched.page.evaluate("innerWidth") == width
    assert watched.page.evaluate(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
    assert watched.errors == watched.left == []


def test_sees_what_keeps_people_from_using_a_page(open_page, tmp_path):  # noqa: F811
    page = tmp_path / "page.html"
    page.write_text('<!doctype html><html lang="en"><title>Page</title><main><h1>Page</h1><button></button>')
    assert [rule.partition(":")[0] for rule in serious_violations(open_page(page.as_uri()))] == [
        "button-name"
    ]
    page.write_text(page.read_text().replace("</button>", "Named</button>"))
    assert serious_violations(open_page(page.as_uri())) == []
