"""The settings of the two profiles, and what a lesson begins with."""

import dataclasses
import inspect
import os
import re
from pathlib import Path

import matplotlib
import nbformat
import pytest

from helpers import backend, display, profiles
from helpers.errors import CourseError
from helpers.places import NOTEBOOKS, ROOT, RUNS, lessons


@pytest.fixture
def seeds(monkeypatch):
    """The seeds that were set. Not set in earnest: that would change the tests that come after."""
    given = []
    monkeypatch.setattr(backend, "set_seed", given.append)
    return given


@pytest.fixture(autouse=True)
def relaxed(monkeypatch):
    """What claims were relaxed for, kept from the tests that come after."""
    kept = []
    monkeypatch.setattr(display, "_relaxed", kept)
    return kept


def test_a_lesson_has_the_settings_of_its_profile(seeds, tmp_path):
    lesson = profiles.begin("tiny", 3, str(tmp_path))
    for name, value in dataclasses.asdict(profiles.PROFILES["tiny"]).items():
        assert getattr(lesson, name) == value
    assert (lesson.name, lesson.seed, lesson.out) == ("tiny", 3, tmp_path)
    assert seeds == [3]


def test_a_lesson_begins_with_one_line_that_names_no_folder(seeds, capsys, tmp_path):
    profiles.begin("full", 0, str(tmp_path))
    printed = capsys.readouterr()
    assert re.fullmatch(
        r"full profile · seed 0 · Keras \d+\.\d+\.\d+ on (tensorflow|jax|torch)\n", printed.out
    )
    assert printed.err == ""


def test_an_override_replaces_a_setting_and_none_leaves_it(seeds):
    tiny = profiles.PROFILES["tiny"]
    lesson = profiles.begin("tiny", 0, epochs=3, photos=None, width=1.0)
    assert (lesson.epochs, lesson.photos, lesson.width) == (3, tiny.photos, 1.0)
    width = profiles.begin("tiny", 0, width=1).width
    assert (width, type(width)) == (1.0, float)  # a whole number is a number
    assert profiles.PROFILES["tiny"] == tiny


def test_names_can_be_given_with_commas_or_as_none(seeds):
    lesson = profiles.begin("tiny", 0, flips="left-right", contrast="none")
    assert (lesson.flips, lesson.contrast) == (("left-right",), ())
    lesson = profiles.begin("full", 0, flips=" upside-down, left-right")
    assert lesson.flips == ("upside-down", "left-right")
    assert profiles.begin("tiny", 0, flips=("upside-down",)).flips == ("upside-down",)


def test_claims_are_relaxed_for_other_settings_only(seeds, relaxed, tmp_path):
    profiles.begin("tiny", 1, str(tmp_path), epochs=None, photos=None)
    assert relaxed == []
    profiles.begin("tiny", 1, epochs=3)
    assert relaxed == ["the course's own settings"]
    profiles.begin("tiny", 1)  # the same kernel, with the settings put back
    assert relaxed == []


def test_the_networks_go_into_the_given_folder(seeds, tmp_path):
    lesson = profiles.begin("tiny", 0, str(tmp_path / "new"))
    assert lesson.models == tmp_path / "new" / "models"
    assert lesson.models.is_dir()
    assert lesson.models.is_dir()  # asked for again, it is there already


