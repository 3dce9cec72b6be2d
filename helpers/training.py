"""What stands around a call of `fit`: a line that says how far it is, and what survives a break."""

import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from helpers import files, machines, provenance
from helpers.backend import keras
from helpers.batches import Batches
from helpers.errors import CourseError
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
    """Measure the time inside of `fit`, say which epoch it is in, and end a training that has broken down.

    The clock stands still between two calls.

    Raises
    ------
    CourseError
        If a loss, or a weight at the end, is infinite or no number; the message names the step.
    """

    def __init__(self):
        super().__init__()
        self.async_safe = True  # Keras then need not wait for the losses of a step before it begins the next
        self.minutes = 0.0
        self._line = _Line()
        self._epoch = self._step = 0

    def on_train_begin(self, logs=None):
        """Go on from where the last call of `fit` ended."""
        self._began = time.perf_counter() - 60 * self.minutes

    def on_epoch_begin(self, epoch, logs=None):
        """Say which epoch begins, to whoever runs or reads the notebook."""
        self._epoch = epoch
        self._say(f"epoch {epoch + 1} of {self.params['epochs']}")

    def on_train_batch_end(self, batch, logs=None):
        """See that the losses are numbers; on another thread, while the next step is computed."""
        self._step = batch
        self._check_numbers(logs, batch)

    def on_epoch_end(self, epoch, logs=None):
        """Count the epoch, with its validation."""
        self.minutes = (time.perf_counter() - self._began) / 60
        self._check_numbers(logs, self._step)

    def on_train_end(self, logs=None):
        """Say no more. The last step may have broken what no loss has seen."""
        self._say("")
        self._check_weights()

    def _check_numbers(self, logs: dict | None, step: int) -> None:
        for name, value in (logs or {}).items():
            if not math.isfinite(value):
                self._break_off(name.replace("_", " "), value, step)

    def _check_weights(self) -> None:
        for variable in self.model.trainable_variables:
            total = float(ops.sum(ops.abs(ops.cast(variable, "float32"))))
            if not math.isfinite(total):
                self._break_off(f"weight {variable.path}", total, self._step)

    def _break_off(self, name: str, value: float, step: int) -> NoReturn:
        self._say("")
        raise CourseError(
            f"the training broke down in step {step + 1} of epoch {self._epoch + 1}, where its {name} is "
            f"{value}: lower the learning rate, or look for what divides by zero{self._kept()}"
        )

    def _kept(self) -> str:
        return ""

    def _say(self, text: str) -> None:
        if STATUS in os.environ:
            Path(os.environ[STATUS]).write_text(text, "utf-8")
        # Jupyter's server names the notebook to its kernels. Whatever else runs notebooks, as nbval
        # does, may take no notice of an output that is cleared, and find one too many.
        elif "JPY_SESSION_NAME" in os.environ:
            self._line.say(text)


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


@keras.saving.register_keras_serializable("coloring_course")
class InRounds(keras.optimizers.schedules.LearningRateSchedule):
    """Follow several schedules, one after the other, each from its own step 0.

    A network that has cooled is warmed up once more, and can come to rest at a better place.

    Parameters
    ----------
    rounds : sequence of WarmHoldCool
        Each takes as many steps as it says; the last one goes on beyond them.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017,
    https://arxiv.org/abs/1608.03983.
    """

    def __init__(self, rounds: Sequence[WarmHoldCool]):
        super().__init__()
        self.rounds = [
            each if isinstance(each, WarmHoldCool) else keras.saving.deserialize_keras_object(each)
            for each in rounds
        ]

    def __call__(self, step):
        """Compute the rate of a step, counted from 0."""
        first, *others = self.rounds
        rate, begins = first(step), 0
        for before, one in zip(self.rounds, others, strict=False):
            begins += before.steps
            rate = ops.where(step < begins, rate, one(step - begins))
        return rate

    def get_config(self) -> dict[str, list]:
        """Return the arguments, as Keras saves them."""
        return {"rounds": [keras.saving.serialize_keras_object(one) for one in self.rounds]}


