"""The ranges that every space shares: how to train and how to compress, and how they are picked."""

from difflib import get_close_matches
from typing import Any

from spaces.candidate import (
    AUGMENTATIONS,
    TRAINABLE_PRECISIONS,
    Augmentation,
    Candidate,
    Compression,
    Pca,
    Problem,
    Reduction,
    Resize,
    Rfe,
    Training,
)
from spaces.chooser import Choices, Integers, Pick, Ranges, Reals, single
from spaces.errors import SpaceError
from spaces.layers import Dense, Layer

SMALLEST_SIDE = 8
"""An image is not offered at less than this many pixels a side."""
FEWEST_COLUMNS = 4
"""Input of fewer columns or channels is not offered in part."""
SWITCH = ("no", "yes")
SHIFTED_SIDE = 16
"""Samples of fewer positions a side are not moved: one position is a good part of the whole there.

On digits, 8 x 8, a small convnet has .980 on test data after 20 epochs, and .953 if it is moved by 1 pixel.
"""
AUGMENTED_EPOCHS = 8
"""Trainings of fewer epochs are not augmented unless somebody asks for it.

On test data without and with `shift`, one seed: a convnet of 55,000 weights on 12,000 images of
Fashion-MNIST .869 and .869 after 6 epochs, .864 and .882 after 10; one of 28,000 on 3,600 series of
`benchmarks/waves.py` .890 and .923 after 8 (`jitter` .908, `scale` .898). One of 958 weights has nothing to
spare: .535 and .519 there.
"""
WITHOUT_PLACES: tuple[Augmentation, ...] = ("none", "jitter", "scale")
"""The augmentations that move nothing."""


def recipe_ranges(problem: Problem) -> dict[str, Integers | Reals | Choices]:
    """Return the training, reduction and compression ranges for a problem, by name."""
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
        "augmentation": Choices(options=augmentations(problem)),
        **reduction_ranges(problem),
        "slim": Choices(options=SWITCH),
        "keep": Reals(low=0.25, high=1.0, step=0.25),
        "sparsity": Reals(low=0.0, high=0.8, step=0.1),
        "cluster": Choices(options=SWITCH),
        "clusters": Choices(options=(0, 4, 8, 16, 32, 64)),
        **precision_ranges(problem),
    }


def precision_ranges(problem: Problem) -> dict[str, Integers | Reals | Choices]:
    """Return what is searched of bit-widths, by what the device runs."""
    ranges: dict[str, Integers | Reals | Choices] = {"precision": Choices(options=problem.precisions)}
    if set(TRAINABLE_PRECISIONS) & set(problem.precisions):
        ranges["quantization"] = Choices(options=("post-training", "aware"))
    if "int4" in problem.precisions:
        ranges["int4_share"] = Reals(low=0.25, high=1.0, step=0.25)
    return ranges


def reduction_ranges(problem: Problem) -> dict[str, Integers | Reals | Choices]:
    """Return how the input may be reduced, by its kind; small input is left whole."""
    width = problem.input_shape[-1]
    columns = Integers(low=1, high=width)
    if problem.kind == "image":
        if min(problem.input_shape[:2]) >= 2 * SMALLEST_SIDE:
            scale = Reals(low=0.5, high=0.75, step=0.25)
            return {"reduction": Choices(options=("none", "resize")), "scale": scale}
    elif width >= FEWEST_COLUMNS and problem.kind == "series":
        return {"reduction": Choices(options=("none", "rfe")), "columns": columns}
    elif width >= FEWEST_COLUMNS:
        methods = Choices(options=("none", "rfe", "pca"))
        return {"reduction": methods, "columns": columns, "components": columns}
    return {"reduction": Choices(options=("none",))}


def augmentations(problem: Problem) -> tuple[Augmentation, ...]:
    """Return the augmentations that have an effect on samples of this kind and shape."""
    sides = problem.input_shape[:1] if problem.kind == "series" else problem.input_shape[:-1]
    small = min(sides, default=0) < SHIFTED_SIDE
    return tuple(name for name in AUGMENTATIONS[problem.kind] if not small or name in WITHOUT_PLACES)


