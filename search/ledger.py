"""Where a study is written down for people to look at: the seam, its doubles, and the one that never delays.

A ledger is a view. Whatever it misses is rebuilt from the study by `sync`, so a study goes on without it.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from search.errors import StudyError
from search.secrets import redact
from search.trial import StudyRecord, TrialRecord

log = logging.getLogger(__name__)


class Ledger(Protocol):
    """Writes a study down. Both methods may be called again with the same or with newer values."""

    def record(self, study: StudyRecord, trials: Sequence[TrialRecord]) -> None:
        """Write these trials. Raises StudyError where the view cannot be reached."""
        ...

    def digest(self, study: StudyRecord) -> None:
        """Write what the study as a whole shows: front, plots, counts, hypervolume. Raises StudyError."""
        ...


class NullLedger:
    """Writes nothing."""

    def record(self, study: StudyRecord, trials: Sequence[TrialRecord]) -> None:
        """Do nothing."""

    def digest(self, study: StudyRecord) -> None:
        """Do nothing."""


class MemoryLedger:
    """Keeps in `trials`, by study and number, and in `digests`, by study, what was written last."""

    def __init__(self) -> None:
        self.trials: dict[str, dict[int, TrialRecord]] = {}
        self.digests: dict[str, StudyRecord] = {}

    def record(self, study: StudyRecord, trials: Sequence[TrialRecord]) -> None:
        """Keep the trials."""
        self.trials.setdefault(study.name, {}).update({trial.number: trial for trial in trials})

    def digest(self, study: StudyRecord) -> None:
        """Keep the study."""
        self.digests[study.name] = study


def sync(study: StudyRecord, ledger: Ledger) -> None:
    """Bring a ledger to the state of a study, whatever it holds already. Raises StudyError."""
    ledger.record(study, study.trials)
    ledger.digest(study)


class BackgroundLedger:
    """Hands everything to another ledger in a thread of its own: neither slowness nor failure comes back.

    Trials are written in the order they came; of digests that wait only the latest is written. The
    first failure is logged, the rest only counted: `missed` is how many trials and digests were not
    written, and `sync` writes them later. The inner ledger is used by that one thread alone.
    """

    def __init__(self, inner: Ledger) -> None:
        self._inner = inner
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._failed = 0
        self._digest: StudyRecord | None = None
        self._closed = False
        # A daemon: a server that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @property
    def missed(self) -> int:
        """How many trials and digests failed, or still wait."""
        with self._lock:
            return self._failed + self._waiting

    def record(self, study: StudyRecord, trials: Sequence[TrialRecord]) -> None:
        """Queue the trials and return at once."""
        if trials:
            self._put(lambda: self._inner.record(study, trials), len(trials))

    def digest(self, study: StudyRecord) -> None:
        """Queue the digest and return at once; it replaces one that waits."""
        with self._lock:
            replaces = self._digest is not None
            self._digest = study
        if not replaces:
            self._put(self._write_digest, 1)

    def close(self, deadline_s: float) -> bool:
        """Write what waits, for at most so many seconds; tell whether nothing was missed (else see `missed`).

        What comes after is refused with StudyError.
        """
        with self._lock:
            self._closed = True
        self._work.put(None)
        self._thread.join(deadline_s)
        return not self.missed

    def _write_digest(self) -> None:
        with self._lock:
            study, self._digest = self._digest, None
        if study is not None:
            self._inner.digest(study)

    def _put(self, write: Callable[[], None], count: int) -> None:
        with self._lock:
            if self._closed:
                raise StudyError("the ledger is closed; open another to write to it")
            self._waiting += count
        self._work.put(lambda: self._perform(write, count))

    def _perform(self, write: Callable[[], None], count: int) -> None:
        try:
            write()
        except Exception as error:  # noqa: BLE001 - whatever a view raises, the study goes on
            self._complain(error, count)
        with self._lock:
            self._waiting -= count

    def _complain(self, error: Exception, count: int) -> None:
        with self._lock:
            first = not self._failed
            self._failed += count
        if first:
            log.warning("the study goes on without its ledger: %s", redact(" ".join(str(error).split())))

    def _run(self) -> None:
        while (perform := self._work.get()) is not None:
            perform()
