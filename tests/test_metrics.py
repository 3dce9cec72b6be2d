import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from PIL import Image, ImageOps
from scipy.spatial.distance import jensenshannon
from skimage import color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from helpers import colorings, lab, metrics
from helpers.errors import CourseError

pytestmark = pytest.mark.quick

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample"


@pytest.fixture(scope="module")
def photographs():
    files = sorted(SAMPLE.glob("*.jpg"))
    return np.stack([ImageOps.fit(Image.open(file).convert("RGB"), (96, 96)) for file in files])


@pytest.fixture(scope="module")
def true_ab(photographs):
    return lab.rgb_to_lab(photographs)[..., 1:]


@pytest.fixture(scope="module")
def rows(photographs, true_ab):
    """The trivial predictions of the sample photographs, measured."""
    predictions = {
        "itself": photographs,
        "grey": colorings.grey(photographs),
        "mean_ab": colorings.one_color(photographs, colorings.mean_ab(photographs)),
        "own_mean": colorings.recolor(photographs, true_ab.mean(axis=(1, 2), keepdims=True)),
        "shuffled": colorings.shuffled(photographs),
        "half": colorings.scaled(photographs, true_ab, 0.5),
        "quarter_size": colorings.recolor(photographs, true_ab.reshape(-1, 24, 4, 24, 4, 2).mean((2, 4))),
    }
    return {name: metrics.measure(photographs, predicted) for name, predicted in predictions.items()}


def plain(*pixels, side=16):
    """Photographs of one color each."""
    return np.stack([np.full((side, side, 3), pixel, np.uint8) for pixel in pixels])


def test_each_metric_is_that_of_scikit_image(photographs, rows):
    measured, predicted = rows["shuffled"], colorings.shuffled(photographs)
    for index in (0, 17, 49):
        true, other = photographs[index], predicted[index]
        true_lab, other_lab = color.rgb2lab(true), color.rgb2lab(other)
        expected = {
            "psnr": peak_signal_noise_ratio(true, other),
            "ssim": structural_similarity(true, other, channel_axis=-1),
            "delta_e": color.deltaE_ciede2000(true_lab, other_lab).mean(),
            "chroma": np.hypot(other_lab[..., 1], other_lab[..., 2]).mean(),
            "true_chroma": np.hypot(true_lab[..., 1], true_lab[..., 2]).mean(),
        }
        for metric, value in expected.items():
            assert measured[metric][index] == pytest.approx(value, abs=2e-3), metric


def test_every_array_is_float64_with_a_row_per_photograph(photographs, rows):
    for measured in rows.values():
        assert {(array.dtype.str, len(array)) for array in measured.values()} == {("<f8", len(photographs))}


def test_psnr_of_a_known_error():
    measured = metrics.measure(plain((100, 100, 100)), plain((110, 90, 110)))
    assert measured["psnr"] == pytest.approx(20 * np.log10(255 / 10))


def test_truth_against_itself(rows):
    summary = metrics.summarize(rows["itself"])
    exact = {"psnr": 100, "ssim": 1, "delta_e": 0, "delta_cf": 0, "auc": 1, "ab_jsd": 0}
    for metric, value in exact.items():
        assert summary[metric] == pytest.approx({"mean": value, "low": value, "high": value}), metric
    np.testing.assert_array_equal(rows["itself"]["chroma"], rows["itself"]["true_chroma"])


def test_colorfulness_is_the_signed_form():
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, :4, 0] = picture[:, 4:, 2] = 255  # left red, right blue
    # R - G is 255 and 0; (R + G) / 2 - B is 127.5 and -255, whose mean the absolute form would not cancel.
    expected = np.hypot(127.5, 191.25) + 0.3 * np.hypot(127.5, -63.75)
    assert lab.colorfulness(picture) == pytest.approx(expected)
    measured = metrics.measure([picture], plain((9, 9, 9), side=8))
    assert measured["colorfulness"] == [0]
    assert measured["delta_cf"] == pytest.approx(-expected)


def test_auc_of_one_distance():
    truth, predicted = plain((128, 128, 128)), plain((200, 90, 60))
    distance = np.hypot(*lab.rgb_to_lab(predicted)[0, 0, 0, 1:])
    assert metrics.measure(truth, predicted)["auc"] == pytest.approx(1 - distance / 150, abs=1e-4)


def test_auc_stops_counting_at_150():
    truth, predicted = plain((0, 0, 255)), plain((0, 255, 0))
    assert np.linalg.norm(lab.rgb_to_lab(truth) - lab.rgb_to_lab(predicted), axis=-1).min() > 150
    assert metrics.measure(truth, predicted)["auc"] == pytest.approx(0)


def test_auc_is_the_area_under_the_curve_of_thresholds(photographs, true_ab, rows):
    shuffled = lab.rgb_to_lab(colorings.shuffled(photographs))[..., 1:]
    distance = np.linalg.norm(shuffled - true_ab, axis=-1).reshape(len(photographs), -1)
    thresholds = np.linspace(0, 150, 1501)
    curve = np.stack([(distance <= threshold).mean(axis=1) for threshold in thresholds], axis=1)
    np.testing.assert_allclose(rows["shuffled"]["auc"], np.trapezoid(curve, thresholds) / 150, atol=5e-4)


