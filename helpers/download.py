"""Stub."""

import sys

from tqdm.auto import tqdm


def fetch(name, to=None):
    raise NotImplementedError


def progress(**options) -> tqdm:
    """Start a progress bar where someone can see it: in a terminal or a notebook."""
    seen = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(disable=not seen, delay=2, leave=False, **options)
