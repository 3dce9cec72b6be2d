"""A batch that several devices share trains as on one; two virtual devices of the processor play them."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from helpers.places import ROOT

# 21 photographs in batches of 8: the last batch is of 5, which two devices cannot share. A batch of one, too.
TRAINING = """
import json, os, sys
if os.environ["KERAS_BACKEND"] == "tensorflow":
    import tensorflow as tf
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from helpers import devices, profiles
from helpers.backend import keras
from helpers.batches import Batches
from helpers.errors import CourseError
from helpers.training import GoOn

layers = keras.layers
rgb = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), np.uint8)

def train(count, photographs, normalize):
    profiles.begin("tiny", 0, sys.argv[1], devices=count)
    batches = Batches(rgb[:photographs], 8, 1, contrast=())
    x = L = keras.Input((None, None, 1))
    for _ in range(2):
        x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        x = layers.BatchNormalization()(x) if normalize else x
    network = keras.Model(L, layers.Conv2D(2, 1)(x))
    network.compile(keras.optimizers.Adam(1e-2), "mse")
    keep = GoOn(None, batches)
    seen = {"validation_data": Batches(rgb[:3], 8, augment=False), "epochs": 3, "shuffle": False}
    network.fit(batches, **seen, callbacks=[keep], verbose=0)
    L, ab = batches[0]
    one = network.fit(L[:1], ab[:1], epochs=2, verbose=0).history["loss"]
    predicted = network.predict(L[:3], verbose=0)
    return keep.curve | {"one": one, "predicted": predicted.ravel().tolist(), "devices": devices.count()}

def refusals(**wrong):
    try:
        profiles.begin("tiny", 0, sys.argv[1], **wrong)
    except CourseError as error:
        return str(error)

found = {f"{count} {normalize} {photographs}": train(count, photographs, normalize)
         for count in (None, 2) for normalize, photographs in ((False, 24), (False, 21), (True, 24))}
found["refused"] = [refusals(devices=count) for count in (0, 3, 1.5, True, "2")]
found["own loss"] = refusals(devices=2, gan_epochs=1)
found["after"] = train(None, 24, False)
with open(sys.argv[2], "w") as opened:
    json.dump(found, opened)
"""


def run(backend, tmp_path):
    if backend != "tensorflow" and importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    two = {"KERAS_BACKEND": backend, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [sys.executable, "-c", TRAINING, str(tmp_path / "out"), str(tmp_path / "found.json")]
    subprocess.run(command, cwd=ROOT, env=os.environ | two, check=True, stdout=subprocess.DEVNULL)
    return json.loads((tmp_path / "found.json").read_text())


def close(one, other, relative):
    np.testing.assert_allclose(one["loss"], other["loss"], rtol=relative)
    np.testing.assert_allclose(one["val_loss"], other["val_loss"], rtol=relative)
    np.testing.assert_allclose(one["one"], other["one"], rtol=relative)


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def found(request, tmp_path_factory):
    return request.param, run(request.param, tmp_path_factory.mktemp(request.param))


def test_two_devices_train_as_one_at_the_same_batch(found):
    backend, curves = found
    assert (curves["None False 24"]["devices"], curves["2 False 24"]["devices"]) == (1, 2)
    one, two = curves["None False 24"], curves["2 False 24"]
    close(one, two, 1e-4)
    np.testing.assert_allclose(one["predicted"], two["predicted"], atol=1e-4)
    if backend == "jax":
        for kind in ("False 21", "True 24"):
            close(curves[f"None {kind}"], curves[f"2 {kind}"], 1e-3)


def test_tensorflow_s_devices_normalize_their_own_shares(found):
    backend, curves = found
    if backend != "tensorflow":
        pytest.skip("JAX's normalize the whole batch")
    # What cannot be shared is given to both: the same step, which counts twice in the epoch's mean.
    for kind, relative in (("False 21", 0.1), ("True 24", 0.2)):
        one, two = curves[f"None {kind}"], curves[f"2 {kind}"]
        np.testing.assert_allclose(one["loss"], two["loss"], rtol=relative)
    close({**curves["None False 21"], "loss": []}, {**curves["2 False 21"], "loss": []}, 1e-4)
    assert curves["None True 24"]["loss"] != pytest.approx(curves["2 True 24"]["loss"], rel=1e-4)


def test_devices_are_given_back(found):
    _, curves = found
    assert curves["after"] == curves["None False 24"]


def test_devices_that_cannot_be_had_are_one_line(found):
    backend, curves = found
    zero, three, half, true, text = curves["refused"]
    assert zero == "DEVICES is 0; it must be a whole number above 0, or None"
    assert three == "DEVICES is 3, and this machine has 2: cpu:0, cpu:1"
    assert [half, true, text] == [zero.replace(" 0;", f" {each!r};") for each in (1.5, True, "2")]
    if backend == "jax":
        assert curves["own loss"] is None
    else:
        assert curves["own loss"].startswith("DEVICES: TensorFlow's MirroredStrategy adds up")


def test_a_batch_must_be_divisible_and_pytorch_has_one_device(monkeypatch):
    from helpers import devices
    from helpers.errors import CourseError

    monkeypatch.setattr(devices.keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1", "gpu:2"])
    with pytest.raises(CourseError, match=r"^DEVICES is 3, which does not divide batch_size, 8$"):
        devices.use(3, {"batch_size": 8})
    monkeypatch.setattr(devices.keras.backend, "backend", lambda: "torch")
    with pytest.raises(CourseError, match="one device with PyTorch"):
        devices.use(2, {"batch_size": 8})
    devices.use(None, {})


def test_without_a_gpu_the_benchmark_says_that_it_has_not_measured(monkeypatch, capsys):
    from helpers.records import NETWORKS

    spec = importlib.util.spec_from_file_location("devices", ROOT / "tests" / "benchmarks" / "devices.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    monkeypatch.setattr(benchmark, "accelerators", lambda: [])
    monkeypatch.setattr(benchmark, "measure", lambda name, steps: (40 * steps, 0.05))
    expected = [f"| {title} | not measured | not measured |" for title in NETWORKS.values()]
    monkeypatch.setattr(sys, "argv", ["devices.py"])
    benchmark.main()
    assert capsys.readouterr().out.splitlines()[4:] == expected
    monkeypatch.setattr(sys, "argv", ["devices.py", "--cpu", "--steps", "10", "--only", "baseline"])
    benchmark.main()
    assert capsys.readouterr().out.splitlines()[4:] == [f"| {NETWORKS['baseline']} | 400 | 5% |"]
