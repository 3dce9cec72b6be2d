"""Two processes on loopback play two machines that train together, on JAX."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from helpers import machines
from helpers.errors import CourseError
from helpers.places import ROOT

needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")

# 42 photographs in batches of 8: the last batch is of 2, and the validation's of 5, which two cannot share.
CELLS = (
    'OUT, PHOTOGRAPHS, SEED, DEVICES, EPOCHS, GAN = "", 42, 0, 1, 30, False',
    """
import json
from pathlib import Path
import numpy as np
from helpers import profiles, provenance
from helpers.backend import keras
from helpers.batches import Batches
from helpers.training import GoOn
profiles.begin("tiny", SEED, OUT, devices=DEVICES)
""",
    """
layers = keras.layers
rgb = np.random.default_rng(0).integers(0, 256, (PHOTOGRAPHS, 32, 32, 3), np.uint8)
batches, out = Batches(rgb, 8, 1, contrast=()), Path(OUT)
x = L = keras.Input((None, None, 1))
for _ in range(2):
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.Dropout(0.3)(layers.BatchNormalization()(x))
network = keras.Model(L, layers.Conv2D(2, 1)(x))
network.compile(keras.optimizers.Adam(1e-2), "mse")
keep, seen = GoOn(out / "going-on", batches), Batches(rgb[:5], 8, augment=False)
""",
    "network.fit(batches, validation_data=seen, epochs=EPOCHS, shuffle=False, callbacks=[keep], verbose=0)",
    """
L, ab = batches[0]
found = keep.curve | {"predicted": network.predict(L[:3], verbose=0).ravel().tolist()}
found["one"] = [float(network.train_on_batch(keras.ops.convert_to_tensor(L[:count]), ab[:count]))
                for count in (8, 5)]
""",
    # Lesson 5's own cells, with networks that are as small as they can be.
    """
if GAN:
    small = {"size": 32, "gan_filters": 4, "gan_epochs": 2}
    names = {"lesson": profiles.begin("tiny", SEED, OUT, devices=DEVICES, **small), "SEED": SEED}
    for _, cell in provenance.cells("dcgan"):
        exec(cell, names)
    found["gan"] = names["history"]
(out / "found.json").write_text(json.dumps(found))
""",
)
# As `python -m helpers run` does, of a lesson of seconds; waits that are short.
RUN = """
import json, sys
from pathlib import Path
from helpers import machines
from helpers.errors import CourseError
from helpers.runner.run import run_lesson
folder, parameters = Path(sys.argv[1]), json.loads(sys.argv[2])
folder.mkdir(exist_ok=True)
try:
    run_lesson(Path(sys.argv[3]), folder / "lesson.ipynb", parameters | {"OUT": str(folder)})
except CourseError as error:
    sys.exit(str(error))
