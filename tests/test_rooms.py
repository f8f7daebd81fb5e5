"""The rooms: who may import whom, what is imported when, and what a user's own files may not do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("search", "objectives", "spaces", "hardware_profiles")
COMMANDS = ("", "devices", "study", "studies", "trials", "front", "export", "sync", "ui", "doctor")
HEAVY = {
    "tensorflow", "tf_keras", "ray", "mlflow", "optuna", "pandas", "sklearn", "matplotlib", "plotly", "scipy",
}  # fmt: skip
REPORT = """
import json, sys
try:
    from search.cli import main
    main({arguments!r})
except SystemExit as done:
    print(json.dumps([done.code, sorted(sys.modules)]), file=sys.stderr)
"""


def python(code: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def imported_by(*arguments: str) -> set[str]:
    done = python(REPORT.format(arguments=list(arguments)))
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy_and_has_an_example(command: str) -> None:
    arguments = [*([command] if command else []), "--help"]
    done = python(REPORT.format(arguments=arguments))
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert HEAVY.isdisjoint(modules), HEAVY.intersection(modules)
    assert f"  edgesearch {command}".rstrip() in done.stdout


def test_the_catalogue_of_devices_needs_nothing_heavy() -> None:
    assert HEAVY.isdisjoint(imported_by("devices"))


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = python("import json, sys, search; print(json.dumps(sorted(sys.modules)))")
    assert HEAVY.isdisjoint(json.loads(done.stdout))


def test_directions_between_the_rooms() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize("room", ROOMS)
def test_a_users_file_of_the_same_name_does_not_hide_a_room(room: str, tmp_path: Path) -> None:
    (tmp_path / f"{room}.py").write_text("raise RuntimeError('a user\\'s own file was imported')\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("edgesearch"), "devices"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "this-machine" in done.stdout
