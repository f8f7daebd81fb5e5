"""What the benchmarks keep, and which cases and commands follow from the options."""

import argparse
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks import contenders
from benchmarks.against_plain import CASES, cases
from benchmarks.values import (
    AgainstPlain,
    Case,
    Comparison,
    Judgement,
    Round,
    Run,
    Task,
    Trial,
    Workers,
    circumstances,
    code_digest,
    earlier,
    numbers,
    save,
    updated,
)
from benchmarks.workers import RANGES, candidates, longest_first, prepared
from benchmarks.workshop import Workshop
from search.home import Home

DIGITS = Case(data="digits", subset=None, epochs=20, seconds=120, seed=0)
TASK = Task(data="digits", subset=None, epochs=2, seed=3, candidates=7, ranges=RANGES)


def a_round(workers, seconds, each_s=None):
    return Round(
        workers=workers, load=0.1, startup_s=9.0, seconds=seconds, failed=0, each_s=each_s or {0: seconds}
    )


def asked(**given):
    defaults = {"data": None, "seconds": None, "epochs": None, "subset": None, "seeds": (0,)}
    return cases(argparse.Namespace(**defaults | given))


def test_without_options_every_case_is_run_once():
    assert asked() == list(CASES.values())


def test_options_go_before_what_a_case_has_and_seeds_multiply():
    found = asked(data=["fashion-mnist"], seconds=5.0, seeds=(0, 7))
    assert [(case.seconds, case.seed, case.subset, case.epochs) for case in found] == [
        (5, 0, 12_000, 6),
        (5, 7, 12_000, 6),
    ]


def test_zero_seconds_are_refused():
    with pytest.raises(ValidationError, match="greater than 0"):
        asked(seconds=0.0)


@given(st.lists(st.floats(0, 100), max_size=9), st.floats(0, 100))
def test_a_run_within_a_time_holds_what_was_done_by_then(ends, limit):
    trials = tuple(Trial(number=i, seconds=end, values=None, model=Path("m")) for i, end in enumerate(ends))
    within = Run(startup_s=1, total_s=1, load=0, divisor=1, trials=trials).within(limit)
    assert [trial.seconds for trial in within] == [end for end in ends if end <= limit]


def test_cases_that_differ_have_folders_that_differ(tmp_path):
    shop = Workshop(tmp_path, contenders.CONTENDERS)
    changes = ({"seed": 1}, {"epochs": 3}, {"seconds": 1.5}, {"subset": 9}, {"max_model_bytes": 32_768})
    listed = [DIGITS, *(DIGITS.model_copy(update=change) for change in changes)]
    assert len({case.title for case in listed}) == len(listed)
    folders = {shop.folder(case, side) for case in listed for side in contenders.CONTENDERS}
    assert len(folders) == len(listed) * len(contenders.CONTENDERS)


def test_the_plain_script_refuses_a_limit_that_it_does_not_know(tmp_path):
    limited = DIGITS.model_copy(update={"max_model_bytes": 32_768})
    with pytest.raises(ValueError, match=r"knows no limits, but the case has one: .*32,768 bytes"):
        contenders.run_plain(limited, tmp_path)


def test_a_finished_run_is_read_and_a_half_finished_one_starts_from_nothing(tmp_path):
    ran = []

    def side(case, folder):
        ran.append(sorted(path.name for path in folder.iterdir()))
        (folder / "half").touch()
        if len(ran) == 1:
            raise RuntimeError("killed")
        return Run(startup_s=1, total_s=2, load=0, divisor=1, trials=())

    shop = Workshop(tmp_path, {"double": side})
    with pytest.raises(RuntimeError, match="killed"):
        shop.run(DIGITS, "double")
    first = shop.run(DIGITS, "double")
    assert (first.code, first.circumstances.date) == (code_digest(), circumstances().date)
    assert shop.run(DIGITS, "double") == first
    assert ran == [[], []]


