"""Starting a study, taking it up again, and bringing it to its end."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from hardware_profiles.anchor import calibrate
from hardware_profiles.connect import connect
from hardware_profiles.profile import HardwareProfile, load_profile, machine_id
from objectives.datasets.prepare import prepare
from objectives.datasets.store import open_data
from objectives.metrics import load_metric, majority_value
from objectives.setting import Setting
from search.asking import Asker
from search.driver import Driver, requeue
from search.errors import StudyError
from search.home import Home, find_home
from search.hypervolume import scales_of
from search.plan import StudyPlan
from search.secrets import expand
from search.status import Display, counted
from search.storage import (
    Facts,
    load,
    make_record,
    open_storage,
    quiet_optuna,
    read_facts,
    read_study,
    read_trials,
    taken,
    write_facts,
)
from search.trial import StudyRecord
from spaces.candidate import Problem
from spaces.catalog import DEFAULTS, load_space
from spaces.space import Space, narrow
from spaces.value import digest

if TYPE_CHECKING:
    import optuna

    from objectives.datasets.spec import DataSummary
    from search.executors.base import Executor
    from search.ledger import Ledger

WEIGHTS_BUDGET_BYTES = 2_000_000_000
VERSIONED = ("edgesearch", "tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert", "optuna", "numpy")
READY_TIMEOUT_S = 600.0
LEDGER_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Places:
    """Where things are kept and who is asked: none of it is part of a plan or a study's identity.

    `storage`, `tracking_uri` and `ray_address` may refer to environment variables as `${VAR}`.
    """

    home: Home
    storage: str | None = None
    tracking_uri: str | None = None
    ray_address: str | None = None

    @cached_property
    def storage_url(self) -> str:
        """The address of the Optuna storage, secrets filled in."""
        return expand(self.storage) if self.storage else self.home.studies_db

    @cached_property
    def tracking(self) -> str:
        """The address of the MLflow store, secrets filled in."""
        return expand(self.tracking_uri) if self.tracking_uri else self.home.mlflow_uri

    @cached_property
    def opened(self) -> Any:
        """The Optuna storage."""
        return open_storage(self.storage_url)

    @property
    def devices(self) -> tuple[Path, ...]:
        """Where a user's own device profiles are looked for."""
        return (Path.cwd(), self.home.root / "devices")


def run_study(
    plan: StudyPlan,
    *,
    home: Path | None = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    ray_address: str | None = None,
    executor: str = "ray",
    display: Display | None = None,
) -> StudyRecord:
    """Run a study to its end, or take it up where it was, and return it as a value.

    `executor` is `ray` or `in-process`. Raises StudyError, SpaceError, DataError or DeviceError, each with
    the way out; NothingFits where the limits leave nothing; KeyboardInterrupt passes, and the same
    call goes on later.
    """
    from search.display import Silent

    places = Places(Home(home) if home else find_home(), storage, tracking_uri, ray_address)
    return run_in(places, plan, executor, display or Silent())


def run_in(places: Places, plan: StudyPlan, executor: str, display: Display) -> StudyRecord:
    """Do what `run_study` does, where the places say."""
    prepared = Prepared.of(plan, places)
    for note in prepared.data.notes:
        display.say(note)
    display.say(f"study {prepared.name} on {prepared.profile.title}: {_described(prepared)}")
    with prepared.locked():
        study, facts = prepared.open(display)
        if counted(read_trials(study, facts.plan)) >= facts.plan.trials:
            return read_study(study)
        return _run(prepared, study, facts, executor, display)