def augmented(ranges: Ranges, problem: Problem, name: str) -> dict[str, Choices]:
    """Return the range that the name of an augmentation stands for; "auto" leaves it to the space.

    Raises SpaceError for what is no augmentation of such data, and where the space has none.
    """
    if name == "auto":
        return {}
    offered = augmentations(problem)
    if name not in offered:
        close = get_close_matches(name, offered, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        shape = "x".join(map(str, problem.input_shape))
        raise SpaceError(
            f"there is no augmentation '{name}' for {problem.kind} data of {shape}; {hint}"
            f"(there are auto, {', '.join(offered)})"
        )
    if "augmentation" not in ranges:
        if name == "none":
            return {}
        raise SpaceError(
            f"this space has no range 'augmentation', so it cannot be '{name}'; leave it out, or give the "
            "space that range"
        )
    return {"augmentation": Choices(options=(name,))}


def suggested(ranges: Ranges, problem: Problem) -> dict[str, Choices]:
    """Return what is left of some ranges unless somebody asks for more: the levers that pay here.

    Clustering buys compressed bytes alone, so where stored bytes count it is left out. Precisions that
    the device runs slowly are left out too, and augmentation where few epochs are trained.
    """
    quick = tuple(p for p in problem.precisions if p not in problem.slow_precisions) or problem.precisions
    usual = {"precision": Choices(options=quick)}
    if problem.counts == "stored":
        usual["clusters"] = Choices(options=(0,))
    if problem.epochs < AUGMENTED_EPOCHS:
        usual["augmentation"] = Choices(options=("none",))
    return {name: narrower for name, narrower in usual.items() if _offers(ranges.get(name), narrower)}


def _offers(whole: Integers | Reals | Choices | None, narrower: Choices) -> bool:
    return whole is not None and all(whole.holds(option) for option in narrower.options)


def pick_candidate(pick: Pick, architecture: tuple[Layer, ...]) -> Candidate:
    """Join an architecture with a training, a reduction and a compression that are picked here."""
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
    reduction, compression = pick_reduction(pick), pick_compression(pick)
    augmentation = pick.option("augmentation")
    return Candidate(
        architecture=architecture,
        reduction=reduction,
        training=Training.model_validate({**training, "augmentation": augmentation}),
        compression=compression,
    )


def pick_reduction(pick: Pick) -> Reduction | None:
    """Pick how the input is reduced, if at all."""
    match pick.option("reduction"):
        case "rfe":
            return Rfe(columns=pick.integer("columns"))
        case "pca":
            return Pca(components=pick.integer("components"))
        case "resize":
            return Resize(scale=pick.real("scale"))
        case _:
            return None


def pick_compression(pick: Pick) -> Compression:
    """Pick what is done to the trained network; what has no effect on it is not asked."""
    precision = pick.option("precision")
    picked: dict[str, Any] = {"sparsity": pick.real("sparsity"), "precision": precision}
    if _wanted(pick, "slim", "keep", 1.0):
        picked["keep"] = pick.real("keep")
    if _wanted(pick, "cluster", "clusters", 0):
        picked["clusters"] = pick.integer("clusters")
    if precision in TRAINABLE_PRECISIONS:
        picked["quantization"] = pick.option("quantization")
    if precision == "int4":
        picked["int4_share"] = pick.real("int4_share")
    return Compression.model_validate(picked)


def _wanted(pick: Pick, switch: str, name: str, off: float) -> bool:
    """Tell whether to use a lever: asked first, so that half of all candidates do without it.

    A range that leaves out the value for `off` has answered already.
    """
    within = pick.range(name)
    if not within.holds(off):
        return True
    return single(within) is None and pick.option(switch) == "yes"


def pick_dense(pick: Pick, layers: int) -> tuple[Layer, ...]:
    """Pick that many fully connected layers, their widths in the family `units`."""
    return tuple(Dense(units=pick.integer("units", i)) for i in range(layers))
