"""Starting a study, taking it up again, and bringing it to its end."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hardware_profiles.artifact import ArtifactStore
from hardware_profiles.connect import from_anywhere
from hardware_profiles.connection import Connection, parse_connection
from hardware_profiles.errors import Unreachable
from objectives.setting import Setting
from search.asking import Asker
from search.book import Book
from search.clock import share_left
from search.confirm import measure_again, train_again, unconfirmed
from search.confirmation import confirmations_in
from search.counsel import Counsel
from search.driver import Driver
from search.errors import NothingFits, Paused, StudyError
from search.executors.pools import EXECUTORS, Open, Pools, cores
from search.home import Home, find_home
from search.interrupts import terminable
from search.lease import Lease
from search.ledger import sync
from search.places import Places
from search.plan import StudyPlan
from search.prepared import Prepared
from search.reaping import make_up
from search.samplers import seed_at
from search.status import Display, counted
from search.storage import Facts, reaching, read_facts, read_study, read_trials
from search.strategies import strategy_of
from search.tally import Tally
from search.trial import StudyRecord

if TYPE_CHECKING:
    import optuna

    from search.executors.base import Executor
    from search.ledger import Ledger

__all__ = ["Places", "Prepared", "cores", "run_in", "run_study"]

WEIGHTS_BUDGET_BYTES = 2_000_000_000
LEDGER_DEADLINE_S = 60.0
LEDGER_DEADLINE_INTERRUPTED_S = 10.0


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
    with lease.kept(study):
        study, facts = prepared.taken_up(study, display, blame=blame)
        if facts.plan.only_carried or counted(read_trials(study, facts.plan)) < facts.plan.trials:
            return _run(prepared, study, facts, executor, lease, display)
        killed = last is not None and not last.ended
        changed = killed or judged_by != facts.plan.goals  # then the view may differ
        return _finished(prepared, study, facts, executor, display, changed=changed)


def _run(
    prepared: Prepared,
    study: optuna.Study,
    facts: Facts,
    executor: str | Open,
    lease: Lease,
    display: Display,
) -> StudyRecord:
    places, start = prepared.places, time.monotonic()
    with _ledger(places, display) as ledger, Pools(executor, facts.plan, places) as pools:
        setting = setting_of(facts, places.home, places.connection)
        display.say("starting the workers; TensorFlow takes its time to load")
        with pools.open(setting) as pool:
            display.say(f"ready after {time.monotonic() - start:.1f} s, workers: {pool.capacity}")
            with settled():
                book = _book(prepared, study, facts, lambda: lease.still_held(study))
                driver = driver_of(book, pool, ledger, display)
            over = _search(prepared, book, study, driver, ledger)
        plan = facts.plan
        if over or plan.timeout_s is None or counted(read_trials(study, plan)) >= plan.trials:
            _confirm(prepared, study, setting, pools, ledger, display)
    record = read_study(study)
    if over:
        raise NothingFits(str(over), record) from over
    return record


def _book(prepared: Prepared, study: optuna.Study, facts: Facts, still_held: Callable[[], None]) -> Book:
    asker, plan = Asker(prepared.space, facts), facts.plan
    if not strategy_of(plan).preselection:
        return Book(study, facts, asker, still_held=still_held)
    from search.preselect import Preselect, size_in

    seed = seed_at(plan.seed, len(study.get_trials(deepcopy=False)))
    left = share_left(plan.timeout_s)
    preselect = Preselect(asker, plan.goals, size_in(facts.problem), seed, left)
    return Book(study, facts, asker, preselect, still_held)


@contextmanager
def settled() -> Iterator[None]:
    """Make values that stay until the study ends.

    To look for garbage among thousands of trials, over and over, takes as long as to read them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()  # until `_search` ends; of what failed nothing stays
    finally:
        if was_on:
            gc.enable()


def driver_of(book: Book, pool: Executor, ledger: Ledger, display: Display) -> Driver:
    """Return what drives a study as its plan says."""
    counsel = Counsel(book.asker, book.facts, strategy_of(book.facts.plan), book.found)
    return Driver(book, pool, ledger, display, counsel)


def _search(
    prepared: Prepared, book: Book, study: optuna.Study, driver: Driver, ledger: Ledger
) -> NothingFits | None:
    """Drive a study; return what ended it where nothing new fits any more."""
    try:
        driver.run()
    except NothingFits as error:
        return error
    except Paused as error:
        again = prepared.places.again(tracking=True, device=True)
        raise Paused(f"{error}; go on with: edgesearch study --name {prepared.name}{again}") from error
    finally:
        gc.unfreeze()
        book.leave()
        known = {"confirmations": confirmations_in(study.user_attrs)}
        ledger.digest(driver.record.model_copy(update=known))
    return None


def _finished(
    prepared: Prepared,
    study: optuna.Study,
    facts: Facts,
    executor: str | Open,
    display: Display,
    *,
    changed: bool,
) -> StudyRecord:
    """Return a study that has its trials: its front confirmed, and the view of it renewed if it `changed`."""
    if changed:
        _make_up(prepared, study, facts)
    record, places = read_study(study), prepared.places
    pending = unconfirmed(record, prepared.device, ArtifactStore(places.home.artifacts))
    if not pending and not changed:
        return record
    with _ledger(places, display) as ledger, Pools(executor, facts.plan, places) as pools:
        if changed:
            sync(record, ledger)
        _confirm(prepared, study, setting_of(facts, places.home, places.connection), pools, ledger, display)
    return read_study(study)


def _make_up(prepared: Prepared, study: optuna.Study, facts: Facts) -> None:
    """Let those forms of the study's networks be trials that are worth it now."""
    book = Book(study, facts, Asker(prepared.space, facts))
    counsel = Counsel(book.asker, facts, strategy_of(facts.plan), book.found)
    tally = Tally(book.name, facts, book.found)
    for form in make_up(book, counsel, tally):
        tally.note(form)


def _confirm(
    prepared: Prepared,
    study: optuna.Study,
    setting: Setting,
    pools: Pools,
    ledger: Ledger,
    display: Display,
) -> None:
    """Look twice at the front; what that shows is in the view too, even where it was cut short."""
    before = confirmations_in(study.user_attrs)
    try:
        measure_again(study, prepared.device, ArtifactStore(setting.artifacts), display.say)
        train_again(study, setting, pools.open, display.say)
    finally:
        if confirmations_in(study.user_attrs) != before:
            ledger.digest(read_study(study))


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
        screening=strategy_of(plan).screening,
    )


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
    from search.mlflow_ledger import MlflowLedger

    root = None if places.tracking_uri else places.home.mlflow_artifacts
    return MlflowLedger(places.tracking, root, ArtifactStore(places.home.artifacts))
