"""Photographs as batches of normalized (L, ab) for `fit`, augmented for training."""

import itertools

import numpy as np

from helpers.augment import AB_STEP, CONTRASTS, FLIPS, L_STEP, flip, prepare
from helpers.backend import keras
from helpers.errors import CourseError
from helpers.hints import STRIDE, reveal
from helpers.lab import normalize, rgb_to_lab


class Batches(keras.utils.PyDataset):
    """Batches of normalized lightness and colors, for `fit` and for loops of one's own.

    Parameters
    ----------
    photographs : Photographs or (n, height, width, 3) ndarray of uint8
        What to learn from.
    batch_size : int
        Photographs in a batch; the last batch of an epoch may be smaller.
    seed : int
        Decides order, flips and contrast of every epoch, at least 0.
    augment : bool
        True for training: shuffle, flip, and choose a variant of L, all at random.
        False for validation and test: in order and unchanged.
    embedding : (n, d) ndarray of float, optional
        One vector a photograph, given to the network as its second input.
    flips, contrast : tuple of str
        What `augment` does: some of `augment.FLIPS`, each for half of the photographs,
        and some of `augment.CONTRASTS`, each as often as the untouched L. Empty tuples
        leave the shuffling alone.
    crop : int, optional
        Side of the square, in pixels, that `augment` cuts out of each photograph at a random place;
        None takes all of it.
    length : int, optional
        Batches in an epoch of `augment`, at most: the first ones of its random order. None takes all.
    heads : int
        How many times a batch hands over the same ab: once for each head of a network.
    hints : int
        How many of its true colors a photograph comes with, at most, as `helpers.hints.reveal` gives them:
        1 to so many, uniformly on a logarithmic scale. 0 leaves hints out.

    Attributes
    ----------
    size : tuple of (int, int)
        Height and width of the pictures in a batch, in pixels.
    checksum : str or None
        Of the photographs' files, names and splits, at any size; None for an array.
    settings : dict
        What batches are drawn by, as JSON can hold it: their size, seed, flips, contrast and length.

    Raises
    ------
    CourseError
        If there are no photographs, or an argument is not as described.

    Notes
    -----
    A batch is `(L, ab)`, or `((L, embedding), ab)`, or with hints `((L, hints), ab)`, or with two heads
    `(L, (ab, ab))`:
    L is (b, height, width, 1) of float32 in 0..1, and ab (b, height, width, 2) of float32 in about -1..1.

    A batch is a function of seed, epoch and index, and of nothing else. The epoch counts
    the calls of `on_epoch_end`, of which `fit` makes one before its first epoch. `fit`
    itself draws the order of the batches from Python's random numbers, unless given
    `shuffle=False`; `keras.utils.set_random_seed` seeds those.

    Training batches come from `augment.prepare`: L is within 0.2 and ab within 0.5 CIE
    units of the photograph. Validation batches are converted as they are used, and are
    exact to float32. Contrast precedes the flips. Adaptive equalization works in
    tiles, so the other order would differ: by 1 unit of L on average at 64 px, and by
    0.4 at 256.
    """

    def __init__(
        self,
        photographs,
        batch_size,
        seed=0,
        augment=True,
        embedding=None,
        flips=FLIPS,
        contrast=CONTRASTS,
        crop=None,
        length=None,
        heads=1,
        hints=0,
    ):
        # Keras' default of one worker makes batches where they are used: one takes a fraction of a
        # millisecond a photograph. More would hand JAX and PyTorch batches of the epoch before.
        super().__init__()
        rgb = getattr(photographs, "rgb", photographs)
        _check(rgb, batch_size, seed, embedding, flips, contrast)
        _check_crop(rgb, crop, length)
        _check_hints(crop if crop and augment else rgb.shape[1:3], embedding, hints)
        self.batch_size, self.seed, self.augment = batch_size, seed, augment
        self.embedding, self.flips = embedding, flips
        self.crop, self.length, self.heads, self.hints = crop, length, heads, hints
        self.size = (crop, crop) if crop and augment else rgb.shape[1:3]
        self.checksum = getattr(photographs, "checksum", None)
        self.settings = {"batch_size": batch_size, "seed": seed, "length": length}
        self.settings |= {"flips": list(flips), "contrast": list(contrast)}
        self._rgb = rgb
        if augment:
            # Plain arrays over the mapped file: taking part of a memory map costs more than of an array.
            prepared = np.asarray(prepare(photographs, contrast))
            self._variants, self._ab = prepared["L"], prepared["ab"]
        self.epoch = 0
        self._draw()

    def __len__(self):
        return -(-len(self._order) // self.batch_size)

    def __getitem__(self, index):
        start = range(len(self))[index] * self.batch_size
        chosen = self._order[start : start + self.batch_size]
        if self.augment:
            L, ab = self._augmented(chosen)
        else:
            L, ab = normalize(rgb_to_lab(self._rgb[chosen]))
        x = L if self.embedding is None else (L, self.embedding[chosen])
        if self.hints:
            random = np.random.default_rng([self.seed, self.epoch, index])
            counts = np.exp(random.uniform(0, np.log(self.hints), len(chosen))).round().astype(int)
            x = L, reveal(ab, counts, random)
        return x, ab if self.heads == 1 else (ab,) * self.heads

    def on_epoch_end(self):
        """Draw anew, for the next epoch."""
        self.begin(self.epoch + 1)

    def begin(self, epoch):
        """Draw anew, for an epoch of any number.

        Parameters
        ----------
        epoch : int
            At least 0.
        """
        self.epoch = epoch
        self._draw()

    def _draw(self):
        """Draw order, flips and variants of all photographs at once."""
        count = len(self._rgb)
        if not self.augment:
            self._order = np.arange(count)
            return
        random = np.random.default_rng([self.seed, self.epoch])
        self._order = random.permutation(count)
        self._flipped = random.random((count, len(self.flips))) < 0.5
        self._variant = random.integers(self._variants.shape[1], size=count)
        room = np.subtract(self._rgb.shape[1:3], self.crop or self._rgb.shape[1:3])
        self._corner = random.integers(room + 1, size=(count, 2))
        if self.length:
            self._order = self._order[: self.length * self.batch_size]

    def _augmented(self, chosen):
        """Choose, flip and scale: every number is written once."""
        shape = (len(chosen), *self.size)
        L, ab = np.empty((*shape, 1), np.float32), np.empty((*shape, 2), np.float32)
        for k, i in enumerate(chosen):
            top, left = self._corner[i]
            cut = np.s_[top : top + shape[1], left : left + shape[2]]
            lightness = self._variants[i, self._variant[i]][cut][..., None]
            # Two bytes seen as one number: so a and b of a pixel stay side by side.
            colors = self._ab[i].view(np.uint16)[cut]
            for direction in itertools.compress(self.flips, self._flipped[i]):
                lightness, colors = flip(lightness, direction), flip(colors, direction)
            np.multiply(lightness, L_STEP, out=L[k])
            np.multiply(np.ascontiguousarray(colors).view(np.int8), AB_STEP, out=ab[k])
        return L, ab


def _check_crop(rgb, crop, length):
    if crop is not None and not 1 <= crop <= min(rgb.shape[1:3]):
        raise CourseError(f"crop must be 1 to {min(rgb.shape[1:3])}, the photographs' side; got {crop}.")
    if length is not None and length < 1:
        raise CourseError(f"length must be at least 1 batch, got {length}.")


def _check_hints(sides, embedding, hints):
    if hints < 0:
        raise CourseError(f"hints must be at least 0, got {hints}.")
    if hints and embedding is not None:
        raise CourseError("a network takes an embedding or hints: give one of them.")
    if hints and np.any(np.mod(sides, STRIDE)):
        raise CourseError(f"hints need sides that are multiples of {STRIDE} pixels, got {sides}.")


def _check(rgb, batch_size, seed, embedding, flips, contrast):
    """Raise one line for an argument that would fail later with many."""
    if getattr(rgb, "dtype", None) != np.uint8 or rgb.ndim != 4 or rgb.shape[-1] != 3:
        raise CourseError("Batches takes Photographs, or a uint8 array of shape (n, height, width, 3).")
    if not len(rgb):
        raise CourseError("there are no photographs to make batches of.")
    if batch_size < 1:
        raise CourseError(f"batch_size must be at least 1, got {batch_size}.")
    if seed < 0:
        raise CourseError(f"seed must be at least 0, got {seed}.")
    if embedding is not None and len(embedding) != len(rgb):
        raise CourseError(f"got {len(embedding)} embeddings for {len(rgb)} photographs: one each is needed.")
    for wanted, known, what in ((flips, FLIPS, "flip"), (contrast, CONTRASTS, "contrast operation")):
        if isinstance(wanted, str):
            raise CourseError(f"{what}s are given as a tuple of names, got the text {wanted!r}.")
        for name in wanted:
            if name not in known:
                raise CourseError(f"unknown {what} {name!r}: choose among {', '.join(known)}.")
