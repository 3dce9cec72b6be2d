"""The check of a machine: every problem is provoked, and says what to do."""

import json
import os
import shutil
import subprocess
import sys
import types
from collections import namedtuple

import pytest

from helpers import doctor, places
from helpers.doctor import OK, PROBLEM, WARNING

pytestmark = pytest.mark.quick
Usage = namedtuple("Usage", "total used free")


def found(check):
    """What one check finds, as (status, text, advice); there is advice wherever there is a problem."""
    findings = list(check())
    assert findings
    for finding in findings:
        assert len(finding.text.splitlines()) == 1
        assert finding.status == OK or finding.advice or "; " in finding.text or ": " in finding.text
    return [(finding.status, finding.text, finding.advice) for finding in findings]


def course(tmp_path, *wanted):
    """A copy of parts of the checkout, to be damaged."""
    for name in wanted:
        source = places.ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        else:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / name)
    return tmp_path


# Python and its packages -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "status"), [((3, 10, 4), PROBLEM), ((3, 12, 1), OK), ((3, 14, 0), PROBLEM)]
)
def test_a_python_that_is_too_old_or_too_new_is_a_problem(version, status, monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", version)
    ((seen, text, _),) = found(doctor._python)
    assert seen == status
    assert text.startswith(f"Python {version[0]}.{version[1]}")
    assert ("3.11 to 3.13" in text) == (status == PROBLEM)


def requirements(tmp_path, monkeypatch, *lines):
    (tmp_path / "requirements.txt").write_text("\n".join(["# a comment", "-e .", *lines]), encoding="utf-8")
    monkeypatch.setattr(places, "ROOT", tmp_path)
    return found(doctor._packages)


def test_packages_in_the_wanted_versions_are_fine(tmp_path, monkeypatch):
    ((status, text, _),) = requirements(tmp_path, monkeypatch, f"pytest=={pytest.__version__}")
    assert (status, text) == (OK, "1 packages, in the versions of requirements.txt")


def test_a_missing_package_is_a_problem_and_another_version_a_warning(tmp_path, monkeypatch):
    lines = ("no-such-package==1.0", "pytest==0.1")
    missing, other = requirements(tmp_path, monkeypatch, *lines)
    assert missing[:2] == (PROBLEM, "not installed: no-such-package")
    assert "pip install -r requirements.txt" in missing[2]
    assert other[:2] == (WARNING, f"other versions: pytest {pytest.__version__} (not 0.1)")


def test_it_reads_all_of_the_courses_requirements():
    lines = (places.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    ((status, text, _), *_) = found(doctor._packages)
    if status == OK:
        assert int(text.split()[0]) == sum("==" in line for line in lines)


@pytest.mark.parametrize(
    ("backend", "says"), [("mxnet", "must be one of tensorflow, jax, torch"), ("torch", "is not installed")]
)
def test_a_backend_that_cannot_be_is_a_problem(backend, says, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr(doctor.installed, "_is_there", lambda package: package != "torch")
    ((status, text, _),) = found(doctor._backend)
    assert status == PROBLEM
    assert says in text


def test_it_runs_without_any_package_of_the_course(tmp_path):
    """On a Python that has nothing installed: isolated from its packages, as a new environment is."""
    ended = subprocess.run(
        [sys.executable, "-S", "-m", "helpers", "doctor", "--quick"],
        cwd=places.ROOT,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert ended.returncode == 1
    assert ended.stderr == ""
    assert "problem  not installed: tensorflow, keras, numpy" in ended.stdout
    assert "Traceback" not in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("Not ready: ")


# JupyterLab's kernel ---------------------------------------------------------------------------------


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Install a kernel `python3` in front of all others, as one for the user is."""
    pytest.importorskip("jupyter_client")

    def install(*argv):
        folder = tmp_path / "jupyter" / "kernels" / "python3"
        folder.mkdir(parents=True)
        spec = {"argv": list(argv), "display_name": "Python 3", "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
        monkeypatch.setenv("PYTHONPATH", str(places.ROOT))
        return found(doctor._kernel)

    return install


def test_a_kernel_by_a_plain_name_is_this_python(kernel):
    ((status, text, _),) = kernel("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")
    assert (status, text) == (OK, "JupyterLab's kernel finds this course")


def test_a_kernel_of_another_python_is_a_problem(kernel, tmp_path):
    """One that was installed for the user, whose Python has none of the course's packages."""
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    ((status, text, advice),) = kernel(str(bare), "-m", "ipykernel_launcher")
    assert status == PROBLEM
    assert str(bare) in text and "No module named" in text
    assert "ipykernel install" in advice


def test_a_kernel_whose_python_is_gone_is_a_problem(kernel, tmp_path):
    ((status, text, _),) = kernel(str(tmp_path / "removed" / "python"))
    assert status == PROBLEM
    assert "does not run" in text


def test_a_kernel_that_finds_another_course_is_a_problem(kernel, tmp_path, monkeypatch):
    other = tmp_path / "other"
    (other / "helpers").mkdir(parents=True)
    (other / "helpers" / "__init__.py").touch()
    wrapped = tmp_path / "wrapped"
    wrapped.write_text(f'#!/bin/sh\nPYTHONPATH="{other}" exec "{sys.executable}" "$@"\n', encoding="utf-8")
    wrapped.chmod(0o755)
    ((status, text, _),) = kernel(str(wrapped))
    assert status == PROBLEM
    assert text.endswith(f"another course than this one: {other / 'helpers'}")


# Memory, disk and folders ----------------------------------------------------------------------------


@pytest.mark.parametrize(("free", "status"), [(1.0, PROBLEM), (2.2, WARNING), (8.0, OK)])
def test_little_memory_is_a_warning_and_too_little_a_problem(free, status, monkeypatch):
    psutil = pytest.importorskip("psutil")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=free * 1e9))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    ((seen, text, _),) = found(doctor._memory)
    assert seen == status
    assert text.startswith(f"{free:.1f} GB")


def test_jax_needs_more_memory(monkeypatch):
    psutil = pytest.importorskip("psutil")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=3e9))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert found(doctor._memory)[0][0] == PROBLEM


