"""Makes the forecast of a study: draws candidates, weighs some untrained, trains a few for one epoch.

Nothing is written for the study: files and weights that come of it lie in a folder that is removed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from objectives.canonical import least_bytes
from objectives.goals import Goal
from objectives.outcome import Evidence
from objectives.probe import Probe
from search.asking import Asker, candidate_of
from search.beginning import handed_to, ladder_of
from search.facts import facts_of
from search.forecast import WORTH_KNOWING, Course, Forecast, Samples, Timed, Weighed, duration_of
from search.intervals import Interval
from search.offers import offers
from search.prepared import Prepared
from search.strategies import strategy_of
from search.study import cores, setting_of
from spaces.chooser import Pick, RandomChooser, Recorder, Scalar
from spaces.weights import kernel_sizes, multiplications

if TYPE_CHECKING:
    from objectives.evaluate import Evaluator
    from objectives.setting import Setting
    from search.places import Places
    from search.plan import StudyPlan
    from spaces.candidate import Candidate, Compression, Problem

    Siblings = Callable[[Candidate], Sequence[Compression]]

DRAWN = 2000
FEWEST_WEIGHED, MOST_WEIGHED, WEIGHING_S = 16, 160, 20.0
FEWEST_PROBES, MOST_PROBES, PROBING_S = 4, 6, 30.0


class _Weighing:
    """Candidates as they are weighed for what is limited, and how long each of them took, in seconds."""

    def __init__(self, evaluator: Evaluator, goals: Sequence[Goal]) -> None:
        self._evaluator = evaluator
        self.limited = WORTH_KNOWING & {goal.metric for goal in goals if goal.limit is not None}
        self.candidates: list[Candidate] = []
        self.found: list[Weighed] = []
        self.seconds: list[float] = []

    def kept(self, samples: Samples) -> list[Candidate]:
        """Return those of the candidates that keep every limit."""
        return [c for c, told in zip(self.candidates, self.found, strict=True) if samples.keeps(told)]

    def add(self, candidate: Candidate, *, passes: bool) -> None:
        """Build a candidate and measure it untrained."""
        start = time.monotonic()
        told = self._evaluator.weigh(candidate, self.limited)
        figures = told.values if isinstance(told, Evidence) else None
        self.candidates.append(candidate)
        self.found.append(Weighed(passes=passes, figures=figures))
        self.seconds.append(time.monotonic() - start)


def foresee(plan: StudyPlan, places: Places, workers: int | None, say: Callable[[str], None]) -> Forecast:
    """Return the forecast of a plan; `workers` overrides how many trials run at once.

    Raises what preparing a study raises (see `Prepared.of`), and DeviceError where the device fails.
    """
    prepared = Prepared.of(plan, places, say)
    say(prepared.described())
    facts = facts_of(prepared)
    with TemporaryDirectory(prefix="edgesearch-") as folder:
        setting = _for_a_moment(setting_of(facts, places.home, places.connection), Path(folder))
        say("starting TensorFlow, which takes its time to load")
        evaluator = _warm(setting)
        return _foreseen(prepared, facts.plan.goals, evaluator, workers or plan.workers or cores(), say)


def _for_a_moment(setting: Setting, folder: Path) -> Setting:
    """Return the setting with folders that are removed, and without limits: whatever fits is of interest."""
    goals = tuple(goal.model_copy(update={"limit": None}) for goal in setting.goals if goal.objective)
    own = {"artifacts": folder / "artifacts", "weights": folder / "weights"}
    return setting.model_copy(update={"goals": goals, **own})


def _warm(setting: Setting) -> Evaluator:
    """Return what evaluates candidates, as a worker has it: one thread, and nothing left to be loaded."""
    from objectives.evaluate import Evaluator
    from objectives.tensorflow import one_thread
    from objectives.warm import warm_up
    from objectives.warm_child import converting

    converting()
    with suppress(RuntimeError):  # a program that has used TensorFlow keeps the threads that it has
        one_thread()
    opened = Evaluator(setting)
    warm_up()
    return opened


def _foreseen(
    prepared: Prepared, goals: Sequence[Goal], evaluator: Evaluator, workers: int, say: Callable[[str], None]
) -> Forecast:
    """Draw, weigh and probe candidates, and sum up."""
    params, rungs = drawn(prepared, DRAWN), _ladder(prepared, say)
    candidates = list(params)
    fitting, rest = bounded(candidates, goals, prepared)
    weighing = _weighed(fitting, rest, evaluator, goals, say)
    samples = Samples(weighing.found, len(fitting), len(candidates), goals)
    others = weighing.kept(samples) if weighing.found else candidates
    siblings = _siblings_in(prepared, {**params, **rungs})
    screened = strategy_of(prepared.plan).screening  # else all are trained, whether they fit or not
    ladder = _climbed(rungs, evaluator, goals, samples) if screened else list(rungs)
    probing = _Probing(evaluator, siblings, prepared.problem)
    timed = probing.timed(ladder, others, say)
    fit, told = samples.fit(), None
    if timed:
        course = Course(probing.sizes(others or ladder), len(rungs), probing.sizes(ladder))
        fits = fit.fits if screened else Interval.exactly(1.0)
        screen_s = fmean(weighing.seconds) if weighing.seconds else 0.0
        told = duration_of(timed, course, fits, screen_s, prepared.plan, workers)
    return Forecast(
        study=prepared.name, space=prepared.space.name, device=prepared.profile.name, fit=fit, duration=told
    )


def _ladder(prepared: Prepared, say: Callable[[str], None]) -> dict[Candidate, Mapping[str, Scalar]]:
    """Return the designs that the study tries first, with the parameters of each."""
    most = prepared.plan.trials - len(handed_to(prepared, say))
    return {candidate: params for params, candidate in ladder_of(prepared, most)}


def _climbed(
    rungs: Iterable[Candidate], evaluator: Evaluator, goals: Sequence[Goal], samples: Samples
) -> list[Candidate]:
    """Return those designs of the ladder that keep the limits."""
    weighing = _Weighing(evaluator, goals)
    if not weighing.limited:
        return list(rungs)
    for candidate in rungs:
        weighing.add(candidate, passes=True)
    return weighing.kept(samples)


def drawn(prepared: Prepared, count: int) -> dict[Candidate, Mapping[str, Scalar]]:
    """Return the distinct ones among `count` candidates drawn evenly from what the plan allows.

    With each come the parameters that were drawn for it.
    """
    generator = random.Random(f"forecast/{prepared.plan.seed}")  # noqa: S311 - a sample, no secret
    found: dict[Candidate, Mapping[str, Scalar]] = {}
    for _ in range(count):
        chooser = Recorder(RandomChooser(generator))
        candidate = candidate_of(prepared.space, Pick(chooser, prepared.ranges), prepared.problem)
        found.setdefault(candidate, chooser.answers)
    return found


def _siblings_in(prepared: Prepared, params: Mapping[Candidate, Mapping[str, Scalar]]) -> Siblings:
    """Return what tells the forms in which a study of the plan would offer a candidate's network too."""
    facts = facts_of(prepared)
    asker = Asker(prepared.space, facts)

    def siblings(candidate: Candidate) -> Sequence[Compression]:
        if not strategy_of(facts.plan).harvest:
            return ()
        return tuple(offers(asker, facts.plan, candidate, params[candidate]))

    return siblings