def test_a_side_that_fails_says_why_and_where_the_rest_is(tmp_path):
    with pytest.raises(
        RuntimeError, match=r"ended with status 3 and said 'no space left'; all of it is in .*log\.txt"
    ):
        contenders.run_command(
            [sys.executable, "-c", "print('no space left'); raise SystemExit(3)"], tmp_path
        )


def test_variables_that_point_edgesearch_elsewhere_are_not_handed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGESEARCH_STORAGE", "elsewhere")
    program = "import os; print(sorted(name for name in os.environ if name.startswith('EDGESEARCH')))"
    contenders.run_command([sys.executable, "-c", program], tmp_path, {"EDGESEARCH_HOME": "here"})
    assert (tmp_path / "log.txt").read_text() == "['EDGESEARCH_HOME']\n"


def test_the_speed_up_is_of_mean_times():
    rounds = (a_round(1, 60), a_round(2, 30), a_round(1, 80), a_round(2, 40))
    assert Workers(circumstances=circumstances(), task=TASK, rounds=rounds).speedup == 2.0


def test_a_speed_up_needs_rounds_of_both_kinds():
    with pytest.raises(
        ValueError, match=r"no round with 2 workers; run benchmarks\.workers with --rounds 1,2"
    ):
        _ = Workers(circumstances=circumstances(), task=TASK, rounds=(a_round(1, 60),)).speedup


def test_the_longest_candidates_go_first():
    assert longest_first(a_round(1, 9, {0: 2.0, 1: 5.0, 2: 2.0})) == [1, 0, 2]


@pytest.mark.slow
def test_the_list_of_candidates_is_the_same_every_time_and_within_its_ranges(tmp_path):
    study = prepared(TASK, Home(tmp_path))
    listed = candidates(TASK, study)
    assert listed == candidates(TASK, study)
    assert len(listed) == TASK.candidates
    assert listed != candidates(TASK.model_copy(update={"seed": 4}), study)
    blocks = [layer for candidate in listed for layer in candidate.architecture if hasattr(layer, "filters")]
    low, high = RANGES["filters"]
    assert {low <= block.filters <= high for block in blocks} == {True}
    assert {candidate.training.epochs for candidate in listed} == {TASK.epochs}


def test_results_come_back_as_they_were_saved(tmp_path):
    value = AgainstPlain(comparisons=())
    save(tmp_path / "result.json", value)
    assert AgainstPlain.model_validate_json((tmp_path / "result.json").read_text()) == value


def test_what_was_compared_again_takes_the_place_of_what_was_before(tmp_path):
    def made(seed, anchor_ms, data="digits"):
        case = Case(data=data, subset=None, epochs=1, seconds=2, seed=seed)
        return Comparison(
            case=case, circumstances=circumstances(), majority_accuracy=0.1, anchor_ms=anchor_ms, sides=()
        )

    path = tmp_path / "results.json"
    assert earlier(path) == ()
    save(path, AgainstPlain(comparisons=(made(0, 0.1), made(2, 0.1), made(0, 0.1, "wine"))))
    both = updated(earlier(path), [made(1, 0.2), made(0, 0.2)])
    assert [(c.case.data, c.case.seed, c.anchor_ms) for c in both] == [
        ("digits", 0, 0.2), ("digits", 1, 0.2), ("digits", 2, 0.1), ("wine", 0, 0.1),
    ]  # fmt: skip


def test_a_side_that_was_not_run_again_stays():
    def made(*sides):
        judged = [
            Judgement(
                contender=name,
                startup_s=1,
                total_s=2,
                load=load,
                candidates=1,
                failed=0,
                hypervolume=0.5,
                front=(),
            )
            for name, load in sides
        ]
        return Comparison(
            case=DIGITS, circumstances=circumstances(), majority_accuracy=0.1, anchor_ms=0.1, sides=judged
        )

    (both,) = updated([made(("a", 0.1), ("b", 0.1))], [made(("b", 0.9))])
    assert {side.contender: side.load for side in both.sides} == {"a": 0.1, "b": 0.9}


def test_numbers_are_read_from_a_list():
    assert numbers("1,2,1") == (1, 2, 1)
    with pytest.raises(ValueError, match="invalid literal"):
        numbers("1;2")
