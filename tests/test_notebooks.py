"""The six lessons: what the committed notebooks are, and what they do on another seed.

That the committed outputs come from this code is nbval's part; it runs after these.
"""

import re

import gates
import pytest

from helpers.places import NOTEBOOKS, ROOT
from helpers.runner import run

OFFLINE = str(ROOT / "tests" / "offline")
SEED = 1  # the committed notebooks have 0
CELL_MINUTES = 15
MOST_MB = 3000

NAMES = (
    "01_data_download",
    "02_lab_and_augmentation",
    "03_baseline_cnn",
    "04_fusion_inception",
    "05_dcgan",
    "06_results_gallery",
)
# The lessons that load what others have trained.
NEEDS = {"06_results_gallery": ("03_baseline_cnn", "04_fusion_inception", "05_dcgan")}


def test_the_course_has_its_six_lessons():
    assert [path.stem for path in run.find_lessons(NOTEBOOKS)] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_notebook_passes_every_gate(name):
    complaints = gates.complaints(gates.read(NOTEBOOKS / f"{name}.ipynb"))
    assert not complaints, "\n".join(
        f"{gate}: {why}" for gate, reasons in complaints.items() for why in reasons
    )


class Course:
    """The lessons run with another seed, each at most once, after those that it needs."""

    def __init__(self, folder):
        self.folder = folder
        self._results = {}

    def run(self, name):
        if name not in self._results:
            for needed in NEEDS.get(name, ()):
                self.run(needed)
            lesson = NOTEBOOKS / f"{name}.ipynb"
            parameters = {"PROFILE": "tiny", "SEED": SEED, "OUT": str(self.folder)}
            self._results[name] = run.run_lesson(lesson, self.folder / lesson.name, parameters, CELL_MINUTES)
        return self._results[name]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", OFFLINE)
        yield Course(tmp_path_factory.mktemp("course"))


@pytest.mark.parametrize("name", NAMES)
def test_the_lesson_holds_on_another_seed(name, course):
    result = course.run(name)
    executed = gates.read(course.folder / result.notebook)
    committed = gates.read(NOTEBOOKS / result.notebook)

    assert f"seed {SEED}" in "".join(text for _, output in executed.outputs for text in gates.texts(output))
    assert list(gates.no_stderr(executed)) == []
    assert result.headline
    assert result.peak_mb < MOST_MB
    # As many claims as in the committed outputs, each with its bound kept: a claim that fails raises.
    assert executed.stored("claim")
    assert list(gates.a_claim(executed)) == []
    assert len(executed.stored("claim")) == len(committed.stored("claim"))
    # The lesson says in its first cell which networks it saves.
    promised = re.findall(r"`(\w+\.keras)`", committed.notebook.cells[0].source)
    assert promised or name[:2] in ("01", "02", "06")
    for network in promised:
        assert (course.folder / "models" / network).stat().st_size > 0