def test_without_a_folder_the_run_is_named_after_its_profile(seeds):
    assert profiles.begin("tiny", 0).out == Path(profiles.__file__).parents[1] / "runs" / "tiny"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "huge"}, r"no profile 'huge'; the profiles are tiny, full"),
        ({"name": None}, r"no profile None; the profiles are tiny, full"),
        ({"out": 3}, r"OUT is 3; it must be the path of a folder"),
        ({"epochs": "banana"}, r"epochs is 'banana'; it must be a whole number above 0"),
        ({"gan_epochs": 0}, r"gan_epochs is 0; it must be a whole number above 0"),
        ({"epochs": True}, r"epochs is True; it must be a whole number"),
        ({"width": -0.5}, r"width is -0.5; it must be a number above 0"),
        ({"photos": 3}, r"photos is 3; it must be text"),
        ({"encoder_learns": 1}, r"encoder_learns is 1; it must be True or False"),
        ({"width": 0}, r"width is 0\.0; it must be a number above 0"),
        ({"width": True}, r"width is True; it must be a number above 0"),
        ({"width": "long"}, r"width is 'long'; it must be a number above 0"),
        (
            {"flips": "left-right, sideways"},
            r"flips has 'sideways'; there are left-right, upside-down, or none",
        ),
        ({"contrast": 1}, r'contrast is 1; it must be names with commas between them, or "none"'),
        ({"seed": -1}, r"SEED is -1; it must be a whole number from 0"),
        ({"seed": 1.5}, r"SEED is 1\.5; it must"),
        ({"seed": "0"}, r"SEED is '0'; it must"),
        ({"seed": True}, r"SEED is True; it must"),
        (
            {"epoch": 3},
            r"epoch: not a setting; the settings are .*epochs, "
            r"flips, gan_epochs, gan_filters, goes_on",
        ),
        ({"epoch": None}, r"epoch: not a setting"),
    ],
)
def test_a_wrong_argument_is_named_in_one_line(seeds, arguments, message, capsys):
    with pytest.raises(CourseError, match=message) as error:
        profiles.begin(**{"name": "tiny", "seed": 0} | arguments)
    assert len(str(error.value).splitlines()) == 1
    assert seeds == []
    assert capsys.readouterr().out == ""


def test_a_seed_that_the_generators_would_refuse_is_refused(seeds):
    with pytest.raises(CourseError, match="SEED"):
        profiles.begin("tiny", 2**32)


@pytest.mark.parametrize("kind", [profiles.Profile, profiles.Lesson])
def test_every_setting_is_documented(kind):
    documented = re.findall(r"^(\w+) : ", inspect.getdoc(kind), re.MULTILINE)
    inherited = [field.name for field in dataclasses.fields(profiles.Profile)]
    own = [field.name for field in dataclasses.fields(kind)]
    assert documented == (own if kind is profiles.Profile else own[len(inherited) :])


def test_the_networks_take_the_sizes_of_every_profile():
    for profile in profiles.PROFILES.values():
        assert profile.size % 8 == 0


def test_every_lesson_begins_with_a_profile_that_exists():
    for path in lessons(NOTEBOOKS):
        source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        [name] = re.findall(r'^PROFILE = "(\w+)"', source, re.MULTILINE)
        assert name in profiles.PROFILES
        assert re.search(r"profiles\.begin\(\s*PROFILE,\s*SEED,\s*OUT\b", source)


