from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers.runner import run

PARAMETERS = 'PROFILE = "tiny"\nSEED = 0\nPHOTOS = None\nOUT = None'

CLEAN = (
    "import matplotlib.pyplot as plt\n\nfrom helpers import display",
    "figure, axes = plt.subplots(figsize=(2, 1))\naxes.plot([1, 2])\n"
    'display.show(figure, "A line that goes up.")',
    'display.claim("the line goes up", 2 - 1, at_least=0.5)\nprint("measured")',
    'display.headline(f"it goes up by 1, seed {SEED}")',
    'display.table({"line": {"rise": "1"}}, "How much lines rise.")',
)


def write_lesson(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    """Write a small lesson: a title, the parameters, a heading, and these code cells; not executed."""
    notebook = new_notebook(
        cells=[
            new_markdown_cell(f"# {int(path.name[:2])}. A lesson"),
            new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            new_markdown_cell("## The line"),
            *map(new_code_cell, cells),
        ],
        metadata={
            "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3 (ipykernel)"}
        },
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture(scope="session")
def clean_lesson(tmp_path_factory) -> Path:
    """A lesson that is as a committed one must be, its outputs included."""
    path = write_lesson(tmp_path_factory.mktemp("clean") / "01_clean.ipynb", *CLEAN)
    run.refresh([path])
    return path
