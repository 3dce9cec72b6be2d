"""Train on several devices, of this machine or of several, each of which takes its share of every batch.

On JAX by Keras' `DataParallel`: the devices compute one training step together, and it is the step of one
device, batch normalization included. On TensorFlow by `MirroredStrategy`: each device normalizes its own
share of a batch, so a network with batch normalization learns from smaller ones; and `predict` fails if the
last batch has fewer photographs than there are devices. Keras has neither on PyTorch.
"""

from collections.abc import Mapping
from contextlib import ExitStack

from helpers import machines
from helpers.backend import keras
from helpers.errors import CourseError

# On TensorFlow, the strategy whose scope this process is in, and what leaves it.
_entered: list[tuple[object, ExitStack]] = []
_strategies: dict[int, object] = {}


def use(count: object, batch_sizes: Mapping[str, int], own_loss: bool = False) -> None:
    """Let networks that are built from now on train on the first devices of this machine, and of others.

    Parameters
    ----------
    count : object
        How many devices of each machine that `helpers.machines` knows of; None for one of this machine
        alone, as without this call.
    batch_sizes : mapping of str to int
        The name of a setting → how many photographs a batch has by it.
    own_loss : bool
        Whether the lesson trains a network that computes its loss by itself, as a GAN does.

    Raises
    ------
    CourseError
        If it is not a whole number above 0, this machine has fewer devices, they cannot share a batch evenly,
        or the backend cannot do it; the message is one line. Also as `helpers.machines.join` says.
    """
    backend = keras.backend.backend()
    if count is not None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise CourseError(f"DEVICES is {count!r}; it must be a whole number above 0, or None")
        machines.join(backend)
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


def _check(count: int, batch_sizes: Mapping[str, int], backend: str, own_loss: bool) -> None:
    if backend == "torch":
        raise CourseError("DEVICES: Keras trains on one device with PyTorch; use JAX, or leave it None")
    for number, there in enumerate(by_machine := _by_machine()):
        if count > len(there):
            which = f"machine {number}" if len(by_machine) > 1 else "this machine"
            raise CourseError(f"DEVICES is {count}, and {which} has {len(there)}: {', '.join(there)}")
    for name, size in batch_sizes.items():
        if size % (count * len(by_machine)):
            several = f" on each of {len(by_machine)} machines" if len(by_machine) > 1 else ""
            raise CourseError(f"DEVICES is {count}{several}, which does not divide {name}, {size}")
    if backend == "tensorflow" and own_loss and count > 1:
        raise CourseError(
            "DEVICES: TensorFlow's MirroredStrategy adds up what a network computes as its own loss on each "
            "device; train this lesson on JAX, or leave DEVICES None"
        )


def _by_machine() -> list[list[str]]:
    """List the devices of each machine, as Keras names them."""
    if (here := machines.joined()) is None:
        return [keras.distribution.list_devices()]
    import jax

    return [
        [f"{each.platform}:{each.id}" for each in jax.local_devices(number)] for number in range(here.count)
    ]


def _on_jax(count: int) -> "keras.distribution.DataParallel":
    from keras.src.backend.jax import trainer

    devices = [name for there in _by_machine() for name in there[:count]]

    class Shares(keras.distribution.DataParallel):
        """Divides each batch among the devices, or gives all of it to each if it cannot be divided."""

        def get_data_layout(self, data_shape):
            layout = super().get_data_layout(data_shape)
            return layout if data_shape[0] % len(devices) == 0 else self.whole(data_shape)

        def whole(self, data_shape):
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    def by_each_batch(self, distribution):
        # Keras lays all batches of an epoch out like the first one, and fails at a smaller last one.
        return map(trainer._distribute_data, self.data_adapter.get_jax_iterator())

    trainer.JAXEpochIterator._get_distributed_iterator = by_each_batch
    if machines.joined():
        _on_several_machines(trainer)
    # A `PyDataset` is the same on every machine, and each takes its share: Keras need not divide it.
    return Shares(devices=devices, auto_shard_dataset=False)


def _on_several_machines(trainer: object) -> None:
    import jax
    import numpy as np

    def share_of(batch, layout, batch_dim_name=None):
        # Keras takes what each machine has for a share; here each has the whole batch.
        if batch is None:
            return None
        layout = getattr(layout, "backend_layout", layout)
        return jax.make_array_from_process_local_data(layout, np.asarray(batch), batch.shape)

    def by_each_batch(self, distribution):
        for batch in self.data_adapter.get_jax_iterator():
            if isinstance(batch, tuple) and len(batch) == 1:  # to predict: each machine wants all answers
                yield keras.tree.map_structure(lambda x: share_of(x, distribution.whole(x.shape)), batch)
            else:
                yield trainer._distribute_data(batch)

    trainer.jax_distribution_lib.distribute_data_input = share_of
    trainer.JAXEpochIterator._get_distributed_iterator = by_each_batch


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
