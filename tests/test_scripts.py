"""The scripts' own decisions: which Python they take, what they say without one, whether locks fit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHIM = '#!/bin/sh\necho "pyenv: $0: command not found" >&2\nexit 127\n'
OLD = '#!/bin/sh\ncase "$2" in *print*) echo "Python 3.9";; *) exit 1;; esac\n'
WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; *print*) echo python3.12;; *) exit 0;; esac\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of commands with nothing of Python in it."""
    made = tmp_path / "bin"
    made.mkdir()
    for name in ("sh", "cat", "sed", "cksum", "dirname", "rm"):
        (made / name).symlink_to(str(shutil.which(name)))
    return made


def put(folder: Path, **scripts: str) -> None:
    for name, text in scripts.items():
        path = folder / name.replace("_", ".")
        path.write_text(text)
        path.chmod(0o755)


def found(folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh", "-euc", ". scripts/_venv.sh; find_python"],
        cwd=ROOT, env={"PATH": str(folder), **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_shim_without_a_python_behind_it_is_passed_over(folder: Path) -> None:
    put(folder, python3_13=SHIM, python3_12=OLD, python3_11=WITHOUT_VENV)
    (folder / "python3").symlink_to(sys.executable)
    assert found(folder).stdout == "python3\n"


def test_the_newest_is_taken(folder: Path) -> None:
    for name in ("python3.12", "python3.11", "python3"):
        (folder / name).symlink_to(sys.executable)
    assert found(folder).stdout == "python3.12\n"


def test_a_named_python_goes_first(folder: Path) -> None:
    (folder / "python3").symlink_to(sys.executable)
    assert found(folder, PYTHON=sys.executable).stdout == f"{sys.executable}\n"


@pytest.mark.parametrize(
    ("scripts", "variables", "told"),
    [
        ({}, {}, "edgesearch needs Python 3.11, 3.12 or 3.13, found none"),
        ({"python3": OLD}, {}, "edgesearch needs Python 3.11, 3.12 or 3.13, found Python 3.9"),
        ({"python3": WITHOUT_VENV}, {}, "apt-get install python3.12-venv"),
        (
            {},
            {"PYTHON": "/no/python"},
            "PYTHON names no Python from 3.11 to 3.13 that runs, got '/no/python'",
        ),
    ],
)
def test_one_line_says_what_is_missing(
    folder: Path, scripts: dict[str, str], variables: dict[str, str], told: str
) -> None:
    put(folder, **scripts)
    done = found(folder, **variables)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert told in line


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock", "scripts/check_locks.py"):
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def checked(project: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, project / "scripts" / "check_locks.py"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_locks_fit(project: Path) -> None:
    done = checked(project)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("pyproject.toml", '"moocore>=0.3"', '"moocore>=99"', "does not meet 'moocore>=99'"),
        ("pyproject.toml", '"moocore>=0.3"', '"moocore>=0.2"', "was made from other requirements"),
        ("requirements.lock", "optuna==5", "optuna==4", "requirements.lock does not meet 'optuna==5.0.*'"),
        ("requirements.lock", "click==", "click==0", "click differs between the locks"),
        ("requirements-dev.lock", "ruff==", "rough==", "requirements-dev.lock does not meet 'ruff"),
        ("requirements.lock", "click==", "--index-url https://example.org\nclick==", "holds an address"),
    ],
)
def test_a_lock_that_does_not_fit_is_told(project: Path, file: str, old: str, new: str, told: str) -> None:
    path = project / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    done = checked(project)
    assert done.returncode == 1
    assert told in done.stderr
    assert "run scripts/lock" in done.stderr


def test_every_script_can_be_run() -> None:
    for name in ("quickstart", "test", "check", "lock"):
        path = ROOT / "scripts" / name
        assert os.access(path, os.X_OK), name
        subprocess.run(["/bin/sh", "-n", path], check=True)
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)