def bounded(
    candidates: Sequence[Candidate], goals: Sequence[Goal], prepared: Prepared
) -> tuple[list[Candidate], list[Candidate]]:
    """Return the candidates that a bound on their bytes lets pass, and those that it rules out."""
    size = next((goal for goal in goals if goal.metric == "model_bytes" and goal.limit is not None), None)
    parts: dict[bool, list[Candidate]] = {True: [], False: []}
    for candidate in candidates:
        least = least_bytes(candidate, prepared.problem)
        parts[size is None or size.violation(max(1, least)) <= 0].append(candidate)
    return parts[True], parts[False]


def _weighed(
    fitting: Sequence[Candidate],
    rest: Sequence[Candidate],
    evaluator: Evaluator,
    goals: Sequence[Goal],
    say: Callable[[str], None],
) -> _Weighing:
    weighing = _Weighing(evaluator, goals)
    if not weighing.limited:
        return weighing
    say(f"building and measuring candidates, untrained, for {WEIGHING_S:.0f} s")
    start = time.monotonic()
    for candidate, passes in islice(_in_turns(fitting, rest), MOST_WEIGHED):
        if len(weighing.found) >= FEWEST_WEIGHED and time.monotonic() - start > WEIGHING_S:
            break
        weighing.add(candidate, passes=passes)
    return weighing


def _in_turns(fitting: Sequence[Candidate], rest: Sequence[Candidate]) -> list[tuple[Candidate, bool]]:
    """Return three candidates of the first and one of the second in turns, as long as there are any.

    Those of the second break a limit for certain; but by how much they do says how far it is to be relaxed.
    """
    order = [((i // 3, i), candidate, True) for i, candidate in enumerate(fitting)]
    order += [((i, len(fitting)), candidate, False) for i, candidate in enumerate(rest)]
    return [(candidate, passes) for _, candidate, passes in sorted(order, key=lambda entry: entry[0])]


class _Probing:
    """Times the trials of a few candidates, for which each of them is trained for one epoch."""

    def __init__(self, evaluator: Evaluator, siblings: Siblings, problem: Problem) -> None:
        self._evaluator, self._siblings, self._problem = evaluator, siblings, problem

    def size(self, candidate: Candidate) -> float:
        """Return what a candidate's time goes by: its multiply-accumulates, at least 1."""
        return 1.0 + multiplications(kernel_sizes(candidate, self._problem))

    def sizes(self, candidates: Iterable[Candidate]) -> list[float]:
        """Return the size of each."""
        return [self.size(candidate) for candidate in candidates]

    def timed(
        self, ladder: Sequence[Candidate], others: Sequence[Candidate], say: Callable[[str], None]
    ) -> list[Timed]:
        """Return what the trials of some of both take; those that fail tell nothing."""
        if ladder or others:
            say("training a few for one epoch")
        found: list[Timed] = []
        start = time.monotonic()
        for candidate in self._in_turns(ladder, others):
            enough = len(found) >= FEWEST_PROBES and time.monotonic() - start > PROBING_S
            if enough or len(found) == MOST_PROBES:
                break
            told = self._evaluator.probe(candidate, self._siblings(candidate))
            if isinstance(told, Probe):
                found.append(Timed(self.size(candidate), told))
        return found

    def _in_turns(self, ladder: Sequence[Candidate], others: Sequence[Candidate]) -> list[Candidate]:
        """Return a small and a large design of the ladder, each followed by another candidate, then more."""
        rising = sorted(ladder, key=self.size)
        steps = list(dict.fromkeys(rising[part * len(rising) // 4] for part in (1, 3) if rising))
        turns = [c for pair in zip(steps, others, strict=False) for c in pair]
        left = (*steps, *islice(others, 2 * MOST_PROBES))
        return list(dict.fromkeys((*turns, *left)))
