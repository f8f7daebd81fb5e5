"""What MLflow is told: how to behave, and of a study and its trials the metrics, parameters, tags and files.

Every child run has the same metric keys where its trial knows the figure: `accuracy`, `latency_ms`
(with `latency_ms_low` and `_high`), `latency_median_ms`, `latency_p90_ms`, `model_bytes`,
`compressed_bytes`, `arena_bytes`, `energy_mj`, those of the user's own by their references
(`package.module:Objective`), `sparsity_reached`, `sparsity_overall`, `float_accuracy`, `parameters`,
`seconds` and `seconds_STAGE`;
the learning curve is `loss`, `valid` and, where it was looked at, `averaged` by epoch. Values that are not
finite are left out, for MLflow stores infinity as 1.8e308. The parent run has, by the number of ended
trials: `hypervolume`, `front_size`, `best_OBJECTIVE`, `trials_STATE`.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from search.front import best_of, figures, front
from search.hypervolume import hypervolume
from search.secrets import redact
from search.tables import SHOWN, Cell, describe_compression, flat_parameters, rows
from search.trial import State, StudyRecord, TrialRecord
from spaces.value import digest

if TYPE_CHECKING:
    from pandas import DataFrame

ENVIRONMENT: Mapping[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Set whatever the user's environment says: nothing is sent home, nothing is printed."""
DEFAULTS: Mapping[str, str] = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Set where the user's environment says nothing: a dead server is given up within a minute, not 15."""

STATUS: Mapping[State, str] = {
    "measured": "FINISHED",
    "infeasible": "KILLED",
    "stopped": "KILLED",
    "failed": "FAILED",
    "running": "RUNNING",
    "waiting": "SCHEDULED",
}
ENDED: tuple[State, ...] = ("measured", "infeasible", "stopped", "failed")
FRONT_COLUMNS = (
    "trial", "accuracy", "latency_ms", "latency_low_ms", "latency_high_ms", "latency_median_ms",
    "latency_p90_ms", "model_bytes", "compressed_bytes", "arena_bytes", "energy_mj", "precision",
    "sparsity_reached", "parameters", "provenance", "confirmed_latency_ms", "latency_agrees",
    "confirmed_accuracy", "confirmed_accuracy_spread", "confirmed_trainings", "architecture",
)  # fmt: skip
TWICE = ("confirmed_latency_ms", "latency_agrees", "confirmed_accuracy", "confirmed_accuracy_spread")
"""What the parent run's description says of a front that was looked at twice."""
HARVEST = "harvest.json"
"""The table of the other forms that were made of a trial's network, in its run."""
HARVEST_COLUMNS = ("accuracy", "latency_ms", "model_bytes", "compressed_bytes", "arena_bytes", "energy_mj")
VIEW = "edgesearch"
"""The key of the view that MLflow's table of runs opens with (`viewStateShareKey`)."""
LONGEST_TEXT = 5000  # MLflow takes 6000 characters in a parameter and 8000 in a tag


def quiet_mlflow() -> None:
    """Prepare the environment; to be called before anything imports mlflow."""
    os.environ.update(ENVIRONMENT)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


class Point(NamedTuple):
    """One value of a metric; `step` is the epoch of a curve, the number of ended trials, or 0."""

    key: str
    value: float
    step: int = 0


def trial_points(trial: TrialRecord) -> list[Point]:
    """Return a trial's figures, then its learning curve."""
    found: dict[str, float] = {**figures(trial)}
    for measurement in trial.evidence.measurements:
        bounds = {"low": measurement.low, "high": measurement.high}
        found.update({f"{measurement.metric}_{end}": v for end, v in bounds.items() if v is not None})
    if trial.evidence.parameters is not None:
        found["parameters"] = trial.evidence.parameters
    if trial.evidence.seconds:
        found["seconds"] = seconds(trial)
        found.update({f"seconds_{stage}": spent for stage, spent in trial.evidence.seconds.items()})
    points = [Point(key, value) for key, value in found.items()]
    for epoch in trial.evidence.curve:
        points += [Point("loss", epoch.loss, epoch.epoch), Point("valid", epoch.valid, epoch.epoch)]
        if epoch.averaged is not None:
            points.append(Point("averaged", epoch.averaged, epoch.epoch))
    return _finite(points)


