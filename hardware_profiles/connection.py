"""Where my device is, as opposed to what it is: `--on ssh://pi@10.0.0.7`. Never part of a profile or a plan.

local                        this machine
ssh://[USER@]HOST[:PORT]     a Linux board
adb://SERIAL                 an Android device
command:PROGRAM [ARGUMENT…]  a program of the user's that measures
replay:FILE                  recorded measurements
estimated                    no device at hand: figures by published coefficients, and said to be so
"""

import os
import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hardware_profiles.errors import DeviceError
from hardware_profiles.value import Value

# What ssh and adb are given as an argument: no leading '-', which they would read as an option.
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_HOST = rf"(?:{_NAME}|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\])"
_SSH = re.compile(rf"(?:(?P<user>{_NAME})@)?(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?")
_SERIAL = re.compile(rf"(?:{_NAME}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?")
_WAYS = "local, ssh://user@host:port, adb://serial, command:./program, replay:file.json or estimated"


class _Measures(Value):
    """A way that measures; what it sees is added to the recording `record`, if there is to be one."""

    record: Path | None = None


class Local(_Measures):
    """This machine; `delegate` is a shared library that runs what it can of a model."""

    way: Literal["local"] = "local"
    delegate: str | None = None

    def __str__(self) -> str:
        return "local"


class Ssh(_Measures):
    """A Linux board. `port` None is what ssh's own configuration says; `python` is the interpreter there."""

    way: Literal["ssh"] = "ssh"
    host: str
    user: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    delegate: str | None = None
    python: str = "python3"

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port else "")


class Adb(_Measures):
    """An Android device, the `benchmark_model` program for it, and what runs the model there.

    `accelerator` is cpu:THREADS, gpu, or another that the program knows.
    """

    way: Literal["adb"] = "adb"
    serial: str
    benchmark_model: Path | None = None
    accelerator: str = "cpu"

    def __str__(self) -> str:
        return f"adb://{self.serial}"


class Command(_Measures):
    """A user's program and its arguments, started without a shell."""

    way: Literal["command"] = "command"
    argv: Annotated[tuple[str, ...], Field(min_length=1)]

    def __str__(self) -> str:
        return f"command:{shlex.join(self.argv)}"


class Replay(Value):
    """A file of recorded measurements."""

    way: Literal["replay"] = "replay"
    path: Path

    def __str__(self) -> str:
        return f"replay:{self.path}"


class Estimated(Value):
    """No device: what can be estimated is, and is said to be."""

    way: Literal["estimated"] = "estimated"

    def __str__(self) -> str:
        return "estimated"


Connection = Annotated[Local | Ssh | Adb | Command | Replay | Estimated, Field(discriminator="way")]


def parse_connection(
    text: str,
    *,
    delegate: str | None = None,
    benchmark_model: Path | None = None,
    accelerator: str | None = None,
    python: str | None = None,
    record: Path | None = None,
) -> Local | Ssh | Adb | Command | Replay | Estimated:
    """Read what stands after `--on`, and the options that go with it.

    Raises DeviceError, on one line, for what is none of the ways above, and for an option that does not
    go with the way.
    """
    connection = _parsed(text)
    given = {
        "delegate": delegate,
        "benchmark_model": benchmark_model,
        "accelerator": accelerator,
        "python": python,
        "record": record,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in chosen:
        if name not in type(connection).model_fields:
            option = f"--{name.replace('_', '-')}"
            raise DeviceError(f"{option} does not go with --on {connection}; leave it out")
    return connection.model_copy(update=chosen)


def options_of(connection: Local | Ssh | Adb | Command | Replay | Estimated) -> list[tuple[str, str]]:
    """Return a connection as the options of a command that give it: `--on`, and what differs of the rest."""
    chosen = [
        (f"--{name.replace('_', '-')}", str(value))
        for name in ("delegate", "benchmark_model", "accelerator", "python", "record")
        if name in type(connection).model_fields
        and (value := getattr(connection, name)) != type(connection).model_fields[name].default
    ]
    return [("--on", str(connection)), *chosen]


def _parsed(text: str) -> Local | Ssh | Adb | Command | Replay | Estimated:
    if text == "local":
        return Local()
    if text == "estimated":
        return Estimated()
    for prefix, read in (("command:", _command), ("replay:", _replay)):
        if text.startswith(prefix):
            return read(text.removeprefix(prefix))
    if text.startswith("ssh://"):
        return _ssh(text)
    if text.startswith("adb://"):
        if not _SERIAL.fullmatch(serial := text.removeprefix("adb://")):
            raise DeviceError(f"adb://SERIAL names one of `adb devices`, got '{text}'")
        return Adb(serial=serial)
    raise DeviceError(f"--on is one of {_WAYS}, got '{text}'")


def _ssh(text: str) -> Ssh:
    found = _SSH.fullmatch(text.removeprefix("ssh://").removesuffix("/"))
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port is not None and not 1 <= port <= 65535):
        raise DeviceError(f"a board is named ssh://user@host:port (ssh://pi@raspberrypi.local), got '{text}'")
    return Ssh(host=found["host"].strip("[]"), user=found["user"], port=port)


def _command(text: str) -> Command:
    try:
        argv = shlex.split(text)
    except ValueError as error:
        raise DeviceError(f"command: has a quote that is not closed ({error}), got '{text}'") from error
    if not argv:
        raise DeviceError("command: is followed by a program (command:./flash_and_time.py), got nothing")
    return Command(argv=tuple(argv))


def _replay(text: str) -> Replay:
    if not text:
        raise DeviceError("replay: is followed by a file of recorded measurements, got nothing")
    known = os.path.expanduser(text)  # noqa: PTH111 - pathlib's raises for an unknown ~user
    return Replay(path=Path(known).absolute())
