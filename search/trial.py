"""What is known of one trial and of a whole study, as values for every view."""

from typing import Literal

from hardware_profiles.measurement import Latency, Measurement
from hardware_profiles.profile import HardwareProfile
from hardware_profiles.runners.base import Anchor
from objectives.brought.value import BroughtModel
from objectives.datasets.spec import DataSummary
from objectives.goals import Goal
from objectives.outcome import Evidence, Failed, Infeasible, Outcome, Stopped
from search.confirmation import Confirmation
from search.plan import StudyPlan
from spaces.candidate import Candidate, Compression
from spaces.value import Value

State = Literal["measured", "infeasible", "stopped", "failed", "running", "waiting"]


COUNTED: tuple[State, ...] = ("measured", "infeasible", "stopped")
"""The states in which a candidate counts for `--trials`."""


class TrialRecord(Value):
    """One trial: the candidate and how it ended, or that it runs or waits.

    `parent` is the trial whose network it is another form of, None for one that was asked.
    """

    number: int
    state: State
    candidate: Candidate | None = None
    outcome: Outcome | None = None
    duplicate_of: int | None = None
    retry_of: int | None = None
    parent: int | None = None

    @property
    def counts(self) -> bool:
        """Whether `--trials` counts it: it was asked, and ended measured, stopped or infeasible."""
        return self.parent is None and self.state in COUNTED

    @property
    def evidence(self) -> Evidence:
        """What was learnt, empty while the trial runs."""
        return Evidence() if self.outcome is None else self.outcome.evidence

    @property
    def values(self) -> dict[str, float]:
        """The measured numbers by metric name."""
        return self.evidence.values

    def measurement(self, metric: str) -> Measurement | None:
        """Return the measurement of that name, or None."""
        return next((m for m in self.evidence.measurements if m.metric == metric), None)

    @property
    def latency(self) -> Latency | None:
        """The latency in full, or None."""
        return self.evidence.latency

    @property
    def reason(self) -> str | None:
        """Why the trial did not end measured, in one sentence."""
        match self.outcome:
            case Failed(error=error):
                return error
            case Stopped(reason=reason):
                return reason
            case Infeasible(violations=broken):
                return "; ".join(f"{v.metric} {v.value:.6g} breaks the limit {v.limit:.6g}" for v in broken)
            case _:
                return None


def _untouched(candidate: Candidate | None) -> bool:
    return candidate is not None and candidate.model is not None and candidate.compression == Compression()


class StudyRecord(Value):
    """A whole study as a value: the plan, what it ran on, and its trials in order of number."""

    name: str
    plan: StudyPlan
    space: str
    data: DataSummary
    profile: HardwareProfile
    anchor: Anchor | None
    majority_accuracy: float
    versions: dict[str, str]
    trials: tuple[TrialRecord, ...]
    model: BroughtModel | None = None
    confirmations: tuple[Confirmation, ...] = ()

    def confirmation(self, trial: TrialRecord) -> Confirmation | None:
        """Return what looking twice at a trial's file showed, None where nobody did."""
        wanted = trial.evidence.artifact
        return next((known for known in self.confirmations if known.artifact == wanted), None)

    @property
    def wanted(self) -> int:
        """How many trials there will be; networks that became the same on another device are one."""
        if not self.plan.only_carried:
            return self.plan.trials
        return sum(trial.counts or trial.state in {"running", "waiting"} for trial in self.trials)

    @property
    def task(self) -> str:
        """What the model is for: 'classification', or 'any' where targets are a metric's own business."""
        return self.plan.task if self.data.target_shape is None else "any"

    @property
    def as_it_is(self) -> TrialRecord | None:
        """The trial of the network as it was brought, if there is one and it could be measured."""
        return next((t for t in self.trials if t.state == "measured" and _untouched(t.candidate)), None)

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The goals of the plan as it stands now."""
        return self.plan.goals
