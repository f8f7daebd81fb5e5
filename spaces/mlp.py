"""Fully connected networks, for tables and for anything that is flattened."""

from spaces.candidate import Candidate, Kind, Problem
from spaces.chooser import Choices, Integers, Pick, Reals
from spaces.designs import mlp_designs
from spaces.ladder import Design
from spaces.layers import Flatten
from spaces.recipe import pick_candidate, pick_dense, recipe_ranges


class Mlp:
    """One to three dense layers."""

    name = "mlp"
    kinds: frozenset[Kind] = frozenset({"table", "image", "series"})

    def ranges(self, problem: Problem) -> dict[str, Integers | Reals | Choices]:
        """Return every range by name."""
        return {
            "layers": Integers(low=1, high=3),
            "units": Integers(low=8, high=128, log=True),
            **recipe_ranges(problem),
        }

    def suggest(self, pick: Pick, problem: Problem) -> Candidate:  # noqa: ARG002 - the seam's
        """Make one candidate."""
        return pick_candidate(pick, (Flatten(), *pick_dense(pick, pick.integer("layers"))))

    def ladder(self, problem: Problem) -> tuple[Design, ...]:  # noqa: ARG002 - the seam's
        """Return the designs to begin with."""
        return mlp_designs()
