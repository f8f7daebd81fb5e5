"""What the driver costs: how busy 64 simulated workers are, and its own time a trial after thousands.

    python -m benchmarks.scaling

Nothing is trained. What is finished lies in the work folder and is not done again; the trials that a study
has to have before its cost is measured are written there in batches, and a run that was ended goes on with
the next one.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.scaling_lines import Cost, Scaling, Simulated, Strategy, scaling_lines
from benchmarks.simulated_study import Quiet, facts_for, looked_up
from benchmarks.values import circumstances, load_average, save
from objectives.brief import Brief
from objectives.outcome import Harvested, Outcome
from search.asking import Asker
from search.book import Asked, Book
from search.clock import FakeClock
from search.driver import Driver
from search.executors.base import NOTHING_KNOWN
from search.executors.simulated import SimulatedExecutor
from search.ledger import BackgroundLedger, NullLedger
from search.preselect import Preselect, size_in
from search.samplers import sampler_of
from search.status import counted
from search.storage import (
    CANDIDATE,
    OUTCOME_KEY,
    Facts,
    create,
    load,
    open_storage,
    read_trials,
    taken,
    write_facts,
)
from search.strategies import strategy_of
from search.study import driver_of, settled
from search.telling import constraints, ending
from search.writing import Entry, write
from spaces.candidate import Candidate, Compression, Problem
from spaces.catalog import load_space
from spaces.forms import steps_of
from spaces.layers import Dense
from spaces.space import Space

if TYPE_CHECKING:
    import optuna

    from search.counsel import Reaped
    from search.executors.base import Executor
    from search.ledger import Ledger
    from search.trial import TrialRecord

HERE = Path(__file__).parent
WORKERS, SIMULATED_TRIALS = (2, 64), 2_000
CHARGE_S, SHORTEST_S, LONGEST_S = 0.060, 10.0, 100.0
TRIALS, OVER, BATCH = 5_000, 100, 100
MOST_ROWS = 10
"""More trials than one asked one and its forms are, by far."""
STRATEGIES: tuple[Strategy, ...] = ("plain", "frugal")
SPACE, STUDY = "convnet", "scaling"
PROBLEM = Problem(kind="image", input_shape=(28, 28, 1), classes=10)


def share(text: str) -> float:
    """Return a number in [0, 1) that follows from the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48


def answered(candidate: Candidate) -> Outcome:
    """Return figures as those of networks are: the wider the better, slower and larger, with some noise."""
    noise = share(candidate.digest)
    width = 1 + sum(_width(layer) for layer in candidate.architecture)
    small = 0.3 if candidate.compression.precision in {"int8", "int4"} else 1.0
    return looked_up(
        accuracy=0.99 - 2 / (width + 2) - 0.05 * noise,
        latency_ms=0.001 * width * (1 + noise),
        model_bytes=500 + 100 * width * small * (1 + noise),
    )


def _width(layer: object) -> int:
    return layer.units if isinstance(layer, Dense) else int(getattr(layer, "filters", 0))


@dataclass
class Shift:
    """What the workers of a simulation had to do, by the clock: when each trial was begun, and its length."""

    clock: FakeClock
    begun: list[tuple[float, float]] = field(default_factory=list)

    def __call__(self, candidate: Candidate, brief: Brief) -> tuple[Outcome, float]:
        """Answer after a time between the shortest and the longest, on a log scale."""
        del brief
        seconds = SHORTEST_S * (LONGEST_S / SHORTEST_S) ** share(f"seconds of {candidate.digest}")
        self.begun.append((self.clock.now(), seconds))
        return answered(candidate), seconds


class Charged(Book):
    """A book of which every ask and every tell takes time on a simulated clock."""

    def __init__(self, study: optuna.Study, facts: Facts, asker: Asker, clock: FakeClock) -> None:
        super().__init__(study, facts, asker)
        self._clock = clock

    def ask(self) -> Asked:
        """Ask, and let the time pass."""
        self._clock.advance(CHARGE_S)
        return super().ask()

    def finish(self, asked: Asked, outcome: Outcome, forms: Sequence[Reaped] = ()) -> list[TrialRecord]:
        """Tell, and let the time pass."""
        self._clock.advance(CHARGE_S)
        return super().finish(asked, outcome, forms)


