"""The chooser that asks an Optuna trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spaces.chooser import Choices, Integers, Reals, Scalar

if TYPE_CHECKING:
    import optuna


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