class GoOn(Clock):
    """Keep a training on disk after each epoch, so that another process can go on from there.

    Weights and optimizer are kept by Keras' `BackupAndRestore`, and beside them the minutes, the learning
    curve and the random state of dropout, which Keras leaves out. A call of `fit` whose epochs were all done
    trains nothing. On one machine the result is that of a training without a break, if `fit` leaves the
    order of the batches alone (`shuffle=False`).

    Parameters
    ----------
    folder : Path or None
        Where to keep it, made if missing; None keeps nothing.
    batches : Batches
        What is trained on: each epoch gets the order and the flips of its number.

    Attributes
    ----------
    minutes : float
        Wall-clock minutes of all epochs.

    Raises
    ------
    CourseError
        When a training begins and `folder` holds one of another network, optimizer, loss or photographs,
        or one that cannot be read; when there is no room to keep it; when machines that train together
        differ in any of it; and as `Clock` says.
    """

    def __init__(self, folder: Path | None, batches: Batches):
        super().__init__()
        self._folder, self._batches = folder, batches
        self._backup = folder and keras.callbacks.BackupAndRestore(
            str(folder), double_checkpoint=True, delete_checkpoint=False
        )
        self._epochs = []

    @property
    def curve(self) -> dict[str, list[float]]:
        """The learning curve of all epochs, as ``fit(...).history`` has it."""
        curve = {}
        for epoch in self._epochs:
            for name, value in epoch["logs"].items():
                curve.setdefault(name, []).append(value)
        return curve

    def on_train_begin(self, logs=None):
        """Take up what is on disk."""
        if self._folder or machines.joined():
            now = self._identity()
        if self._folder:
            machines.share(self._folder)
            self._check(now)
            try:
                self._backup.set_model(self.model)
                self._backup.on_train_begin()
                self._take_up()
            except Exception as error:  # whatever the readers raise of files that were cut or altered
                raise self._damaged() from error
        super().on_train_begin(logs)

    def on_epoch_begin(self, epoch, logs=None):
        """Draw what belongs to this epoch."""
        super().on_epoch_begin(epoch, logs)
        self._batches.begin(epoch)

    def on_epoch_end(self, epoch, logs=None):
        """Keep it all."""
        super().on_epoch_end(epoch, logs)
        self._check_weights()
        kept = {"logs": {name: float(value) for name, value in (logs or {}).items()}}
        if self._folder:
            kept |= {"minutes": self.minutes, "steps": self._steps(), "random": self._random_states()}
        self._epochs.append(kept)
        if self._folder:
            # Before the weights: who is killed between the two has a line too many, and drops it.
            files.write_text(self._folder / "epochs.json", json.dumps(self._epochs))
            with files.making_room(self._folder):
                self._backup.on_epoch_end(epoch)

    def _take_up(self) -> None:
        """Find the epoch that the weights are of, by the optimizer's count of steps.

        Keras writes the number of the epoch after the weights, and may have been killed between the two.
        """
        file, steps = self._folder / "epochs.json", self._steps()
        kept = json.loads(file.read_text(encoding="utf-8")) if steps else []
        self._epochs = [epoch for epoch in kept if epoch["steps"] <= steps]
        self.model._initial_epoch = len(self._epochs)
        if self._epochs:
            self.minutes = self._epochs[-1]["minutes"]
            for variable, state in zip(self._random_variables(), self._epochs[-1]["random"], strict=True):
                variable.assign(state)

    def _steps(self) -> int:
        return int(self.model.optimizer.iterations)

    def _random_variables(self) -> list[keras.Variable]:
        return [each for each in self.model.variables if each.path.endswith("seed_generator_state")]

    def _random_states(self) -> list[list[int]]:
        return [ops.convert_to_numpy(each).tolist() for each in self._random_variables()]

    def _identity(self) -> dict[str, object]:
        """Describe the training, which is the same on all machines but for last digits of the loss."""
        self._batches.begin(0)
        found = provenance.identity(self.model, self._batches)
        machines.agree({**found, "loss": None, "count of batches": len(self._batches)})
        return found

    def _check(self, now: dict[str, object]) -> None:
        """Refuse to go on with another training. Each size of the batches has its own entry."""
        file, stage = self._folder / "identity.json", str(now.pop("size"))
        try:
            kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except ValueError as error:
            raise self._damaged() from error
        places = provenance.differences(now, kept.get(stage, now))
        if differing := sorted({place.partition(".")[0] for place in places}):
            raise CourseError(
                f"{self._folder} holds a training that differs in {' and '.join(differing)}: "
                "move that folder away to begin anew, or undo the change to go on"
            )
        files.write_text(file, json.dumps(kept | {stage: now}))

    def _damaged(self) -> CourseError:
        return CourseError(
            f"{self._folder} holds a training that was cut or altered: move that folder away to begin anew"
        )

    def _kept(self) -> str:
        if not (self._folder and self._epochs):
            return ""
        return (
            f"; {self._folder} keeps what {len(self._epochs)} epochs gave, and the same command goes on there"
        )
