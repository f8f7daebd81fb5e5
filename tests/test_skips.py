"""A skip is said aloud, and in CI it is a failure unless no package could prevent it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = """
import pytest

@pytest.mark.needs_system_package("no-such-package", "/no/such/path")
def test_package(): ...

@pytest.mark.needs_system_package("no-such-package", "no-such-command")
def test_command(): ...

@pytest.mark.needs_system_package("coreutils", "ls")
def test_there(): ...

@pytest.mark.skipif(True, reason="something-else is not installed")
def test_other(): ...

@pytest.mark.skipif(True, reason="this machine has no python9.9")
def test_allowed(): ...

@pytest.mark.xfail(reason="known", strict=True)
def test_known(): assert False
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    marker = "needs_system_package(name, present): see conftest.py"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = --strict-markers\nmarkers = {marker}\n")
    (tmp_path / "test_cases.py").write_text(CASES)
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    return tmp_path


def ran(project: Path, **variables: str) -> tuple[int, str]:
    plain = {name: value for name, value in os.environ.items() if name != "EDGESEARCH_CI"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
        ".",
    ]
    done = subprocess.run(
        command, cwd=project, env=plain | variables, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_skips_are_said_aloud(project: Path) -> None:
    status, output = ran(project)
    assert status == 0, output
    assert "1 passed, 5 skipped, 1 xfailed" in output
    told = output.split("not tested here")[1]
    assert "the system package no-such-package is missing (apt-get install no-such-package)" in told
    assert "could not import 'no_such_module'" in told


def test_in_ci_a_skip_is_a_failure(project: Path) -> None:
    status, output = ran(project, EDGESEARCH_CI="1")
    assert status == 1, output
    assert "1 passed, 1 skipped, 1 xfailed, 4 errors" in output
    assert "skipped, which is a failure in CI: something-else is not installed" in output
