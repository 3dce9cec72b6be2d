"""What pytest is told beside pyproject.toml; loaded with `-p`, so that it also holds in notebooks/."""

from nbval.plugin import IPyNbFile

# nbval compares all text of all outputs, but for these:
# - stderr: some systems' libraries write there (about drivers, locales). The committed notebooks
#   have none, which tests/gates.py holds, so what is left is the machine's, not the course's.
# - text/html: how measured values are shown; they differ between machines. `helpers.display` writes
#   each with a stable text/plain, which is compared; tests/gates.py holds that every HTML has one.
NOT_COMPARED = ("stderr", "text/html")


def pytest_collectstart(collector):
    if isinstance(collector, IPyNbFile):
        collector.skip_compare += NOT_COMPARED


def pytest_collection_modifyitems(items):
    """Put quick tests first: the units, then the six lessons by papermill, then by nbval."""

    def cost(item):
        if item.path.suffix == ".ipynb":
            return 2
        return int(item.path.name == "test_notebooks.py")

    items.sort(key=cost)
