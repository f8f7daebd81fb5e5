"""One measurement at a time on the machine that this file runs on, whoever measures and from wherever.

Stands alone, so that it can be sent to a device; needs nothing but Python 3.7. The turn is an abstract unix
socket of a fixed name, which Linux gives to one process at a time and takes back when that process
dies: no file is left, and no turn outlives its holder. A second such name says whose turn it is; all
of them stand in /proc/net/unix. Other systems have no such sockets, and there nobody waits.
Containers with a network of their own do not see one another's.
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import sys
import time
from collections.abc import Callable

from hardware_profiles.aboard.board import Refusal

LOCK = "edgesearch-one-measurement-at-a-time"
HOLDER = "edgesearch-measuring-since"
LOOK_EVERY_S = 0.1
NAMELESS_S = 1.0
"""A holder gives its name in an instant, unless it is no measurement of ours."""
_HELD = re.compile(rf"@{HOLDER}:(\d+):(.*)")


def take(
    who: str, wait_s: float, tell: Callable[[str], None], pause: Callable[[float], None]
) -> list[socket.socket]:
    """Wait for the turn and take it; it lasts while the sockets that are returned do (none off Linux).

    `tell` gets a line for every holder that is waited for; `pause` sleeps. Raises Refusal of kind 'busy',
    naming the holder, when the turn has not come within `wait_s`.
    """
    if not sys.platform.startswith("linux"):
        return []
    started, told = time.monotonic(), ""
    while True:
        try:
            held = claimed(LOCK)
        except OSError:
            return []  # a sandbox that has no such sockets either
        if held is not None:
            mark = claimed(f"{HOLDER}:{int(time.monotonic())}:{clean(who)}")
            return [held] if mark is None else [held, mark]
        name, since_s = present_holder()
        holder, waited_s = name or "somebody", time.monotonic() - started
        if waited_s >= wait_s:
            reason = f"{holder} has been measuring there for {since_s} s"
            raise Refusal("busy", f"{reason}, and {wait_s:g} s were not enough to wait")
        if holder != told and (name or waited_s > NAMELESS_S):
            tell(f"waiting for {holder}")
            told = holder
        pause(LOOK_EVERY_S)


def claimed(name: str) -> socket.socket | None:
    """Return a socket that has the abstract name, or None while another process has it."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        made.bind("\0" + name)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return made


def present_holder() -> tuple[str, int]:
    """Return whose turn it is, and for how many seconds so far, as far as that can be told."""
    with contextlib.suppress(OSError), open("/proc/net/unix", errors="replace") as names:
        for line in names:
            found = _HELD.search(line)
            if found:
                return clean(found.group(2)), max(0, int(time.monotonic()) - int(found.group(1)))
    return "", 0


def clean(who: str) -> str:
    """Return at most 60 characters that are safe to show and to keep in a socket's name."""
    return re.sub(r"[^A-Za-z0-9@._:,()/ -]", "_", who).strip()[:60] or "somebody"
