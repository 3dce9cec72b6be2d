"""The exercises of lesson 5: two losses, two stops."""

import numpy as np

from helpers.exercises.answers import Answer, Hint, array, exercise, number


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


@exercise("5.1", "undecided costs 2 ln 2 = 1.386, and a perfect judge pays almost nothing")
def discriminator_loss(answer: Answer) -> None:
    """Undecided, perfect, and anything."""
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(2, 2, 6, 6, 1)).astype("float32")
    zero, sure = np.zeros_like(logits[0]), np.full_like(logits[0], 20)
    for real, made_up in (tuple(logits), (zero, zero), (sure, -sure)):
        found = number(answer(real, made_up))
        expected = (_softplus(-real) + _softplus(made_up)).mean()
        if abs(found - expected) < 1e-3:
            continue
        if abs(found - expected / 2) < 1e-3:
            raise Hint("undecided it must cost 1.386: add the two parts, do not average them")
        if abs(found - (_softplus(-real) + _softplus(-made_up)).mean()) < 1e-3:
            raise Hint("ones for the made-up ones: you told it that fakes are real")
        if abs(found - (_softplus(real) + _softplus(-made_up)).mean()) < 1e-3:
            raise Hint("the targets are swapped: ones for the real ones, zeros for the made-up ones")
        if abs(found - _softplus(-real).mean()) < 1e-3 or abs(found - _softplus(made_up).mean()) < 1e-3:
            raise Hint("one part is missing: it sees real pairs and made-up ones")
        raise Hint(f"expected {expected:.3f}, got {found:.3f}: these are logits, not probabilities")


@exercise("5.2", "the loss falls when the judge says real, so its gradient leads there")
def generator_loss(answer: Answer) -> None:
    """Compare the sign of the gradient, and the values."""
    logits = np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype("float32")
    found, more = (number(answer(each)) for each in (logits, logits + 0.1))
    if more > found:
        raise Hint("the loss falls as the judge finds it out: it wants to be caught; the target is ones")
    for each in (logits, np.zeros_like(logits), logits - 8):
        value, expected = number(answer(each)), _softplus(-each).mean()
        if abs(value + _softplus(each).mean()) < 1e-3:
            raise Hint(
                "the sign is right, but where the judge is sure the gradient vanishes: ask for ones instead"
            )
        if abs(value - expected) >= 1e-3:
            raise Hint(f"expected {expected:.3f}, got {value:.3f}: cross-entropy of logits with ones")


@exercise("5.3", "each loss moves its own network and leaves the other alone")
def place_stops(answer: Answer) -> None:
    """Count the arrays that a loss depends on, by moving each a little.

    `stop` gives in each later run what it gave in the first: a derivative cannot pass it.
    """
    chance = np.random.default_rng(0)
    weights = {"generator": list(chance.normal(size=3)), "discriminator": list(chance.normal(size=2))}
    L, real = chance.normal(size=(2, 4))
    kept: list[object] = []

    def losses(changed: dict, replay: bool) -> tuple[float, float]:
        passed = 0

        def stop(value: object) -> object:
            nonlocal passed
            if not replay:
                kept.append(value)
            passed += 1
            return kept[passed - 1]

        def paint(L: np.ndarray) -> np.ndarray:
            first, second, third = changed["generator"]
            return np.tanh(first * L + second) * third

        def judge(colors: np.ndarray, of: list) -> np.ndarray:
            return of[0] * np.asarray(colors) + of[1]

        result = answer(paint, judge, changed["discriminator"], stop, L, real)
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise Hint("return three arrays of logits: real, made up, and made up for the generator")
        of_real, made_up, for_generator = (array(each, (4,)) for each in result)
        return (_softplus(-of_real) + _softplus(made_up)).mean(), _softplus(-for_generator).mean()

    before = losses(weights, replay=False)
    moved = np.zeros((2, 2), int)
    for row, (part, arrays) in enumerate(weights.items()):
        for place, value in enumerate(arrays):
            changed = {**weights, part: [*arrays[:place], value + 0.1, *arrays[place + 1 :]]}
            moved[row] += [
                abs(b - a) > 1e-9 for b, a in zip(before, losses(changed, replay=True), strict=True)
            ]
    (generator_by_d, generator_by_g), (judge_by_d, judge_by_g) = moved.tolist()
    if generator_by_d:
        raise Hint(
            f"the discriminator's loss moves {generator_by_d} of 3 arrays of the generator: stop the colors"
        )
    if judge_by_g:
        raise Hint(
            f"the generator's loss moves {judge_by_g} of 2 arrays of the discriminator: stop its weights"
        )
    if judge_by_d < 2 or generator_by_g < 3:
        part = "discriminator" if judge_by_d < 2 else "generator"
        raise Hint(f"one stop too many: the {part} no longer learns from its own loss")
