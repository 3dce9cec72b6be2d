"""Photographs of any source: found, fetched, decoded, sorted out, and opened as one array."""

from helpers.photographs.collection import Photographs, keep_near_duplicates, load
from helpers.photographs.splits import SPLITS

__all__ = ["SPLITS", "Photographs", "keep_near_duplicates", "load"]
