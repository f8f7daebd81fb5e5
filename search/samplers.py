"""Which sampler proposes candidates: one of ours by name, or any of Optuna's as package.module:factory."""

from __future__ import annotations

import hashlib
from difflib import get_close_matches
from inspect import signature
from typing import TYPE_CHECKING, Any

from objectives.datasets.callables import is_reference, load_callable
from objectives.errors import ObjectiveError
from search.errors import StudyError
from search.storage import experimental, quiet_optuna

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.samplers import BaseSampler

SAMPLERS = ("tpe", "nsga2", "random")


def seed_at(seed: int, trials: int) -> int:
    """Return the seed to go on with after that many trials, lest a study taken up again repeats itself."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{trials}".encode()).digest()[:4])


def check_sampler(name: str) -> None:
    """Raise StudyError, with the way out, for a sampler that there is none of."""
    if name in SAMPLERS:
        return
    if is_reference(name):
        sampler_of(name, 0)
        return
    close = get_close_matches(name, SAMPLERS, n=1)
    meant = f"did you mean '{close[0]}'? " if close else ""
    raise StudyError(
        f"no sampler named '{name}'; {meant}(there are {', '.join(SAMPLERS)}, or package.module:factory)"
    )


def sampler_of(name: str, seed: int) -> BaseSampler:
    """Return the sampler of that name, seeded.

    A factory of the user's own returns an Optuna sampler; it may take `seed`. Raises StudyError where it
    does not return one, or for an unknown name.
    """
    samplers = quiet_optuna().samplers
    match name:
        case "tpe":
            from search.tpe import SwiftTPESampler

            with experimental():
                return SwiftTPESampler(seed)
        case "nsga2":
            nsga2: BaseSampler = samplers.NSGAIISampler(seed=seed)
            return nsga2
        case "random":
            chance: BaseSampler = samplers.RandomSampler(seed=seed)
            return chance
    if not is_reference(name):
        check_sampler(name)
    return _own(name, seed)


def _own(reference: str, seed: int) -> BaseSampler:
    try:
        factory = load_callable(reference, ObjectiveError)
    except ObjectiveError as error:
        raise StudyError(f"the sampler '{reference}' cannot be loaded: {error}") from error
    try:
        with experimental():
            made = factory(**_seeded(factory, seed))
    except Exception as error:  # whatever a user's function raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StudyError(f"the sampler '{reference}' cannot be made ({reason}); mend its factory") from error
    base = quiet_optuna().samplers.BaseSampler
    if not isinstance(made, base):
        raise StudyError(
            f"the sampler '{reference}' is none: its factory gave a {type(made).__name__}; return one of "
            "optuna.samplers"
        )
    own: BaseSampler = made
    return own


def _seeded(factory: Callable[..., Any], seed: int) -> dict[str, int]:
    """Return the seed as an argument for a factory that has one of that name, else nothing."""
    try:
        named = "seed" in signature(factory).parameters
    except ValueError:  # what is native code may not tell
        named = False
    return {"seed": seed} if named else {}
