"""One network's training: its sizes, its budget, and the file and the record that it leaves.

A lesson writes the network, the loss and the call of `fit`. What surrounds the
call in every lesson is here: small photographs first and larger ones later, a
clock, a learning rate that ends at nothing, and a long run that can be cut and
taken up again.
"""

import math
import time
from collections.abc import Iterator

from helpers import networks, photographs, records
from helpers.backend import keras
from helpers.errors import CourseError
from helpers.photographs import Photographs
from helpers.profiles import Lesson


class Training(keras.callbacks.Callback):
    """The photographs to train a network on, size by size, and a callback for `fit`.

    Use it as both::

        training = Training(lesson, network)
        for photos in training:
            network.fit(Batches(photos.train, ...), callbacks=[training], ...)

    The tiny profile has one size and no clock: the loop runs once, and `epochs`
    ends it. A profile with minutes has two sizes, each with its share of the
    minutes, and the learning rate falls along a cosine from the optimizer's own
    to 0 by the clock (Loshchilov & Hutter 2017).

    Early stopping may end a size before its time; the next one then has the rest.

    When the loop is done, the network and its record are in the run's folder. A
    training by the clock that finds both there, made by the same code with the
    same settings on the same photographs, loads the weights and has no turn left:
    so a long run that was cut begins again with the first network that it lacks.

    Parameters
    ----------
    lesson : Lesson
        The settings: sizes, minutes, where the photographs are, where the run writes to.
    network : keras.Model
        The network to keep: for a GAN the generator. Its name is that of its files.

    Attributes
    ----------
    history : dict of str to list of float
        What `fit` reported, one value per epoch, over all sizes.
    minutes : float
        Wall-clock minutes inside of `fit`, validation included.

    Raises
    ------
    CourseError
        From the loop, if a turn of it did not train.
    """

    def __init__(self, lesson: Lesson, network: keras.Model):
        super().__init__()
        self.lesson, self.network = lesson, network
        self.history: dict[str, list[float]] = {}
        self._seconds = 0.0
        self._until = math.inf
        self._rate = None

    @property
    def minutes(self) -> float:
        """Wall-clock minutes inside of `fit`, validation included."""
        return self._seconds / 60

    def __iter__(self) -> Iterator[Photographs]:
        lesson = self.lesson
        shares = {lesson.first_size: lesson.first_share, lesson.size: 1.0}
        if lesson.minutes and self._resume():
            return
        for size, share in shares.items():
            self._until = lesson.minutes * 60 * share if lesson.minutes else math.inf
            epochs = len(self.history.get("loss", ()))
            photos = photographs.load(lesson.photos, size)
            yield photos
            if self.model is not None:
                # A function that was traced at one size refuses to enlarge maps of another.
                self.model.make_train_function(force=True)
                self.model.make_test_function(force=True)
            if len(self.history.get("loss", ())) == epochs:
                raise CourseError(
                    "nothing was trained: call `fit` in the loop, with the training among its callbacks"
                )
        networks.save(self.network, lesson.models / f"{self.network.name}.keras")
        records.write(lesson, self.network, photos, minutes=self.minutes, curve=self.history)

    def _resume(self) -> bool:
        """Take the network of an earlier run, if that has finished what would be done again."""
        record = records.finished(self.lesson, self.network)
        if record is None:
            return False
        self.network.set_weights(
            networks.load(self.lesson.models / f"{self.network.name}.keras").get_weights()
        )
        self.history, self._seconds = record["curve"], record["minutes"] * 60
        return True

    # What `fit` calls.

    def on_train_begin(self, logs=None):
        """Start the clock, which stands still between two calls of `fit`."""
        self._began = time.perf_counter() - self._seconds
        if self._rate is None:
            self._rate = float(self.model.optimizer.learning_rate)

    def on_train_batch_begin(self, batch, logs=None):
        """Set the learning rate by the share of the minutes that has passed."""
        if self.lesson.minutes:
            passed = min(1.0, self._seconds / (60 * self.lesson.minutes))
            self.model.optimizer.learning_rate.assign(self._rate * (1 + math.cos(math.pi * passed)) / 2)

    def on_train_batch_end(self, batch, logs=None):
        """Stop when this size's share of the minutes has passed."""
        self._seconds = time.perf_counter() - self._began
        if self._seconds >= self._until:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        """Keep what the epoch reported."""
        self._seconds = time.perf_counter() - self._began
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
