"""Trainings by the clock and by the step, on photographs of growing size, and how they go on after a break.

By the clock the lesson calls `fit` once for each size::

    clock, history = Clock(lesson.minutes), keras.callbacks.History()
    around = [clock, CosineByClock(clock), TraceAnew(), history]
    for size, share in lesson.sizes.items():
        clock.until(share)
        network.fit(..., callbacks=[*around, ...])

Keras' own `History` goes on where the call of `fit` before it ended.
"""

import json
import math
import os
import time
from pathlib import Path

from helpers import files
from helpers.backend import keras
from helpers.batches import Batches
from helpers.places import STATUS

ops = keras.ops


class _Line:
    """A line below a cell in JupyterLab for as long as a training runs; it leaves nothing in the notebook.

    What else the cell has shown before the training goes with it, as a front end clears all or nothing.
    """

    def __init__(self):
        self._shown = None

    def say(self, text: str) -> None:
        """Show a text, at most one a second; an empty one takes the line away."""
        from IPython import get_ipython
        from IPython.display import clear_output, display

        if get_ipython() is None:  # a program that a notebook has started
            return
        if not text:
            if self._shown is not None:
                clear_output()
            self._shown = None
        elif self._shown is None:
            self._at = time.perf_counter()
            self._shown = display({"text/plain": text}, raw=True, display_id=True)
        elif time.perf_counter() - self._at >= 1:
            self._at = time.perf_counter()
            self._shown.update({"text/plain": text}, raw=True)


class Clock(keras.callbacks.Callback):
    """Measure the time inside of `fit`, and end each call when its share of the minutes has passed.

    The clock stands still between two calls. Early stopping may end one before its
    time; the next one then has the rest.

    Parameters
    ----------
    minutes : float
        The longest that all calls together may take; 0 for no limit.
    """

    def __init__(self, minutes: float = 0.0):
        super().__init__()
        self.limit = minutes
        self.share = 1.0
        self._seconds = 0.0
        self._line = _Line()

    @property
    def minutes(self) -> float:
        """Wall-clock minutes inside of `fit` so far, validation included."""
        return self._seconds / 60

    @property
    def passed(self) -> float:
        """The share of the limit that has passed, 0..1; always 0 without a limit."""
        return min(1.0, self.minutes / self.limit) if self.limit else 0.0

    def until(self, share: float) -> None:
        """Set the share of the minutes, 0..1, at which the next call of `fit` ends."""
        self.share = share

    def on_train_begin(self, logs=None):
        """Go on from where the last call of `fit` ended."""
        self._began = time.perf_counter() - self._seconds

    def on_epoch_begin(self, epoch, logs=None):
        """Say which epoch begins, to whoever runs or reads the notebook."""
        self._say(f"epoch {epoch + 1} of {self.params['epochs']}")

    def on_train_end(self, logs=None):
        """Say no more."""
        self._say("")

    def _say(self, text: str) -> None:
        if self.limit and text:  # the minutes end it, not the number of epochs
            text = f"{text.partition(' of')[0]}, {self.minutes:.0f} of {self.limit:g} min"
        if STATUS in os.environ:
            Path(os.environ[STATUS]).write_text(text, "utf-8")
        # Jupyter's server names the notebook to its kernels. Whatever else runs notebooks, as nbval
        # does, may take no notice of an output that is cleared, and find one too many.
        elif "JPY_SESSION_NAME" in os.environ:
            self._line.say(text)

    def on_train_batch_end(self, batch, logs=None):
        """End this call when its share has passed."""
        self._seconds = time.perf_counter() - self._began
        if self.limit and self._seconds >= self.limit * 60 * self.share:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        """Count the validation, too."""
        self._seconds = time.perf_counter() - self._began


