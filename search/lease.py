"""Who drives a study, written into the study: so that a driver on another machine is refused.

The lock in the home keeps two drivers of one machine apart; for a storage that several machines can
reach, the driver also writes down who it is and renews that while it lives.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
from pydantic import ValidationError

from hardware_profiles.machine import machine_id
from search.errors import StudyError
from search.storage import FACTS, load, quiet_optuna
from spaces.value import Value

if TYPE_CHECKING:
    import optuna

DRIVER = "driver"
"""The study's attribute that holds the present or last driver."""
RENEWED_EVERY_S = 20.0
STALE_AFTER_S = 90.0
SETTLED_AFTER_S = 1.0
"""How long to wait before looking whether somebody else claimed the study in the same moment."""


class Holder(Value):
    """A driver: where it runs, since when (its process's start), and when it last said so."""

    host: str
    machine: str
    pid: int
    born: float
    renewed: float
    token: str
    executor: str
    ended: bool = False

    @property
    def holds(self) -> bool:
        """Tell whether this driver still lives, as far as can be told from here."""
        if self.ended:
            return False
        if (self.host, self.machine) == (platform.node(), machine_id()):
            return _born(self.pid) == self.born
        return abs(time.time() - self.renewed) < STALE_AFTER_S


def holder(study: optuna.Study) -> Holder | None:
    """Return the present or last driver of a study, None where there is none that we can read."""
    try:
        return Holder.model_validate_json(study.user_attrs[DRIVER])
    except (KeyError, ValidationError):
        return None


class Lease:
    """The right to drive a study. `take` it, then `kept` renews it in a thread until the block ends."""

    def __init__(self, executor: str, *, shared: bool) -> None:
        """Prepare a lease; `shared` says that other machines may reach the study's storage."""
        pid = os.getpid()
        self._shared = shared
        self._mine = Holder(
            host=platform.node(),
            machine=machine_id(),
            pid=pid,
            born=_born(pid) or 0.0,
            renewed=time.time(),
            token=secrets.token_hex(8),
            executor=executor,
        )

    def check(self, study: optuna.Study) -> Holder | None:
        """Return the present or last driver. Raises StudyError while another one holds the study."""
        last = holder(study)
        if self._shared and last is not None and last.token != self._mine.token and last.holds:
            raise StudyError(
                f"the study '{study.study_name}' is being run by process {last.pid} on '{last.host}', heard "
                f"of {max(0.0, time.time() - last.renewed):.0f} s ago; wait for it (a dead one is forgotten "
                f"after {STALE_AFTER_S:.0f} s), or choose another --name"
            )
        return last

    def claim(self, study: optuna.Study) -> None:
        """Say of a study that is being made who makes it."""
        self._write(study)

    def clear(self, storage: Any, name: str) -> None:
        """Remove what a driver that is gone had begun to make. Raises StudyError where it is still at it."""
        if name not in quiet_optuna().get_all_study_names(storage):
            return
        study = quiet_optuna().load_study(study_name=name, storage=storage)
        if FACTS not in study.user_attrs and holder(study) is not None:
            self.check(study)
            quiet_optuna().delete_study(study_name=name, storage=storage)

    def still_held(self, study: optuna.Study) -> None:
        """Raise StudyError where another driver has taken the study over, as it may when we seem dead."""
        last = holder(study) if self._shared else None
        if last is not None and last.token != self._mine.token:
            raise StudyError(
                f"the study '{study.study_name}' was taken over by process {last.pid} on '{last.host}', for "
                f"it heard nothing from here for {STALE_AFTER_S:.0f} s; this one ends, and keeps what is done"
            )

    def take(self, study: optuna.Study) -> Holder | None:
        """Claim the study and return the driver before. Raises StudyError while another one holds it."""
        last = self.check(study)
        self._write(study)
        if self._shared:
            time.sleep(SETTLED_AFTER_S)
            self.check(study)
        return last

    @contextmanager
    def kept(self, study: optuna.Study) -> Iterator[None]:
        """Renew the lease while the block runs, then give it back."""
        over = threading.Event()
        storage, name = study._storage, study.study_name  # noqa: SLF001 - it may be made anew meanwhile
        renewal = threading.Thread(target=self._renew, args=(storage, name, over), name="lease", daemon=True)
        if self._shared:
            renewal.start()
        try:
            yield
        finally:
            over.set()
            if renewal.ident is not None:
                renewal.join()
            self._renew_once(storage, name, ended=True)

    def _renew(self, storage: Any, name: str, over: threading.Event) -> None:
        while not over.wait(RENEWED_EVERY_S):
            self._renew_once(storage, name)

    def _renew_once(self, storage: Any, name: str, *, ended: bool = False) -> None:
        """Say that we live, or that we are done; where that cannot be written just now, it may be later."""
        with contextlib.suppress(quiet_optuna().exceptions.StorageInternalError, StudyError, KeyError):
            study = load(storage, name)
            self.still_held(study)
            self._write(study, ended=ended)

    def _write(self, study: optuna.Study, *, ended: bool = False) -> None:
        now = self._mine.model_copy(update={"renewed": time.time(), "ended": ended})
        study.set_user_attr(DRIVER, now.model_dump_json())


def _born(pid: int) -> float | None:
    """Return when a process began, which tells it from a later one of the same number; None if it is gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
