"""The exercises of lesson 3: scores, losses and layers."""

import numpy as np

from helpers.exercises.answers import Answer, Hint, array, exercise, near, number, picture


@exercise("3.1", "PSNR is the squared error, in decibels below the square of the largest value")
def psnr(answer: Answer) -> None:
    """Against scikit-image, on uint8."""
    from skimage.metrics import peak_signal_noise_ratio

    for seed in (1, 2):
        truth, other = ((picture(each) * 255).astype("uint8") for each in (seed, seed + 10))
        expected = peak_signal_noise_ratio(truth, other)
        found = number(answer(truth, other))
        if abs(found - expected) < 0.01:
            continue
        if abs(abs(found - expected) - 20 * np.log10(255)) < 0.1:
            raise Hint(f"off by {abs(found - expected):.1f} dB: values up to 255, and a largest value of 1")
        if abs(found - peak_signal_noise_ratio(np.zeros_like(truth), truth - other)) < 0.01:
            raise Hint("uint8 cannot be negative: convert to float before you subtract")
        if abs(found + expected) < 0.01:
            raise Hint("the sign: less error is more PSNR")
        wrapped = 10 * np.log10(255**2 / np.mean((truth - other) ** 2))
        if abs(found - wrapped) < 0.1:
            raise Hint("uint8 cannot be negative: convert to float before you subtract")
        raise Hint(f"expected {expected:.2f} dB, got {found:.2f}")


@exercise("3.2", "the mean has the smallest squared error, the median the smallest absolute one")
def best_guess(answer: Answer) -> None:
    """Lopsided values, for both losses."""
    values = np.random.default_rng(0).exponential(10, 101)
    expected = {"mse": values.mean(), "mae": np.median(values)}
    found = {loss: number(answer(values, loss)) for loss in expected}
    if near(list(found.values()), list(expected.values()), 0.05):
        return
    if abs(found["mse"] - found["mae"]) < 1e-6:
        named = "mean" if abs(found["mse"] - expected["mse"]) < 0.05 else "same number"
        raise Hint(f"the {named} for both losses: which loss asks for that, and what does the other ask for?")
    if near([found["mae"], found["mse"]], list(expected.values()), 0.05):
        raise Hint("the two are swapped: one rare value moves the mean, hardly the median")
    wrong = next(loss for loss in expected if abs(found[loss] - expected[loss]) >= 0.05)
    raise Hint(f"for {wrong} there is a guess with a smaller loss than {found[wrong]:.2f}")


@exercise("3.3", "each filter has a kernel for every channel that comes in, and one bias")
def count_weights(answer: Answer) -> None:
    """Three layers, counted as Keras does."""
    for kernel, entering, filters in ((3, 1, 32), (3, 64, 128), (5, 3, 7)):
        found = number(answer(kernel, entering, filters))
        expected = (kernel**2 * entering + 1) * filters
        if found == expected:
            continue
        if found == expected - filters:
            raise Hint("one more per filter: its bias")
        if found == (kernel * entering + 1) * filters:
            raise Hint("a kernel has a height and a width")
        if found == expected - filters + 1:
            raise Hint("each filter has a bias of its own")
        raise Hint(
            f"a layer of {filters} filters of {kernel}×{kernel} over {entering} channels has {expected}"
        )


@exercise("3.4", "each layer adds its kernel less one, in steps that the strides before it have made longer")
def receptive_field(answer: Answer) -> None:
    """With and without strides."""
    for layers in ([(3, 1), (3, 1)], [(3, 2), (3, 1)], [(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)]):
        found = number(answer(layers))
        expected, step = 1, 1
        for kernel, stride in layers:
            expected += (kernel - 1) * step
            step *= stride
        if found == expected:
            continue
        if found == 1 + sum(kernel - 1 for kernel, _ in layers):
            raise Hint(
                "strides are ignored: after stride 2, a step of one pixel is two pixels of the photograph"
            )
        if found == expected - 1:
            raise Hint("begin with 1: a pixel sees itself")
        raise Hint(f"for {layers} expected {expected}: a layer's own stride counts for the layers after it")


@exercise("3.5", "tanh goes from −1 to 1, as ab does")
def output_layer(answer: Answer) -> None:
    """Train the layer for 100 steps on colors of both signs."""
    from helpers.backend import keras

    layer = answer()
    if not isinstance(layer, keras.layers.Layer):
        raise Hint(f"return a Keras layer, not a {type(layer).__name__}")
    L = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 1)).astype("float32")
    ab = np.concatenate([0.8 * L - 0.4, 0.4 - 0.8 * L], axis=-1)
    network = keras.Sequential([keras.Input((8, 8, 1)), layer])
    if network.output_shape != (None, 8, 8, 2):
        raise Hint(f"ab has two channels and the size of L; your layer gives {network.output_shape[1:]}")
    network.compile(keras.optimizers.Adam(0.05), "mse")
    for _ in range(100):
        network.train_on_batch(L, ab)
    given = array(network.predict_on_batch(L))
    if given.min() >= 0:
        raise Hint("no negative ab: your layer cannot paint green or blue; relu and sigmoid end at 0")
    far = array(network.predict_on_batch(1000 * L - 500))
    if np.abs(far).max() > 1.001:
        raise Hint("your layer leaves the range of ab, −1 to 1: which activation stays within it?")
    if (loss := np.mean((given - ab) ** 2)) > 0.02:
        raise Hint(f"after 100 steps the loss is still {loss:.3f}")