"""


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    import nbformat

    cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS]
    cells[0].metadata["tags"] = ["parameters"]
    path = tmp_path_factory.mktemp("lessons") / "small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def told(number, port, count=2):
    return {
        machines.ADDRESS: f"127.0.0.1:{port}",
        machines.COUNT: str(count),
        machines.NUMBER: str(number),
        "KERAS_BACKEND": "jax",
    }


def start(lesson, folder, variables, **parameters):
    command = [sys.executable, "-c", RUN, str(folder), json.dumps(parameters), str(lesson)]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stderr=subprocess.PIPE, text=True)


def start_two(lesson, folder, **parameters):
    port = free_port()
    return [start(lesson, folder / str(k), told(k, port), **parameters) for k in (0, 1)]


def end(process):
    """Wait until it ends; return its status and its last line."""
    _, said = process.communicate()
    return process.returncode, said.strip().split("\n")[-1]


def trained(folder):
    return json.loads((folder / "found.json").read_text())


def close(one, other, tolerance):
    for name in ("loss", "val_loss", "one"):
        np.testing.assert_allclose(one[name], other[name], rtol=tolerance)
    np.testing.assert_allclose(one["predicted"], other["predicted"], atol=tolerance)


@pytest.fixture(scope="module")
def alone(lesson, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    assert end(start(lesson, folder / "one", {"KERAS_BACKEND": "jax"}, DEVICES=None, GAN=True)) == (0, "")
    return trained(folder / "one")


@pytest.fixture(scope="module")
def together(lesson, tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    assert [end(each) for each in start_two(lesson, folder, GAN=True)] == [(0, ""), (0, "")]
    return [trained(folder / number) for number in "01"]


@needs_jax
def test_two_machines_train_as_one_at_the_same_batch(alone, together):
    assert together[0] == together[1]
    assert len(together[0]["loss"]) == 30
    close(together[0], alone, 1e-2)


@needs_jax
def test_two_machines_train_the_networks_of_lesson_5_as_one(alone, together):
    """Their losses are those that they compute by themselves, of the whole batch."""
    assert {name: len(curve) for name, curve in together[0]["gan"].items()} == dict.fromkeys(
        ("loss", "generator_loss", "discriminator_loss"), 2
    )
    for name, curve in together[0]["gan"].items():
        np.testing.assert_allclose(curve, alone["gan"][name], rtol=1e-4, err_msg=name)


@needs_jax
@pytest.mark.skipif(os.name != "posix", reason="what is killed here is a process of POSIX")
@pytest.mark.parametrize("killed", [0, 1])
def test_when_one_is_killed_the_other_ends_in_a_line_and_both_can_go_on(lesson, together, tmp_path, killed):
    import psutil

    processes = start_two(lesson, tmp_path)
    kept = tmp_path / "0" / "going-on" / "epochs.json"
    while not (kept.exists() and len(json.loads(kept.read_text())) >= 2):
        assert all(each.poll() is None for each in processes)
    began = time.monotonic()
    for each in psutil.Process(processes[killed].pid).children(recursive=True):
        each.send_signal(signal.SIGKILL)
    statuses = [end(each) for each in processes]
    assert time.monotonic() - began < 60
    assert statuses[1 - killed][0] == 1
    assert "stopped in cell [5] `network.fit" in statuses[1 - killed][1]
    assert "another machine went away" in statuses[1 - killed][1]
    assert 2 <= len(json.loads(kept.read_text())) < 30
    if killed == 0:
        return  # to go on is the same, whichever was killed, and takes half a minute
    before = json.loads(kept.read_text())
    shutil.rmtree(tmp_path / "1" / "going-on")  # it is given what machine 0 has
    assert [end(each) for each in start_two(lesson, tmp_path)] == [(0, ""), (0, "")]
    assert trained(tmp_path / "0") == trained(tmp_path / "1")
    close(trained(tmp_path / "0"), together[0], 1e-5)
    assert json.loads(kept.read_text())[: len(before) - 1] == before[:-1]


@needs_jax
def test_machines_with_other_photographs_are_refused_on_each(lesson, tmp_path):
    port = free_port()
    each = [start(lesson, tmp_path / str(k), told(k, port), PHOTOGRAPHS=42 + 8 * k) for k in (0, 1)]
    for status, said in map(end, each):
        assert status == 1
        assert "CourseError: the 2 machines differ in count of batches: give each" in said


def test_a_port_that_is_taken_is_one_line(monkeypatch):
    with socket.socket() as listening:
        listening.bind(("", 0))
        listening.listen()
        for name, value in told(0, listening.getsockname()[1]).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(CourseError, match=r"^machine 0 cannot listen on port \d+ \(Address already"):
            machines.join("jax")


def test_a_machine_that_cannot_be_reached_is_one_line(monkeypatch):
    for name, value in told(1, port := free_port()).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(machines, "BEGIN", 0)
    with pytest.raises(CourseError, match=rf"^machine 0 cannot be reached at 127.0.0.1:{port} \("):
        machines.join("jax")


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_other_backends_name_the_one_that_can(monkeypatch, backend):
    for name, value in told(1, 1234).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CourseError, match=f"on JAX, not on {backend}: set KERAS_BACKEND=jax, or"):
        machines.join(backend)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({machines.NUMBER: None}, "KERAS_DISTRIBUTION_PROCESS_ID: not set; several machines need KERAS_"),
        ({machines.NUMBER: "2"}, "KERAS_DISTRIBUTION_PROCESS_ID is 2; with .* 2 the machines are 0 to 1"),
        ({machines.NUMBER: "-1"}, "KERAS_DISTRIBUTION_PROCESS_ID is '-1'; it must be a whole number"),
        ({machines.COUNT: "two"}, "KERAS_DISTRIBUTION_NUM_PROCESSES is 'two'; it must be a whole number"),
        ({machines.ADDRESS: "a:1,b:2,c:3"}, "has 3 for 2 machines; machine 0's is enough"),
        ({machines.ADDRESS: "10.0.0.1"}, "is '10.0.0.1'; it must be machine 0's, as 10.0.0.1:1234"),
        ({machines.ADDRESS: "10.0.0.1:99999"}, "is '10.0.0.1:99999'; it must be machine 0's"),
    ],
)
def test_variables_that_make_no_sense_are_one_line(monkeypatch, changes, message):
    for name, value in (told(1, 1234) | changes).items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(CourseError, match=message):
        machines.place()


def test_each_machine_writes_to_a_folder_of_its_own(monkeypatch, tmp_path):
    assert machines.own(tmp_path) == tmp_path
    assert machines.place() is None
    for number, expected in ((0, tmp_path), (1, tmp_path / "machine-1")):
        for name, value in told(number, 1234).items():
            monkeypatch.setenv(name, value)
        assert machines.own(tmp_path) == expected
