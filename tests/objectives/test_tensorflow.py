"""TensorFlow as it is imported here: quietly, and without hiding what others say."""

import os
import subprocess
import sys

import pytest

from objectives.tensorflow import without_chatter

CHATTER = b"""WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795956450.780195    6399 port.cc:153] oneDNN custom operations are on.
"""


def test_it_is_imported_without_a_word() -> None:
    code = "import objectives.tensorflow as t; t.tensorflow(); t.keras(); t.tfmot()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_what_others_say_meanwhile_comes_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with without_chatter():
        os.write(2, CHATTER + b"the disk is nearly full\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "the disk is nearly full\n"


def test_what_goes_wrong_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    def failing() -> None:
        with without_chatter():
            os.write(2, b"cannot load a library\n" + CHATTER)
            raise ImportError

    with pytest.raises(ImportError):
        failing()
    assert capfd.readouterr().err == "cannot load a library\n"


def test_without_a_standard_error_it_is_imported_all_the_same() -> None:
    code = """import os; os.close(2)
from objectives.tensorflow import without_chatter
with without_chatter():
    print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"
