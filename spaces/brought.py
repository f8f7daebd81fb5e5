"""The compression of a network that the user brought: its architecture is given, all else is searched."""

from spaces.candidate import Candidate, Compression, Kind, Problem, Training
from spaces.chooser import Choices, Integers, Pick, Reals, Scalar
from spaces.errors import SpaceError
from spaces.recipe import pick_compression, recipe_ranges

OFF: dict[str, Scalar] = {"sparsity": 0.0, "clusters": 0, "quantization": "post-training"}
"""The values of the ranges by which levers are not used."""
AS_IT_IS: dict[str, Scalar] = {"precision": "float32", "sparsity": 0.0, "cluster": "no", "clusters": 0}
"""What to ask for to have the network as it was brought."""
SWITCHED_BY = {"prune": "sparsity", "cluster": "clusters", "aware": "quantization"}


class Brought:
    """Sparsity, clusters and bit-widths of a given network, with the rate at which it is fine-tuned.

    What does not work on it (`problem.levers`) is left out.
    """

    name = "brought"
    kinds: frozenset[Kind] = frozenset({"table", "image", "series"})

    def ranges(self, problem: Problem) -> dict[str, Integers | Reals | Choices]:
        """Return every range by name. Raises SpaceError where there is no network to compress."""
        if problem.model is None:
            raise SpaceError("the space 'brought' compresses a network of yours; give --model")
        whole = recipe_ranges(problem)
        kept = ("sparsity", "cluster", "clusters", "precision", "quantization", "int4_share")
        off = {
            name: Choices(options=(OFF[name],))
            for lever, name in SWITCHED_BY.items()
            if lever not in problem.levers
        }
        return {
            # It is trained already: what follows settles it, at a tenth of what a training begins with.
            "learning_rate": Reals(low=1e-5, high=1e-3, log=True),
            "batch_size": Choices(options=(32, 64)),
            "epochs": Integers(low=problem.epochs, high=problem.epochs),
            "keep": Reals(low=1.0, high=1.0),
            "slim": Choices(options=("no",)),
            **{name: whole[name] for name in kept},
            **off,
        }

    def suggest(self, pick: Pick, problem: Problem) -> Candidate:
        """Make one candidate; how it is fine-tuned is asked only where something is."""
        compression = pick_compression(pick)
        return Candidate(model=problem.model, training=_training(pick, compression), compression=compression)


def _training(pick: Pick, compression: Compression) -> Training:
    if not compression.levers:
        return Training()
    return Training(
        learning_rate=pick.real("learning_rate"),
        batch_size=pick.integer("batch_size"),
        epochs=pick.integer("epochs"),
    )
