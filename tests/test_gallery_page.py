"""The gallery's page in a real browser: the line, the filters, the game, and what any page needs."""

import csv
import json

import gallery_example
import numpy as np
import pytest
from browser import browser, open_page, serious_violations  # noqa: F401

from helpers import metrics, votes

# What is within the script that it opens would hide the end of the real one.
HOSTILE = '<!--<script><img src=x onerror="window.hit=1">'
SIDES = ("left", "right")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "gallery.html"
    path.write_text(gallery_example.page(), "utf-8")
    return path.as_uri()


@pytest.fixture
def watched(open_page, address):  # noqa: F811
    """Open the page; afterward nothing may have left it, and its console must be silent."""
    opened = open_page(address, has_touch=True)
    yield opened
    assert opened.left == opened.errors == []


def data_of(page):
    return json.loads(page.locator("#data").text_content())


def first(page):
    return page.locator(".photographs figure").first


def line_at(page):
    """Where the line of the first photograph is, by what is cut off the picture on the right of it."""
    return first(page).locator(".over").evaluate("image => getComputedStyle(image).clipPath")


def visible_names(page):
    return page.locator(".photographs figure:visible strong").all_text_contents()


def on_a_still_clock(watched):
    """The page with a clock that only the test moves."""
    watched.page.clock.install()
    watched.page.reload()
    watched.page.clock.pause_at("2030-01-01")
    return watched.page


def play(page, answer, seed=1, tested="0"):
    """Play forty rounds; return the pictures that were on the two sides."""
    page.locator("#tested").select_option(tested)
    page.locator("#seed").fill(str(seed))
    page.locator("#start").click()
    seen = []
    for number in range(votes.ROUNDS):
        page.locator(".two.seen").wait_for()
        assert page.locator("#said").text_content().startswith(f"Round {number + 1} of 40.")
        seen.append([page.locator(f"#shown-{side}").get_attribute("src") for side in SIDES])
        page.locator(f"#answer-{answer(number)}").click()
        page.clock.run_for(400)
    page.locator("#result").wait_for()
    return seen


def save(page, folder):
    with page.expect_download() as waiting:
        page.locator("#save").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def rows_of(path):
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def test_the_line_follows_keys_and_finger(watched):
    page = watched.page
    assert line_at(page) == "inset(0px 0px 0px 50%)"
    control = first(page).locator("input")
    control.focus()
    page.keyboard.press("ArrowRight")
    assert line_at(page) == "inset(0px 0px 0px 51%)"
    assert control.get_attribute("aria-valuetext") == "51 % grey"
    page.keyboard.press("Home")
    assert line_at(page) == "inset(0px 0px 0px 0%)"
    box = first(page).locator(".pair").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 4, box["y"] + 20)
    assert (line_at(page), control.input_value()) == ("inset(0px 0px 0px 25%)", "25")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 20, steps=3)
    page.mouse.up()
    page.mouse.move(box["x"], box["y"] + 20)
    assert line_at(page) == "inset(0px 0px 0px 80%)"


def test_either_side_of_the_line_shows_what_was_chosen_with_its_numbers(watched):
    page, data = watched.page, data_of(watched.page)
    for left, right in (("1", "0"), ("0", "4"), ("5", "2")):
        page.locator("#left").select_option(left)
        page.locator("#right").select_option(right)
        for row in range(5):
            figure = page.locator(".photographs figure").nth(row)
            shown = [figure.locator(place).get_attribute("src") for place in (".under", ".over")]
            assert shown == [data["colorings"][int(side)]["pictures"][row] for side in (left, right)]
            entries = {place: data["colorings"][place] for place in (0, int(left), int(right)) if place != 1}
            assert figure.locator(".numbers span").all_text_contents() == [
                f"{entry['name']}: ΔE {entry['delta_e'][row]:.1f}, PSNR {entry['psnr'][row]:.1f} dB"
                for entry in entries.values()
            ]
    alts = [first(page).locator(place).get_attribute("alt") for place in (".under", ".over")]
    assert alts == [
        "ant, with colors made up by pale (this run)",
        "ant, with colors made up by pale (recorded)",
    ]
    assert page.locator("#left optgroup").evaluate_all("groups => groups.map((group) => group.label)") == [
        "recorded",
        "this run",
    ]