@dataclass(frozen=True)
class Prepared:
    """A plan with what it stands for: data on disk, a device that can be reached, a space."""

    plan: StudyPlan
    places: Places
    data: DataSummary
    profile: HardwareProfile
    space: Space

    @classmethod
    def of(cls, plan: StudyPlan, places: Places) -> Prepared:
        """Check everything that can be checked before anything is written for the study itself."""
        profile = load_profile(plan.device, places.devices)
        connect(profile, plan.threads)
        if plan.space is not None:
            load_space(plan.space)
        load_metric(plan.metric, plan.metric_direction)
        places.home.ensure_writable()
        data = prepare(plan.data, places.home.data)
        space = load_space(plan.space or DEFAULTS[data.kind], data.kind)
        prepared = cls(plan, places, data, profile, space)
        narrow(space.ranges(prepared.problem), plan.ranges)
        return prepared

    @property
    def problem(self) -> Problem:
        """What the space has to fit."""
        return Problem(
            kind=self.data.kind,
            input_shape=self.data.input_shape,
            classes=len(self.data.classes),
            epochs=self.plan.epochs,
            precisions=self.profile.precisions if self.plan.input_type == "float32" else ("int8",),
        )

    @property
    def identity(self) -> dict[str, str]:
        """What may not change under a name, by what people call it."""
        plan = self.plan
        return {
            "data": self.data.digest,
            "device": self.profile.name,
            "machine": machine_id(),
            "space": plan.space or self.space.name,
            "objectives": ", ".join(plan.objectives),
            "metric": f"{plan.metric} ({plan.metric_direction})",
            "input type": plan.input_type,
            "threads": str(plan.threads),
            "class weights": plan.class_weights,
            "epochs": str(plan.epochs),
            "seed": str(plan.seed),
        }

    @property
    def name(self) -> str:
        """The plan's name, else DATA-DEVICE-xxxxxx, which is the same for the same identity."""
        if self.plan.name:
            return self.plan.name
        text = digest(*(f"{key}={value}" for key, value in sorted(self.identity.items())))
        return f"{_slug(self.data.name)}-{_slug(self.profile.name)}-{text[:6]}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study for one driver. Raises StudyError where another has it."""
        where = hashlib.sha256(self.places.storage_url.encode()).hexdigest()[:8]
        lock = FileLock(self.places.home.locks / f"{where}-{self.name}.lock")
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            raise StudyError(
                f"the study '{self.name}' is being run by another process; wait for it or choose another --name"
            ) from None
        with held:
            yield

    def open(self, display: Display) -> tuple[optuna.Study, Facts]:
        """Return the study, made or taken up again. Raises StudyError where the name means another study."""
        storage = self.places.opened
        if not taken(storage, self.name):
            return self._create(display)
        study = load(storage, self.name)
        facts = read_facts(study)
        self._refuse_changes(facts)
        facts = facts.model_copy(update={"plan": self.plan.model_copy(update={"name": self.name})})
        Asker(self.space, facts)
        write_facts(study, facts)
        if again := requeue(study, blame=True):
            display.say(f"{again} trials were under way when the study last ended; they are asked again")
        return load(storage, self.name, _sampler(facts, len(study.get_trials(deepcopy=False)))), facts

    def _create(self, display: Display) -> tuple[optuna.Study, Facts]:
        metric = load_metric(self.plan.metric, self.plan.metric_direction)
        data = open_data(self.places.home.data, self.data.digest)
        fold = data.folds[0]
        majority = majority_value(metric, data.y_dev[fold.train], data.y_dev[fold.valid], len(self.data.classes))
        scales_of(self.plan.goals, majority)
        display.say(f"measuring what the anchor model takes on {self.profile.title}")
        facts = Facts(
            identity=self.identity,
            plan=self.plan.model_copy(update={"name": self.name}),
            space=self.plan.space or self.space.name,
            ranges=narrow(self.space.ranges(self.problem), self.plan.ranges),
            problem=self.problem,
            data=self.data,
            profile=self.profile,
            anchor=calibrate(connect(self.profile, self.plan.threads)),
            majority_accuracy=majority,
            versions={name: version(name) for name in VERSIONED},
        )
        goals = [goal for goal in facts.plan.goals if goal.objective]
        study = quiet_optuna().create_study(
            study_name=self.name,
            storage=self.places.opened,
            directions=[goal.direction for goal in goals],
            sampler=_sampler(facts, 0),
        )
        study.set_metric_names([goal.metric for goal in goals])
        write_facts(study, facts)  # last: a study without facts was cut off while it was made
        return study, facts

    def _refuse_changes(self, facts: Facts) -> None:
        changed = [key for key, value in self.identity.items() if facts.identity.get(key) != value]
        if changed:
            key = changed[0]
            raise StudyError(
                f"the study '{self.name}' was started with another {key} ({facts.identity.get(key)}, now "
                f"{self.identity[key]}); use another --name, or what it was started with"
            )


