"""How good is a coloring: metrics, and how far to trust them.

Everything is measured on 8-bit RGB, the picture that a viewer would see, and
photograph by photograph: the intervals are bootstraps over photographs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import rel_entr
from skimage.color import deltaE_ciede2000
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from helpers import lab
from helpers.colorings import Pictures, check_picture, scaled
from helpers.errors import CourseError
from helpers.threads import on_threads

Measured = dict[str, np.ndarray]
Summary = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Metric:
    """What a table says of a metric.

    Attributes
    ----------
    title : str
        Its name, with the direction in which it is better.
    digits : int
        Decimals that are worth printing.
    better : int
        1 where more is better, -1 where less is, 0 where neither ranks predictions.
    """

    title: str
    digits: int
    better: int = 0


# A new metric is a row here and a line in `_measure_one`.
METRICS = {
    "psnr": Metric("PSNR dB ↑", 1, better=1),
    "ssim": Metric("SSIM ↑", 3, better=1),
    "delta_e": Metric("ΔE2000 ↓", 1, better=-1),
    "colorfulness": Metric("colorfulness", 1),
    "delta_cf": Metric("ΔCF → 0", 1),
    "auc": Metric("AuC ↑", 3, better=1),
    "ab_jsd": Metric("JSD of ab ↓", 2, better=-1),
    "chroma": Metric("chroma", 1),
}

PSNR_OF_EQUALS = 100.0  # dB
FARTHEST = 150  # distance in ab at which the curve of the raw accuracy ends
SMALLEST_SIDE = 7  # pixels, the window of SSIM
# Bins of ab are centered on the multiples of ten, so that grey fills one of them and
# rounding does not scatter it over four; 11 on each side of it hold all of sRGB.
BIN = 10
BINS_ASIDE = 11


def measure(truth: Pictures, predicted: Pictures) -> Measured:
    """Measure predictions against the true photographs, one by one.

    Parameters
    ----------
    truth, predicted : (n, height, width, 3) ndarray of uint8, or sequences of photographs
        The photographs and their colorings, in the same order. In a sequence
        the photographs may differ in size.

    Returns
    -------
    dict of (n,) ndarrays of float64, one value per photograph:

    ``psnr``
        Peak signal-to-noise ratio over RGB in dB. Capped at 100 dB, which is
        what an exact prediction scores instead of infinity.
    ``ssim``
        Structural similarity, the mean over R, G and B, scikit-image's
        default window of 7 x 7 (Wang et al. 2004); at most 1.
    ``delta_e``
        Mean CIEDE2000 color difference over the pixels; 0 is exact.
    ``colorfulness``
        That of the prediction, see `helpers.lab.colorfulness`.
    ``delta_cf``
        The colorfulness of the prediction minus that of the truth: negative
        where the prediction is too pale.
    ``auc``
        Raw accuracy (Zhang et al. 2016): the share of pixels whose ab lies
        within a distance of the true ab, as a curve over distances 0 to 150,
        and the area under it over 150; 0 to 1.
    ``chroma``, ``true_chroma``
        Mean of sqrt(a^2 + b^2) of the prediction and of the truth, CIE units.

    and two (n, 529) ndarrays of float64, ``predicted_histogram`` and
    ``true_histogram``: the share of each photograph's pixels in each ab bin of
    10 by 10 units, from which `summarize` takes ``ab_jsd``.

    Raises
    ------
    CourseError
        If there is no photograph, if the two do not match in number or shape,
        or if one is not uint8 RGB of at least 7 x 7 pixels.

    Notes
    -----
    Photographs are measured on threads, one a core; NumPy and SciPy release
    the interpreter's lock while they compute.
    """
    if len(truth) != len(predicted):
        raise CourseError(f"{len(truth)} photographs but {len(predicted)} predictions: give one for each")
    if len(truth) == 0:
        raise CourseError("no photograph to measure: give at least one")
    rows = on_threads(_measure_one, range(len(truth)), truth, predicted)
    return {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}


def summarize(measured: Measured, seed: int = 0, resamples: int = 1000) -> Summary:
    """Average measurements over the photographs, with bootstrap 95 % intervals.

    Parameters
    ----------
    measured : dict
        What `measure` returned.
    seed : int
        Seed of the bootstrap.
    resamples : int
        How many times the photographs are drawn again, with replacement.

    Returns
    -------
    dict of {"mean", "low", "high"}, one for each of `METRICS`
        The mean over photographs and the 2.5th and 97.5th percentile of its
        resampled values. ``ab_jsd`` is no mean of photographs but one number
        for the whole set: the Jensen-Shannon divergence, base 2, between the
        true and the predicted distribution of ab, each photograph weighing
        the same; 0 for the same palette, 1 for two without a common color.

    Notes
    -----
    Drawing photographs again leaves some out, which by itself drives two
    palettes apart: the resampled values of ``ab_jsd`` lie too high on average.
    They are moved back to the measured value, so that its interval says how
    far that varies between sets of this size. For the same reason a small set
    scores higher than a large one: compare ``ab_jsd`` on one set alone.
    """
    weights = _bootstrap_weights(len(measured["psnr"]), seed, resamples)
    return {metric: _interval(_averages(measured, metric, weights)) for metric in METRICS}


def summarize_all(measured: Mapping[str, Measured], seed: int = 0) -> dict[str, Summary]:
    """Summarize several predictions of the same photographs.

    Parameters
    ----------
    measured : mapping of str to dict
        Name → what `measure` returned.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict of str to dict
        Name → what `summarize` returns.
    """
    return {name: summarize(values, seed) for name, values in measured.items()}


def shared(summaries: Iterable[Summary]) -> dict[str, Metric]:
    """Find the metrics that several summaries have: a record that is older than a metric lacks it.

    Parameters
    ----------
    summaries : iterable of dict
        What `summarize` returned, now or then.

    Returns
    -------
    dict of str to Metric
        The rows of `METRICS` that are in all of them.
    """
    summaries = list(summaries)
    return {name: metric for name, metric in METRICS.items() if all(name in each for each in summaries)}


def compare(first: Measured, second: Measured, metric: str, seed: int = 0) -> dict[str, float]:
    """Compare two predictions of the same photographs by a paired bootstrap.

    Parameters
    ----------
    first, second : dict
        What `measure` returned for each.
    metric : str
        One of `METRICS`.
    seed : int
        Seed of the bootstrap, of 1,000 resamples.

    Returns
    -------
    {"mean", "low", "high"}
        `first` minus `second`, and the 95 % interval of that difference when
        the same photographs are drawn for both. An interval without 0 says
        that the two differ by more than the choice of photographs explains.

    Raises
    ------
    CourseError
        If the metric is unknown or the photographs are not the same.
    """
    if metric not in METRICS:
        raise CourseError(f"no metric is called {metric!r}: choose one of {', '.join(METRICS)}")
    if not np.array_equal(first["true_histogram"], second["true_histogram"]):
        raise CourseError("the two predictions are not of the same photographs: measure both on one list")
    weights = _bootstrap_weights(len(first["psnr"]), seed, resamples=1000)
    return _interval(_averages(first, metric, weights) - _averages(second, metric, weights))


def best_scale(rgb: Pictures, ab: Sequence[np.ndarray], metric: str) -> float:
    """Find the one number to multiply a network's ab by that a metric likes best.

    Fit it on validation photographs, never on those of the test. The fit runs
    `measure` about ten times: a few hundred photographs take a minute.

    Parameters
    ----------
    rgb, ab
        The true photographs, and the network's ab for each, as for `helpers.colorings.recolor`.
    metric : str
        One that has a better and a worse. Whoever claims to beat the scaled network at a metric
        fits the number to that metric.

    Returns
    -------
    float
        Between 0 and 4, to about 0.01.

    Raises
    ------
    CourseError
        If the metric has no better and worse.
    """
    ranking = {name: metric.better for name, metric in METRICS.items() if metric.better}
    if metric not in ranking:
        raise CourseError(f"no best number for {metric!r}: choose one of {', '.join(ranking)}")

    def badness(factor: float) -> float:
        measured = measure(rgb, scaled(rgb, ab, factor))
        return -ranking[metric] * summarize(measured, resamples=1)[metric]["mean"]

    return float(minimize_scalar(badness, bounds=(0, 4), method="bounded", options={"xatol": 0.01}).x)


def _measure_one(index: int, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float | np.ndarray]:
    truth = check_picture(truth, f"photograph {index}")
    predicted = check_picture(predicted, f"prediction {index}")
    if truth.shape != predicted.shape:
        raise CourseError(f"photograph {index} is {truth.shape} but its prediction {predicted.shape}")
    if min(truth.shape[:2]) < SMALLEST_SIDE:
        raise CourseError(
            f"photograph {index} is {truth.shape}: SSIM needs sides of at least {SMALLEST_SIDE}"
        )

    with np.errstate(divide="ignore"):
        psnr = peak_signal_noise_ratio(truth, predicted)
    true_lab, predicted_lab = lab.rgb_to_lab(truth), lab.rgb_to_lab(predicted)
    true_ab, predicted_ab = true_lab[..., 1:], predicted_lab[..., 1:]
    distance = np.linalg.norm(predicted_ab - true_ab, axis=-1)
    cf = lab.colorfulness(predicted)
    return {
        "psnr": min(psnr, PSNR_OF_EQUALS),
        "ssim": structural_similarity(truth, predicted, channel_axis=-1),
        "delta_e": deltaE_ciede2000(true_lab, predicted_lab).mean(dtype=np.float64),
        "colorfulness": cf,
        "delta_cf": cf - lab.colorfulness(truth),
        # The area under the curve, exactly: a pixel at distance d counts from d to 150.
        "auc": 1 - np.minimum(distance, FARTHEST).mean(dtype=np.float64) / FARTHEST,
        "chroma": np.linalg.norm(predicted_ab, axis=-1).mean(dtype=np.float64),
        "true_chroma": np.linalg.norm(true_ab, axis=-1).mean(dtype=np.float64),
        "predicted_histogram": _histogram(predicted_ab),
        "true_histogram": _histogram(true_ab),
    }


def _histogram(ab: np.ndarray) -> np.ndarray:
    row, column = np.moveaxis(np.rint(ab / BIN).astype(np.intp) + BINS_ASIDE, -1, 0)
    bins = 2 * BINS_ASIDE + 1
    return np.bincount((row * bins + column).ravel(), minlength=bins**2) / row.size


def interval(values: np.ndarray, seed: int = 0, resamples: int = 1000) -> dict[str, float]:
    """Average one number per photograph, with a bootstrap 95 % interval.

    Parameters
    ----------
    values : (n,) ndarray of numbers or booleans
        One for each photograph.
    seed, resamples : int
        As for `summarize`.

    Returns
    -------
    {"mean", "low", "high"}
    """
    return _interval(_bootstrap_weights(len(values), seed, resamples) @ values)


def _bootstrap_weights(photographs: int, seed: int, resamples: int) -> np.ndarray:
    """Weigh photographs: the first row all alike, each other row as one resample drew them."""
    alike = np.full(photographs, 1 / photographs)
    drawn = np.random.default_rng(seed).multinomial(photographs, alike, size=resamples) / photographs
    return np.vstack([alike, drawn])


def _averages(measured: Measured, metric: str, weights: np.ndarray) -> np.ndarray:
    if metric != "ab_jsd":
        return weights @ measured[metric]
    truth, predicted = weights @ measured["true_histogram"], weights @ measured["predicted_histogram"]
    middle = (truth + predicted) / 2
    divergence = (rel_entr(truth, middle) + rel_entr(predicted, middle)).sum(axis=-1) / (2 * np.log(2))
    divergence[1:] += divergence[0] - divergence[1:].mean()
    return np.clip(divergence, 0, 1)


def _interval(averages: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(averages[1:], [2.5, 97.5])
    return {"mean": float(averages[0]), "low": float(low), "high": float(high)}