def test_filters_show_the_best_the_median_and_the_worst_of_the_network_on_the_right(watched):
    page, shown = watched.page, gallery_example.photographs()
    names = ["ant", "bee hive", "cat", "dog", "elk"]
    found = []
    for place, coloring in enumerate(gallery_example.groups(shown)["recorded"], 2):
        order = np.argsort(metrics.measure(shown.rgb, coloring.rgb)["delta_e"])
        page.locator("#right").select_option(str(place))
        for name, rank in (("best", 0), ("median", 2), ("worst", 4)):
            page.locator("#filter").select_option(name)
            assert visible_names(page) == [names[order[rank]]]
            assert page.locator("#count").text_content() == "1 of 5 photographs."
        page.locator("#filter").select_option("all")
        assert visible_names(page) == names
        found.append(tuple(order))
    assert len(set(found)) == 3  # so that a filter by another network would have been noticed


def test_a_pair_is_seen_for_one_second(watched):
    page = on_a_still_clock(watched)
    page.locator("#start").click()
    page.locator(".two.seen").wait_for()
    assert page.locator("#shown-left").is_visible()
    page.clock.run_for(999)
    assert page.locator("#shown-left").is_visible()
    page.clock.run_for(1)
    assert not page.locator("#shown-left").is_visible()
    page.keyboard.press("ArrowRight")
    page.clock.run_for(400)
    page.locator(".two.seen").wait_for()
    assert page.locator("#said").text_content().startswith("Round 2 of 40.")


def test_forty_rounds_are_played_and_the_file_says_what_happened(watched, tmp_path):
    page = on_a_still_clock(watched)
    data = data_of(page)
    seen = play(page, lambda number: SIDES[number % 3 == 0])
    path = save(page, tmp_path)
    rows, read = rows_of(path), votes.read(path)
    assert path.name == f"votes-{read.play}.csv"
    assert read.gallery == data["game"]["sets"][0]["id"]
    truth = data["colorings"][1]["pictures"]
    pictures = {
        picture: (entry["name"].removesuffix(" (recorded)"), row)
        for entry in data["colorings"][2:5]
        for row, picture in enumerate(entry["pictures"])
    } | {picture: (votes.CATCH, int(row)) for row, picture in data["game"]["wrong"].items()}
    for number, (row, sources) in enumerate(zip(rows, seen, strict=True)):
        made_up, true = sources if row["made_up"] == "left" else sources[::-1]
        place = int(row["photograph"]) - 1
        assert pictures[made_up] == (row["network"], place)
        assert true == truth[place]
        assert (row["answer"], row["seed"]) == (SIDES[number % 3 == 0], "1")
    counts = [sum(row["network"] == title for row in rows) for title in gallery_example.NETWORKS]
    assert (sum(counts), max(counts) - min(counts)) == (32, 1)
    assert {row["made_up"] for row in rows} == set(SIDES)


def test_the_result_is_that_of_the_file(watched, tmp_path):
    page = on_a_still_clock(watched)
    play(page, lambda number: "left")
    read = votes.read(save(page, tmp_path))
    expected = []
    for title in gallery_example.NETWORKS:
        fooled = [was for network, was in read.fooled if network == title]
        low, high = (f"{100 * end:.0f} %" for end in votes.interval(sum(fooled), len(fooled)))
        share = f"{int(100 * sum(fooled) / len(fooled) + 0.5)} %"
        expected.append(f"{title} {len(fooled)} {share} {low} to {high}")
    rows = page.locator("#result tbody tr")
    assert [" ".join(rows.nth(row).locator("th, td").all_text_contents()) for row in range(3)] == expected
    verdict = "counts you" if read.counts else "leaves you out"
    assert page.locator("#verdict").text_content() == (
        f"You missed {read.missed} of the 8 catch trials, so a class's result {verdict}."
    )


def test_a_number_gives_the_same_rounds_again_and_another_one_others(watched, tmp_path):
    page = on_a_still_clock(watched)
    files = []
    for seed, tested in ((7, "0"), (7, "0"), (8, "0"), (7, "1")):
        play(page, lambda number: "left", seed, tested)
        files.append(rows_of(save(page, tmp_path)))
    rounds = [[(row["photograph"], row["network"], row["made_up"]) for row in rows] for rows in files]
    assert rounds[0] == rounds[1] != rounds[2]
    assert len({rows[0]["play"] for rows in files}) == 4
    assert {row["network"] for row in files[3]} == {"pale", votes.CATCH}
    assert files[3][0]["gallery"] != files[0][0]["gallery"] == files[2][0]["gallery"]


