"""From a fresh clone to a model that runs where nothing but numpy and ai-edge-litert is installed."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
SHORT = ("--trials", "3", "--range", "precision=int8,float32")
ROOMS = {"search", "objectives", "spaces", "hardware_profiles"}
DATA_FILES = {
    "search/templates/infer.py", "search/templates/model_card.md",
    "hardware_profiles/anchor.tflite", "hardware_profiles/catalog/raspberry-pi-4.yaml",
}  # fmt: skip


def quickstart(clone: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    variables = {name: value for name, value in os.environ.items() if not name.startswith("EDGESEARCH_")}
    return subprocess.run(
        [clone / "scripts" / "quickstart", *arguments],
        cwd=clone.parent,
        env=variables | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def started(clone: Path) -> "subprocess.CompletedProcess[str]":
    return quickstart(clone, *SHORT)


def exported(clone: Path) -> Path:
    (folder,) = (clone / "edgesearch-home" / "exports").iterdir()
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_quickstart_ends_with_a_model(started: "subprocess.CompletedProcess[str]", clone: Path) -> None:
    assert started.returncode == 0, started.stderr
    assert "making .venv" in started.stderr
    assert "installing what requirements.lock lists" in started.stderr
    assert "3/3 trials" in started.stderr
    about = json.loads((exported(clone) / "model.json").read_text())
    for told in ("Pareto front of", "sample.npy: ", "edgesearch ui", f"edgesearch front {about['study']}"):
        assert told in started.stdout
    for line in ("plot ", "model "):
        told = next(text.split()[1] for text in started.stdout.splitlines() if text.startswith(line))
        assert (clone / told).exists()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_quickstart_again_installs_nothing(started: "subprocess.CompletedProcess[str]", clone: Path) -> None:
    assert started.returncode == 0, started.stderr
    again = quickstart(clone, *SHORT)
    assert again.returncode == 0, again.stderr
    assert "installing" not in again.stderr
    assert "making" not in again.stderr


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_exported_script_needs_numpy_and_litert_alone(
    started: "subprocess.CompletedProcess[str]", clone: Path, make_venv: Callable[[str], Path]
) -> None:
    assert started.returncode == 0, started.stderr
    python = make_venv(sys.executable)
    install = [UV, "pip", "install", "--quiet", "--python", python]
    install += ["--constraint", ROOT / "requirements.lock", "numpy", "ai-edge-litert"]
    subprocess.run(install, check=True)
    names = ("tensorflow", "optuna", "search")
    look = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    found = subprocess.run([python, "-I", "-c", look], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
    folder = exported(clone)
    done = subprocess.run(
        [python, folder / "infer.py", "--top", "1"],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, label, share, percent = done.stdout.split()
    assert (name, percent) == ("sample.npy:", "%")
    assert label in (folder / "labels.txt").read_text().split()
    assert 10 <= float(share) <= 100


def test_the_wheel_holds_the_rooms_and_their_files(clone: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, clone], check=True)
    (wheel,) = tmp_path.glob("edgesearch-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        about = Parser().parsestr(archive.read(metadata).decode())
        entry = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == ROOMS
    assert names >= DATA_FILES
    source = {str(p.relative_to(ROOT)) for room in ROOMS for p in (ROOT / room).rglob("*.py")}
    assert names >= source
    assert about["Requires-Python"] in ("<3.14,>=3.11", ">=3.11,<3.14")
    assert "edgesearch = search.cli:main" in entry
