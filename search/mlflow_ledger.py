"""A study as MLflow shows it: an experiment per study, in it one parent run and a child run per trial.

Why an experiment of its own, `edgesearch/NAME`: MLflow's table of runs, its columns and its sorting
belong to an experiment. One for all studies would sort the accuracy of one data set among that of
another and have a column for every metric of every study; one per study is sortable as it opens, is
deleted and shared as one thing, and several can still be compared by ticking them. Its parent run
carries the digest (front as table and plot, hypervolume and best figures over the trials), so nobody
has to open the children.

Status of a child, for MLflow's own filter: FINISHED is a measured trial, one that could ship; KILLED
one that was ended on purpose (a limit broken, or no way left to reach the front); FAILED one with
nothing to show; RUNNING and SCHEDULED as they say. The tag `edgesearch.state` has our word for it.

Everything is written so that writing it again changes nothing: a run is looked up by its study and
trial before it is made, points of curves bear the start of their run as their time, and a run is
complete once the tag `edgesearch.record` names what the trial is and the status is the one for it. A
kill between two steps is mended by the next call. What MLflow cannot change later (parameters) is only
what a study cannot change either.

One thing depends on when it is written: limits set the scale of the hypervolume, and points of its
curve that were written before a limit changed stay on the old scale.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hardware_profiles.artifact import ArtifactStore
from search.errors import StudyError
from search.front import front
from search.mlflow_values import (
    HARVEST,
    STATUS,
    Point,
    experiment_tags,
    harvest_rows,
    present,
    progress,
    quiet_mlflow,
    seconds,
    study_params,
    study_tags,
    trial_params,
    trial_points,
    trial_tags,
    write_files,
)
from search.secrets import redact, secrets_of
from search.trial import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run, RunTag

MOST_AT_ONCE = 1000
"""How many metrics MLflow takes in one call, and how many runs it returns."""


UNLISTED = "unlisted"
"""The state, here alone, of what was written of a trial that the study does not list any more."""


@dataclass
class _Known:
    """A child run that exists: since when, and which state of which trial it shows."""

    run_id: str
    start_ms: int
    record: str = ""
    status: str = ""
    on_front: bool = False


@dataclass
class _View:
    """What is known of one study's experiment. `steps` counts the trials that the curves go up to."""

    experiment: str
    parent: str
    start_ms: int
    steps: int
    children: dict[int, _Known]