class CosineByClock(keras.callbacks.Callback):
    """Lower the learning rate along half a cosine, from the optimizer's own to 0 at the end of the minutes.

    Without a limit on the minutes it stays as it is.

    Parameters
    ----------
    clock : Clock
        Says which share of the minutes has passed. It stands before this among the callbacks.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(self, clock: Clock):
        super().__init__()
        self._clock = clock
        self._rate = None

    def on_train_begin(self, logs=None):
        """Remember the rate that the training began with."""
        if self._rate is None:
            self._rate = float(self.model.optimizer.learning_rate)

    def on_train_batch_begin(self, batch, logs=None):
        """Set the rate for the next step."""
        if self._clock.limit:
            rate = self._rate * (1 + math.cos(math.pi * self._clock.passed)) / 2
            self.model.optimizer.learning_rate.assign(rate)


class TraceAnew(keras.callbacks.Callback):
    """Let Keras compile its steps again for the size of this call of `fit`.

    A function that was traced at one size refuses to enlarge maps of another.
    """

    def on_train_begin(self, logs=None):
        """Forget the functions of an earlier call."""
        self.model.make_train_function(force=True)
        self.model.make_test_function(force=True)


@keras.saving.register_keras_serializable("coloring_course")
class WarmHoldCool(keras.optimizers.schedules.LearningRateSchedule):
    """Raise the learning rate in a straight line, hold it, and lower it to 0 in a straight line at the end.

    Until it cools the training is the same whatever its length: so a longer one can go on from there.

    Parameters
    ----------
    rate : float
        The rate that is held.
    steps : int
        Of the whole training.
    warm, cool : float
        The shares of the steps, 0..1, that the rise and the fall take; the rise takes 300 steps at most.

    References
    ----------
    Hägele et al., "Scaling laws and compute-optimal training beyond fixed training durations", 2024,
    https://arxiv.org/abs/2405.18392.
    """

    def __init__(self, rate: float, steps: int, warm: float = 0.1, cool: float = 0.25):
        super().__init__()
        self.rate, self.steps, self.warm, self.cool = rate, steps, warm, cool

    def __call__(self, step):
        """Compute the rate of a step, counted from 0."""
        step = ops.cast(step, "float32")
        rising = (step + 1) / max(1.0, min(300.0, self.warm * self.steps))
        falling = (self.steps - step) / max(1.0, self.cool * self.steps)
        return self.rate * ops.minimum(1.0, ops.minimum(rising, falling))

    def get_config(self) -> dict[str, float]:
        """Return the arguments, as Keras saves them."""
        return {"rate": self.rate, "steps": self.steps, "warm": self.warm, "cool": self.cool}


class GoOn(keras.callbacks.BackupAndRestore):
    """Keep a training on disk after each epoch, so that another process can go on from there.

    Weights, optimizer, the number of the epoch, the minutes and the learning curve are kept. A call of `fit`
    whose epochs were all done trains nothing. On one machine the result is that of a training without a
    break.

    Parameters
    ----------
    folder : Path
        Where to keep it; made if missing.
    batches : Batches
        What is trained on: each epoch gets the order and the flips of its number.
    """

    def __init__(self, folder: Path, batches: Batches):
        super().__init__(str(folder), double_checkpoint=True, delete_checkpoint=False)
        self._told, self._batches = folder / "curve.json", batches
        self.minutes, self.curve = 0.0, {}

    def on_train_begin(self, logs=None):
        """Take up what is on disk."""
        super().on_train_begin(logs)
        if self._told.is_file():
            told = json.loads(self._told.read_text(encoding="utf-8"))
            done = self.model._initial_epoch or 0
            self.minutes = told["minutes"]
            self.curve = {name: values[:done] for name, values in told["curve"].items()}

    def on_epoch_begin(self, epoch, logs=None):
        """Draw what belongs to this epoch, and start the clock."""
        self._batches.begin(epoch)
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Keep it all."""
        self.minutes += (time.perf_counter() - self._began) / 60
        for name, value in (logs or {}).items():
            self.curve.setdefault(name, []).append(float(value))
        super().on_epoch_end(epoch, logs)
        files.write_text(self._told, json.dumps({"minutes": self.minutes, "curve": self.curve}))