def seconds(trial: TrialRecord) -> float:
    """Return how long the trial took, in all its stages."""
    return sum(trial.evidence.seconds.values())


def trial_params(trial: TrialRecord) -> dict[str, str]:
    """Return the candidate as flat parameters, by their last name (`learning_rate`) where that is unique."""
    if trial.candidate is None:
        return {}
    flat = flat_parameters(trial.candidate)
    short = [name.rpartition(".")[2] for name in flat]
    names = [last if short.count(last) == 1 else name for last, name in zip(short, flat, strict=True)]
    return _texts(dict(zip(names, flat.values(), strict=True)))


def trial_tags(trial: TrialRecord) -> dict[str, str]:
    """Return what to filter and group the trial by; `edgesearch.record` names the state shown."""
    timed = trial.measurement("latency_ms")
    source = trial.latency.source if trial.latency else timed.source if timed else None
    tags = {
        "state": trial.state,
        "reason": trial.reason,
        "provenance": source.provenance if source else None,
        "device": source.device if source else None,
        "machine": source.machine if source else None,
        "latency_verdict": trial.latency.verdict if trial.latency else None,
        "candidate": trial.candidate.digest if trial.candidate else None,
        "artifact": trial.evidence.artifact,
        "duplicate_of": trial.duplicate_of,
        "retry_of": trial.retry_of,
        "form_of": trial.parent,
        "forms": len(trial.evidence.harvest) or None,
        "doubt": trial.evidence.doubt.reason if trial.evidence.doubt else None,
        "record": digest(trial),
    }
    note = {"mlflow.note.content": trial.reason} if trial.reason else {}
    if trial.evidence.harvest:
        note["mlflow.loggedArtifacts"] = json.dumps([{"path": HARVEST, "type": "table"}])
    return _texts({**{f"edgesearch.{name}": value for name, value in tags.items()}, **note})


def experiment_tags(study: StudyRecord) -> dict[str, str]:
    """Return what makes MLflow's pages fit: a model's training, and a table with the columns that matter.

    The view lists the trials, the best in the first objective first; without it MLflow shows no metric.
    Its JSON is what the pages themselves keep when a view is shared.
    """
    first = next((goal for goal in study.goals if goal.objective), study.goals[0])
    metrics = [goal.metric for goal in study.goals] + ["latency_p90_ms", "sparsity_reached"]
    view = {
        "selectedColumns": [f"metrics.`{name}`" for name in dict.fromkeys(metrics)]
        + [f"params.`{name}`" for name in ("precision", "architecture")]
        + [f"tags.`edgesearch.{name}`" for name in ("state", "front", "reason")],
        "searchFilter": "tags.`edgesearch.kind` = 'trial'",
        "orderByKey": f"metrics.`{first.metric}`",
        "orderByAsc": first.direction == "minimize",
    }
    return {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.note.content": f"Study {study.name}: {study.data.name} on {study.profile.name}",
        f"mlflow.sharedViewState.{VIEW}": json.dumps(view),
    }


def harvest_rows(trial: TrialRecord) -> list[dict[str, Cell]]:
    """Return the other forms of a trial's network, one row each, with why there is no more known of one."""
    return [
        {
            "compression": describe_compression(made.compression),
            **dict.fromkeys(HARVEST_COLUMNS),
            **{m.metric: m.value for m in made.measurements if m.metric in HARVEST_COLUMNS},
            "seconds": made.seconds,
            "artifact": made.artifact,
            "why_not": made.error,
        }
        for made in trial.evidence.harvest
    ]


def study_params(study: StudyRecord) -> dict[str, str]:
    """Return what cannot change while a study goes by this name, for MLflow's parameters cannot either."""
    plan = study.plan
    return _texts(
        {
            "data": study.data.name,
            "data_digest": study.data.digest,
            "data_kind": study.data.kind,
            "device": study.profile.name,
            "machine": study.anchor.source.machine if study.anchor else None,
            "space": study.space,
            "objectives": ", ".join(plan.objectives),
            "metric": plan.metric,
            "task": study.task,
            "threads": plan.threads,
            "split_seed": plan.data.split_seed,
        }
    )


