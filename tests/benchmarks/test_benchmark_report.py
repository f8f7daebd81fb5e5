"""The page says what the results say."""

import pytest

from benchmarks import report
from benchmarks.against_plain_lines import comparison_lines
from benchmarks.contenders import EDGESEARCH, KNOWING, PLAIN
from benchmarks.values import (
    AgainstPlain,
    Case,
    Comparison,
    Judgement,
    Point,
    Round,
    Task,
    Workers,
    circumstances,
    save,
)

CASE = Case(data="fashion-mnist", subset=12_000, epochs=6, seconds=240, seed=0)


def side(contender, candidates, hypervolume):
    judged = {"accuracy": 0.875, "latency_ms": 0.0123, "model_bytes": 12_345.0}
    front = (Point(trial=1, claimed=judged, judged=judged),) if candidates else ()
    return Judgement(
        contender=contender,
        startup_s=12.4,
        total_s=260.0,
        load=0.25,
        candidates=candidates,
        failed=0,
        hypervolume=hypervolume,
        front=front,
    )


def comparison(*sides):
    return Comparison(
        case=CASE, circumstances=circumstances(), majority_accuracy=0.1, anchor_ms=0.02, sides=sides
    )


def test_the_committed_page_is_what_the_committed_results_say():
    assert report.DOCUMENT.read_text(encoding="utf-8") == report.document()


def test_a_case_is_a_table_and_what_edgesearch_has_over_each_other_side():
    text = "\n".join(
        comparison_lines(comparison(side(EDGESEARCH, 90, 0.7), side(PLAIN, 30, 0.5), side(KNOWING, 0, 0.0)))
    )
    assert "### 12,000 images of fashion-mnist: 6 epochs, 240 s, seed 0" in text
    assert "| edgesearch | 12 s | 90 | 0 | 1 | 0.700 | 0.875 | 12,345 bytes | 12.3 us |" in text
    assert f"Against the {PLAIN}: **3.0 times the candidates**, hypervolume **0.700 against 0.500**." in text
    assert f"The {KNOWING} finished no candidate in this time, edgesearch 90." in text


def test_without_edgesearch_there_is_nothing_to_hold_against():
    lines = comparison_lines(comparison(side(PLAIN, 30, 0.5)))
    assert not any(line.startswith("- ") for line in lines)


def test_the_workers_are_held_against_each_other():
    task = Task(data="digits", subset=None, epochs=2, seed=0, candidates=30, ranges={"filters": (4, 16)})
    rounds = [
        Round(workers=w, load=0, startup_s=9, seconds=s, failed=0, each_s={}) for w, s in ((1, 60), (2, 32))
    ]
    text = "\n".join(
        report.workers_lines(Workers(circumstances=circumstances(), task=task, rounds=tuple(rounds)))
    )
    assert "30 candidates (filters 4 to 16), digits, 2 epochs, seed 0." in text
    assert "| 2 | 2 | 32.0 | 56.2 |" in text
    assert "Two workers finish **1.88 times** the trials of one." in text


def test_the_page_follows_the_results(tmp_path):
    empty = report.document(tmp_path)
    parts = empty.count("\n## ")
    assert empty.count("No results yet") == parts > 1
    result = AgainstPlain(comparisons=(comparison(side(EDGESEARCH, 90, 0.7)),))
    save(tmp_path / "against_plain.json", result)
    text = report.document(tmp_path)
    assert text.count("No results yet") == parts - 1
    assert "| edgesearch |" in text
    assert "Load of the machine before each part at most 0.2" in text


def test_where_cases_were_run_is_told_of_each_unless_it_is_the_same(tmp_path):
    here = comparison(side(EDGESEARCH, 90, 0.7))
    there = here.model_copy(
        update={
            "case": CASE.model_copy(update={"seed": 1}),
            "circumstances": here.circumstances.model_copy(update={"processor": "another one"}),
        }
    )
    again = here.model_copy(update={"case": CASE.model_copy(update={"seed": 2})})
    save(tmp_path / "against_plain.json", AgainstPlain(comparisons=(here, there, again)))
    lines = report.document(tmp_path).splitlines()
    assert [line.partition(f": {here.circumstances.date}")[0] for line in lines if "another one" in line] == [
        there.case.title
    ]
    assert f"{here.case.title}; {again.case.title}: {here.circumstances.date}" in "\n".join(lines)
    save(tmp_path / "against_plain.json", AgainstPlain(comparisons=(here, again)))
    assert f"\n{here.circumstances.date}, {here.circumstances.processor}" in report.document(tmp_path)


@pytest.mark.parametrize("drifted", ["", "an old page"])
def test_a_page_that_drifted_is_told(tmp_path, monkeypatch, capsys, drifted):
    monkeypatch.setattr(report, "DOCUMENT", tmp_path / "benchmarks.md")
    if drifted:
        report.DOCUMENT.write_text(drifted)
    assert report.main(["--check"]) == 1
    assert "run python -m benchmarks.report" in capsys.readouterr().err
    assert report.main([]) == 0
    assert report.main(["--check"]) == 0
