"""Optuna's tree-structured Parzen estimator, with what it finds anew for each parameter found once an ask.

It asks for what is conditional one parameter at a time, and each time divides all trials into the good ones
and the rest, and turns their parameters into numbers. Nothing of that changes within an ask. What it proposes
is what Optuna's own would, where that does not hang on rounding (a test holds both against each other).

Imports Optuna, so it is imported where it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.samplers import TPESampler
from optuna.samplers._tpe.sampler import _split_trials, default_gamma, default_gamma_multiobjective
from optuna.study import StudyDirection
from optuna.trial import TrialState

from search.mirror import Ended
from search.parzen import SwiftParzenEstimator

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    Halves = tuple[list[FrozenTrial], list[FrozenTrial]]

ALIKE = 9
"""To so many decimals what two candidates promise is compared. Where it is the same, the first drawn is
proposed.

The last bit differs from processor to processor, and a study is to be repeatable.
"""
LOOKED_AT = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
"""Those under way count among the rest, lest the same be proposed twice ("constant liar")."""


class SwiftTPESampler(TPESampler):
    """Multivariate, with the constant liar; for one study, since it remembers what it saw last.

    What is overridden is not public: the release of Optuna is pinned (see pyproject.toml).
    """

    def __init__(self, seed: int) -> None:
        super().__init__(multivariate=True, constant_liar=True, seed=seed)
        self._parzen_estimator_cls = SwiftParzenEstimator
        self._halves: tuple[int, Halves] | None = None
        self._spread: tuple[frozenset[int], int, frozenset[int]] | None = None

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin an ask: what is known now counts for all of it."""
        self._halves = None
        super().before_trial(study, trial)

    def _sample(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        good, rest = self._divided(study, trial)
        good_density = self._build_parzen_estimator(study, search_space, good, handle_below=True)
        rest_density = self._build_parzen_estimator(study, search_space, rest, handle_below=False)
        drawn = good_density.sample(self._rng.rng, self._n_ei_candidates)
        promise = self._compute_acquisition_func(drawn, good_density, rest_density)
        chosen = self._compare(drawn, np.round(promise, ALIKE))
        return {name: within.to_external_repr(chosen[name]) for name, within in search_space.items()}

    def _divided(self, study: Study, trial: FrozenTrial) -> Halves:
        if self._halves is None or self._halves[0] != trial.number:
            seen = study.get_trials(deepcopy=False, states=LOOKED_AT)
            others = [other for other in seen if other.number != trial.number]
            ended = sum(other.state != TrialState.RUNNING for other in others)
            gamma = default_gamma if len(study.directions) == 1 else default_gamma_multiobjective
            self._halves = trial.number, self._split(study, others, gamma(ended))
        return self._halves[1]

    def _split(self, study: Study, trials: list[FrozenTrial], count: int) -> Halves:
        """Return the good ones, so many of them, and the rest.

        Where the front alone is more than that, the good ones are some of it, spread over it. They are
        dear to find, and the same as long as the front is.
        """
        front = _front(study, trials)
        if len(front) <= count:
            halves: Halves = _split_trials(study, trials, count)
            return halves
        if self._spread is None or self._spread[:2] != (front, count):
            good, _ = _split_trials(study, trials, count)
            self._spread = front, count, frozenset(trial.number for trial in good)
        chosen = self._spread[2]
        good = [trial for trial in trials if trial.number in chosen]
        return good, [trial for trial in trials if trial.number not in chosen]

    def _get_internal_repr(
        self, trials: list[FrozenTrial], search_space: dict[str, BaseDistribution], study: Study
    ) -> dict[str, np.ndarray[Any, Any]]:
        found = [self._inside(trial, search_space, study) for trial in trials]
        whole = [inside for inside in found if search_space.keys() <= inside.keys()]
        return {name: np.asarray([inside[name] for inside in whole]) for name in search_space}

    def _inside(
        self, trial: FrozenTrial, search_space: dict[str, BaseDistribution], study: Study
    ) -> dict[str, float]:
        if isinstance(trial, Ended):
            return trial.inside
        params = self._get_params(trial, study)  # of one under way, with what it will be asked yet
        return {n: within.to_internal_repr(params[n]) for n, within in search_space.items() if n in params}


def _front(study: Study, trials: list[FrozenTrial]) -> frozenset[int]:
    """Return the numbers of the trials that keep the limits and that no other one dominates."""
    import moocore

    known = [
        trial
        for trial in trials
        if trial.state == TrialState.COMPLETE and all(value <= 0 for value in trial.constraints.values())
    ]
    if not known:
        return frozenset()
    maximised = [direction == StudyDirection.MAXIMIZE for direction in study.directions]
    values = np.array([trial.values for trial in known])
    best = moocore.is_nondominated(values, maximise=maximised, keep_weakly=True)
    return frozenset(trial.number for trial, keep in zip(known, best, strict=True) if keep)
