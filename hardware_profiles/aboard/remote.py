"""What is run on a board: it starts bench.py in a child, and sees to it that nothing stays behind.

Stands alone but for its neighbours, with which it is sent; keeps to Python 3.7 and to POSIX. The one who
asked keeps our standard input open for as long as the answer is wanted: when it ends, because the
connection is gone, the child is ended too. What ended the child is told, so that a crash of a model
is not taken for a broken connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from typing import Any

from hardware_profiles.aboard import turn
from hardware_profiles.aboard.board import Refusal

STDIN, STDOUT = 0, 1


def main(text: str) -> int:
    """Wait for the turn, answer the request (JSON) on standard output; return the status to end with."""
    say("connected")
    request = json.loads(text)
    signal.alarm(int(request["wait_s"] + request["time_limit_s"]) + 5)
    try:
        held = turn.take(request["who"], request["wait_s"], say, stay_linked)
    except Refusal as refusal:
        return tell({"error": str(refusal), "kind": refusal.kind})
    ended, child_has = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        work(text)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)  # here too, for the child may not have come to it when it is to be ended
    os.close(child_has)
    overran = not wait_for(ended, request["time_limit_s"])
    status = end(child)
    del held
    if overran:
        return tell(
            {"error": f"took more than the limit of {request['time_limit_s']:g} s", "kind": "overran"}
        )
    if os.WIFSIGNALED(status):
        return tell(
            {"error": f"ended the measuring process by {name_of(os.WTERMSIG(status))}", "kind": "died"}
        )
    return os.WEXITSTATUS(status)


def work(text: str) -> None:
    """Be the child: measure and end. What is not installed here is an answer too."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), STDIN)
        from hardware_profiles.aboard import bench

        code = bench.main(text, has_turn=True)
    except ImportError as error:
        code = tell({"error": str(error), "kind": "numpy"})
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait_for(ended: int, limit_s: float) -> bool:
    """Wait until the child has ended, its end of the pipe closed; tell whether it did within the limit."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        ready, _, _ = select.select([STDIN, ended], [], [], max(0.0, deadline - time.monotonic()))
        if ended in ready:
            return True
        if STDIN in ready and not os.read(STDIN, 1 << 16):
            return True  # nobody wants the answer any more; ended by the caller
    return False


def end(child: int) -> int:
    """End the child and what it started, if it still runs; return its status as from waitpid."""
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        return status
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # changes nothing for one that is ending already
    return os.waitpid(child, 0)[1]


def stay_linked(seconds: float) -> None:
    """Sleep; end this process if the connection does so meanwhile."""
    ready, _, _ = select.select([STDIN], [], [], seconds)
    if ready and not os.read(STDIN, 1 << 16):
        os._exit(1)


def say(stage: str) -> None:
    """Tell on standard error what comes next."""
    print(f"bench: {stage}", file=sys.stderr, flush=True)


def tell(answer: dict[str, Any]) -> int:
    """Write an answer as a line of its own on standard output; return the status of a failure."""
    os.write(STDOUT, b"\n" + json.dumps(answer).encode() + b"\n")
    return 1


def name_of(number: int) -> str:
    """Return a signal's name, such as SIGSEGV, or its number where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