def test_divergence_of_known_palettes():
    grey, red = (128, 128, 128), (255, 0, 0)
    apart = metrics.measure(plain(grey, grey), plain(red, red))
    half = metrics.measure(plain(grey, grey), plain(red, grey))
    assert metrics.summarize(apart)["ab_jsd"]["mean"] == pytest.approx(1)
    assert metrics.summarize(half)["ab_jsd"]["mean"] == pytest.approx(
        jensenshannon([1, 0], [0.5, 0.5], 2) ** 2
    )
    # The whole set has one palette, although each photograph has another's.
    swapped = metrics.measure(plain(grey, red), plain(red, grey))
    assert metrics.summarize(swapped)["ab_jsd"]["mean"] == pytest.approx(0)


def test_histograms_hold_every_color_in_bins_of_ten_units():
    steps = np.linspace(0, 255, 18).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, 18, -1, 3)
    histogram = metrics.measure(cube, cube)["true_histogram"].reshape(23, 23)
    a, b = np.moveaxis(lab.rgb_to_lab(cube)[..., 1:].reshape(-1, 2), -1, 0)
    edges = np.arange(-115, 116, 10)
    np.testing.assert_allclose(histogram, np.histogram2d(a, b, (edges, edges))[0] / a.size, atol=1e-9)
    assert histogram.sum() == pytest.approx(1)


def test_near_grey_noise_fills_one_bin():
    noise = np.random.default_rng(0).integers(126, 130, (1, 32, 32, 3)).astype(np.uint8)
    assert np.count_nonzero(metrics.measure(noise, noise)["true_histogram"]) == 1


def test_photographs_of_different_sizes(photographs):
    truth = [photographs[0], photographs[1][:40, :71], photographs[2][:7, :9]]
    predicted = colorings.grey(truth)
    assert [picture.shape for picture in predicted] == [picture.shape for picture in truth]
    together = metrics.measure(truth, predicted)
    for index in range(3):
        alone = metrics.measure(truth[index : index + 1], predicted[index : index + 1])
        for name, values in alone.items():
            np.testing.assert_array_equal(together[name][index], values[0])


@pytest.mark.parametrize(
    ("truth", "predicted", "says"),
    [
        ([], [], "no photograph"),
        (plain(0, 0), plain(0), "2 photographs but 1 predictions"),
        (plain(0), plain(0, side=8), "its prediction"),
        (plain(0) / 255, plain(0), "photograph 0 must be uint8"),
        (plain(0, 0), plain(0, 0).astype(np.float32), "prediction 0 must be uint8"),
        (plain(0)[0], plain(0)[0], "shape"),
        (plain(0)[..., :1], plain(0)[..., :1], "shape"),
        (plain(0, side=6), plain(0, side=6), "at least 7"),
    ],
)
def test_bad_input_is_named_in_one_line(truth, predicted, says):
    with pytest.raises(CourseError, match=says) as error:
        metrics.measure(truth, predicted)
    assert "\n" not in str(error.value)


def test_summary_is_the_mean_with_its_percentile_bootstrap(rows):
    measured = rows["half"]
    summary = metrics.summarize(measured, seed=3, resamples=4000)
    assert list(summary) == list(metrics.METRICS)
    for metric in ("psnr", "delta_e", "chroma"):
        values = measured[metric]
        reference = scipy.stats.bootstrap((values,), np.mean, method="percentile", rng=1)
        tolerance = 0.15 * reference.standard_error
        assert summary[metric]["mean"] == pytest.approx(values.mean())
        assert summary[metric]["low"] == pytest.approx(reference.confidence_interval.low, abs=tolerance)
        assert summary[metric]["high"] == pytest.approx(reference.confidence_interval.high, abs=tolerance)


def test_intervals_hold_the_mean_and_repeat_with_the_seed(rows):
    for measured in rows.values():
        summary = metrics.summarize(measured)
        assert summary == metrics.summarize(measured, seed=0)
        for metric in metrics.METRICS:
            interval = summary[metric]
            assert interval["low"] <= interval["mean"] + 1e-9, metric
            assert interval["mean"] <= interval["high"] + 1e-9, metric
    assert metrics.summarize(rows["grey"], seed=1)["psnr"] != metrics.summarize(rows["grey"])["psnr"]


def test_more_photographs_narrow_the_interval(photographs, rows):
    def width(measured, metric):
        interval = metrics.summarize(measured)[metric]
        return interval["high"] - interval["low"]

    few = metrics.measure(photographs[::5], colorings.grey(photographs[::5]))
    assert width(rows["grey"], "psnr") < 0.7 * width(few, "psnr")
    assert width(rows["grey"], "ab_jsd") < width(few, "ab_jsd")


