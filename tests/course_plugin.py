"""What pytest is told beside pyproject.toml; loaded with `-p`, so that it also holds in notebooks/."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
from nbval.plugin import IPyNbFile
from xdist.scheduler import LoadScopeScheduling

# nbval compares all text of all outputs, but for these:
# - stderr: some systems' libraries write there (about drivers, locales). The committed notebooks
#   have none, which tests/gates.py holds, so what is left is the machine's, not the course's.
# - text/html: how measured values are shown; they differ between machines. `helpers.display` writes
#   each with a stable text/plain, which is compared; tests/gates.py holds that every HTML has one.
NOT_COMPARED = ("stderr", "text/html")
# The command of the quick tests, and the mark that a module or a test of them carries.
QUICK = "quick"


def pytest_collectstart(collector):
    if isinstance(collector, IPyNbFile):
        collector.skip_compare += NOT_COMPARED


def pytest_configure(config):
    """Keep what takes long to load away from quick tests, and the reader's settings from nbval's kernels."""
    if config.option.markexpr.strip() == QUICK:
        sys.modules.update(tensorflow=None, keras=None)
    # Not above, where this folder's parent may not be on the path yet.
    from helpers.runner import environment

    folder = tempfile.TemporaryDirectory(prefix="settings-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    for name, value in environment.changes(Path(folder.name)).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def pytest_ignore_collect(collection_path, config):
    """Leave out copies of lessons, and of `-m quick` whatever has no quick test, not even imported."""
    from helpers import places

    if collection_path.suffix == ".ipynb" and collection_path not in places.lessons(collection_path.parent):
        return True
    if config.option.markexpr.strip() != QUICK or not collection_path.is_file():
        return None
    quick = collection_path.suffix == ".py" and f"pytest.mark.{QUICK}" in collection_path.read_text("utf-8")
    return None if quick else True


def pytest_collection_modifyitems(config, items):
    """Put quick tests first: the units, then the six lessons by papermill, then by nbval.

    Workers take the longest first: a chain of lessons that began last would end alone, on one core.
    """

    def cost(item):
        if item.path.suffix == ".ipynb":
            return 2
        return int(item.path.name == "test_notebooks.py")

    items.sort(key=cost, reverse=hasattr(config, "workerinput"))
    for item in items:
        if isinstance(item.parent, IPyNbFile):
            # nbval ends a cell itself, and says which; a test's general limit would come before it.
            item.add_marker(pytest.mark.timeout(config.option.nbval_cell_timeout + 300))


# Several tests at once ------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config):
    """Spread the whole suite over the cores; run what is named in this one process, which starts sooner."""
    whole = config.args_source is config.ArgsSource.TESTPATHS
    cores = os.cpu_count() or 1
    return cores if whole and cores > 1 else 0


def pytest_xdist_setupnodes(specs):
    """Share the cores out: workers that all use all of them get in each other's way."""
    threads = str(max(1, (os.cpu_count() or 1) // len(specs)))
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, threads)


class ByFile(LoadScopeScheduling):
    """Give a file's tests to one worker, since they share fixtures; and all notebooks to one.

    Lesson 6 reads the networks that lessons 3 to 5 write.
    """

    def _split_scope(self, nodeid):
        path = nodeid.partition("::")[0]
        return "notebooks" if path.endswith(".ipynb") else path


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)
