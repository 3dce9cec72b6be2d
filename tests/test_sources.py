"""The catalogue, and what `data/README.md` says of it."""

import re

import pytest

from helpers.errors import CourseError
from helpers.photographs import sources
from helpers.places import DATA

pytestmark = pytest.mark.quick

README = DATA / "README.md"


def catalogue_table() -> str:
    """Write the catalogue as a Markdown table, as `data/README.md` shows it."""
    rows = ["| name | photographs | download | sha256 | license |", "| --- | --- | --- | --- | --- |"]
    for source in sources.SOURCES.values():
        link = f"[{source.title}]({source.page})"
        size, checksum = {
            "embedded": ("comes with the course", "none"),
            "archive": (f"[{source.bytes:,} bytes]({source.url})", f"`{source.sha256}`"),
            "unsplash": (f"{source.download}, not fixed", "not fixed"),
        }[source.kind]
        rows.append(
            f"| `{source.name}` | {source.photographs:,}: {link} | {size} | {checksum} | {source.license} |"
        )
    return "\n".join(rows)


def test_the_readme_shows_the_catalogue():
    text = README.read_text(encoding="utf-8")
    shown = re.search(r"<!-- catalogue -->\n(.*?)\n<!-- end of catalogue -->", text, re.DOTALL)
    assert shown.group(1) == catalogue_table()


def test_every_entry_is_complete():
    for name, source in sources.SOURCES.items():
        assert source.name == name
        assert source.title
        assert source.license
        assert source.photographs > 0
        assert source.page.startswith("https://")
        is_archive, is_embedded = source.kind == "archive", source.kind == "embedded"
        assert is_archive or is_embedded or source.kind == "unsplash"
        assert bool(source.bytes) != is_embedded, "`fetch` compares it with the free disk space"
        assert source.download.startswith("about ") == (source.kind == "unsplash")
        assert re.fullmatch(r"[0-9a-f]{64}" if is_archive else "", source.sha256)
        assert re.fullmatch("" if is_embedded else r"https?://.+", source.url)


def test_an_unknown_source_is_named():
    with pytest.raises(CourseError, match="no source is called 'x': choose one of sample, imagenette-160, "):
        sources.source_named("x")


def test_the_photographs_that_skimage_ships_are_there():
    for file in sources.skimage_photographs().values():
        assert file.stat().st_size > 100_000
