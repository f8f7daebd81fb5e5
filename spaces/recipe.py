"""The ranges that every space shares: how to train and how to compress, and how they are picked."""

from spaces.candidate import Candidate, Compression, Problem, Training
from spaces.chooser import Choices, Integers, Pick, Reals
from spaces.layers import Dense, Layer


def recipe_ranges(problem: Problem) -> dict[str, Integers | Reals | Choices]:
    """Return the training and compression ranges for a problem, by name."""
    return {
        "optimizer": Choices(options=("adam", "sgd", "rmsprop")),
        "learning_rate": Reals(low=1e-3, high=3e-2, log=True),
        # Its step is not scaled by the gradient's size, so it needs about ten times as much.
        "sgd_learning_rate": Reals(low=1e-2, high=3e-1, log=True),
        "batch_size": Choices(options=(32, 64, 128)),
        "epochs": Integers(low=problem.epochs, high=problem.epochs),
        "dropout": Reals(low=0.0, high=0.4, step=0.1),
        "l1": Reals(low=1e-7, high=1e-3, log=True),
        "l2": Reals(low=1e-7, high=1e-3, log=True),
        "sparsity": Reals(low=0.0, high=0.8, step=0.1),
        "precision": Choices(options=problem.precisions),
    }


def pick_candidate(pick: Pick, architecture: tuple[Layer, ...]) -> Candidate:
    """Join an architecture with a training and a compression that are picked here."""
    optimizer = pick.option("optimizer")
    training = {
        "optimizer": optimizer,
        "learning_rate": pick.real("sgd_learning_rate" if optimizer == "sgd" else "learning_rate"),
        "batch_size": pick.integer("batch_size"),
        "epochs": pick.integer("epochs"),
        "dropout": pick.real("dropout"),
        "l1": pick.real("l1"),
        "l2": pick.real("l2"),
    }
    compression = {"sparsity": pick.real("sparsity"), "precision": pick.option("precision")}
    return Candidate(
        architecture=architecture,
        training=Training.model_validate(training),
        compression=Compression.model_validate(compression),
    )


def pick_dense(pick: Pick, layers: int) -> tuple[Layer, ...]:
    """Pick that many fully connected layers, their widths in the family `units`."""
    return tuple(Dense(units=pick.integer("units", i)) for i in range(layers))
