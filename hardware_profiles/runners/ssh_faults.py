"""What an `ssh` that brought no answer means, and the way out."""

import re

from hardware_profiles.connection import Ssh
from hardware_profiles.errors import DeviceError, Unreachable
from hardware_profiles.runners.child import Ended, last_line

FAILED = 255
"""Status of ssh for a fault of its own: no connection, no trust, no key, or a connection that broke."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126
_STRANGER = re.compile(r"Host key verification failed|HOST IDENTIFICATION HAS CHANGED|host key is known for")
_REFUSED = re.compile(r"Permission denied|Too many authentication failures|No supported authentication")
_AWAY = re.compile(
    r"Could not resolve hostname|connect to host|Connection (refused|timed out|reset|closed)|timed out"
    r"|No route to host|Network is unreachable|not responding|Broken pipe|closed by remote host"
    r"|banner exchange|kex_exchange_identification|Connection to .* (aborted|closed)|lost connection"
)
_FULL = re.compile(r"No space left on device|Disk quota exceeded")


def target(connection: Ssh) -> str:
    """Return the board as one types it after `ssh`."""
    port = f" -p {connection.port}" if connection.port else ""
    return f"{f'{connection.user}@' if connection.user else ''}{connection.host}{port}"


def fault(ended: Ended, connection: Ssh, python: str, limit_s: float) -> DeviceError | None:
    """Return the error for a connection that failed, None where there may be an answer to read."""
    if ended.overran:
        return Unreachable(
            f"the connection to {connection} stalled: no answer within {limit_s:g} s; "
            "see whether the board is up"
        )
    if ended.status == FAILED:
        return _of_ssh(ended, connection)
    if ended.status < 0 and not ended.flooded:
        return Unreachable(f"ssh to {connection} was ended by signal {-ended.status}")
    if not ended.output.strip():
        return _of_the_board(ended, connection, python)
    return None


def _of_ssh(ended: Ended, connection: Ssh) -> DeviceError:
    said, typed = ended.noise, target(connection)
    reason = last_line(said) or "it gave no reason"
    if _STRANGER.search(said):
        return DeviceError(
            f"the host key of {connection} is unknown or has changed, so it is not trusted: connect once by "
            f"hand and compare its fingerprint (`ssh {typed}`; `ssh-keygen -R` forgets an old key)"
        )
    if _REFUSED.search(said):
        return DeviceError(
            f"{connection} refused the login ({reason}): give it your key once with "
            f"`ssh-copy-id {_copy(connection)}`"
        )
    if ended.stage or not said.strip():  # ssh gives its reasons, unless it was ended itself
        return Unreachable(f"the connection to {connection} broke before there was an answer: {reason}")
    if _AWAY.search(said):
        return Unreachable(f"{connection} does not answer: {reason}")
    return DeviceError(f"ssh to {connection} failed: {reason}; try `ssh {typed}`")


def _of_the_board(ended: Ended, connection: Ssh, python: str) -> DeviceError:
    reason = last_line(ended.noise) or f"status {ended.status}"
    if _FULL.search(ended.noise):
        return DeviceError(f"the disk of {connection} is full ({reason}): free some space there (`df -h`)")
    if ended.status in (NOT_FOUND, NOT_EXECUTABLE):
        return DeviceError(
            f"{connection} cannot run {python} ({reason}): install it there (sudo apt-get install python3)"
        )
    return DeviceError(f"{connection} gave no answer: {reason}")


def _copy(connection: Ssh) -> str:
    """Return what `ssh-copy-id` takes: options go first there."""
    user = f"{connection.user}@" if connection.user else ""
    return f"{f'-p {connection.port} ' if connection.port else ''}{user}{connection.host}"
