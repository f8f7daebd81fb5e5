"""The ablation: which commands its sides are, and what its table says."""

import sys
from datetime import datetime
from typing import get_args

import pytest
from pydantic import ValidationError

from benchmarks import ablation, contenders
from benchmarks.ablation import CASE, OPTIONS, side
from benchmarks.ablation_lines import PLAIN, WHOLE, Ablation, ablation_lines, ratio
from benchmarks.values import Comparison, Judgement, Moment, Run, circumstances
from search.plan import Part, make_plan
from search.strategies import frugal, plain, strategy_of


def judged(contender, half, end, candidates=20):
    return Judgement(
        contender=contender,
        startup_s=1.0,
        total_s=130.0,
        load=0.5,
        candidates=candidates,
        failed=0,
        forms=5,
        hypervolume=end,
        front=(),
        curve=(Moment(seconds=50, hypervolume=half), Moment(seconds=119, hypervolume=end)),
    )


def comparison(seed, *sides):
    case = CASE.model_copy(update={"seed": seed})
    return Comparison(
        case=case, circumstances=circumstances(), majority_accuracy=0.1, anchor_ms=0.02, sides=sides
    )


def result(*comparisons):
    return Ablation(comparisons=comparisons)


def strategy(options):
    """Return the strategy that a side's options come to."""
    given = dict(zip(options[::2], options[1::2], strict=True))
    without = (given["--without"],) if "--without" in given else ()
    return strategy_of(make_plan({"data": "digits", "strategy": given["--strategy"], "without": without}))


def test_each_side_lacks_one_part_of_the_default_strategy_but_the_plain_one_all():
    assert strategy(OPTIONS[WHOLE]) == frugal()
    assert make_plan({"data": "digits"}).strategy == "frugal"
    for part in get_args(Part):
        assert strategy(OPTIONS[f"without {part}"]) == frugal().model_copy(update={part: False})
    assert strategy(OPTIONS["plain strategy"]) == plain()
    assert len(OPTIONS) == 2 + len(get_args(Part))


def test_a_side_is_the_same_study_with_its_options_and_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(
        contenders, "EDGESEARCH_COMMAND", (sys.executable, "-c", "import sys; print(sys.argv)")
    )
    moment = datetime.now()  # noqa: DTZ005 - as Optuna has it
    monkeypatch.setattr(contenders, "_read_study", lambda folder: (moment, ()))
    assert side(("--strategy", "plain"))(CASE, tmp_path).trials == ()
    said = (tmp_path / "log.txt").read_text()
    for told in ("'--strategy', 'plain'", "'--max-model-bytes', '32768'", "'--timeout', '120'"):
        assert told in said
    assert all(f"--range={name}=" in said for name in contenders.COMMON_SPACE)


def test_the_table_has_means_and_mean_ratios_over_the_seeds():
    text = "\n".join(
        ablation_lines(
            result(
                comparison(0, judged(WHOLE, 0.4, 0.5), judged("without harvest", 0.1, 0.25)),
                comparison(1, judged(WHOLE, 0.2, 0.4), judged("without harvest", 0.1, 0.4, candidates=30)),
            )
        )
    )
    assert "digits: 20 epochs, 120 s, at most 32,768 bytes; seeds: 0, 1." in text
    assert "|  | measured | of them forms | after 60 s | ratio | after 120 s | ratio | as good as the" in text
    assert "| as good as the plain strategy after 120 s |" in text
    assert f"| {WHOLE} | 20 | 5 | 0.300 | **1.00** | 0.450 | **1.00** | – |" in text
    assert "| without harvest | 25 | 5 | 0.100 | **0.38** | 0.325 | **0.75** | – |" in text
    assert "Not every row" not in text


def test_the_table_tells_when_a_side_is_as_good_as_the_plain_strategy_at_its_end():
    part = "without ladder"
    text = "\n".join(
        ablation_lines(
            result(
                comparison(0, judged(WHOLE, 0.4, 0.5), judged(part, 0.1, 0.2), judged(PLAIN, 0.1, 0.3)),
                comparison(1, judged(WHOLE, 0.1, 0.4), judged(part, 0.2, 0.4), judged(PLAIN, 0.1, 0.3)),
                comparison(2, judged(WHOLE, 0.4, 0.4), judged(part, 0.2, 0.4)),
            )
        )
    )
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[-1].strip("| ") for line in text.splitlines()}
    assert rows[WHOLE] == "**84 s** (50 to 119)"
    assert rows[part] == "**119 s** (119 to 119), not in 1 of 2"
    assert rows[PLAIN] == "**119 s** (119 to 119)"
    assert "Not every row is of every seed" in text


def test_there_is_no_ratio_to_nothing():
    assert ratio([(0.1, 0.2), (0.1, 0.0)]) == "–"


def test_what_there_is_nothing_to_hold_against_is_refused():
    with pytest.raises(ValidationError, match="held against 'all of it', but seed 3 has none"):
        result(comparison(3, judged("plain strategy", 0.1, 0.2)))


def test_cases_that_differ_in_more_than_their_seeds_are_no_ablation():
    other = comparison(1, judged(WHOLE, 0.1, 0.2))
    longer = other.model_copy(update={"case": other.case.model_copy(update={"seconds": 60})})
    with pytest.raises(ValidationError, match=r"differ in their seeds alone, got .* 120 s.*; .* 60 s"):
        result(other, longer)


def test_seeds_are_run_and_written_one_by_one_and_not_again(tmp_path, monkeypatch, capsys):
    """The sides are doubles; data, judge, work folder and results are real."""
    ran = []

    def double(options):
        def run(case, folder):
            ran.append((case.seed, options))
            return Run(startup_s=1, total_s=2, load=0, divisor=1, trials=())

        return run

    monkeypatch.setattr(ablation, "side", double)
    command = ["--side", "without ladder", "--seeds", "0,1", "--seconds", "3"]
    command += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "ablation.json")]
    ablation.main(command)
    sides = [OPTIONS[WHOLE], OPTIONS["without ladder"]]
    assert ran == [(seed, options) for seed in (0, 1) for options in sides]
    written = Ablation.model_validate_json((tmp_path / "ablation.json").read_text())
    assert [c.case.seed for c in written.comparisons] == [0, 1]
    assert {c.case.max_model_bytes for c in written.comparisons} == {32_768}
    ablation.main(command)
    assert len(ran) == 4
    assert "| without ladder | 0 | 0 | 0.000 | – | 0.000 | – | – |" in capsys.readouterr().out
    ablation.main([*command, "--seeds", "2"])
    written = Ablation.model_validate_json((tmp_path / "ablation.json").read_text())
    assert [c.case.seed for c in written.comparisons] == [0, 1, 2], "what is not asked for stays"
    ablation.main([*command, "--seeds", "1", "--seconds", "4"])
    written = Ablation.model_validate_json((tmp_path / "ablation.json").read_text())
    assert [(c.case.seed, c.case.seconds) for c in written.comparisons] == [(1, 4)], (
        "another case replaces all"
    )
