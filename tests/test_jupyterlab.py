"""Lessons 2 and 6 in a real JupyterLab: all cells run, a slider moves its picture, an upload gets color.

The picture that was uploaded takes a hint by a click, too.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import gates
import nbformat
import numpy as np
import psutil
import pytest
import requests
from browser import browser, color_at, drawn, open_page, said  # noqa: F401
from PIL import Image

from helpers import ab_bins, places, profiles, records
from helpers.backend import keras
from helpers.lab import rgb_to_lab
from helpers.photographs import load
from helpers.runner import environment

# Three waits may each need that long, on a machine that does much else.
pytestmark = pytest.mark.timeout(1500)

LESSON_2, LESSON_6 = "02_lab_and_augmentation.ipynb", "06_results_gallery.ipynb"
LEMUR = places.SAMPLE / "animal_lemur.jpg"
OFFLINE = places.ROOT / "tests" / "offline"
PATIENCE = 480  # seconds; two idle cores need about forty for a lesson
REACTION = 90  # seconds; a control needs less than one
TOKEN = "a-token-of-this-test"
# What holds for a lesson that has just run.
HELD = (gates.executed_in_order, gates.no_errors, gates.no_stderr, gates.a_claim)
FLAGS = (
    "--no-browser",
    "--expose-app-in-browser",
    "--LabApp.extension_manager=readonly",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    "--ServerApp.allow_root=True",
    "--ServerApp.terminals_enabled=False",
    f"--IdentityProvider.token={TOKEN}",
    # If the tests are killed, it ends by itself.
    "--MappingKernelManager.cull_idle_timeout=1800",
    "--ServerApp.shutdown_no_activity_timeout=1800",
)
# It would ask whether it may fetch news.
NO_NEWS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}

OPENED = """(name) => {
    const shown = window.jupyterapp?.shell.currentWidget;
    return shown?.context?.path === name && shown.sessionContext?.session?.kernel?.status === "idle";
}"""
# Whether every cell of code has run, or one has failed.
RAN = """() => {
    const cells = [...window.jupyterapp.shell.currentWidget.content.model.cells].filter(
        (cell) => cell.type === "code" && cell.sharedModel.source.trim());
    const failed = (cell) => cell.outputs.toJSON().some((output) => output.output_type === "error");
    return cells.some(failed) || cells.every((cell) => cell.executionCount);
}"""


@dataclass(frozen=True)
class Server:
    """A JupyterLab that shows the folder `root`."""

    process: psutil.Popen
    url: str
    root: Path

    def ask(self, method, path):
        answer = requests.request(method, f"{self.url}api/{path}", params={"token": TOKEN}, timeout=PATIENCE)
        answer.raise_for_status()
        return answer.json()

    def state(self, name):
        """What the server says that the kernel of a notebook is: idle, busy, or starting."""
        (session,) = (each for each in self.ask("GET", "sessions") if each["name"] == name)
        return session["kernel"]["execution_state"]

    def everything(self):
        """The server's process, and those that it has started."""
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def served(folder):
    """Start a JupyterLab with settings of its own; afterward it has ended, and so have its kernels."""
    root, config, runtime = (folder / name for name in ("root", "config", "runtime"))
    root.mkdir()
    runtime.mkdir()
    (config / "labconfig").mkdir(parents=True)
    (config / "labconfig" / "page_config.json").write_text(json.dumps(NO_NEWS))
    settings = environment.of_a_kernel(folder)
    settings |= {
        "PYTHONPATH": os.pathsep.join([str(OFFLINE), settings["PYTHONPATH"]]),
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    with (folder / "log").open("wb") as log:
        process = psutil.Popen(
            [sys.executable, "-m", "jupyterlab", *FLAGS, f"--ServerApp.root_dir={root}"],
            cwd=folder,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield Server(process, address(process, runtime, folder / "log"), root)
    finally:
        end(process)


def address(process, runtime, log):
    """Wait until the server says where it can be reached."""
    deadline = time.monotonic() + PATIENCE
    # The last of the files in which it says so.
    while not (runtime / f"jpserver-{process.pid}-open.html").exists():
        with suppress(psutil.TimeoutExpired, subprocess.TimeoutExpired):
            process.wait(0.1)
            pytest.fail(f"JupyterLab has ended: {log.read_text('utf-8')}")
        assert time.monotonic() < deadline, f"waited in vain for JupyterLab: {log.read_text('utf-8')}"
    return json.loads((runtime / f"jpserver-{process.pid}.json").read_text("utf-8"))["url"]


def end(process):
    """Ask the server to end, and kill what is left of it after half a minute."""
    every = [process, *process.children(recursive=True)]
    process.terminate()
    for left in psutil.wait_procs(every, timeout=30)[1]:
        with suppress(psutil.NoSuchProcess):
            left.kill()
            left.wait()


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory):  # noqa: F811
    """Start a JupyterLab with the two lessons, not yet run; lesson 6 finds networks that a run has left."""
    folder = tmp_path_factory.mktemp("lab")
    save_networks(folder / "run")
    with served(folder) as started:
        copy_lesson(LESSON_2, started.root)
        copy_lesson(LESSON_6, started.root, f"OUT = {str(folder / 'run')!r}")
        yield started


def copy_lesson(name, target, parameter=""):
    """Copy a lesson without its outputs; a parameter is set as a reader would, below the others."""
    notebook = nbformat.read(places.NOTEBOOKS / name, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source += f"\n{parameter}"
    nbformat.write(notebook, target / name)


def save_networks(out):
    """Save what lessons 3 to 5 would leave in a run's folder: nearly grey, since nothing has been learned."""
    lesson = profiles.Lesson(**vars(profiles.PROFILES["tiny"]), name="tiny", seed=0, out=out)
    photographs = load(lesson.photos, lesson.size)
    keras.utils.set_random_seed(0)
    for name in records.NETWORKS:
        L, facts = keras.Input((None, None, 1)), {}
        given = keras.layers.Conv2D(2, 4, 4, activation="tanh", kernel_initializer="random_normal")(L)
        if f"{name}_vivid" in records.VIVID:
            given = [given, keras.layers.Conv2D(len(ab_bins.centers()), 4, 4)(L)]
            facts = {"vivid": {"vividness": 0.5}}
        network = keras.Model(L, given, name=name)
        records.save(lesson, network, photographs, minutes=0, curve={"loss": [1.0]}, **facts)


def run_all(open_page, server, name, folder):  # noqa: F811
    """Open a lesson, run all its cells by the menu, save it, and return the page and the notebook."""
    watched = open_page(f"{server.url}lab/tree/{name}?token={TOKEN}&reset", patience=PATIENCE)
    page = watched.page
    with watched.waiting_for(f"{name} and its kernel", folder):
        page.wait_for_function(OPENED, arg=name)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    with watched.waiting_for(f"all cells of {name} to run", folder):
        page.wait_for_function(RAN, polling=200)
    deadline = time.monotonic() + PATIENCE
    while server.state(name) != "idle":  # its last message may be on the way
        assert time.monotonic() < deadline, f"the kernel of {name} does not rest"
    with watched.waiting_for(f"{name} to be saved", folder), page.expect_response(saves):
        page.keyboard.press("Control+s")
    return watched, gates.read(server.root / name)


def saves(response):
    return response.request.method == "PUT" and "/api/contents/" in response.url and response.ok


def check_that_all_ran(executed, name):
    complaints = {gate.__name__: list(gate(executed)) for gate in HELD}
    assert not any(complaints.values()), complaints
    committed = gates.read(places.NOTEBOOKS / name)
    assert len(executed.stored("claim")) == len(committed.stored("claim")) > 0


def test_lesson_2_runs_and_a_slider_moves_its_picture(open_page, server, tmp_path):  # noqa: F811
    watched, executed = run_all(open_page, server, LESSON_2, tmp_path)
    check_that_all_ran(executed, LESSON_2)
    controls = watched.page.locator(".jp-OutputArea-output", has=watched.page.locator(".noUi-handle")).first
    picture, handle = controls.locator("img"), controls.locator(".noUi-handle")
    before = picture.get_attribute("src"), picture.get_attribute("alt"), drawn(picture)
    handle.press("ArrowRight")
    with watched.waiting_for("the picture beside the slider to change", tmp_path):
        picture.and_(watched.page.locator('[alt="The picture at L 70"]')).wait_for(timeout=1000 * REACTION)
    assert before[1] == "The picture at L 65"
    assert picture.get_attribute("src") != before[0]
    assert np.mean(np.any(drawn(picture) != before[2], axis=-1)) > 0.05
    assert watched.errors == watched.left == []


def test_lesson_6_runs_and_a_picture_comes_back_in_color_and_takes_a_hint(open_page, server, tmp_path):  # noqa: F811
    watched, executed = run_all(open_page, server, LESSON_6, tmp_path)
    check_that_all_ran(executed, LESSON_6)
    Image.open(LEMUR).convert("L").resize((300, 200)).save(tmp_path / "grandmother.png")
    widget = watched.page.locator(".own-picture")
    before, after, said = (widget.locator(place) for place in (".before", ".after", ".says"))
    with watched.waiting_for("the picture that comes with the course", tmp_path):
        widget.locator(".wipe:not([hidden])").wait_for()
    widget.locator(".file").set_input_files(tmp_path / "grandmother.png")
    with watched.waiting_for("the uploaded picture in color", tmp_path):
        watched.page.wait_for_function(
            "(said) => !said.textContent.startsWith('Coloring')",
            arg=said.element_handle(),
            timeout=1000 * REACTION,
        )
    assert said.text_content() == ""
    grey, colored = (rgb_to_lab(drawn(image)) for image in (before, after))
    assert grey.shape == colored.shape == (200, 300, 3)
    assert np.hypot(*np.moveaxis(grey[..., 1:], -1, 0)).mean() < 1
    assert np.hypot(*np.moveaxis(colored[..., 1:], -1, 0)).mean() > 4
    assert np.abs(grey[..., 0] - colored[..., 0]).mean() < 1
    check_that_a_click_gives_a_hint(watched, tmp_path)
    assert watched.errors == watched.left == []


def check_that_a_click_gives_a_hint(watched, folder):
    """Ask for blue where the kernel has other colors, then for what it was before."""
    page, near, far = watched.page, (0.25, 0.5), (0.9, 0.1)
    untold = [color_at(page, *place) for place in (near, far)]
    box = page.locator(".pick").bounding_box()
    with watched.waiting_for("the likely colors at a place", folder):
        page.locator(".pick").click(position={"x": near[0] * box["width"], "y": near[1] * box["height"]})
        said(page, "Likely colors at")
    assert page.locator(".swatch").count() > 1
    page.locator(".own input").fill("#2040ff")
    with watched.waiting_for("the picture with the hint", folder):
        said(page, "Colored with 1 hint.")
    told = [color_at(page, *place) for place in (near, far)]
    assert told[0][1] < untold[0][1] - 10
    assert np.linalg.norm(told[1] - untold[1]) < 0.5 * np.linalg.norm(told[0] - untold[0])
    page.locator(".undo").click()
    with watched.waiting_for("the picture without the hint", folder):
        said(page, "Undone. Colored with no hint.")
    np.testing.assert_allclose(color_at(page, *near), untold[0], atol=0.1)


def test_nothing_is_left_of_a_server_and_its_kernels(tmp_path):
    with served(tmp_path) as server:
        server.ask("POST", "kernels")
        every = server.everything()
        assert len(every) >= 2
        assert all(process.is_running() for process in every)
    assert not any(process.is_running() for process in every)
