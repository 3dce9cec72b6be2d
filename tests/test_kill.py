"""A training that is killed, again and again, ends as one that nobody disturbed."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest

from helpers.places import ROOT

EPOCHS = 12
# Two networks with dropout and batch normalization under one `fit`, as in lesson 5, with a falling rate.
TRAINING = """
import sys
from pathlib import Path
import numpy as np
from helpers.backend import keras, set_seed
from helpers.batches import Batches
from helpers.training import GoOn

set_seed(0)
layers = keras.layers
batches = Batches(np.random.default_rng(0).integers(0, 256, (160, 32, 32, 3), np.uint8), 8, 1, contrast=())
x = L = keras.Input((None, None, 1))
for _ in range(3):
    x = layers.Dropout(0.3)(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(x)))
network = keras.Model(L, layers.Conv2D(2, 1)(x))
falling = keras.optimizers.schedules.CosineDecay(1e-2, EPOCHS * len(batches))
network.compile(keras.optimizers.Adam(falling), "mse")
keep = GoOn(Path(sys.argv[1]), batches)
network.fit(batches, epochs=EPOCHS, shuffle=False, callbacks=[keep], verbose=0)
np.savez(sys.argv[2], curve=keep.curve["loss"], *network.get_weights())
"""


def train(folder, kill_after=None):
    """Train to the end, or until it is killed so many seconds after it has begun to keep something."""
    result = folder.with_suffix(".npz")
    code = TRAINING.replace("EPOCHS", str(EPOCHS))
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(result)], cwd=ROOT, env=os.environ
    )
    if kill_after is not None:
        while not (folder / "identity.json").exists() and process.poll() is None:
            pass
        try:
            process.wait(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        return process.returncode
    assert process.wait() == 0
    with np.load(result) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.skipif(os.name != "posix", reason="what is killed here is a process of POSIX")
def test_a_training_that_is_killed_at_random_moments_ends_with_the_same_weights(tmp_path):
    whole = train(tmp_path / "whole")
    moments = random.Random(0)
    killed = [
        train(tmp_path / "killed", moments.uniform(0, 3)) for _ in range(int(os.environ.get("KILLS", 3)))
    ]
    assert -9 in killed  # at least one was not done yet
    again = train(tmp_path / "killed")
    assert whole.keys() == again.keys()
    for name, values in whole.items():
        np.testing.assert_array_equal(values, again[name])
