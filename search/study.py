"""Starting a study, taking it up again, and bringing it to its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hardware_profiles.connect import from_anywhere
from hardware_profiles.connection import Connection, parse_connection
from hardware_profiles.errors import Unreachable
from objectives.setting import Setting
from search.asking import Asker
from search.driver import Driver
from search.errors import NothingFits, Paused, StudyError
from search.home import Home, find_home
from search.interrupts import terminable
from search.lease import Lease
from search.ledger import sync
from search.places import Places
from search.plan import StudyPlan
from search.prepared import Prepared
from search.status import Display, counted
from search.storage import Facts, reaching, read_facts, read_study, read_trials
from search.telling import requeue
from search.trial import StudyRecord

if TYPE_CHECKING:
    import optuna

    from search.executors.base import Executor
    from search.ledger import Ledger

__all__ = ["Places", "Prepared", "run_in", "run_study"]

WEIGHTS_BUDGET_BYTES = 2_000_000_000
READY_TIMEOUT_S = 600.0
LEDGER_DEADLINE_S = 60.0
LEDGER_DEADLINE_INTERRUPTED_S = 10.0
EXECUTORS = ("ray", "in-process")

Open = Callable[[Setting], "Executor"]
"""Makes an executor of ours for a setting; the study closes it."""


def run_study(
    plan: StudyPlan,
    *,
    home: Path | str | None = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    ray_address: str | None = None,
    on: str | None = None,
    executor: str | Open = "ray",
    display: Display | None = None,
) -> StudyRecord:
    """Run a study to its end, or take it up where it was, and return it as a value.

    `on` is where the device is, as `--on` has it. `executor` is `ray`, `in-process`, or a function that
    makes one for a Setting. Raises StudyError, SpaceError, DataError or DeviceError, each with the way out;
    Paused where the device no longer answers; NothingFits, with the study in `record`,
    where the limits leave nothing new; KeyboardInterrupt passes (SIGTERM becomes one), and the
    same call goes on later.
    """
    from search.display import Silent

    connection = from_anywhere(parse_connection(on)) if on else None
    where = Home(Path(home)) if home else find_home()
    places = Places(where, storage, tracking_uri, ray_address, connection)
    return run_in(places, plan, executor, display or Silent())


def run_in(places: Places, plan: StudyPlan, executor: str | Open, display: Display) -> StudyRecord:
    """Do what `run_study` does, where the places say."""
    if isinstance(executor, str) and executor not in EXECUTORS:
        raise StudyError(f"an executor is one of {', '.join(EXECUTORS)}, got '{executor}'")
    with terminable(), reaching(), _answering():
        if places.storage:
            _ = places.opened  # a server that is away is told before the data is prepared
        prepared = Prepared.of(plan, places, display.say)
        for note in prepared.data.notes:
            display.say(note)
        display.say(prepared.described())
        with prepared.locked():
            return _drive(prepared, executor, display)


@contextmanager
def _answering() -> Iterator[None]:
    """Let a device that does not answer before the first trial be a pause too: another try is worth it."""
    try:
        yield
    except Unreachable as error:
        raise Paused(
            f"{error}; what is done is kept, and the same command goes on when it answers"
        ) from error


def _drive(prepared: Prepared, executor: str | Open, display: Display) -> StudyRecord:
    """Take the study, bring it to its end and give it back."""
    kind = executor if isinstance(executor, str) else "own"
    lease = Lease(kind, shared=prepared.places.storage is not None)
    study = prepared.found_or_made(lease, display)
    last, judged_by = lease.take(study), read_facts(study).plan.goals
    # A trial that crashes takes its process along: that of a worker, or the driver's own.
    blame = last is not None and not last.ended and last.executor == "in-process"
    study, facts = prepared.taken_up(study, display, blame=blame)
    with lease.kept(study):
        if facts.plan.only_carried or counted(read_trials(study, facts.plan)) < facts.plan.trials:
            return _run(prepared, study, facts, executor, display)
        record = read_study(study)
        killed = last is not None and not last.ended
        if killed or judged_by != facts.plan.goals:  # then the view may differ
            with _ledger(prepared.places, display) as ledger:
                sync(record, ledger)
        return record


def _run(
    prepared: Prepared, study: optuna.Study, facts: Facts, executor: str | Open, display: Display
) -> StudyRecord:
    asker = Asker(prepared.space, facts)
    start = time.monotonic()
    with ExitStack() as stack:
        ledger = stack.enter_context(_ledger(prepared.places, display))
        setting = setting_of(facts, prepared.places.home, prepared.places.connection)
        display.say("starting the workers; TensorFlow takes its time to load")
        pool = stack.enter_context(_pool(executor, setting, facts.plan, prepared.places))
        display.say(f"ready after {time.monotonic() - start:.1f} s, workers: {pool.capacity}")
        driver = Driver(study, facts, asker, pool, ledger, display)
        try:
            driver.run()
        except NothingFits as error:
            raise NothingFits(str(error), read_study(study)) from error
        except Paused as error:
            again = prepared.places.again(tracking=True, device=True)
            raise Paused(f"{error}; go on with: edgesearch study --name {prepared.name}{again}") from error
        finally:
            requeue(study, facts.plan, blame=False)
            ledger.digest(driver.record)
    return read_study(study)


def setting_of(facts: Facts, home: Home, connection: Connection | None = None) -> Setting:
    """Return what the trials of a study share, for the folders of this home."""
    plan = facts.plan
    return Setting(
        problem=facts.problem,
        data_root=home.data,
        data_digest=facts.data.digest,
        goals=plan.goals,
        metric=plan.metric,
        metric_direction=plan.metric_direction,
        input_type=plan.input_type,
        class_weights=plan.class_weights,
        seed=plan.seed,
        profile=facts.profile,
        threads=plan.threads,
        anchor=facts.anchor,
        connection=connection,
        artifacts=home.artifacts,
        weights=home.weights,
        weights_budget_bytes=WEIGHTS_BUDGET_BYTES,
        model=facts.model,
        models=home.models,
        training=plan.training or plan.model is not None,
    )


@contextmanager
def _pool(kind: str | Open, setting: Setting, plan: StudyPlan, places: Places) -> Iterator[Executor]:
    """Open the executor of that kind, warm, and end it afterwards."""
    with ExitStack() as stack:
        pool = _ray(setting, plan, places, stack) if kind == "ray" else _local(kind, setting)
        try:
            yield pool
        finally:
            pool.close()


def _local(kind: str | Open, setting: Setting) -> Executor:
    if not isinstance(kind, str):
        return kind(setting)
    from search.executors.inprocess import InProcessExecutor

    return InProcessExecutor(setting)


def _ray(setting: Setting, plan: StudyPlan, places: Places, stack: ExitStack) -> Executor:
    from search.executors.on_ray import RayExecutor
    from search.ray_cluster import start_ray

    workers = plan.workers or cores()
    stack.enter_context(start_ray(places.home, places.ray, workers))
    stack.enter_context(terminable())  # Ray has put a handler of its own in the place of ours
    pool = RayExecutor(setting, workers)
    try:
        pool.wait_until_ready(READY_TIMEOUT_S)
    except BaseException:
        pool.close()
        raise
    return pool


@contextmanager
def _ledger(places: Places, display: Display) -> Iterator[Ledger]:
    """Open the MLflow view, which may be slow or away without holding up the study."""
    from search.ledger import BackgroundLedger

    ledger, deadline_s = BackgroundLedger(mlflow_ledger(places)), LEDGER_DEADLINE_S
    try:
        yield ledger
    except KeyboardInterrupt:
        deadline_s = LEDGER_DEADLINE_INTERRUPTED_S  # who wants to leave does not want to wait
        raise
    finally:
        if not ledger.close(deadline_s):
            display.say(
                f"MLflow missed {ledger.missed} entries; `edgesearch sync` writes them when it answers again"
            )


def mlflow_ledger(places: Places) -> Ledger:
    """Return the MLflow view: in the home, or on the server of the tracking URI."""
    from hardware_profiles.artifact import ArtifactStore
    from search.mlflow_ledger import MlflowLedger

    root = None if places.tracking_uri else places.home.mlflow_artifacts
    return MlflowLedger(places.tracking, root, ArtifactStore(places.home.artifacts))


def cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
