"""The chooser that asks an Optuna trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spaces.chooser import Choices, Integers, Reals, Scalar

if TYPE_CHECKING:
    import optuna


def distribution(within: Integers | Reals | Choices) -> optuna.distributions.BaseDistribution:
    """Return what Optuna calls a range: what the trial's own `suggest` methods would write down."""
    import optuna

    match within:
        case Choices(options=options):
            return optuna.distributions.CategoricalDistribution(options)
        case Integers(low=low, high=high, step=step, log=log):
            return optuna.distributions.IntDistribution(low, high, log=log, step=step)
        case Reals(low=low, high=high, step=step, log=log):
            return optuna.distributions.FloatDistribution(low, high, log=log, step=step)


class TrialChooser:
    """Lets an Optuna trial choose, one of its parameters per name."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def __call__(self, name: str, within: Integers | Reals | Choices) -> Scalar:
        """Return what the sampler suggests."""
        match within:
            case Choices(options=options):
                chosen = self._trial.suggest_categorical(name, options)
                assert chosen is not None  # None is no option of ours
                return chosen
            case Integers(low=low, high=high, step=step, log=log):
                return self._trial.suggest_int(name, low, high, step=step, log=log)
            case Reals(low=low, high=high, step=step, log=log):
                return self._trial.suggest_float(name, low, high, step=step, log=log)
