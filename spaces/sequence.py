"""Convolutional networks for time series, written as (time, 1, channels) with (k, 1) kernels.

A one-dimensional convolution is lowered to this by the converter anyway, and every compression
works on it. The depthwise-separable variant is the DS-CNN of Zhang et al. 2017 (keyword spotting).
"""

from spaces.candidate import Candidate, Kind, Problem
from spaces.chooser import Choices, Integers, Pick, Reals
from spaces.convnet import ConvNet, pick_blocks
from spaces.designs import series_designs
from spaces.ladder import Design
from spaces.layers import Flatten, GlobalPool
from spaces.recipe import pick_candidate, pick_dense


class Sequence:
    """One to four blocks along time, a head, at most one dense layer."""

    name = "sequence"
    kinds: frozenset[Kind] = frozenset({"series"})

    def ranges(self, problem: Problem) -> dict[str, Integers | Reals | Choices]:
        """Return every range by name: a convnet's, with longer kernels and strides along time."""
        longer = {"kernel": Integers(low=3, high=9, step=2), "stride": Integers(low=1, high=3)}
        return {**ConvNet().ranges(problem), **longer}

    def suggest(self, pick: Pick, problem: Problem) -> Candidate:
        """Make one candidate."""
        layers = pick_blocks(pick, (problem.input_shape[0], 1))
        head = GlobalPool() if pick.option("head") == "global-pool" else Flatten()
        return pick_candidate(pick, (*layers, head, *pick_dense(pick, pick.integer("dense"))))

    def ladder(self, problem: Problem) -> tuple[Design, ...]:
        """Return the designs to begin with."""
        return series_designs(problem)