def test_the_game_is_played_by_keys_alone_and_can_be_stopped(watched):
    page = on_a_still_clock(watched)
    page.locator("#start").focus()
    page.keyboard.press("Enter")
    for number, key in enumerate(("ArrowLeft", "ArrowRight", "Enter"), 1):
        page.locator(".two.seen").wait_for()
        assert page.locator("#said").text_content().startswith(f"Round {number} of 40.")
        page.keyboard.press(key)
        page.keyboard.press(key)  # between two rounds nothing counts
        page.clock.run_for(400)
    page.locator(".two.seen").wait_for()
    page.keyboard.press("ArrowLeft")
    page.locator("#stop").focus()
    page.keyboard.press("Enter")
    assert not page.locator("#arena").is_visible()
    assert not page.locator("#result").is_visible()
    assert page.evaluate("document.activeElement.id") == "start"
    # What the stopped game was about to show does not come into the next one.
    page.keyboard.press("Enter")
    page.locator(".two.seen").wait_for()
    page.clock.run_for(400)
    assert page.locator("#said").text_content().startswith("Round 1 of 40.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_axe_finds_nothing_serious(open_page, address, width, scheme):  # noqa: F811
    watched = open_page(address, width=width, scheme=scheme)
    watched.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert serious_violations(watched) == []
    watched.page.locator("#start").click()
    watched.page.locator(".two.seen").wait_for()
    assert serious_violations(watched) == []
    # The result as it looks, filled or not.
    watched.page.locator("#stop").click()
    watched.page.evaluate("document.querySelector('#result').hidden = false")
    assert serious_violations(watched) == []
    assert watched.left == watched.errors == []


@pytest.mark.parametrize("width", [360, 1100, 1920])
def test_it_fits_every_width_and_nothing_moves_while_it_loads(open_page, address, width):  # noqa: F811
    watched = open_page(address, width=width, reduced_motion="reduce")
    page = watched.page
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.getAnimations().length") == 0
    page.reload()
    page.locator("#count").wait_for()
    moved = page.evaluate(
        """() => new Promise((resolve) => {
          let moved = 0;
          new PerformanceObserver((list) => list.getEntries().forEach((entry) => { moved += entry.value; }))
            .observe({ type: "layout-shift", buffered: true });
          requestAnimationFrame(() => requestAnimationFrame(() => resolve(moved)));
        })"""
    )
    assert moved == 0


def test_a_strangers_text_stays_text_and_the_policy_refuses_a_script(open_page, tmp_path):  # noqa: F811
    names = (HOSTILE, "b", "c", "d", "e")
    shown = gallery_example.photographs(
        names, [f"{HOSTILE} javascript:alert(1) https://example.org/{HOSTILE}"] * 5
    )
    (tmp_path / "page.html").write_text(gallery_example.page(shown), "utf-8")
    watched = open_page((tmp_path / "page.html").as_uri())
    page = watched.page
    assert visible_names(page)[0] == HOSTILE
    assert first(page).locator(".under").get_attribute("alt") == f"{HOSTILE}, in grey"
    assert page.locator("section li a").evaluate_all("links => links.map((link) => link.protocol)") == [
        "https:"
    ]
    assert watched.left == watched.errors == []
    page.evaluate(
        """() => {
          const script = Object.assign(document.createElement("script"), { textContent: "window.hit = 1" });
          const picture = '<img src="https://example.org/x" onerror="window.hit = 1">';
          document.body.append(script);
          document.body.insertAdjacentHTML("beforeend", picture);
        }"""
    )
    assert page.evaluate("window.hit === undefined")
    assert watched.left == []
    assert all("Content Security Policy" in error for error in watched.errors)
    assert len(watched.errors) >= 2


def test_one_photograph_is_compared_without_a_game(open_page, tmp_path):  # noqa: F811
    (tmp_path / "page.html").write_text(gallery_example.page(gallery_example.photographs(("only",))), "utf-8")
    watched = open_page((tmp_path / "page.html").as_uri())
    for name in ("best", "median", "worst", "all"):
        watched.page.locator("#filter").select_option(name)
        assert visible_names(watched.page) == ["only"]
    assert not watched.page.locator("#start").count()
    assert watched.left == watched.errors == []
