"""The six lessons: what the committed notebooks are, and what they do on another seed, machine and backend.

That the committed outputs come from this code is nbval's part; it runs after these.
"""

import importlib.util
import os
import platform
import re
import subprocess
import sys

import gates
import numpy as np
import pytest

from helpers.errors import CourseError
from helpers.places import NOTEBOOKS, ROOT
from helpers.runner import run
from helpers.runner.plan import find_lessons

OFFLINE = str(ROOT / "tests" / "offline")
SEED = 1  # the committed notebooks have 0
CELL_MINUTES = 15
MOST_MB = 3000
MOST_MB_ON_JAX = 4000  # what its compiler needs comes on top
# A lesson runs within the test that first needs it, lesson 6 after three others.
pytestmark = pytest.mark.timeout(4 * 3600)

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

# What this processor has beyond the least that NumPy needs.
BEYOND = np.show_config("dicts")["SIMD Extensions"].get("found", [])
X86 = platform.machine().lower() in ("x86_64", "amd64")
# Other machines, as far as one processor can play them: it sums in another order then.
MACHINES = {
    "without oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "an old processor": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "NPY_DISABLE_CPU_FEATURES": " ".join(BEYOND),
        **({"OPENBLAS_CORETYPE": "Nehalem"} if X86 else {}),
    },
    "one core": {
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    },
}
ON = {
    "01_data_download": "one core",
    "02_lab_and_augmentation": "an old processor",
    "03_baseline_cnn": "an old processor",
    "04_fusion_inception": "one core",
    "05_dcgan": "without oneDNN",
    "06_results_gallery": "an old processor",
}

# On another backend, those that are taught if time is short; `KERAS_BACKEND=jax python -m helpers run`
# runs all six.
BACKEND = {"KERAS_BACKEND": "jax"}
ON_JAX = ("02_lab_and_augmentation", "03_baseline_cnn", "05_dcgan")


def test_the_course_has_its_six_lessons():
    assert [path.stem for path in find_lessons(NOTEBOOKS)] == list(NAMES)
    assert list(ON) == list(NAMES)
    assert set(ON.values()) == set(MACHINES)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_notebook_passes_every_gate(name):
    complaints = gates.complaints(gates.read(NOTEBOOKS / f"{name}.ipynb"))
    assert not complaints, "\n".join(
        f"{gate}: {why}" for gate, reasons in complaints.items() for why in reasons
    )


def train_a_step(**environment):
    """Train a small network for one step, and return a hash of its weights."""
    code = (
        "import hashlib, numpy\n"
        "from helpers.backend import keras, set_seed\n"
        "set_seed(0)\n"
        "x = numpy.random.default_rng(0).normal(size=(8, 32, 32, 16)).astype('float32')\n"
        "network = keras.Sequential([keras.layers.Conv2D(16, 3, 2), keras.layers.Conv2D(16, 3)])\n"
        "network.compile('sgd', 'mse')\n"
        "network.fit(x, x[:, :13, :13], batch_size=8, verbose=0)\n"
        "print(hashlib.sha256(b''.join(w.tobytes() for w in network.get_weights())).hexdigest())"
    )
    named = {name for machine in MACHINES.values() for name in machine}
    inherited = {name: value for name, value in os.environ.items() if name not in named}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=inherited | {"KERAS_BACKEND": "tensorflow"} | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def as_it_is():
    hashes = {train_a_step(), train_a_step()}
    assert len(hashes) == 1, "this machine does not repeat itself"
    return hashes.pop()


@pytest.mark.parametrize("machine", MACHINES)
def test_another_machine_trains_other_weights(machine, as_it_is):
    if machine == "one core" and os.cpu_count() == 1:
        pytest.skip("needs a second core")
    if machine != "one core" and not {"X86_V4", "AVX512_SKX"} & set(BEYOND):
        pytest.skip("needs a processor with AVX-512, which rounds differently without it")
    assert train_a_step(**MACHINES[machine]) != as_it_is


class Course:
    """The lessons run with another seed and in other environments, each once, after those that it needs."""

    def __init__(self, folder, environments):
        self.folder = folder
        self.environments = environments
        self._results = {}

    def run(self, name):
        if name not in self._results:
            for needed in NEEDS.get(name, ()):
                self.run(needed)
            self._results[name] = self._run(name)
        result = self._results[name]
        if isinstance(result, CourseError):
            raise result
        return result

    def _run(self, name):
        lesson = NOTEBOOKS / f"{name}.ipynb"
        parameters = {"PROFILE": "tiny", "SEED": SEED, "OUT": str(self.folder)}
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in {"PYTHONPATH": offline_path(), **self.environments[name]}.items():
                patch.setenv(variable, value)
            try:
                return run.run_lesson(lesson, self.folder / lesson.name, parameters, CELL_MINUTES)
            except CourseError as error:
                return error


def offline_path():
    return os.pathsep.join(filter(None, [OFFLINE, os.environ.get("PYTHONPATH")]))


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return Course(tmp_path_factory.mktemp("course"), {name: MACHINES[ON[name]] for name in NAMES})


@pytest.fixture(scope="module")
def course_on_jax(tmp_path_factory):
    if importlib.util.find_spec("jax") is None:
        pytest.skip('jax is not installed: python -m pip install -e ".[jax]"')
    return Course(tmp_path_factory.mktemp("jax"), dict.fromkeys(ON_JAX, BACKEND))


def check_that_it_holds(name, course, most_mb):
    result = course.run(name)
    executed = gates.read(course.folder / result.notebook)
    committed = gates.read(NOTEBOOKS / result.notebook)

    assert f"seed {SEED}" in "".join(text for _, output in executed.outputs for text in gates.texts(output))
    assert list(gates.no_stderr(executed)) == []
    assert result.headline
    assert result.peak_mb < most_mb
    # As many claims as in the committed outputs, each with its bound kept: a claim that fails raises.
    assert executed.stored("claim")
    assert list(gates.a_claim(executed)) == []
    assert len(executed.stored("claim")) == len(committed.stored("claim"))
    # The lesson says in its first cell which networks it saves.
    promised = re.findall(r"`(\w+\.keras)`", committed.notebook.cells[0].source)
    assert promised or name[:2] in ("01", "02", "06")
    for network in promised:
        assert (course.folder / "models" / network).stat().st_size > 0


def check_that_its_text_is_the_stored_one(name, course):
    executed = gates.read(course.folder / course.run(name).notebook)
    found = list(gates.differing(gates.read(NOTEBOOKS / f"{name}.ipynb"), executed))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", NAMES)
def test_the_lesson_holds_on_another_seed_and_machine(name, course):
    check_that_it_holds(name, course, MOST_MB)


@pytest.mark.parametrize("name", NAMES)
def test_no_stored_text_depends_on_the_seed_or_the_machine(name, course):
    check_that_its_text_is_the_stored_one(name, course)


@pytest.mark.parametrize("name", ON_JAX)
def test_the_lesson_holds_on_another_backend(name, course_on_jax):
    check_that_it_holds(name, course_on_jax, MOST_MB_ON_JAX)
    executed = gates.read(course_on_jax.folder / f"{name}.ipynb")
    assert " on jax\n" in "".join(text for _, output in executed.outputs for text in gates.texts(output))


@pytest.mark.parametrize("name", ON_JAX)
def test_no_stored_text_depends_on_the_backend(name, course_on_jax):
    check_that_its_text_is_the_stored_one(name, course_on_jax)
