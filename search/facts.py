"""What is stored of a study when it is made: what a guess shows, what a brought network shows, the anchor."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.brought.work import scores_as_it_is
from objectives.datasets.callables import source_digest
from objectives.datasets.store import open_data
from objectives.metrics import blind_value, load_metric, majority_value
from objectives.own import load_objective
from search.hypervolume import scales_of
from search.storage import Facts

if TYPE_CHECKING:
    from objectives.datasets.store import Data
    from objectives.metrics import Metric
    from search.plan import StudyPlan
    from search.prepared import Prepared

VERSIONED = (
    "edgesearch",
    "tensorflow",
    "tf-keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "optuna",
    "numpy",
)


def facts_of(prepared: Prepared) -> Facts:
    """Return what a new study is, its device calibrated.

    Raises StudyError for a metric of which a guess is perfect, and what the device or the network's own
    child process raise.
    """
    plan, home = prepared.plan, prepared.places.home
    metric = load_metric(plan.metric, plan.metric_direction)
    data = open_data(home.data, prepared.data.digest)
    as_it_is = [] if prepared.model is None else list(scores_as_it_is(prepared.model, home.models, data))
    guess = _guess(prepared, data, metric, as_it_is)
    scales_of(plan.goals, guess)
    baseline = float(np.mean([metric(y, scores) for y, scores in as_it_is])) if as_it_is else None
    return Facts(
        identity=prepared.identity,
        plan=plan.model_copy(update={"name": prepared.name}).measured_against(baseline),
        space=plan.space or prepared.space.name,
        ranges=prepared.ranges,
        problem=prepared.problem,
        data=prepared.data,
        profile=prepared.profile,
        anchor=prepared.device.calibrated(),
        majority_accuracy=guess,
        versions={name: version(name) for name in VERSIONED} | own_files(plan),
        model=prepared.model,
        baseline=baseline,
    )


def own_files(plan: StudyPlan) -> dict[str, str]:
    """Return a digest of the file of each metric and objective of the user's own, by its module."""
    digests = {plan.metric: load_metric(plan.metric, plan.metric_direction).version}
    for name in plan.own_objectives:
        load_objective(name)
        digests[name] = source_digest(name)
    return {name.partition(":")[0]: found[:12] for name, found in digests.items() if found}


def _guess(prepared: Prepared, data: Data, metric: Metric, as_it_is: list[tuple[Any, Any]]) -> float:
    """Return the metric of who has not looked at the samples; `as_it_is` are targets and scores by fold."""
    if prepared.data.target_shape is not None:
        return blind_value(metric, *as_it_is[0], seed=prepared.plan.seed)
    fold, classes = data.folds[0], len(prepared.data.classes)
    return majority_value(metric, data.y_dev[fold.train], data.y_dev[fold.valid], classes)
