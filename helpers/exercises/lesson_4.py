"""The exercises of lesson 4: fusion and pretrained networks."""

import numpy as np

from helpers.exercises.answers import Answer, Hint, array, exercise, near, number


@exercise("4.1", "the vector stands at each place, whatever the size of the maps")
def fuse(answer: Answer) -> None:
    """Two sizes; a 1×1 convolution of the result equals the sum of two."""
    chance = np.random.default_rng(0)
    for height, width in ((32, 32), (6, 5)):
        maps, vectors = chance.normal(size=(2, height, width, 4)), chance.normal(size=(2, 3))
        try:
            result = answer(maps, vectors)
        except Hint as hint:
            if (height, width) == (6, 5):
                raise Hint(
                    f"it works at 32×32 and fails at 6×5: take the size from the maps; {hint}"
                ) from None
            raise
        if array(result).shape[1:3] != (height, width):
            raise Hint(f"fails at {height}×{width}: take the size from the maps")
        found = array(result, (2, height, width, 7))
        kernel = chance.normal(size=(7, 2))
        sums = maps @ kernel[:4] + (vectors @ kernel[4:])[:, None, None]
        if near(found @ kernel, sums, 1e-4):
            continue
        if near(
            found @ np.roll(kernel, 3, axis=0),
            maps @ kernel[:4] + (vectors @ kernel[4:])[:, None, None],
            1e-4,
        ):
            raise Hint("the maps come first, then the vector")
        if not near(found[..., :4], maps, 1e-4):
            raise Hint("the first channels must be the maps, unchanged")
        raise Hint("each photograph has its own vector, the same at each of its places")


@exercise("4.2", "a backbone sees what it was trained on: three channels in its own range")
def prepare(answer: Answer) -> None:
    """Two ranges, three equal channels."""
    L = np.random.default_rng(0).uniform(0, 1, (2, 6, 5, 1)).astype("float32")
    L[0, 0, 0], L[0, 0, 1] = 0, 1
    for lowest, highest in ((0, 255), (-127.5, 127.5), (-1, 1)):
        found = array(answer(L, lowest, highest))
        if found.shape == L.shape:
            raise Hint("one channel: a backbone for color photographs needs three, all alike")
        array(found, (2, 6, 5, 3))
        if near(found, lowest + (highest - lowest) * L, 1e-3):
            continue
        if near(found, np.repeat(L, 3, axis=-1), 1e-3):
            raise Hint(f"still from 0 to 1: on {lowest} to {highest}, that is a black square or a grey one")
        if near(found, highest * L, 1e-3):
            raise Hint(f"L = 0 must become {lowest}")
        raise Hint(f"L from 0 to 1 must go from {lowest} to {highest}; yours goes to {found.max():.1f}")


@exercise("4.3", "a frozen backbone gives the same vectors in each epoch")
def embed_once(answer: Answer) -> None:
    """Count the calls of the backbone and of the step."""
    photographs = np.arange(6.0).reshape(3, 2)
    calls, steps = [], []

    def backbone(given: object) -> np.ndarray:
        calls.append(array(given))
        return 10 * array(given)

    def step(vectors: object) -> float:
        steps.append(array(vectors))
        return float(len(steps))

    losses = array(answer(backbone, step, photographs, 5))
    if len(calls) > 1:
        raise Hint(f"the backbone was called {len(calls)} times: once is enough, before the loop")
    if not calls or not near(calls[0], photographs, 0):
        raise Hint("give all photographs to the backbone, at once")
    if len(steps) != 5:
        raise Hint(f"5 epochs need 5 steps, not {len(steps)}")
    if not all(near(each, 10 * photographs, 0) for each in steps):
        raise Hint("the step takes the vectors, not the photographs")
    if losses.shape != (5,) or number(losses.sum()) != 15:
        raise Hint("return the list of what the steps gave")