def _described(prepared: Prepared) -> str:
    data = prepared.data
    train, valid, test = data.sizes
    folds = f" in {data.folds} folds" if data.folds > 1 else ""
    shape = "x".join(map(str, data.input_shape))
    return (
        f"{data.name} is of kind {data.kind} ({shape}, {len(data.classes)} classes; {train} train, {valid} "
        f"validation{folds}, {test} test), space {prepared.space.name}, {prepared.plan.trials} trials"
    )


def setting_of(facts: Facts, home: Home) -> Setting:
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
        artifacts=home.artifacts,
        weights=home.weights,
        weights_budget_bytes=WEIGHTS_BUDGET_BYTES,
    )


def _run(prepared: Prepared, study: optuna.Study, facts: Facts, executor: str, display: Display) -> StudyRecord:
    asker = Asker(prepared.space, facts)
    start = time.monotonic()
    with ExitStack() as stack:
        ledger = stack.enter_context(_ledger(prepared.places, display))
        pool = stack.enter_context(_pool(executor, setting_of(facts, prepared.places.home), facts.plan, prepared.places))
        display.say(f"ready after {time.monotonic() - start:.1f} s, workers: {pool.capacity}")
        driver = Driver(study, facts, asker, pool, ledger, display)
        try:
            driver.run()
        finally:
            requeue(study, blame=False)
            ledger.digest(driver.record)
    return read_study(study)


@contextmanager
def _pool(kind: str, setting: Setting, plan: StudyPlan, places: Places) -> Iterator[Executor]:
    """Open the executor of that kind, warm, and end it afterwards."""
    if kind == "in-process":
        from search.executors.inprocess import InProcessExecutor

        yield InProcessExecutor(setting)
        return
    if kind != "ray":
        raise StudyError(f"an executor is 'ray' or 'in-process', got '{kind}'")
    from search.executors.on_ray import RayExecutor
    from search.ray_cluster import start_ray

    workers = plan.workers or cores()
    with start_ray(places.home, places.ray_address and expand(places.ray_address), workers):
        pool = RayExecutor(setting, workers)
        try:
            pool.wait_until_ready(READY_TIMEOUT_S)
            yield pool
        finally:
            pool.close()


@contextmanager
def _ledger(places: Places, display: Display) -> Iterator[Ledger]:
    """Open the MLflow view, which may be slow or away without holding up the study."""
    from search.ledger import BackgroundLedger

    ledger = BackgroundLedger(mlflow_ledger(places))
    try:
        yield ledger
    finally:
        if not ledger.close(LEDGER_DEADLINE_S):
            display.say(f"MLflow missed {ledger.missed} entries; `edgesearch sync` writes them when it answers again")


def mlflow_ledger(places: Places) -> Ledger:
    """Return the MLflow view: in the home, or on the server of the tracking URI."""
    from hardware_profiles.artifact import ArtifactStore
    from search.mlflow_ledger import MlflowLedger

    root = None if places.tracking_uri else places.home.mlflow_artifacts
    return MlflowLedger(places.tracking, root, ArtifactStore(places.home.artifacts))


def _sampler(facts: Facts, trials: int) -> Any:
    """Return the multivariate TPE sampler, seeded so that a study taken up again does not repeat itself."""
    optuna = quiet_optuna()
    return optuna.samplers.TPESampler(multivariate=True, seed=facts.plan.seed * 1_000_003 + trials)


def cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "data"