@pytest.mark.parametrize(
    ("photos", "name"),
    [
        (None, "tiny"),
        ("sample", "tiny"),
        ("flowers", "tiny-flowers"),
        ("flowers+sample", "tiny-flowers+sample"),
    ],
)
def test_other_photographs_of_the_catalogue_get_a_folder_of_their_name(seeds, photos, name):
    assert profiles.folder("tiny", photos) == RUNS / name
    assert profiles.begin("tiny", 0, photos=photos).out == RUNS / name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2024.07 Rome", "2024.08 Oslo"),
        ("a/photos", "b/photos"),
        ("cats.zip", "cats.tar"),
        ("set.v1", "set.v2"),
        ("a/photos+flowers", "b/photos+flowers"),
        ("./flowers", "flowers"),
        ("a" * 240, "a" * 241),
        ("ä" * 120, "ä" * 119),
    ],
)
def test_no_two_places_share_a_folder(seeds, one, other, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert profiles.folder("tiny", one) != profiles.folder("tiny", other)
    assert profiles.folder("tiny", one).parent == RUNS
    assert len(os.fsencode(profiles.folder("tiny", one).name)) <= 255
    assert profiles.begin("tiny", 0, photos=one).out == profiles.folder("tiny", one)


def test_the_folder_of_own_photographs_has_their_whole_name_and_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    whole = profiles.folder("full", str(tmp_path / "2024.07 Rome.zip"))
    assert re.fullmatch(r"full-2024\.07 Rome\.zip-[0-9a-f]{8}", whole.name)
    for same in ("2024.07 Rome.zip", "./2024.07 Rome.zip", "a/../2024.07 Rome.zip", "~/2024.07 Rome.zip"):
        assert profiles.folder("full", same) == whole


def test_a_name_that_is_no_text_names_a_folder(tmp_path):
    assert re.fullmatch(
        r"tiny-m\udce4rz-[0-9a-f]{8}", profiles.folder("tiny", str(tmp_path / "m\udce4rz")).name
    )


def test_the_home_folder_is_not_a_folder_called_tilde(seeds, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert profiles.begin("tiny", 0, "~/mine").out == tmp_path / "mine"


@pytest.mark.skipif(os.name == "nt", reason="Windows looks for home folders beside the user's own")
def test_a_home_folder_that_there_is_not_is_named_in_one_line(seeds):
    for wrong in ({"out": "~no such user/x"}, {"photos": "~no such user/x"}):
        with pytest.raises(CourseError, match=r"^~no such user/x: there is no home folder ~no such user$"):
            profiles.begin("tiny", 0, **wrong)
    assert seeds == []


def test_a_folder_that_cannot_be_written_to_is_named_in_one_line(seeds, tmp_path):
    (tmp_path / "file").touch()
    lesson = profiles.begin("tiny", 0, str(tmp_path / "file" / "below"))
    with pytest.raises(CourseError, match=r"cannot write to .*below.models: .*file is a file.*as OUT$"):
        lesson.models  # noqa: B018


# The reader's own settings ---------------------------------------------------------------------------


def test_a_lesson_begins_with_the_course_s_own_settings(seeds):
    keras = backend.keras
    before = dict(matplotlib.rcParams)
    matplotlib.rcParams.update({"image.origin": "lower", "savefig.dpi": 20, "font.family": "cursive"})
    keras.config.set_floatx("float16")
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_epsilon(0.1)
    keras.config.set_max_epochs(1)
    keras.config.set_max_steps_per_epoch(1)
    profiles.begin("tiny", 0)
    assert dict(matplotlib.rcParams) == before
    assert keras.config.floatx() == keras.config.dtype_policy().name == "float32"
    assert keras.config.image_data_format() == "channels_last"
    assert keras.config.epsilon() == 1e-7
    assert (keras.config.max_epochs(), keras.config.max_steps_per_epoch()) == (None, None)


@pytest.mark.parametrize("inside", ["helpers/profiles.py", "helpers/other.py", None])
def test_a_notebook_beside_other_helpers_says_whose_code_and_data_these_are(
    inside, seeds, capsys, tmp_path, monkeypatch
):
    (tmp_path / "notebooks").mkdir()
    if inside:
        (tmp_path / "helpers").mkdir()
        (tmp_path / inside).touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    profiles.begin("tiny", 0)
    _, *more = capsys.readouterr().out.splitlines()
    if inside != "helpers/profiles.py":
        assert more == []
        return
    (line,) = more
    assert f"those of {ROOT}," in line
    assert f"`python -m pip install -e .` in {tmp_path} " in line


def test_a_notebook_of_this_course_says_nothing_of_others(seeds, capsys, monkeypatch):
    monkeypatch.chdir(NOTEBOOKS)
    profiles.begin("tiny", 0)
    assert capsys.readouterr().out.count("\n") == 1


def test_what_looks_alike_is_kept_if_a_lesson_asks_for_it(monkeypatch):
    asked = []
    monkeypatch.setattr("helpers.photographs.keep_near_duplicates", asked.append)
    for given in (None, True, False):
        profiles.begin("tiny", 0, near_duplicates=given)
    assert asked == [False, True, False]
    with pytest.raises(CourseError, match=r"near_duplicates is 'yes'; it must be True or False"):
        profiles.begin("tiny", 0, near_duplicates="yes")