class MlflowLedger:
    """Writes studies to an MLflow store through `MlflowClient`, from one thread.

    `artifact_root` is the local folder for files, or None to leave the place to a tracking server.
    """

    def __init__(self, tracking_uri: str, artifact_root: Path | None, store: ArtifactStore) -> None:
        self._uri = tracking_uri
        self._root = artifact_root
        self._store = store
        self._views: dict[str, _View] = {}
        self._client: MlflowClient | None = None
        self._last_ms = 0

    def record(self, study: StudyRecord, trials: Sequence[TrialRecord]) -> None:
        """Write the trials, those that are not written as they are. Raises StudyError."""
        with self._reaching() as client:
            view = self._view(client, study)
            for trial in trials:
                self._write_trial(client, view, study, trial)

    def digest(self, study: StudyRecord) -> None:
        """Write the parent run anew, and which children are on the front. Raises StudyError."""
        with self._reaching() as client:
            view = self._view(client, study)
            curve = _metrics(progress(study, view.steps), view.start_ms) or _news(client, view, study)
            *early, last = _batches(curve)
            for batch in early:
                client.log_batch(view.parent, batch)
            client.log_batch(view.parent, last, tags=_tags(study_tags(study)))
            view.steps = max([view.steps, *(metric.step for metric in curve)])
            with tempfile.TemporaryDirectory() as folder:
                write_files(study, Path(folder))
                client.log_artifacts(view.parent, folder)
            _end_unlisted(client, view, study)
            _mark_front(client, view, {trial.number for trial in front(study.trials, study.goals)})
            going_on = any(trial.state == "running" for trial in study.trials)
            _set_status(client, view.parent, "RUNNING" if going_on else "FINISHED", None)

    @contextlib.contextmanager
    def _reaching(self) -> Iterator["MlflowClient"]:
        try:
            if self._client is None:
                self._client = _open(self._uri)
            yield self._client
        except StudyError:
            raise
        except Exception as error:
            # What was half read or half written is looked up again by the next call.
            self._views.clear()
            known = secrets_of(self._uri)
            reason = redact(" ".join(str(error).split()), known)[:300]
            raise StudyError(
                f"MLflow at {redact(self._uri, known)} cannot be written: {type(error).__name__}: {reason}; "
                "`edgesearch sync STUDY` writes it when it can be"
            ) from error

    def _view(self, client: "MlflowClient", study: StudyRecord) -> _View:
        if study.name not in self._views:
            self._views[study.name] = self._open_view(client, study)
        return self._views[study.name]

    def _open_view(self, client: "MlflowClient", study: StudyRecord) -> _View:
        experiment = self._experiment(client, study)
        parent = self._parent(client, experiment, study)
        children = {}
        for run in _search(client, experiment, f"{_of(study)} and tags.`edgesearch.kind` = 'trial'"):
            children[int(run.data.tags["edgesearch.trial"])] = _known(run)
            self._last_ms = max(self._last_ms, run.info.start_time)
        written = client.get_metric_history(parent.info.run_id, "trials_measured")
        steps = max((metric.step for metric in written), default=0)
        return _View(experiment, parent.info.run_id, parent.info.start_time, steps, children)

    def _experiment(self, client: "MlflowClient", study: StudyRecord) -> str:
        name = f"edgesearch/{study.name}"
        known = client.get_experiment_by_name(name)
        if known is None:
            place = None if self._root is None else (self._root / study.name).as_uri()
            return str(client.create_experiment(name, place, experiment_tags(study)))
        if known.lifecycle_stage == "deleted":
            # A deleted experiment keeps its name to itself: without this the study had nowhere to go.
            client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)

    def _parent(self, client: "MlflowClient", experiment: str, study: StudyRecord) -> "Run":
        found = next(_search(client, experiment, f"{_of(study)} and tags.`edgesearch.kind` = 'study'"), None)
        if found is None:
            tags = {"edgesearch.kind": "study", **_source_tags(study)}
            found = client.create_run(experiment, self._start_ms(0), tags, study.name)
        missing = {k: v for k, v in study_params(study).items() if k not in found.data.params}
        if missing:
            client.log_batch(found.info.run_id, params=_params(missing))
            # For `edgesearch ui`, which links to the digest.
            client.set_experiment_tag(experiment, "edgesearch.parent", found.info.run_id)
        return found

    def _write_trial(
        self, client: "MlflowClient", view: _View, study: StudyRecord, trial: TrialRecord
    ) -> None:
        known = view.children.get(trial.number) or self._find_or_create(client, view, study, trial)
        view.children[trial.number] = known
        tags, status = trial_tags(trial), STATUS[trial.state]
        if (known.record, known.status) == (tags["edgesearch.record"], status):
            return
        self._log_model(client, known.run_id, trial)
        if forms := harvest_rows(trial):
            client.log_dict(known.run_id, _as_table(forms), HARVEST)
        *early, last = _batches(_metrics(trial_points(trial), known.start_ms))
        for batch in early:
            client.log_batch(known.run_id, batch)
        client.log_batch(known.run_id, last, _params(trial_params(trial)), _tags(tags))
        _set_status(client, known.run_id, status, known.start_ms + round(1000 * seconds(trial)))
        known.record, known.status = tags["edgesearch.record"], status

    def _find_or_create(
        self, client: "MlflowClient", view: _View, study: StudyRecord, trial: TrialRecord
    ) -> _Known:
        # Looked up once more, for another process may have synchronised the study meanwhile.
        mine = f"{_of(study)} and tags.`edgesearch.trial` = '{trial.number}'"
        found = next(_search(client, view.experiment, mine), None)
        if found is not None:
            return _known(found)
        tags = {
            "edgesearch.kind": "trial",
            "edgesearch.trial": str(trial.number),
            "mlflow.parentRunId": view.parent,
            **_source_tags(study),
        }
        start_ms = self._start_ms(seconds(trial))
        return _known(client.create_run(view.experiment, start_ms, tags, f"trial {trial.number}"))

    def _start_ms(self, length_s: float) -> int:
        """Return when a run of this length began, after all before it: MLflow lists runs by their start."""
        self._last_ms = max(self._last_ms + 1, int(1000 * (time.time() - length_s)))
        return self._last_ms

    def _log_model(self, client: "MlflowClient", run_id: str, trial: TrialRecord) -> None:
        sha256 = trial.evidence.artifact
        if sha256 is None or not self._store.path(sha256).is_file():
            return
        with tempfile.TemporaryDirectory() as folder:
            named = Path(folder, "model.tflite")
            named.symlink_to(self._store.path(sha256).resolve())
            client.log_artifact(run_id, str(named), "model")


