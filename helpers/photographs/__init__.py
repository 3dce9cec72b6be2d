"""Photographs of any source: found, fetched, decoded, sorted out, and opened as one array."""

from helpers.photographs.collection import Photographs, load
from helpers.photographs.hygiene import SPLITS

__all__ = ["SPLITS", "Photographs", "load"]
