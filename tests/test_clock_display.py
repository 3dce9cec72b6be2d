"""What a training shows while it runs: in JupyterLab a line that leaves no trace, elsewhere nothing."""

from types import SimpleNamespace

import IPython
import nbformat
import pytest
from conftest import write_lesson
from IPython import display
from nbclient import NotebookClient

from helpers import profiles, provenance, training
from helpers.places import STATUS
from helpers.records import NETWORKS

JUPYTER = "JPY_SESSION_NAME"
TRAINS = (
    "import keras, numpy\nfrom helpers.training import Clock\n\n"
    "keras.utils.set_random_seed(0)\nx = numpy.ones((4, 1), 'float32')\n"
    "network = keras.Sequential([keras.layers.Dense(1)])\nnetwork.compile('sgd', 'mse')",
    "clock = Clock()\nfor _ in range(2):\n    network.fit(x, x, epochs=3, callbacks=[clock], verbose=0)\n"
    "print('trained')",
)


@pytest.fixture(autouse=True)
def nobody_watches(monkeypatch):
    for name in (STATUS, JUPYTER):
        monkeypatch.delenv(name, raising=False)


def outputs_and_messages(path):
    """Run a notebook as a front end does; return its cells' outputs, and all that its kernel sent."""
    notebook = nbformat.read(path, as_version=4)
    client, messages = NotebookClient(notebook, kernel_name="python3"), []
    process = client.process_message

    def listen(message, cell, place):
        messages.append((message["msg_type"], message["content"]))
        return process(message, cell, place)

    client.process_message = listen
    client.execute()
    return [cell.get("outputs") for cell in notebook.cells], messages


def test_the_line_in_jupyterlab_leaves_no_trace(tmp_path, monkeypatch):
    path, status = write_lesson(tmp_path / "01_one.ipynb", *TRAINS), tmp_path / "status"
    monkeypatch.setenv(JUPYTER, path.name)
    shown, messages = outputs_and_messages(path)
    said = [content["data"]["text/plain"] for kind, content in messages if kind == "display_data"]
    assert said == ["epoch 1 of 3"] * 2  # one for each `fit`; the rest took less than a second
    assert [kind for kind, _ in messages].count("clear_output") == 2

    # Who runs the notebook and wants to know gets it in a file, and nothing is displayed.
    monkeypatch.setenv(STATUS, str(status))
    plain, messages = outputs_and_messages(path)
    assert not {kind for kind, _ in messages} & {"display_data", "clear_output"}
    assert status.read_text("utf-8") == ""  # no training goes on
    assert shown == plain
    assert plain[-1][0]["text"] == "trained\n"


@pytest.fixture
def screen(monkeypatch):
    """A front end without a kernel: what was displayed, and a clock that is set by hand."""
    made = SimpleNamespace(texts=[], seconds=0.0)

    class Handle:
        def update(self, data, raw):
            made.texts.append(data["text/plain"])

    def show(data, raw, display_id):
        Handle().update(data, raw)
        return Handle()

    monkeypatch.setattr(IPython, "get_ipython", lambda: made)
    monkeypatch.setattr(display, "display", show)
    monkeypatch.setattr(display, "clear_output", lambda: made.texts.append("cleared"))
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: made.seconds))
    return made


def train(screen, epochs):
    clock = training.Clock()
    clock.set_params({"epochs": epochs})
    clock.set_model(SimpleNamespace(trainable_variables=[]))
    clock.on_train_begin()
    for epoch in range(epochs):
        clock.on_epoch_begin(epoch)
        screen.seconds += 0.5
    clock.on_train_end()


def test_the_line_changes_at_most_once_a_second(screen, monkeypatch):
    monkeypatch.setenv(JUPYTER, "01_one.ipynb")
    train(screen, 4)
    assert screen.texts == ["epoch 1 of 4", "epoch 3 of 4", "cleared"]


def test_nothing_is_displayed_without_a_jupyter_server(screen):
    # nbval stores what is displayed, and takes no notice when it is cleared.
    train(screen, 4)
    assert screen.texts == []


def test_a_program_that_a_notebook_started_prints_nothing(screen, monkeypatch, capsys):
    monkeypatch.setenv(JUPYTER, "01_one.ipynb")
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    train(screen, 4)
    assert screen.texts == []
    assert capsys.readouterr() == ("", "")


def test_a_training_that_never_began_clears_nothing(screen, monkeypatch):
    monkeypatch.setenv(JUPYTER, "01_one.ipynb")
    train(screen, 0)
    assert screen.texts == []


@pytest.mark.parametrize("name", NETWORKS)
def test_every_training_of_the_lessons_shows_its_epochs(name, monkeypatch):
    given = []

    def note(model, x, y, positional, named):
        given.append(named["callbacks"])
        return {}

    monkeypatch.setattr(provenance, "_describe_call", note)
    provenance.fingerprint(name, provenance.settings(profiles.PROFILES["tiny"]))
    assert given
    assert all(any(isinstance(each, training.Clock) for each in callbacks) for callbacks in given)
