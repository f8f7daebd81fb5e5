"""The end of a study: its front is looked at twice, before anything meets the test set.

Of a search the best are the luckiest too. So every file of the front is measured once more on the device,
and, if asked for, the best are trained again with fresh seeds. What that shows stands beside the first
figures and ranks nothing. It is kept by the file's digest, so that nothing is done twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from hardware_profiles.artifact import ArtifactStore
from hardware_profiles.errors import DeviceError, Unreachable
from hardware_profiles.runners.replay import ReplayRunner
from hardware_profiles.runners.wrapping import unwrapped
from objectives.goals import Goal
from objectives.outcome import Failed, Outcome
from search.confirmation import KEY, Confirmation
from search.front import front
from search.preferences import prefer_one
from search.storage import read_study
from search.tables import human_latency
from search.units import human_ms

if TYPE_CHECKING:
    import optuna

    from hardware_profiles.device import Device
    from hardware_profiles.measurement import Latency
    from objectives.setting import Setting
    from search.executors.base import Executor, Finished
    from search.trial import StudyRecord, TrialRecord
    from spaces.candidate import Candidate

    Say = Callable[[str], None]
    Open = Callable[[Setting], AbstractContextManager[Executor]]

FRESH_SEEDS = 2
TICK_S = 0.5


def measure_again(study: optuna.Study, device: Device, store: ArtifactStore, say: Say) -> None:
    """Measure each file of the front that was measured on the device once more, and keep what it shows.

    A figure that differs is told. Raises Unreachable where the device does not answer any more.
    """
    record = read_study(study)
    pending = unmeasured(record, device, store)
    if pending:
        say(f"the front is confirmed: {len(pending)} files are measured once more")
    for trial in pending:
        known = confirmation_of(record, trial)
        assert device.runner is not None  # else nothing is pending
        assert trial.latency is not None
        try:
            (second,) = device.runner.measure([store.path(known.artifact)], record.anchor)
        except Unreachable:
            raise
        except (DeviceError, OSError) as error:
            say(f"trial {trial.number} could not be measured once more: {error}")
            continue
        known = known.again(trial.latency, second)
        _keep(study, known)
        if not known.agrees:
            say(_differs(trial, second))


def unconfirmed(record: StudyRecord, device: Device, store: ArtifactStore) -> bool:
    """Tell whether something of the front was looked at only once that is to be looked at twice."""
    again = any(untrained(record, seed) for seed in fresh_seeds(record.plan.seed))
    return again or bool(unmeasured(record, device, store))


def unmeasured(record: StudyRecord, device: Device, store: ArtifactStore) -> tuple[TrialRecord, ...]:
    """Return the trials of the front whose latency was measured on the device, once, and whose file is here.

    A recording has one measurement of each model and tells nothing by playing it again.
    """
    if device.runner is None or isinstance(unwrapped(device.runner), ReplayRunner):
        return ()
    return tuple(
        trial
        for trial in front(record.trials, record.goals)
        if trial.latency
        and confirmation_of(record, trial).latency is None
        and store.path(trial.evidence.artifact or "").is_file()
    )


def _differs(trial: TrialRecord, second: Latency) -> str:
    return (
        f"trial {trial.number}: the latency was {human_latency(trial)} and is {human_ms(second.latency_ms)} "
        f"({human_ms(second.low_ms)} to {human_ms(second.high_ms)}) now: trust neither before `edgesearch "
        "measure` has seen the file on a quiet device"
    )


def train_again(study: optuna.Study, setting: Setting, opened: Open, say: Say) -> None:
    """Train the best of the front again with fresh seeds, and keep the metric that each comes to.

    `opened` gives an executor for a setting. Raises Unreachable where the device does not answer.
    """
    for seed in fresh_seeds(setting.seed):
        record = read_study(study)
        pending = untrained(record, seed)
        if not pending:
            continue
        say(f"the best {len(pending)} of the front are trained again with the seed {seed}")
        with opened(_for_accuracy(setting, seed)) as pool:
            trials = {trial.number: trial for trial in pending}
            wanted = {n: t.candidate for n, t in trials.items() if t.candidate is not None}
            for number, outcome in evaluated(pool, wanted):
                _note(study, trials[number], seed, outcome, say)


def fresh_seeds(seed: int) -> tuple[int, ...]:
    """Return the seeds for trainings that confirm those of a seed."""
    return tuple((seed + more) % 2**31 for more in range(1, FRESH_SEEDS + 1))


def untrained(record: StudyRecord, seed: int) -> tuple[TrialRecord, ...]:
    """Return the trials that are to be trained again and were not yet with that seed."""
    if not record.plan.training:
        return ()
    chosen = best(record, record.plan.confirm)
    return tuple(t for t in chosen if _trains(t) and seed not in confirmation_of(record, t).retrained)


def best(record: StudyRecord, count: int) -> tuple[TrialRecord, ...]:
    """Return the best of the front, the one that is shipped by default first."""
    pool = list(front(record.trials, record.goals))
    chosen: list[TrialRecord] = []
    while pool and len(chosen) < count:
        chosen.append(prefer_one(pool, "balanced", record))
        pool.remove(chosen[-1])
    return tuple(chosen)


def _trains(trial: TrialRecord) -> bool:
    """Tell whether a seed makes a difference: a network that was brought, as it is, is not trained."""
    candidate = trial.candidate
    return (
        candidate is not None
        and bool(trial.evidence.artifact)
        and bool(candidate.model is None or candidate.compression.levers)
    )


def _for_accuracy(setting: Setting, seed: int) -> Setting:
    """Return the setting with another seed and without limits: the metric alone is asked for."""
    goal = Goal(metric="accuracy", direction=setting.metric_direction)
    return setting.model_copy(update={"seed": seed, "goals": (goal,), "screening": False})


def evaluated(pool: Executor, candidates: Mapping[int, Candidate]) -> Iterator[Finished]:
    """Yield how each candidate ends, as they come back."""
    waiting, under_way = deque(candidates.items()), 0
    while waiting or under_way:
        while waiting and under_way < pool.capacity:
            pool.submit(*waiting.popleft())
            under_way += 1
        if (finished := pool.next(TICK_S)) is not None:
            under_way -= 1
            yield finished


def _note(study: optuna.Study, trial: TrialRecord, seed: int, outcome: Outcome, say: Say) -> None:
    """Keep what a fresh training came to; a fault that is not the candidate's leaves it to another call."""
    if isinstance(outcome, Failed):
        if outcome.fault == "device":
            raise Unreachable(outcome.error)
        say(f"trial {trial.number} could not be trained again with the seed {seed}: {outcome.error}")
        if outcome.fault != "candidate":
            return
    known = confirmation_of(read_study(study), trial)
    _keep(study, known.trained(seed, outcome.evidence.values.get("accuracy")))


def confirmation_of(record: StudyRecord, trial: TrialRecord) -> Confirmation:
    """Return what is known of a measured trial's file, an empty confirmation at first."""
    known = record.confirmation(trial)
    return known or Confirmation(trial=trial.number, artifact=trial.evidence.artifact or "")


def _keep(study: optuna.Study, known: Confirmation) -> None:
    study.set_user_attr(f"{KEY}{known.artifact}", known.model_dump_json())
