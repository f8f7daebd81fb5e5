"""One Android device through `adb`: run a line there, copy a file there, tell why it is not there.

`adb shell` joins its arguments into a line for the device's shell, so a line must be made of fixed
strings, numbers and hexadecimal digests alone.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hardware_profiles.errors import DeviceError, Unreachable
from hardware_profiles.runners.child import last_line, printable

PLACE = "/data/local/tmp"
"""Where adb's own user may write and start programs."""
QUESTION_S, PUSH_S = 15.0, 120.0
SETTLING_S, SETTLING_TRIES = 2.0, 8
_ENDED = re.compile(r"edgesearch-exit:(\d+)")
_FULL = re.compile(r"No space left", re.IGNORECASE)


class Said(NamedTuple):
    """What a command printed, and its exit status; None where it never came to its end."""

    text: str
    status: int | None


class Overran(Exception):
    """A command was not done in time; `adb` was ended."""


class Device:
    """One device of `adb devices`; a question to it has `question_s` to be answered."""

    def __init__(self, serial: str, adb: str = "adb", question_s: float = QUESTION_S) -> None:
        self.serial, self.adb, self.question_s = serial, adb, question_s

    def shell(self, line: str, timeout_s: float | None = None) -> Said:
        """Run a line in the device's shell; its own report tells its end, for adb's status does not.

        Raises Overran; DeviceError where there is no adb.
        """
        said = self._adb(
            "-s",
            self.serial,
            "shell",
            f"{line}; echo edgesearch-exit:$?",
            timeout_s=timeout_s or self.question_s,
        )
        ends = _ENDED.findall(said.text)
        return Said(_ENDED.sub("", said.text), int(ends[-1]) if ends else None)

    def push(self, source: Path, target: str) -> None:
        """Copy a file there. Raises Unreachable, or DeviceError with what is wrong there."""
        with self._reached(f"while {source.name} was copied"):
            said = self._adb("-s", self.serial, "push", str(source.absolute()), target, timeout_s=PUSH_S)
        if said.status == 0:
            return
        self.expect_it(f"while {source.name} was copied")
        if _FULL.search(said.text):
            raise DeviceError(
                f"{PLACE} on {self.serial} has no space left for {source.name}: free some there"
            )
        raise DeviceError(
            f"cannot copy {source.name} to {self.serial}: {last_line(said.text) or 'no reason'}"
        )

    def ask(self, line: str, when: str) -> Said:
        """Run a line that takes no time. Raises Unreachable unless it came to its end."""
        with self._reached(when):
            said = self.shell(line)
        if said.status is None:
            self.expect_it(when)
            raise Unreachable(f"the connection to {self.serial} broke {when}: {last_line(said.text) or ''}")
        return said

    def expect_it(self, when: str) -> None:
        """Raise unless the device is there and lets us in, after one `adb connect` to a network address."""
        with self._reached(when):
            state = self._state()
            if ":" in self.serial and not _is_there(state) and "authoriz" not in state.text:
                # exits 0 even where it fails, so its word is not taken
                self._adb("connect", self.serial, timeout_s=self.question_s)
                state = self._state()
            for _ in range(SETTLING_TRIES):
                if not re.search("still authorizing|still connecting", state.text):
                    break
                time.sleep(SETTLING_S / SETTLING_TRIES)
                state = self._state()
        if not _is_there(state):
            raise _absence(self.serial, state.text, when)

    def _state(self) -> Said:
        return self._adb("-s", self.serial, "get-state", timeout_s=self.question_s)

    @contextmanager
    def _reached(self, when: str) -> Iterator[None]:
        try:
            yield
        except Overran:
            raise Unreachable(f"{self.serial} does not answer {when}: is it busy or rebooting?") from None

    def _adb(self, *arguments: str, timeout_s: float) -> Said:
        try:
            done = subprocess.run(
                [self.adb, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired:
            raise Overran from None
        except OSError as error:
            raise DeviceError(
                f"cannot start '{self.adb}' ({error.strerror}): install Android's platform tools "
                "(Debian: apt-get install adb)"
            ) from error
        # line by line, lest a message carry what a terminal would obey
        lines = f"{done.stderr}\n{done.stdout}".splitlines()
        return Said("\n".join(map(printable, lines)), done.returncode)


def _is_there(state: Said) -> bool:
    return state.status == 0 and state.text.strip().splitlines()[-1:] == ["device"]


def _absence(serial: str, told: str, when: str) -> DeviceError:
    """Return the error for a device that `adb get-state` does not find ready."""
    if "authoriz" in told:
        return DeviceError(f"{serial} does not trust this computer: unlock it and allow USB debugging")
    if "no permissions" in told:
        return DeviceError(f"adb may not use {serial}: see its udev rules ({last_line(told)})")
    told_state = (last_line(told) or "no answer").removeprefix("error: ")
    return Unreachable(
        f"{serial} is not there {when} ({told_state}): is it plugged in and awake, with USB debugging on? "
        "`adb devices` lists what is"
    )
