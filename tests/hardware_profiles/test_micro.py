"""The arena of real files, by TensorFlow Lite Micro in a child process; and why it is not known of others."""

import sys
from importlib.util import find_spec

import pytest
from tiny_models import fully_connected

from hardware_profiles import micro
from hardware_profiles.anchor import anchor_path
from hardware_profiles.micro import ArenaUnknown, arena

needs_micro = pytest.mark.skipif(
    find_spec("tflite_micro") is None, reason="this machine has no tflite-micro: it exists for x86-64 alone"
)


@pytest.fixture
def dense(tmp_path):
    path = tmp_path / "dense.tflite"
    path.write_bytes(fully_connected(64, 16))
    return path


@needs_micro
def test_the_arena_holds_input_and_output_at_least(dense):
    found = arena(dense)
    assert found.head_bytes >= (64 + 16) * 4
    assert found.total_bytes == found.head_bytes + found.tail_bytes


@needs_micro
def test_wider_models_need_more(tmp_path, dense):
    wide = tmp_path / "wide.tflite"
    wide.write_bytes(fully_connected(256, 64))
    assert arena(wide).head_bytes > arena(dense).head_bytes


@needs_micro
def test_the_answer_is_the_same_every_time():
    assert arena(anchor_path()) == arena(anchor_path())


@needs_micro
@pytest.mark.parametrize("content", [b"", b"TFL3 and no model", fully_connected(8, 4)[:200]])
def test_a_broken_file_is_a_reason_and_no_crash(tmp_path, content):
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(ArenaUnknown, match="does not run it"):
        arena(path)


def test_a_child_that_takes_too_long_is_ended(dense):
    with pytest.raises(ArenaUnknown, match=r"more than 0\.01 s"):
        arena(dense, timeout_s=0.01)


def test_without_the_package_the_reason_is_how_to_get_it(dense, monkeypatch):
    hidden = "import sys\nsys.modules['tflite_micro'] = None\n"
    monkeypatch.setattr(
        micro, "_SCRIPT", f"{hidden}raise ModuleNotFoundError(\"No module named 'tflite_micro'\")"
    )
    with pytest.raises(ArenaUnknown, match="pip install"):
        arena(dense)
    assert sys.modules.get("tflite_micro", "") is not None