def test_one_photograph_has_no_spread():
    summary = metrics.summarize(metrics.measure(plain((200, 90, 60)), plain((90, 200, 60))))
    for interval in summary.values():
        assert interval["low"] == pytest.approx(interval["mean"])
        assert interval["high"] == pytest.approx(interval["mean"])


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_comparison_is_first_minus_second(rows, metric):
    first, second = rows["half"], rows["grey"]
    forth, back = metrics.compare(first, second, metric), metrics.compare(second, first, metric)
    means = [metrics.summarize(measured)[metric]["mean"] for measured in (first, second)]
    assert forth["mean"] == pytest.approx(means[0] - means[1])
    assert forth == pytest.approx({"mean": -back["mean"], "low": -back["high"], "high": -back["low"]})
    assert forth["low"] <= forth["mean"] <= forth["high"]


def test_comparison_is_paired(photographs, true_ab, rows):
    """A small but steady difference shows, which the photographs' own spread would hide."""
    first = rows["half"]
    second = metrics.measure(photographs, colorings.scaled(photographs, true_ab, 0.48))
    for metric in ("psnr", "delta_e", "ab_jsd"):
        difference = metrics.compare(first, second, metric)
        assert difference["low"] * difference["high"] > 0, metric
        one, other = (metrics.summarize(measured)[metric] for measured in (first, second))
        assert min(one["high"], other["high"]) > max(one["low"], other["low"]), metric


def test_comparison_refuses_other_photographs_and_unknown_metrics(photographs, rows):
    other = metrics.measure(photographs[::-1], colorings.grey(photographs[::-1]))
    with pytest.raises(CourseError, match="same photographs"):
        metrics.compare(rows["grey"], other, "psnr")
    with pytest.raises(CourseError, match="psnr"):
        metrics.compare(rows["grey"], rows["grey"], "PSNR")


@pytest.mark.parametrize("metric", [name for name, metric in metrics.METRICS.items() if metric.better])
def test_best_scale_undoes_a_known_one(photographs, true_ab, metric):
    assert metrics.best_scale(photographs[:8], true_ab[:8] / 1.6, metric) == pytest.approx(1.6, abs=0.03)


def test_trivial_rows_stand_in_the_published_order(photographs, true_ab, rows):
    """The relations of the published rows (975 ImageNet photographs) hold on the sample as well."""

    def worse_to_better(metric, *names):
        for worse, better in pairwise(names):
            difference = metrics.compare(rows[better], rows[worse], metric)
            sign = metrics.METRICS[metric].better
            assert min(sign * difference["low"], sign * difference["high"]) > 0, (metric, worse, better)

    order = ("shuffled", "grey", "own_mean", "half", "quarter_size", "itself")
    worse_to_better("psnr", *order)
    worse_to_better("delta_e", *order)
    worse_to_better("auc", *order)
    worse_to_better("psnr", "shuffled", "mean_ab", "own_mean")
    worse_to_better("delta_e", "shuffled", "mean_ab", "own_mean")
    worse_to_better("ssim", "shuffled", "grey", "half", "quarter_size")
    worse_to_better("ab_jsd", "grey", "own_mean", "quarter_size")

    summary = {name: metrics.summarize(measured) for name, measured in rows.items()}
    mean = {name: {metric: row[metric]["mean"] for metric in row} for name, row in summary.items()}
    true_chroma = rows["grey"]["true_chroma"].mean()
    assert abs(mean["mean_ab"]["psnr"] - mean["grey"]["psnr"]) < 1.5
    assert abs(mean["mean_ab"]["delta_e"] - mean["grey"]["delta_e"]) < 1.5
    assert mean["grey"]["colorfulness"] < 0.2  # rounding alone
    assert mean["grey"]["chroma"] < 0.02
    assert mean["grey"]["auc"] == pytest.approx(1 - true_chroma / 150, abs=1e-4)
    assert mean["half"]["chroma"] == pytest.approx(true_chroma / 2, rel=0.03)
    assert (
        0 < mean["mean_ab"]["colorfulness"] < mean["own_mean"]["colorfulness"] < mean["half"]["colorfulness"]
    )
    assert abs(mean["shuffled"]["delta_cf"]) < 0.3 * abs(mean["grey"]["delta_cf"])


def test_no_keras_is_loaded():
    code = "import sys, helpers.metrics; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_interval_of_plain_numbers_holds_their_mean():
    right = np.array([True] * 75 + [False] * 25)
    found = metrics.interval(right)
    assert found["mean"] == pytest.approx(0.75)
    # A share of 0.75 of 100 has a standard error of 0.043.
    assert found["low"] == pytest.approx(0.75 - 1.96 * 0.0433, abs=0.015)
    assert found["high"] == pytest.approx(0.75 + 1.96 * 0.0433, abs=0.015)


def test_there_is_no_best_number_for_a_metric_without_better_and_worse():
    with pytest.raises(CourseError, match=r"^no best number for 'chroma': choose one of psnr, "):
        metrics.best_scale(plain(0), np.zeros((1, 4, 4, 2)), "chroma")


def test_several_predictions_are_summarized_by_name(rows):
    two = {name: rows[name] for name in ("grey", "half")}
    assert metrics.summarize_all(two, 5) == {name: metrics.summarize(row, 5) for name, row in two.items()}
