"""From a chosen trial to what is exported: its file, and the one look at the test set."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware_profiles.artifact import ArtifactStore
from objectives.datasets.store import open_data
from objectives.metrics import interval, load_metric
from objectives.normalise import Normaliser
from objectives.stages import scores_on
from search.errors import StudyError
from search.firmware.folder import firmware_files, wants_firmware
from search.shipment import HeldOut, Shipment, tensor_specs

if TYPE_CHECKING:
    import optuna

    from objectives.datasets.store import Data
    from search.home import Home
    from search.trial import StudyRecord, TrialRecord

Array = np.ndarray[Any, np.dtype[Any]]
TESTED = "test:"
"""The study's attributes `test:<sha256>` hold what a file showed on the test set."""


def shipment(study: optuna.Study, record: StudyRecord, trial: TrialRecord, home: Home) -> Shipment:
    """Return all that exporting the trial needs; its file meets the test set here, once.

    Raises StudyError where the file is gone, DataError where the prepared data is.
    """
    tflite = _artifact(trial, home)
    data = open_data(home.data, record.data.digest)
    fold = data.folds[0]
    fitted = Normaliser.fit(data.x_dev[fold.train], data.summary.kind)
    normaliser = None if record.model else fitted
    inputs, outputs = tensor_specs(tflite)
    x_valid, y_valid = data.x_dev[fold.valid], data.y_dev[fold.valid]
    return Shipment(
        study=record,
        record=trial,
        tflite=tflite,
        inputs=inputs,
        outputs=outputs,
        normaliser=normaliser,
        held_out=_tested(study, record, trial, partial(scores_on(record.profile), tflite, fitted), data),
        sample=np.asarray(x_valid[0]),
        sample_class=record.data.classes[int(y_valid[0])] if record.data.classes else None,
    )


def firmware_of(shipped: Shipment, home: Home) -> dict[str, bytes] | None:
    """Return the sources that a microcontroller's firmware needs, None for other devices.

    Raises StudyError where TensorFlow Lite Micro is not installed or does not run the model.
    """
    if not wants_firmware(shipped.study.profile):
        return None
    samples, _ = open_data(home.data, shipped.study.data.digest).test()
    return firmware_files(shipped, samples)


def _artifact(trial: TrialRecord, home: Home) -> bytes:
    name = trial.evidence.artifact
    try:
        return ArtifactStore(home.artifacts).get(name or "")
    except FileNotFoundError as error:
        raise StudyError(
            f"the file of trial {trial.number} is not in '{home.artifacts}'; set EDGESEARCH_HOME to the home "
            "it was made in"
        ) from error


def _tested(
    study: optuna.Study,
    record: StudyRecord,
    trial: TrialRecord,
    scores_of: Callable[[Array], Array],
    data: Data,
) -> HeldOut:
    """Return what the file shows on the test set: from the record if it met it before."""
    key = f"{TESTED}{trial.evidence.artifact}"
    if key in study.user_attrs:
        return HeldOut.model_validate(json.loads(study.user_attrs[key]))
    x, y = data.test()
    metric = load_metric(record.plan.metric, record.plan.metric_direction)
    scores = scores_of(x)
    low, high = interval(metric, y, scores, classes=bool(record.data.classes))
    tested = HeldOut(value=metric(y, scores), low=low, high=high, samples=len(y))
    study.set_user_attr(key, tested.model_dump_json())
    return tested
