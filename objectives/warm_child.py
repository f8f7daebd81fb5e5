"""A process of our own that stays warm between calls and may crash or hang without harm to this one.

The converter is native code that some graphs bring down, and a fresh TensorFlow costs seconds: so the
conversions of a worker are made in one child, which is started anew when a graph has ended it.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from typing import IO, Any

from objectives.guard import ChildFailed, ChildLost, answered, ending, import_paths, last_line, opened

# As in guard.py: `-I` keeps the environment's and the folder's own modules out.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from objectives.warm_child import serve; serve(int(sys.argv[2]))"
)
LARGEST_BYTES = 1 << 30
"""A child that has grown larger than this is ended after its answer: each conversion leaves something."""
START_S = 120.0
"""How long the child may take to come up; that is not the function's doing."""
_GRACE_S = 10.0


class WarmChild:
    """Runs functions, one at a time, in a child process that is started at once and kept.

    Not for threads. `close` ends it; so does the end of this process, however it comes.
    """

    def __init__(self) -> None:
        self._start()

    def call(self, function: str, arguments: dict[str, Any], timeout_s: float, *, what: str) -> Any:
        """Return what `function`, "package.module:function", returns in the child for the arguments.

        Raises the ObjectiveError that the function raised, and ChildFailed for every other exception, for a
        death by signal, and after `timeout_s` seconds; `what` begins its message. Raises ChildLost where the
        child did not come up, or was killed as a machine without memory left does.
        """
        if self._process is None:
            self._start()
        try:
            answer, rss_bytes = self._exchange((function, arguments, timeout_s), timeout_s, what)
        except ChildLost:
            raise
        except (OSError, EOFError, pickle.UnpicklingError):
            raise self._death(what) from None
        except BaseException:  # whatever it is at is wanted no more
            self.close()
            raise
        if rss_bytes > LARGEST_BYTES:
            self.close()
        return opened(answer, what)

    def _exchange(self, job: object, timeout_s: float, what: str) -> tuple[bytes, int]:
        if not self._connection.poll(START_S):
            self.close()
            raise ChildLost(f"{what}: its process did not come up in {START_S:g} s; is the machine busy?")
        self._connection.recv()  # that it is ready
        self._connection.send(job)
        if not self._connection.poll(timeout_s):
            self.close()
            raise ChildFailed(what, f"was ended after {timeout_s:g} s, all the time that it has")
        answer: tuple[bytes, int] = self._connection.recv()
        return answer

    def _death(self, what: str) -> ChildFailed | ChildLost:
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        code = self._process.poll()
        said = last_line(self._output)
        self.close()
        how = ending(1 if code is None else code, said)
        return ChildLost(f"{what} {how}") if code == -signal.SIGKILL else ChildFailed(what, how)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        paths = json.dumps(import_paths())
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - nameless, so gone with us
        with theirs:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                [sys.executable, "-I", "-u", "-c", _BOOT, paths, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())

    def close(self) -> None:
        """End the child with whatever it is at; the next call starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._connection.close()
        self._output.close()


@cache
def converting() -> WarmChild:
    """Return this process's own child for conversions, started at the first call."""
    child = WarmChild()
    atexit.register(child.close)
    return child


def serve(handle: int) -> None:
    """Answer calls in the child until the parent is gone, and leave without what libraries do at exit."""
    import psutil

    from objectives.tensorflow import one_thread

    one_thread()
    connection, me = Connection(handle), psutil.Process()
    with suppress(EOFError, OSError):
        connection.send("ready")
        while True:
            function, arguments, timeout_s = connection.recv()
            _limit(timeout_s + _GRACE_S)
            answer = answered(function, arguments)
            _limit(0)
            connection.send((answer, me.memory_info().rss))
            connection.send("ready")
    os._exit(0)


def _limit(seconds: float) -> None:
    """Be ended by the alarm after so long, 0 for never: a parent that was killed ends nobody."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
