"""Tries first what promises most: many candidates are made and looked up, and one of them is trained.

What a network stores and how long it takes can be known, or bounded, before it is trained; a training is what
costs. So each ask makes some new candidates, half of them near the front and half at random, and keeps those
that were not chosen as well, with what is known of them. A model of the trials so far (`search/surrogate.py`)
says what each would show in what is not known, limits included, and the one is chosen of which the greatest
growth of the front's hypervolume is expected (Emmerich et al. 2006, "Single- and multiobjective evolutionary
optimization assisted by Gaussian random field metamodels"; Jones et al. 1998 for the expectation). Where the
study ends by the clock, that growth is divided by the seconds that a candidate may take (Snoek et al. 2012,
"Practical Bayesian optimization of machine learning algorithms"), to the power of the share of time that is
left: near the end there is nothing more to save up for (Lee et al. 2020, "Cost-aware Bayesian optimization").
The sampler begins, and learns of all that is tried.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import ThreadpoolController

from objectives.canonical import least_bytes
from objectives.goals import limited_metric
from objectives.outcome import Measured, Outcome, Stopped
from search.asking import Asker, Declined
from search.promise import HOPEFUL, MIDDLE, Box, Foresight, Growing, Known, limits_of, modelled
from search.surrogate import Encoding, Lengths, place
from spaces.chooser import Choices, Integers, Reals, Recorder, Scalar
from spaces.weights import kernel_sizes, multiplications

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from objectives.goals import Goal
    from spaces.candidate import Candidate, Problem

    Look = Callable[[Candidate], Mapping[str, float]]

LOOKED_AT = 20
"""New candidates that are looked up for each ask."""
BEGINNING = 20
"""Trials that the sampler asks for before there is anything to model."""
KEPT = 300
"""Candidates that are kept from ask to ask, the most promising ones."""
MODELLED = 300
"""The newest trials, from which the model learns beside the front."""
CUT_SHORT = 100
"""The newest of those that ended before every objective was known: they tell of limits."""
WEIGHED = 40
"""Candidates of which the expectation is computed; at their most hopeful the others promise less."""
REFIT = 10
"""Asks after which the lengths of the models are chosen anew."""
NEAR = 0.5
"""The share of new candidates that are made from points of the front."""
CHANGED = 1.5
"""Parameters of a point of the front that are changed, on average."""
STEP = 0.2
"""By how much of its range a number is changed (standard deviation)."""


LEAST_BYTES = "least_bytes"
BOUNDS = {"model_bytes": LEAST_BYTES}
"""By the name of a metric, the figure that it is never below: what breaks a limit by that is not tried."""


def size_in(problem: Problem) -> Look:
    """Return what tells of a candidate its weights, multiply-accumulates, and the least bytes of its file."""

    def size(candidate: Candidate) -> dict[str, float]:
        kernels = kernel_sizes(candidate, problem)
        return {
            "weights": 1.0 + sum(kernel.weights for kernel in kernels),
            "macs": 1.0 + multiplications(kernels),
            LEAST_BYTES: max(1.0, least_bytes(candidate, problem)),
        }

    return size


class Preselect:
    """Chooses what to try next. `look` tells what is known of a candidate that was not trained.

    What `look` tells by the name of an objective is its value. A bound (see BOUNDS) rules out what breaks a
    limit by it; and like all else that is told, it helps the model. All of it is positive. `left` tells the
    share of the study's time that is left, 0 where it does not end by the clock.
    """

    def __init__(
        self,
        asker: Asker,
        goals: Sequence[Goal],
        look: Look,
        seed: int,
        left: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._asker, self._look, self._left = asker, look, left
        self._objectives = tuple(goal for goal in goals if goal.objective)
        self._modelled = modelled(goals)
        self._limits = tuple((limited_metric(goal), goal) for goal in goals if goal.limit is not None)
        self._random = random.Random(seed)  # noqa: S311 - nothing secret is drawn
        self._encoding = Encoding(asker.ranges)
        self._lengths: dict[str, Lengths] = {}
        self._threads = ThreadpoolController()
        self._tried: dict[str, Known] = {}
        self._whole: list[Known] = []  # of those there is a lesson in every objective
        self._cut_short: list[Known] = []
        self._front = Growing(self._objectives)
        self._under_way: dict[str, Known] = {}
        self._pool: dict[str, Known] = {}
        self._asks = 0

    def begin(self, candidate: Candidate, params: Mapping[str, Scalar]) -> None:
        """Take note that a candidate is under way."""
        digest = candidate.digest
        self._under_way[digest] = self._popped(digest) or self._known(candidate, params)

    def learn(
        self, candidate: Candidate, params: Mapping[str, Scalar], outcome: Outcome, *, form: bool = False
    ) -> None:
        """Take note of what a candidate showed, as far as it did.

        A `form` of another trial's network took less time than its like would.
        """
        digest = candidate.digest
        found = self._popped(digest) or self._known(candidate, params)
        expected = outcome.expected if isinstance(outcome, Stopped) else None
        timed = isinstance(outcome, Measured) and not form
        told = replace(
            found,
            values={**found.values, **outcome.evidence.values},
            expected={} if expected is None else {"accuracy": expected},
            seconds=math.fsum(outcome.evidence.seconds.values()) if timed else None,
        )
        again = digest in self._tried
        self._tried[digest] = told
        if again:
            self._whole, self._cut_short, self._front = [], [], Growing(self._objectives)
        for known in self._tried.values() if again else (told,):
            self._take_in(known)

    def _take_in(self, known: Known) -> None:
        if self._is_whole(known.lesson):
            self._whole.append(known)
        elif known.lesson:
            self._cut_short.append(known)
        if self._is_whole(known.values) and self._allowed(known):
            self._front.join(known)

    def choose(self) -> dict[str, Scalar] | None:
        """Return the parameters of the candidate to try next; None where it is for the sampler to say."""
        front = self._front.points
        if len(self._whole) < BEGINNING or not front:
            return None
        self._make_more(front)
        if not self._pool:
            return None
        with self._threads.limit(limits=1, user_api="blas"):  # the cores are the workers'
            return dict(self._best(self._lessons(front)).params)

    def _lessons(self, front: Sequence[Known]) -> list[Known]:
        """Return what the models learn from, those that tell least last."""
        newest = self._whole[-MODELLED:]
        among = {id(known) for known in newest}
        return [*(known for known in front if id(known) not in among), *newest, *self._cut_short[-CUT_SHORT:]]

    def _popped(self, digest: str) -> Known | None:
        return self._under_way.pop(digest, None) or self._pool.pop(digest, None)

    def _known(self, candidate: Candidate, params: Mapping[str, Scalar]) -> Known:
        seen, names = dict(self._look(candidate)), {goal.metric for goal in self._modelled}
        values = {name: value for name, value in seen.items() if name in names}
        return Known(dict(params), self._encoding.point(params), seen, values)

    def _is_whole(self, values: Mapping[str, float]) -> bool:
        return all(goal.metric in values for goal in self._objectives)

    def _allowed(self, known: Known) -> bool:
        """Tell whether a candidate may keep every limit, as far as is known."""
        told = {name: known.figures[bound] for name, bound in BOUNDS.items() if bound in known.figures}
        told |= known.values
        return all(goal.violation(told[name]) <= 0 for name, goal in self._limits if name in told)

    def _make_more(self, front: Sequence[Known]) -> None:
        """Make new candidates, and keep those that may be allowed."""
        seen, new = {*self._tried, *self._under_way, *self._pool}, 0
        for _ in range(10 * LOOKED_AT):  # a space may have no more that are new
            near = self._random.random() < NEAR
            made = self._made(self._random.choice(front).params if near else {})
            if made is None or made[0].digest in seen:
                continue
            candidate, params = made
            known = self._known(candidate, params)
            if self._allowed(known):
                self._pool[candidate.digest] = known
            seen.add(candidate.digest)
            new += 1
            if new == LOOKED_AT:
                return

    def _made(self, parent: Mapping[str, Scalar]) -> tuple[Candidate, dict[str, Scalar]] | None:
        chooser = Recorder(_Near(parent, self._random))
        try:
            return self._asker.made(chooser), chooser.answers
        except Declined:
            return None

    def _best(self, learnt: Sequence[Known]) -> Known:
        """Return the candidate of which most is expected beside the front, and thin out the rest.

        `learnt` is what the models learn from.
        """
        digests, pool, busy = list(self._pool), list(self._pool.values()), list(self._under_way.values())
        if self._asks % REFIT == 0:
            self._lengths.clear()
        self._asks += 1
        foresight = Foresight(self._modelled, self._encoding, learnt, [*pool, *busy], self._lengths)
        found, price = foresight.samples(), self._price(foresight, len(pool))
        awaited = found[len(pool) :, MIDDLE]
        box = Box(self._front.losses, awaited, limits_of(self._modelled))
        hopeful = box.growths(found[: len(pool), HOPEFUL]) / price
        beyond = box.excesses(found[: len(pool), MIDDLE])  # where nothing is to be hoped for, this decides
        order = [int(number) for number in np.lexsort((beyond, -hopeful))[:KEPT]]
        self._pool = {digests[number]: pool[number] for number in order}
        first = order[:WEIGHED]
        worth = box.expected(found[first, MIDDLE + 1 :]) / price[first]
        return pool[first[int(np.argmax(worth))]]

    def _price(self, foresight: Foresight, count: int) -> NDArray[np.float64]:
        """Return by what the growth that the first so many candidates promise is divided."""
        if (left := min(1.0, self._left())) <= 0:
            return np.ones(count)
        price: NDArray[np.float64] = foresight.seconds()[:count] ** left
        return price


class _Near:
    """Chooses what a parent has, but for a few changes; anything where it has nothing."""

    def __init__(self, parent: Mapping[str, Scalar], chance: random.Random) -> None:
        self._parent, self._random = parent, chance
        self._rate = min(1.0, CHANGED / max(1, len(parent)))

    def __call__(self, name: str, within: Integers | Reals | Choices) -> Scalar:
        """Return the value."""
        value = self._parent.get(name)
        known = value is not None and within.holds(value)
        if value is not None and known and self._random.random() >= self._rate:
            return value
        if isinstance(within, Choices):
            return self._random.choice(within.options)
        share = self._random.random()
        if value is not None and known and not isinstance(value, str):
            share = place(within, value) + self._random.gauss(0.0, STEP)
        return _at(within, min(1.0, max(0.0, share)))


def _at(within: Integers | Reals, share: float) -> Scalar:
    """Return the number that lies there, or the next one that the range holds."""
    low, high = float(within.low), float(within.high)
    value = low * (high / low) ** share if within.log else low + share * (high - low)
    if within.step is not None:
        value = low + within.step * math.floor((value - low) / within.step + 0.5)
        value = min(value, low + within.step * math.floor((high - low) / within.step + 1e-9))
    if isinstance(within, Integers):
        return min(within.high, max(within.low, round(value)))
    return min(high, max(low, value))
