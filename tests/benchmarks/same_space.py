"""Run by a test: the plain script's space and networks are those of `spaces/convnet.py`.

Trains nothing. Prints what differs and exits 1, else prints how many trials were compared.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).parents[2]))

import numpy as np
import optuna

from benchmarks import plain_optuna
from benchmarks.contenders import COMMON_SPACE
from objectives.build import build
from search.chooser import TrialChooser
from spaces.candidate import Problem
from spaces.chooser import Choices, Pick
from spaces.convnet import ConvNet
from spaces.space import narrow

TRIALS, EPOCHS, SHAPE = 12, 3, (9, 9, 1)
PROBLEM = Problem(kind="image", input_shape=SHAPE, classes=10, epochs=EPOCHS)
parameters = []


def without_training() -> None:
    """Keep everything of the script that suggests and builds, and nothing that takes time."""
    plain_optuna.train = lambda model, *_: parameters.append(model.count_params())
    plain_optuna.fine_tune = lambda *_: None
    plain_optuna.prune = lambda model, *_: (model, 1)
    plain_optuna.convert = lambda *_: b"file"
    plain_optuna.judge = lambda *_: (0.5, 1.0)


def difference(trial: optuna.trial.FrozenTrial, count: int) -> str | None:
    """Return what differs between a trial of the script and the same choices in our space."""
    again = optuna.trial.FixedTrial(trial.params)
    common = {name: Choices(options=options) for name, options in COMMON_SPACE.items()}
    ranges = narrow(ConvNet().ranges(PROBLEM), common)
    candidate = ConvNet().suggest(Pick(TrialChooser(again), ranges), PROBLEM)
    if again.distributions != trial.distributions:
        return f"ranges: {trial.distributions} in the script, {again.distributions} in the space"
    ours = build(candidate, PROBLEM, 0).count_params()
    return None if ours == count else f"{candidate.architecture} has {ours} parameters, the script's {count}"


def main() -> int:
    """Compare."""
    without_training()
    images = np.zeros((4, *SHAPE), np.float32)
    data = plain_optuna.Data(images, np.zeros(4), images, np.zeros(4), PROBLEM.classes, 1.0)
    study = optuna.create_study(
        directions=["maximize", "minimize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=1)
    )
    with TemporaryDirectory() as folder:
        study.optimize(plain_optuna.Objective(data, EPOCHS, 0.99, Path(folder)), n_trials=TRIALS)
    found = [difference(trial, count) for trial, count in zip(study.trials, parameters, strict=True)]
    print("\n".join(text for text in found if text) or f"{len(found)} trials alike")
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main())
