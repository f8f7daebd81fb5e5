"""A plan with what it stands for: checked before anything is written, then made into a study."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from hardware_profiles.connect import silent
from hardware_profiles.device import Device
from hardware_profiles.machine import machine_id
from hardware_profiles.measurement import Source
from hardware_profiles.profile import HardwareProfile, load_profile
from objectives.brought.importing import import_model
from objectives.brought.value import BroughtModel, refuse_misfit
from objectives.datasets.prepare import prepare
from objectives.datasets.spec import DataSummary
from objectives.metrics import load_metric
from search.asking import Asker, refuse_wider
from search.beginning import handed_to, ladder_of
from search.errors import StudyError
from search.facts import facts_of, own_files
from search.home import writing
from search.interrupts import uninterrupted
from search.lease import Lease
from search.places import Places
from search.plan import StudyPlan
from search.reach import (
    probe,
    refuse_another_provenance,
    refuse_another_runtime,
    refuse_precisions,
    suited,
    within_firmware,
)
from search.rejudge import recovered, rejudge
from search.samplers import sampler_of, seed_at
from search.status import Display
from search.storage import (
    Facts,
    create,
    load,
    read_facts,
    study_names,
    taken,
    write_facts,
)
from search.strategies import strategy_of
from search.telling import requeue
from spaces.brought import AS_IT_IS, Brought
from spaces.candidate import LAST_FIELD, Lever, Precision, Problem
from spaces.candidate import TRAINABLE_PRECISIONS as INTEGERS
from spaces.catalog import DEFAULTS, load_space
from spaces.chooser import Choices, Integers, Reals
from spaces.recipe import augmented, suggested
from spaces.space import Space, narrow
from spaces.value import digest

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Prepared:
    """A plan with what it stands for: data on disk, a device that answers, a space.

    `found` says which machine measures, by which runtime; None where none does.
    """

    plan: StudyPlan
    places: Places
    data: DataSummary
    device: Device
    found: Source | None
    space: Space
    model: BroughtModel | None = None

    @classmethod
    def of(cls, plan: StudyPlan, places: Places, say: Callable[[str], None] = silent) -> Prepared:
        """Check everything that can be checked before anything is written for the study itself.

        `say` is told what remains of a microcontroller, and who is waited for. Raises DeviceError,
        SpaceError, ObjectiveError, DataError or StudyError for what cannot be.
        """
        profile = load_profile(plan.device, places.devices)
        device = Device.at(profile, plan.threads, places.connection, say)
        plan = suited(plan, device)
        if plan.space is not None:
            load_space(plan.space)
        load_metric(plan.metric, plan.metric_direction)
        strategy_of(plan)
        found = probe(device, plan.threads, say)
        places.home.ensure_writable()
        model = import_model(Path(plan.model).expanduser(), places.home.models) if plan.model else None
        spec = plan.data if model is None else plan.data_of_model
        data = prepare(spec, places.home.data)
        if model is not None:
            refuse_misfit(model, data)
        space: Space = Brought() if model else load_space(plan.space or DEFAULTS[data.kind], data.kind)
        plan = within_firmware(plan, profile, data.kind, say)
        prepared = cls(plan, places, data, device, found, space, model)
        _ = prepared.ranges
        return prepared

    @property
    def profile(self) -> HardwareProfile:
        """What the device is."""
        return self.device.profile

    @property
    def ranges(self) -> dict[str, Integers | Reals | Choices]:
        """What is searched: the space's ranges, those levers that pay here, and what the plan says of them.

        Raises SpaceError for ranges of the plan that the space does not have and for an augmentation that
        such data do not have, StudyError for a precision that the device does not run.
        """
        refuse_precisions(self.plan, self.device, self._precisions)
        whole, problem = self.space.ranges(self.problem), self.problem
        fixed = augmented(whole, problem, self.plan.augment)
        return narrow(whole, {**suggested(whole, problem), **fixed, **self.plan.ranges})

    @property
    def problem(self) -> Problem:
        """What the space has to fit."""
        return Problem(
            kind=self.data.kind,
            input_shape=self.data.input_shape,
            classes=len(self.data.classes) or 2,  # which the space of a network that was brought never asks
            epochs=self.plan.epochs,
            precisions=self._precisions,
            slow_precisions=self.profile.slow_precisions,
            counts=self.plan.counts,
            model=self.model.digest if self.model else None,
            levers=self._levers,
        )

    @property
    def _levers(self) -> tuple[Lever, ...]:
        """The levers that change weights and work here."""
        if self.model is None:
            return tuple(LAST_FIELD)
        usable = self.model.levers if self.plan.training else {}
        return tuple(lever for lever in LAST_FIELD if lever in usable and usable[lever] is None)

    @property
    def _precisions(self) -> tuple[Precision, ...]:
        """What the device runs, of that what takes the input as the plan wants it."""
        goals = {goal.metric for goal in self.plan.goals}
        whole = self.device.precisions if "latency_ms" in goals else self.profile.precisions
        return whole if self.plan.input_type == "float32" else tuple(p for p in whole if p in INTEGERS)

    @property
    def identity(self) -> dict[str, str]:
        """What may not change under a name, by what people call it."""
        plan = self.plan
        return {
            "data": self.data.digest,
            "device": self.profile.name,
            "machine": self.found.machine or "" if self.found else machine_id(),
            **({} if self.found else {"latency": self.device.provenance}),
            "space": plan.space or self.space.name,
            **({} if self.model is None else {"model": self.model.digest}),
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

    def described(self) -> str:
        """Say in one line what the study is of."""
        data = self.data
        train, valid, test = data.sizes
        folds = f" in {data.folds} folds" if data.folds > 1 else ""
        shape = "x".join(map(str, data.input_shape))
        return (
            f"study {self.name} on {self.profile.title}: {data.name} is of kind {data.kind} ({shape}, "
            f"{_targets(data)}; {train} train, {valid} validation{folds}, {test} test), space "
            f"{self.space.name}, {self.plan.trials} trials"
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study for one driver. Raises StudyError where another has it."""
        where = hashlib.sha256(self.places.storage_url.encode()).hexdigest()[:8]
        lock = FileLock(self.places.home.locks / f"{where}-{self.name}.lock")
        with writing(self.places.home.locks):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise StudyError(
                    f"the study '{self.name}' is being run by another process; wait for it, or choose "
                    "another --name"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def found_or_made(self, lease: Lease, display: Display) -> optuna.Study:
        """Return the study as it is.

        Raises StudyError where the name means another study, or another driver has it.
        """
        storage = self.places.opened
        if self.name in study_names(storage):
            lease.check(load(storage, self.name))
        recovered(storage, self.name)
        lease.clear(storage, self.name)
        if not taken(storage, self.name):
            return self._made(lease, display)
        study = load(storage, self.name)
        facts = read_facts(study)
        self._refuse_changes(facts)
        self._refuse_wider(facts)
        for name, found in own_files(self.plan).items():
            if facts.versions.get(name, found) != found:  # earlier studies did not keep it
                display.say(
                    f"the file of '{name}' was edited since this study began, so what it says of earlier "
                    "trials and of new ones may not compare; another --name begins anew"
                )
        return study

    def taken_up(self, study: optuna.Study, display: Display, *, blame: bool) -> tuple[optuna.Study, Facts]:
        """Return the study under the present plan, what was under way settled, ready to be driven."""
        facts = read_facts(study)
        plan = self.plan.model_copy(update={"name": self.name}).measured_against(facts.baseline)
        before = facts.plan
        if plan.only_carried:
            plan = plan.model_copy(update={"trials": before.trials})
        facts = facts.model_copy(update={"plan": plan})
        if again := requeue(study, before, blame=blame):
            display.say(f"{again} trials were under way when the study last ended; they are asked again")
        if (before.limits, before.limit_on) != (plan.limits, plan.limit_on):
            display.say("the limits changed: every trial is judged anew")
            study = rejudge(study, facts)
        elif before != plan:
            write_facts(study, facts)
        trials = len(study.get_trials(deepcopy=False))
        study.sampler = sampler_of(strategy_of(plan).sampler, seed_at(plan.seed, trials))
        return study, facts

    def _made(self, lease: Lease, display: Display) -> optuna.Study:
        if self.device.runner is not None:
            display.say(f"measuring what the anchor model takes on {self.profile.title}")
        handed_on = handed_to(self, display.say)
        climbed = [rung.params for rung in ladder_of(self, self.plan.trials - len(handed_on))]
        facts = facts_of(self)
        if self.plan.only_carried:
            everything = facts.plan.model_copy(update={"trials": len(handed_on)})
            facts = facts.model_copy(update={"plan": everything})
        as_it_is = () if self.model is None else (dict(AS_IT_IS),)
        with uninterrupted():
            study = create(self.places.opened, self.name, facts.plan.goals)
            lease.claim(study)
            for params in (*as_it_is, *handed_on, *climbed):
                study.enqueue_trial(params)
            write_facts(study, facts)  # last: a study without facts was cut off while it was made
        return study

    def _refuse_changes(self, facts: Facts) -> None:
        then, now = (found.get("latency", "measured") for found in (facts.identity, self.identity))
        refuse_another_provenance(self.name, then, now)
        if self.found and facts.anchor and facts.anchor.source != self.found:
            refuse_another_runtime(self.name, facts.anchor.source, self.found)
        changed = [key for key, value in self.identity.items() if facts.identity.get(key) != value]
        if changed:
            key = changed[0]
            raise StudyError(
                f"the study '{self.name}' was started with another {key} ({facts.identity.get(key)}, now "
                f"{self.identity[key]}); use another --name, or what it was started with"
            )

    def _refuse_wider(self, facts: Facts) -> None:
        refuse_wider(self.name, facts.ranges, self.ranges)
        Asker(self.space, facts.model_copy(update={"plan": self.plan}))


def _targets(data: DataSummary) -> str:
    if data.target_shape is None:
        return f"{len(data.classes)} classes"
    return "targets are " + ("numbers" if data.target_shape == () else f"of shape {data.target_shape}")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60] or "data"
