"""Fashion-MNIST in full, on two cores: a study by the command, and its front judged on the test set.

    python -m benchmarks.fashion_full

The study has a home in the work folder, where the same command takes it up again with the time that is left.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contenders import EDGESEARCH_COMMAND, ENDLESS, STUDY, run_command
from benchmarks.fashion_full_lines import KIB, Full, Shipped, Task, full_lines
from benchmarks.judge import Judge
from benchmarks.values import Case, circumstances, listed, load_average, save
from benchmarks.workshop import Workshop
from hardware_profiles.artifact import ArtifactStore
from hardware_profiles.micro import ArenaUnknown, arena
from search.front import front
from search.home import Home
from search.storage import load, open_storage, read_study, study_names
from search.trial import COUNTED
from spaces.value import Value

if TYPE_CHECKING:
    import optuna

    from search.trial import StudyRecord, TrialRecord

HERE = Path(__file__).parent
TASK = Task(
    data="fashion-mnist",
    subset=None,
    epochs=20,
    seconds=7_200,
    seed=0,
    workers=2,
    max_model_bytes=64 * KIB,
    objectives=("accuracy", "model_bytes"),
    augment="auto",
)
LEAST_S = 1.0
"""With less time left a study is not taken up again."""
Interval = tuple[datetime, datetime]


def covered_s(intervals: Iterable[Interval], until: datetime = datetime.max) -> float:  # noqa: DTZ901 - as Optuna
    """Return the seconds until a moment that lie in some of the intervals: pauses between do not count."""
    seconds, reached = 0.0, datetime.min  # noqa: DTZ901 - Optuna stores local time without a zone
    for start, end in sorted(intervals):
        here = min(end, until)
        seconds += max(0.0, (here - max(start, reached)).total_seconds())
        reached = max(reached, here)
    return seconds


class Call(Value):
    """One call of the command: from when to when, in local time as Optuna has it."""

    began: datetime
    ended: datetime | None = None


class Calls(Value):
    """The content of the study's `calls.json`."""

    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Project:
    """The task, and the folder in which its study lives."""

    task: Task
    root: Path

    @property
    def folder(self) -> Path:
        """Where this study alone has its files."""
        return self.root.absolute() / self.task.name

    @property
    def home(self) -> Home:
        """The study's home."""
        return Home(self.folder / "home")

    def search(self) -> None:
        """Run the study for the time that is left of its own."""
        left_s = self.task.seconds - self.spent_s()
        if left_s >= LEAST_S:
            print(f"{self.task.name}: searching for {left_s:.0f} s", flush=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            began = datetime.now()  # noqa: DTZ005 - as Optuna
            self._note((*self.calls(), Call(began=began)))
            run_command(self.command(left_s), self.folder, {"EDGESEARCH_HOME": str(self.home.root)})
            *before, last = self.calls()
            ended = datetime.now()  # noqa: DTZ005 - as Optuna
            self._note((*before, last.model_copy(update={"ended": ended})))

    def calls(self) -> tuple[Call, ...]:
        """Return the calls so far. One that was killed ended when something was last heard of it."""
        if not self._calls.is_file():
            return ()
        found = Calls.model_validate_json(self._calls.read_text(encoding="utf-8")).calls
        heard = datetime.fromtimestamp(max(path.stat().st_mtime for path in self.folder.rglob("*")))  # noqa: DTZ006 - as Optuna
        return tuple(call if call.ended else call.model_copy(update={"ended": heard}) for call in found)

    @property
    def _calls(self) -> Path:
        return self.folder / "calls.json"

    def _note(self, calls: tuple[Call, ...]) -> None:
        save(self._calls, Calls(calls=calls))

    def command(self, seconds: float) -> list[str]:
        """Return the command that runs the study, or takes it up again, for so long."""
        task = self.task
        options = {
            "--name": STUDY,
            "--data": task.data,
            "--epochs": task.epochs,
            "--seed": task.seed,
            "--workers": task.workers,
            "--max-model-bytes": task.max_model_bytes,
            "--augment": task.augment,
            "--trials": ENDLESS,
            "--timeout": f"{seconds:g}",
            **({"--subset": task.subset} if task.subset else {}),
        }
        named = [f"{name}={value}" for name, value in options.items()]
        return [*EDGESEARCH_COMMAND, "study", *named, *(f"--objective={name}" for name in task.objectives)]

    def spent_s(self) -> float:
        """Return for how long the study was run, from the first ask of each call on; 0 before the first."""
        return covered_s(self._searching())

    def within(self, seconds: float) -> StudyRecord:
        """Return the study with those of its trials that ended in so much of its time."""
        record, searching = read_study(self._study()), self._searching()
        ended_s = {n: covered_s(searching, end) for n, (_, end) in self._intervals().items()}
        kept = tuple(t for t in record.trials if ended_s.get(t.number, inf) <= seconds)
        return record.model_copy(update={"trials": kept})

    def _searching(self) -> list[Interval]:
        """Return from when to when each call searched: from its first ask on."""
        url = self.home.studies_db
        if not (self.home.root / "studies.db").is_file() or STUDY not in study_names(open_storage(url)):
            return []
        asked = sorted(t.datetime_start for t in self._study().get_trials(deepcopy=False) if t.datetime_start)
        found = [(call, next((a for a in asked if a >= call.began), None)) for call in self.calls()]
        return [(first, max(first, call.ended)) for call, first in found if first and call.ended]

    def _intervals(self) -> dict[int, Interval]:
        """Return from when to when each trial took that came to an end."""
        study = self._study()
        counted = {trial.number for trial in read_study(study).trials if trial.state in COUNTED}
        return {
            trial.number: (trial.datetime_start, trial.datetime_complete)
            for trial in study.get_trials(deepcopy=False)
            if trial.number in counted and trial.datetime_start and trial.datetime_complete
        }

    def judged(self, record: StudyRecord) -> tuple[Shipped, ...]:
        """Judge the front of a record by its files alone."""
        case = Case(
            data=self.task.data,
            subset=self.task.subset,
            epochs=self.task.epochs,
            seconds=self.task.seconds,
            seed=self.task.seed,
        )
        judge = Judge.of(case, self.home.data, Workshop(self.root, {}).anchor())
        best = front(record.trials, record.goals)
        print(f"judging {len(best)} models", flush=True)
        return tuple(self._shipped(trial, judge) for trial in best)

    def _shipped(self, trial: TrialRecord, judge: Judge) -> Shipped:
        assert trial.candidate is not None and trial.evidence.artifact is not None  # noqa: PT018 - of a front
        model = ArtifactStore(self.home.artifacts).path(trial.evidence.artifact)
        figures = judge.figures(model, divisor=1.0)
        return Shipped(
            trial=trial.number,
            form=trial.parent is not None,
            precision=trial.candidate.compression.precision,
            parameters=trial.evidence.parameters,
            claimed=trial.values["accuracy"],
            accuracy=figures["accuracy"],
            model_bytes=int(figures["model_bytes"]),
            arena_bytes=activations_of(model),
            latency_ms=figures["latency_ms"],
        )

    def _study(self) -> optuna.Study:
        return load(open_storage(self.home.studies_db), STUDY)


def activations_of(model: Path) -> int | None:
    """Return what activations take in TensorFlow Lite Micro, in bytes; None if it does not run the file."""
    try:
        return arena(model).head_bytes
    except ArenaUnknown:
        return None


def result_of(project: Project) -> Full:
    """Run what is left of the study, judge its front, and sum up."""
    before = load_average()
    project.search()
    record = project.within(project.task.seconds)
    asked = Counter(trial.state for trial in record.trials if trial.parent is None)
    return Full(
        circumstances=circumstances(),
        load=before,
        task=project.task,
        spent_s=project.spent_s(),
        calls=len(project.calls()),
        states={state: asked[state] for state in COUNTED},
        forms=sum(trial.parent is not None for trial in record.trials),
        front=project.judged(record),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, judge, write the result and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default=TASK.data, choices=("digits", "fashion-mnist"))
    parser.add_argument(
        "--subset", type=int, default=TASK.subset, metavar="N", help="of the training samples"
    )
    parser.add_argument("--seconds", type=float, default=TASK.seconds, help="from the first ask on")
    parser.add_argument("--epochs", type=int, default=TASK.epochs, help="of a training")
    parser.add_argument("--seed", type=int, default=TASK.seed)
    parser.add_argument("--workers", type=int, default=TASK.workers, metavar="N", help="trials at once")
    parser.add_argument("--max-model-bytes", type=int, default=TASK.max_model_bytes, metavar="N")
    parser.add_argument(
        "--objective",
        dest="objectives",
        action="append",
        choices=("accuracy", "latency_ms", "model_bytes"),
        help=f"repeatable (default: {listed(TASK.objectives)})",
    )
    parser.add_argument("--augment", default=TASK.augment, metavar="HOW", help="auto, none or a name")
    parser.add_argument(
        "--work", type=Path, default=HERE / "work" / "fashion_full", help="what is kept to resume"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results" / "fashion_full.json")
    options = parser.parse_args(arguments)

    given = {name: getattr(options, name) for name in Task.model_fields}
    task = Task.model_validate({**given, "objectives": options.objectives or TASK.objectives})
    result = result_of(Project(task, options.work))
    save(options.out, result)
    print("\n".join(full_lines(result)), flush=True)


if __name__ == "__main__":
    main()