def test_a_full_disk_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: Usage(10**12, 10**12, 2 * 10**8))
    assert {status for status, *_ in found(doctor._disk)} == {PROBLEM}
    monkeypatch.undo()
    assert {status for status, *_ in found(doctor._disk)} <= {OK, PROBLEM}


def test_a_folder_that_cannot_be_written_to_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(places, "RUNS", tmp_path / "file" / "runs")
    monkeypatch.setattr(places, "CACHE", tmp_path / "new" / "cache")
    runs, cache = found(doctor._writing)
    assert runs[0] == PROBLEM and "is a file, not a folder" in runs[1] and "folder of your own" in runs[2]
    assert cache[0] == OK
    assert not (tmp_path / "new").exists()  # nothing is left behind, not even a folder


def test_a_disk_that_says_yes_and_refuses_is_a_problem(tmp_path, monkeypatch):
    def refuse(dir):
        raise OSError(30, "Read-only file system", str(dir))

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert {status for status, *_ in found(doctor._writing)} == {PROBLEM}


# Photographs, networks and a training ----------------------------------------------------------------


def test_the_embedded_photographs_are_whole():
    pytest.importorskip("PIL")
    ((status, text, _),) = found(doctor._sample)
    assert (status, text) == (OK, "50 embedded photographs, all whole")


def test_photographs_that_are_cut_or_gone_are_a_problem(tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    folder = course(tmp_path, "data/sample") / "data" / "sample"
    koala, chameleon = folder / "animal_koala.jpg", folder / "animal_chameleon.jpg"
    koala.write_bytes(koala.read_bytes()[:5000])
    chameleon.unlink()
    monkeypatch.setattr(places, "SAMPLE", folder)
    ((status, text, advice),) = found(doctor._sample)
    assert status == PROBLEM
    assert text.startswith("2 of 50 ") and koala.name in text and chameleon.name in text
    assert "git checkout" in advice


def test_a_network_that_was_cut_is_a_problem(tmp_path, monkeypatch):
    folder = course(tmp_path, "data/models/memorize.keras", "data/models/memorize.json") / "data" / "models"
    monkeypatch.setattr(places, "MODELS", folder)
    assert found(doctor._networks)[0][:2] == (OK, "1 recorded networks, all whole")
    path = folder / "memorize.keras"
    path.write_bytes(path.read_bytes()[:-100])
    assert found(doctor._networks)[0][:2] == (PROBLEM, "recorded networks are damaged: memorize.keras")
    path.unlink()
    assert found(doctor._networks)[0][:2] == (PROBLEM, "no recorded network is there")


# The report ------------------------------------------------------------------------------------------


def saying(monkeypatch, *findings):
    monkeypatch.setattr(doctor, "examine", lambda quick: iter(findings))
    lines = []
    return doctor.report(lines.append), lines


def test_the_report_counts_and_says_what_to_do(monkeypatch):
    problems, lines = saying(
        monkeypatch,
        doctor.Finding(OK, "this"),
        doctor.Finding(WARNING, "that", "do this"),
        doctor.Finding(PROBLEM, "those", "do that"),
    )
    assert problems == 1
    assert lines == [
        "ok       this",
        "warning  that",
        "         -> do this",
        "problem  those",
        "         -> do that",
        "Not ready: 1 problem, 1 warning.",
    ]


def test_warnings_alone_are_ready(monkeypatch):
    assert saying(monkeypatch, doctor.Finding(WARNING, "that")) == (
        0,
        ["warning  that", "Ready, with 1 warning."],
    )
    assert saying(monkeypatch, doctor.Finding(OK, "this")) == (0, ["ok       this", "Ready."])


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(monkeypatch):
    def broken():
        raise RuntimeError("on the first line\nand the second")
        yield

    broken.__name__ = "_memory"
    monkeypatch.setattr(doctor, "_memory", broken)
    findings = list(doctor.examine(quick=True))
    assert (
        doctor.Finding(PROBLEM, "memory: RuntimeError: on the first line", doctor.installed.INSTALL)
        in findings
    )
    assert findings[-1].text != "memory"
    assert len({finding.text for finding in findings}) > 6


@pytest.mark.parametrize(("problems", "code"), [(0, 0), (2, 1)])
def test_the_exit_code_says_whether_there_is_a_problem(problems, code, monkeypatch):
    from helpers.__main__ import main

    monkeypatch.setattr(doctor, "report", lambda say, quick: problems)
    assert main(["doctor", "--quick"]) == code
