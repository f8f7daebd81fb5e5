"""How a study goes about it: each strategy is a few parts, put together here.

sampler    what proposes the next candidate (`search/samplers.py`).
ladder     proven designs from tiny to large are tried before it is asked (`spaces/ladder.py`).
screening  what the untrained network shows to break a limit is not trained (`objectives/screening.py`).
stopping   a training ends once none of its forms can reach the front (`objectives/stopping.py`).
harvest    a trained network is offered in its other forms too (`objectives/harvest.py`).
preselection  of many candidates that is tried which promises the front most (`search/preselect.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from search.errors import StudyError
from search.samplers import check_sampler
from spaces.value import Value

if TYPE_CHECKING:
    from search.plan import StudyPlan


class Strategy(Value):
    """A sampler by name, and which parts go with it."""

    sampler: str = "tpe"
    ladder: bool = False
    screening: bool = False
    stopping: bool = False
    harvest: bool = False
    preselection: bool = False


def plain() -> Strategy:
    """Every candidate is trained to its end, in its one form.

    The sampler is the tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for
    hyper-parameter optimization"), multivariate (Falkner et al. 2018, BOHB; Watanabe 2023,
    "Tree-structured Parzen estimator: understanding its algorithm components"), for several objectives
    (Ozaki et al. 2022, "Multiobjective tree-structured Parzen estimator").
    """
    return Strategy(sampler="tpe")


def screened() -> Strategy:
    """Only what keeps the limits as far as the untrained network tells is trained.

    Bytes, latency and arena do not depend on weights, so constraints on them are checked before the costly
    evaluation (Gelbart et al. 2014, "Bayesian optimization with unknown constraints": decoupled evaluation).
    """
    return plain().model_copy(update={"screening": True})


def frugal() -> Strategy:
    """All of it: never train what cannot win, and offer what was trained in every form that might.

    The ladder scales reference networks by width and depth multipliers (Howard et al. 2017, "MobileNets").
    With bytes and latency known beforehand, the least accuracy that reaches the front is a threshold for
    the learning curve, which is extrapolated with its uncertainty (Domhan et al. 2015, "Speeding up
    automatic hyperparameter optimization ... by extrapolation of learning curves"). One training serves
    many deployments (Cai et al. 2020, "Once-for-all"). What is tried next has the greatest expected growth of
    the hypervolume (Emmerich et al. 2006, see `search/preselect.py`).
    """
    return screened().model_copy(
        update={"ladder": True, "stopping": True, "harvest": True, "preselection": True}
    )


STRATEGIES: Mapping[str, Callable[[], Strategy]] = {"plain": plain, "screened": screened, "frugal": frugal}


def strategy_of(plan: StudyPlan) -> Strategy:
    """Return the plan's strategy, without what it leaves out, with its own sampler if it names one.

    Raises StudyError for a strategy or a sampler that there is none of.
    """
    if plan.strategy not in STRATEGIES:
        close = get_close_matches(plan.strategy, STRATEGIES, n=1)
        meant = f"did you mean '{close[0]}'? " if close else ""
        raise StudyError(f"no strategy named '{plan.strategy}'; {meant}(there are {', '.join(STRATEGIES)})")
    strategy = STRATEGIES[plan.strategy]()
    check_sampler(plan.sampler or strategy.sampler)
    changed: dict[str, str | bool] = {}
    if plan.sampler:  # who names one wants its choice
        changed = {"sampler": plan.sampler, "preselection": False}
    return strategy.model_copy(update=changed | dict.fromkeys(plan.without, False))