def simulated(workers: int, trials: int, seed: int) -> Simulated:
    """Run a study of the random sampler on simulated workers, in memory."""
    space = load_space(SPACE)
    facts = facts_for(space, PROBLEM, trials, seed)
    study = create(None, STUDY, facts.plan.goals)
    study.sampler = sampler_of("random", seed)
    write_facts(study, facts)
    clock = FakeClock()
    shift = Shift(clock)
    book = Charged(study, facts, Asker(space, facts), clock)
    pool = SimulatedExecutor(shift, workers, clock)
    Driver(book, pool, NullLedger(), Quiet(), clock=clock).run()
    last = shift.begun[-1][0]
    busy = sum(min(seconds, last - start) for start, seconds in shift.begun)
    return Simulated(
        workers=workers,
        trials=trials,
        charge_ms=1e3 * CHARGE_S,
        shortest_s=SHORTEST_S,
        longest_s=LONGEST_S,
        seed=seed,
        busy=busy / (workers * last),
        filling_s=shift.begun[min(workers, len(shift.begun)) - 1][0],
        tail_s=clock.now() - last,
        total_s=clock.now(),
    )


class AtOnce:
    """Workers that answer at once; knows since when, by the clock and in processor time, in seconds."""

    def __init__(self, capacity: int) -> None:
        self._pool = SimulatedExecutor(lambda c, brief: (harvested(c, brief), 0.0), capacity, FakeClock())
        self.capacity, self.next, self.close = capacity, self._pool.next, self._pool.close
        self.since: tuple[float, float] | None = None

    def submit(self, number: int, candidate: Candidate, brief: Brief = NOTHING_KNOWN) -> None:
        """Take a trial."""
        self.since = self.since or now()
        self._pool.submit(number, candidate, brief)


def now() -> tuple[float, float]:
    """Return the clock and the processor time of this process, in seconds."""
    return time.perf_counter(), time.process_time()


def harvested(candidate: Candidate, brief: Brief) -> Outcome:
    """Answer with the forms that a worker would bring back: conversions, and those of a slimmer copy."""
    own = candidate.compression
    made = (
        form
        for form in brief.siblings
        if form.levers in (own.levers, ("slim",)) and form.keep in (own.keep, 0.5)
    )
    outcome = answered(candidate)
    forms = tuple(_made(candidate, form) for form in made)
    return outcome.model_copy(update={"evidence": outcome.evidence.model_copy(update={"harvest": forms})})


def _made(candidate: Candidate, form: Compression) -> Harvested:
    seen = answered(candidate.model_copy(update={"compression": form})).evidence
    floats = (seen.values["accuracy"],) * len(steps_of(form))
    return Harvested(compression=form, measurements=seen.measurements, values=floats)


def random_trials(facts: Facts, space: Space, seed: int) -> Iterator[Entry]:
    """Yield finished trials of random candidates, as the driver would have written them."""
    from optuna import create_study
    from optuna.trial import create_trial

    goals = [goal for goal in facts.plan.goals if goal.objective]
    chance = create_study(sampler=sampler_of("random", seed), directions=[goal.direction for goal in goals])
    asker = Asker(space, facts)
    while True:
        trial = chance.ask()
        candidate = asker.candidate(trial)
        outcome = answered(candidate)
        state, values = ending(outcome, facts.plan)
        known = {CANDIDATE: candidate.model_dump_json(), OUTCOME_KEY: outcome.model_dump_json()}
        yield Entry(
            create_trial(
                state=state,
                values=values,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs=known,
                constraints=constraints(outcome, facts.plan),
            )
        )


def filled(path: Path, facts: Facts, space: Space, count: int, seed: int) -> None:
    """Fill a study with random trials until it has so many, in batches that are written or not at all."""
    study = _begun(path, facts)
    done = len(study.get_trials(deepcopy=False))
    while done < count:
        batch = list(islice(random_trials(facts, space, seed + done), min(BATCH, count - done)))
        write(study, batch)
        done += len(batch)
        print(f"{done} of {count} trials written", flush=True)


def filled_with_forms(path: Path, facts: Facts, space: Space, count: int, seed: int) -> None:
    """Fill a study with random trials and the forms of their networks until it has so many, or a few more."""
    plan = facts.plan.model_copy(update={"sampler": "random"})
    study = _begun(path, facts)
    while (missing := count - len(study.get_trials(deepcopy=False))) > 0:
        asked = counted(read_trials(study, plan)) + 1 + missing // MOST_ROWS
        study.sampler = sampler_of("random", seed + asked)
        wanted = facts.model_copy(update={"plan": plan.model_copy(update={"trials": asked})})
        driving(study, wanted, space, AtOnce(2), NullLedger(), seed).run()
        print(f"{count - missing} of {count} trials written, and some more", flush=True)