def _open(tracking_uri: str) -> "MlflowClient":
    quiet_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri)


def _of(study: StudyRecord) -> str:
    return f"tags.`edgesearch.study` = '{study.name}'"


def _source_tags(study: StudyRecord) -> dict[str, str]:
    return {"edgesearch.study": study.name, "mlflow.source.name": "edgesearch", "mlflow.source.type": "LOCAL"}


def _search(client: "MlflowClient", experiment: str, wanted: str) -> Iterator["Run"]:
    token: str | None = None
    while True:
        page = client.search_runs([experiment], wanted, max_results=MOST_AT_ONCE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _known(run: "Run") -> _Known:
    record, on_front = run.data.tags.get("edgesearch.record", ""), "edgesearch.front" in run.data.tags
    return _Known(run.info.run_id, run.info.start_time, record, run.info.status, on_front)


def _set_status(client: "MlflowClient", run_id: str, status: str, end_ms: int | None) -> None:
    if status in ("RUNNING", "SCHEDULED"):
        client.update_run(run_id, status)
    else:
        client.set_terminated(run_id, status, end_ms)


def _mark_front(client: "MlflowClient", view: _View, numbers: set[int]) -> None:
    for number, known in view.children.items():
        if known.on_front and number not in numbers:
            client.delete_tag(known.run_id, "edgesearch.front")
        elif number in numbers and not known.on_front:
            client.set_tag(known.run_id, "edgesearch.front", "yes")
        known.on_front = number in numbers


def _news(client: "MlflowClient", view: _View, study: StudyRecord) -> "list[Metric]":
    """Return how the study stands where that is no longer what was written: with other limits, for one."""
    shown = client.get_run(view.parent).data.metrics
    points = [p._replace(step=view.steps) for p in present(study) if shown.get(p.key) != p.value]
    return _metrics(points, round(1000 * time.time()))  # later than what was written for as many trials


def _end_unlisted(client: "MlflowClient", view: _View, study: StudyRecord) -> None:
    """End the runs of trials that the study lists no more: asked again under another number, or unjudged."""
    listed = {trial.number for trial in study.trials}
    for number, known in view.children.items():
        if number not in listed and known.record != UNLISTED:
            tags = {"edgesearch.state": UNLISTED, "edgesearch.record": UNLISTED}
            client.log_batch(known.run_id, tags=_tags(tags))
            _set_status(client, known.run_id, "KILLED", None)
            known.record, known.status = UNLISTED, "KILLED"


def _metrics(points: Iterable[Point], start_ms: int) -> "list[Metric]":
    """Return the points as MLflow's metrics, all at one time, so that written again they are the same."""
    from mlflow.entities import Metric

    return [Metric(point.key, point.value, start_ms, point.step) for point in points]


def _batches(metrics: "list[Metric]") -> "list[list[Metric]]":
    """Cut a list into pieces that MLflow takes; at least one, which may be empty."""
    return [metrics[first : first + MOST_AT_ONCE] for first in range(0, max(1, len(metrics)), MOST_AT_ONCE)]


def _params(values: Mapping[str, str]) -> "list[Param]":
    from mlflow.entities import Param

    return [Param(name, value) for name, value in values.items()]


def _as_table(rows: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    """Return rows as MLflow's pages show a table (`log_table` would append to what is there)."""
    return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}


def _tags(values: Mapping[str, str]) -> "list[RunTag]":
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in values.items()]
