"""Models that the tests of this room measure, made without TensorFlow."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # for runner_contract and tiny_models, beside this file

from tiny_models import fully_connected


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    """A float dense layer, 64 to 16: well under a microsecond's work."""
    path = tmp_path / "small.tflite"
    path.write_bytes(fully_connected(64, 16))
    return path


@pytest.fixture
def large_model(tmp_path: Path) -> Path:
    """A float dense layer with 512 times the work of the small one."""
    path = tmp_path / "large.tflite"
    path.write_bytes(fully_connected(1024, 512))
    return path
