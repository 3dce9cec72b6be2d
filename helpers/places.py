"""Where things lie in the project."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
RUNS = ROOT / "runs"
DATA = ROOT / "data"
SAMPLE = DATA / "sample"
MODELS = DATA / "models"
DOWNLOADS = DATA / "downloads"
CACHE = DATA / "cache"
IMAGENET_CLASSES = DATA / "imagenet_classes.txt"

# An environment variable: the file in which a training says what it is at, for whoever runs the notebook.
STATUS = "COURSE_STATUS"
