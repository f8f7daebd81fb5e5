"""What all tests share: no skip goes unseen, and in CI a skip for want of a package is a failure.

A test that needs a system package says so:

    @pytest.mark.needs_system_package("dataset-fashion-mnist", "/usr/share/datasets/fashion-mnist")

with the package's name in Debian and what tells that it is there: a path, or a command's name. `.ci/run`
installs every package that is named so, and sets EDGESEARCH_CI. Then nothing may be skipped but what
begins with "this machine has no": what no package can bring, such as another Python.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED_IN_CI = "this machine has no "
SHIPPED = (
    "pyproject.toml", "README.md", "requirements.lock", "requirements-dev.lock", "scripts",
    "search", "objectives", "spaces", "hardware_profiles",
)  # fmt: skip
MakeVenv = Callable[[str], Path]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs_system_package"):
        name, present = mark.args
        if not is_there(present):
            pytest.skip(f"the system package {name} is missing (apt-get install {name})")


def is_there(present: str) -> bool:
    """Tell whether a path exists or, for a plain name, whether there is such a command."""
    return Path(present).exists() if os.sep in present else shutil.which(present) is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report)
    return report


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure in CI, unless the reason is one that no package can remove."""
    if not report.skipped or hasattr(report, "wasxfail") or not in_ci():
        return
    reason = skip_reason(report)
    if not reason.startswith(ALLOWED_IN_CI):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure in CI: {reason}"


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a test was skipped."""
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")


def in_ci() -> bool:
    """Tell whether a skip is a failure."""
    return bool(os.environ.get("EDGESEARCH_CI"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud what was not tested for want of something."""
    reasons = sorted({skip_reason(report) for report in terminalreporter.stats.get("skipped", [])})
    if reasons:
        terminalreporter.section("not tested here", yellow=True)
        for reason in reasons:
            terminalreporter.line(reason)


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project as a fresh clone has it: nothing installed, nothing run."""
    folder = tmp_path_factory.mktemp("clone") / "edgesearch"
    folder.mkdir()
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    yield folder
    shutil.rmtree(folder)  # gigabytes, of which pytest would keep three


@pytest.fixture
def make_venv(tmp_path: Path) -> Iterator[MakeVenv]:
    """Make an environment with an interpreter, and remove it afterwards; returns its `python`."""
    folder = tmp_path / "venv"

    def make(python: str) -> Path:
        subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
        return folder / "bin" / "python"

    yield make
    shutil.rmtree(folder, ignore_errors=True)
