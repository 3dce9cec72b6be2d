"""Train on several devices of this machine, each of which takes its share of every batch.

On JAX by Keras' `DataParallel`: the devices compute one training step together, and it is the step of one
device, batch normalization included. On TensorFlow by `MirroredStrategy`: each device normalizes its own
share of a batch, so a network with batch normalization learns from smaller ones; and `predict` fails if the
last batch has fewer photographs than there are devices. Keras has neither on PyTorch.
"""

from collections.abc import Mapping
from contextlib import ExitStack

from helpers.backend import keras
from helpers.errors import CourseError

# On TensorFlow, the strategy whose scope this process is in, and what leaves it.
_entered: list[tuple[object, ExitStack]] = []
_strategies: dict[int, object] = {}


def use(count: object, batch_sizes: Mapping[str, int], own_loss: bool = False) -> None:
    """Let networks that are built from now on train on the first devices of this machine.

    Parameters
    ----------
    count : object
        How many devices; None for one, as without this call.
    batch_sizes : mapping of str to int
        The name of a setting → how many photographs a batch has by it.
    own_loss : bool
        Whether the lesson trains a network that computes its loss by itself, as a GAN does.

    Raises
    ------
    CourseError
        If it is not a whole number above 0, this machine has fewer devices, they cannot share a batch evenly,
        or the backend cannot do it; the message is one line.
    """
    backend = keras.backend.backend()
    if count is not None:
        _check(count, batch_sizes, backend, own_loss)
    if backend == "jax":
        keras.distribution.set_distribution(None if count is None else _on_jax(count))
    elif backend == "tensorflow":
        _on_tensorflow(count)


def count() -> int:
    """Tell how many devices share the batches of a training now.

    Returns
    -------
    int
        At least 1.
    """
    if keras.backend.backend() == "jax" and (shares := keras.distribution.distribution()):
        return shares.num_model_replicas
    return _entered[-1][0].num_replicas_in_sync if _entered else 1


def _check(count: object, batch_sizes: Mapping[str, int], backend: str, own_loss: bool) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise CourseError(f"DEVICES is {count!r}; it must be a whole number above 0, or None")
    if backend == "torch":
        raise CourseError("DEVICES: Keras trains on one device with PyTorch; use JAX, or leave it None")
    there = keras.distribution.list_devices()
    if count > len(there):
        raise CourseError(f"DEVICES is {count}, and this machine has {len(there)}: {', '.join(there)}")
    for name, size in batch_sizes.items():
        if size % count:
            raise CourseError(f"DEVICES is {count}, which does not divide {name}, {size}")
    if backend == "tensorflow" and own_loss and count > 1:
        raise CourseError(
            "DEVICES: TensorFlow's MirroredStrategy adds up what a network computes as its own loss on each "
            "device; train this lesson on JAX, or leave DEVICES None"
        )


def _on_jax(count: int) -> "keras.distribution.DataParallel":
    from keras.src.backend.jax import trainer

    class Shares(keras.distribution.DataParallel):
        """Divides each batch among the devices, or gives all of it to each if it cannot be divided."""

        def get_data_layout(self, data_shape):
            layout = super().get_data_layout(data_shape)
            if data_shape[0] % count == 0:
                return layout
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    def by_each_batch(self, distribution):
        # Keras lays all batches of an epoch out like the first one, and fails at a smaller last one.
        return map(trainer._distribute_data, self.data_adapter.get_jax_iterator())

    trainer.JAXEpochIterator._get_distributed_iterator = by_each_batch
    return Shares(devices=keras.distribution.list_devices()[:count])


def _on_tensorflow(count: int | None) -> None:
    while _entered:
        _entered.pop()[1].close()
    if count is None:
        return
    # A second strategy in one process would number what its devices tell each other as the first one does.
    strategy = _strategies.get(count) or _strategies.setdefault(count, _mirrored(count))
    # Networks have to be built, compiled and trained inside: the cells of a lesson are, from here on.
    inside = ExitStack()
    inside.enter_context(strategy.scope())
    _entered.append((strategy, inside))


def _mirrored(count: int) -> object:
    import tensorflow as tf

    class Shares(tf.distribute.MirroredStrategy):
        """Divides each batch among the devices, or gives all of it to each if it cannot be divided."""

        def experimental_distribute_dataset(self, dataset, options=None):
            return super().experimental_distribute_dataset(dataset.map(repeated), options)

    def repeated(*batch):
        if len(batch) == 1:  # to predict: whatever is given has an answer, once
            return batch
        size = tf.shape(tf.nest.flatten(batch)[0])[0]
        times = tf.where(size % count == 0, 1, count)
        return tf.nest.map_structure(lambda x: tf.tile(x, [times, *[1] * (len(x.shape) - 1)]), batch)

    return Shares([name.upper() for name in keras.distribution.list_devices()[:count]])