def _begun(path: Path, facts: Facts) -> optuna.Study:
    storage = open_storage(f"sqlite:///{path}")
    if not taken(storage, STUDY):
        write_facts(create(storage, STUDY, facts.plan.goals), facts)
    return load(storage, STUDY)


def driving(
    study: optuna.Study, facts: Facts, space: Space, pool: Executor, ledger: Ledger, seed: int
) -> Driver:
    """Return the driver that a study of that plan has."""
    asker, found = Asker(space, facts), None
    with settled():
        if strategy_of(facts.plan).preselection:
            found = Preselect(asker, facts.plan.goals, size_in(facts.problem), seed)
        return driver_of(Book(study, facts, asker, found), pool, ledger, Quiet())


def cost(work: Path, trials: int, over: int, seed: int, strategy: Strategy) -> Cost:
    """Measure what `over` trials cost the driver once there are so many, beside answers that cost nothing."""
    space = load_space(SPACE)
    facts = facts_for(space, PROBLEM, trials, seed, strategy=strategy)
    fill = filled_with_forms if strategy == "frugal" else filled
    fill(work / "filled.db", facts, space, trials - over, seed)
    shutil.copy(work / "filled.db", work / "run.db")
    study = load(open_storage(f"sqlite:///{work / 'run.db'}"), STUDY)
    study.sampler = sampler_of("tpe", seed)
    before = read_trials(study, facts.plan)
    wanted = facts.plan.model_copy(update={"trials": counted(before) + over})
    facts, pool, load_before = facts.model_copy(update={"plan": wanted}), AtOnce(2), load_average()
    ledger, start = BackgroundLedger(NullLedger()), time.perf_counter()
    driving(study, facts, space, pool, ledger, seed).run()
    wall, cpu = now()
    ledger.close(60.0)
    assert pool.since is not None  # trials were asked
    return Cost(
        strategy=strategy,
        trials=len(before),
        forms=sum(trial.parent is not None for trial in before),
        over=over,
        sampler="tpe",
        space=SPACE,
        wall_ms=1e3 * (wall - pool.since[0]) / over,
        cpu_ms=1e3 * (cpu - pool.since[1]) / over,
        taking_up_s=pool.since[0] - start,
        load=load_before,
    )


@dataclass(frozen=True)
class Workshop:
    """The work folder, and what is finished in it."""

    root: Path
    seed: int

    def simulated(self, workers: int, trials: int) -> Simulated:
        """Simulate, unless that was done already."""
        path = self.root / f"simulated-{workers}workers-{trials}trials.json"
        if not path.is_file():
            print(f"simulating {trials} trials on {workers} workers", flush=True)
            save(path, simulated(workers, trials, self.seed))
        return Simulated.model_validate_json(path.read_text(encoding="utf-8"))

    def cost(self, trials: int, over: int, strategy: Strategy) -> Cost:
        """Measure, unless that was done already."""
        folder = self.root / f"cost-{strategy}-{trials}trials-{over}over"
        path = folder / "cost.json"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            save(path, cost(folder, trials, over, self.seed, strategy))
        return Cost.model_validate_json(path.read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--simulated-trials", type=int, default=SIMULATED_TRIALS)
    parser.add_argument("--trials", type=int, default=TRIALS, help="with which a study's cost is told")
    parser.add_argument("--over", type=int, default=OVER, help="so many trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=HERE / "work" / "scaling", help="what is kept to resume")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "scaling.json")
    options = parser.parse_args(arguments)
    if not 0 < options.over < options.trials:
        parser.error(f"the last trials are some of {options.trials}, got {options.over}; give --over less")
    workshop = Workshop(options.work / f"seed{options.seed}", options.seed)
    result = Scaling(
        simulated=tuple(workshop.simulated(workers, options.simulated_trials) for workers in WORKERS),
        costs=tuple(workshop.cost(options.trials, options.over, strategy) for strategy in STRATEGIES),
        circumstances=circumstances(),
    )
    save(options.out, result)
    print("\n".join(scaling_lines(result)), flush=True)


if __name__ == "__main__":
    main()