def study_tags(study: StudyRecord) -> dict[str, str]:
    """Return what may change: the plan as it stands, versions, and the front as the run's description."""
    plan = _flat("plan", study.plan.model_dump(mode="json", exclude_none=True))
    versions = {f"version.{name}": version for name, version in study.versions.items()}
    note = {
        "mlflow.note.content": front_markdown(study),
        # By this MLflow's pages know the file as a table (what `log_table` sets).
        "mlflow.loggedArtifacts": json.dumps([{"path": "front.json", "type": "table"}]),
    }
    return _texts({**plan, **versions, **note})


def progress(study: StudyRecord, after: int = 0) -> Iterator[Point]:
    """Yield the parent run's metrics for each number of ended trials above `after`, in order of number.

    All on the scale of the goals as they are now. The front is carried along: what is dominated once
    stays so, hence each step compares one trial with the front and not with all before it.
    """
    counts = dict.fromkeys(ENDED, 0)
    kept: tuple[TrialRecord, ...] = ()
    shown: dict[str, float] | None = None
    for step, trial in enumerate((trial for trial in study.trials if trial.state in ENDED), start=1):
        counts[trial.state] += 1
        before, kept = kept, front((*kept, trial), study.goals)
        if kept != before:
            shown = None
        if step > after:
            shown = _front_figures(study, kept) if shown is None else shown
            figures_now = shown | {f"trials_{state}": float(count) for state, count in counts.items()}
            yield from _finite(Point(key, value, step) for key, value in figures_now.items())


def present(study: StudyRecord) -> list[Point]:
    """Return the last points of `progress`: how the study stands."""
    ended = sum(trial.state in ENDED for trial in study.trials)
    return list(progress(study, ended - 1))


def _front_figures(study: StudyRecord, kept: tuple[TrialRecord, ...]) -> dict[str, float]:
    covered = hypervolume((figures(trial) for trial in kept), study.goals, study.majority_accuracy)
    found = {"hypervolume": covered, "front_size": float(len(kept))}
    for goal in study.goals:
        best = best_of(kept, goal) if goal.objective else None
        if best is not None:
            found[f"best_{goal.metric}"] = figures(best)[goal.metric]
    return found


def front_frame(study: StudyRecord) -> "DataFrame":
    """Return the front as a table, the best in the first objective first."""
    import pandas as pd

    columns = [*FRONT_COLUMNS, *study.plan.own_objectives]
    return pd.DataFrame(rows(front(study.trials, study.goals), study), columns=columns)


def front_markdown(study: StudyRecord) -> str:
    """Return the front as a Markdown table with the counts above it: the parent run's description."""
    ended = {state: sum(trial.state == state for trial in study.trials) for state in ENDED}
    more = [goal.metric for goal in study.goals if goal.metric not in SHOWN]
    twice = TWICE if study.confirmations else ()
    shown = ("trial", *SHOWN, *more, *twice, "precision", "architecture")
    lines = [", ".join(f"{count} {state}" for state, count in ended.items()), ""]
    lines += ["| " + " | ".join(shown) + " |", "|" + "---|" * len(shown)]
    for cells in rows(front(study.trials, study.goals), study):
        lines.append("| " + " | ".join(_short(cells.get(name)) for name in shown) + " |")
    return "\n".join(lines)


def write_files(study: StudyRecord, folder: Path) -> None:
    """Write the parent run's files: front.json, front.csv, front.html, front.png, plan.yaml."""
    from search.export import plan_yaml
    from search.plot import write_plot

    frame = front_frame(study)
    (folder / "front.json").write_text(frame.to_json(orient="split", index=False), encoding="utf-8")
    frame.to_csv(folder / "front.csv", index=False)
    write_plot(study, folder / "front.html")
    write_plot(study, folder / "front.png")
    (folder / "plan.yaml").write_text(redact(plan_yaml(study.plan, study.name)), encoding="utf-8")


def _finite(points: Iterable[Point]) -> list[Point]:
    return [point for point in points if math.isfinite(point.value)]


def _texts(values: Mapping[str, Cell]) -> dict[str, str]:
    return {name: redact(str(value))[:LONGEST_TEXT] for name, value in values.items() if value is not None}


def _flat(name: str, value: object) -> dict[str, Cell]:
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in _flat(f"{name}.{key}", inner).items()}
    if isinstance(value, list):
        return {name: ", ".join(map(str, value))}
    return {name: value if isinstance(value, Cell) else str(value)}


def _short(value: Cell) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
