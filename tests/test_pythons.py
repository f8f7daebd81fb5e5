"""One small study on each other Python that edgesearch is made for and that this machine has."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
OWN = "{}.{}".format(*sys.version_info[:2])  # on which all other tests run
VERSIONS = sorted({"3.11", "3.12", "3.13"} - {OWN})
STUDY = (
    "study", "--data", "iris", "--trials", "2", "--epochs", "4", "--range", "layers=1",
    "--executor", "in-process", "--json",
)  # fmt: skip


def interpreters(version: str) -> list[Path]:
    """List where a Python of that version may lie: on the path, and where pyenv keeps its own."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    on_path = [Path(found)] if (found := shutil.which(f"python{version}")) else []
    return [*on_path, *sorted(root.glob(f"versions/{version}.*/bin/python"))]


def runs(python: Path, version: str) -> bool:
    """Tell whether it really is that Python: a shim may be there without one behind it."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == version


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_study(version: str, clone: Path, tmp_path: Path, make_venv: Callable[[str], Path]) -> None:
    found = [python for python in interpreters(version) if runs(python, version)]
    if not found:
        pytest.skip(f"this machine has no python{version}")
    python = make_venv(str(found[0]))
    install = [UV, "pip", "install", "--quiet", "--python", python]
    subprocess.run([*install, "--requirement", ROOT / "requirements.lock"], check=True)
    subprocess.run([*install, "--no-deps", "--no-build-isolation", clone], check=True)
    subprocess.run([UV, "pip", "check", "--quiet", "--python", python], check=True)
    command = python.with_name("edgesearch")
    done = subprocess.run(
        [command, *STUDY], cwd=tmp_path, env={**os.environ, "EDGESEARCH_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    front = json.loads(done.stdout)["front"]
    assert {trial["state"] for trial in front} == {"measured"}
