"""Pictures of real studies: what they show, that they stand alone, and that odd studies do not break them."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hardware_profiles.measurement import Measurement, Source
from search.drawing import drawing
from search.errors import StudyError
from search.plot import plot_html, plot_png, write_plot
from search.scene import LATENCY, round_numbers, scene_of
from search.trial import StudyRecord, TrialRecord

MakeTrial = Callable[..., TrialRecord]
MakeStudy = Callable[..., StudyRecord]


@pytest.fixture
def study(make_trial: MakeTrial, make_study: MakeStudy) -> StudyRecord:
    trials = [
        make_trial(0, 0.98, 0.1, 90_000),
        make_trial(1, 0.95, 0.02, 30_000),
        make_trial(2, 0.90, 0.05, 40_000),
        make_trial(3, None, 0.5, 60_000, state="infeasible"),
        make_trial(4, 0.99, 0.3, 60_000),
        make_trial(5, None, 0.01, 9_000, state="stopped"),
        make_trial(6, state="failed"),
        TrialRecord(number=7, state="running"),
    ]
    return make_study(trials, limits={"latency_ms": 0.2, "accuracy": 0.5})


def _numbers(records: tuple[TrialRecord, ...]) -> list[int]:
    return [record.number for record in records]


def test_the_scene_sorts_every_trial_into_one_group(study: StudyRecord) -> None:
    scene = scene_of(study)
    groups = {group.name: _numbers(group.records) for group in scene.others}
    assert _numbers(scene.best) == [0, 1]
    assert groups == {"dominated": [2], "breaks a limit": [3, 4], "stopped early": [5]}


def test_trials_without_accuracy_are_ticks(study: StudyRecord) -> None:
    breaks = scene_of(study).others[1]
    assert _numbers(breaks.placed(LATENCY)) == [4]
    assert _numbers(breaks.unplaced(LATENCY)) == [3]


def test_the_same_candidate_again_is_not_called_a_breach(
    make_trial: MakeTrial, make_study: MakeStudy
) -> None:
    trials = [make_trial(0, 0.9, 0.1, 900, units=5), make_trial(1, 0.9, 0.1, 900, units=5)]
    assert _numbers(scene_of(make_study(trials)).everything) == [0]


def test_only_axes_with_data_are_shown(make_trial: MakeTrial, make_study: MakeStudy) -> None:
    study = make_study([make_trial(0, 0.9, None, 900)], objectives=("accuracy", "model_bytes"))
    assert [axis.metric for axis in scene_of(study).axes] == ["model_bytes"]


def test_the_stairs_rise_without_a_step_back(study: StudyRecord) -> None:
    assert [r.number for r in scene_of(study).stairs(LATENCY)] == [1, 0]


def test_a_metric_to_minimise_is_drawn_with_the_best_on_top(
    make_trial: MakeTrial, make_study: MakeStudy
) -> None:
    trials = [make_trial(0, 0.2, 0.1, 900), make_trial(1, 0.4, 0.05, 900)]
    scene = scene_of(make_study(trials, metric="mine:loss", metric_direction="minimize"))
    bottom, top = scene.accuracy_range
    assert bottom > 0.4
    assert top < 0.2
    assert [r.number for r in scene.stairs(LATENCY)] == [1, 0]


@given(st.floats(1e-5, 1e3), st.floats(1, 1e6), st.sampled_from([1e-3, 1024.0]))
def test_ticks_are_few_rising_and_within_the_range(low: float, ratio: float, unit: float) -> None:
    numbers = round_numbers(low, low * ratio, unit)
    assert 1 <= len(numbers) <= 8
    assert numbers == sorted(set(numbers))
    assert all(low / 1.01 <= n <= low * ratio * 1.01 for n in numbers)


def test_ticks_are_written_briefly() -> None:
    assert LATENCY.ticks(0.001, 0.02) == pytest.approx(
        {0.001: "1 us", 0.002: "2 us", 0.005: "5 us", 0.01: "10 us", 0.02: "20 us"}
    )


def test_a_png_has_its_size_and_something_on_it(study: StudyRecord, tmp_path: Path) -> None:
    plot_png(study, tmp_path / "new" / "front.png")
    with Image.open(tmp_path / "new" / "front.png") as picture:
        assert picture.size == (1950, 870)
        pixels = np.asarray(picture.convert("RGB"))
    assert 0.01 < (pixels != 255).any(axis=2).mean() < 0.5


def test_the_drawing_tells_study_device_data_provenance_and_limits(study: StudyRecord) -> None:
    figure = drawing(scene_of(study))
    texts = [t.get_text() for t in figure.texts] + [
        t.get_text() for panel in figure.axes for t in panel.texts
    ]
    joined = "\n".join(texts)
    for part in (
        "try-1",
        study.profile.title,
        "latency measured",
        "digits",
        "limit 200 us",
        "limit 0.5",
        "#0",
        "#1",
    ):
        assert part in joined
    assert figure.axes[0].get_xscale() == "log"
    assert [handle.get_text() for handle in figure.legends[0].get_texts()] == [
        "front", "dominated", "breaks a limit", "stopped early",
    ]  # fmt: skip


def test_no_words_of_the_drawing_overlap(study: StudyRecord) -> None:
    figure = drawing(scene_of(study))
    figure.savefig(io.BytesIO(), format="raw")  # draws, so that every word has its place
    words = [
        *figure.texts,
        *(t for panel in figure.axes for t in (*panel.texts, panel.xaxis.label, panel.yaxis.label)),
    ]
    words += [
        label for panel in figure.axes for label in (*panel.get_xticklabels(), *panel.get_yticklabels())
    ]
    boxes = [w.get_window_extent() for w in words if w.get_text() and w.get_visible()]
    overlapping = [
        (a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.width and b.width and a.overlaps(b)
    ]
    assert not overlapping


@pytest.mark.parametrize("suffix", [".png", ".html"])
@pytest.mark.parametrize("kind", ["none", "one", "alike", "limited"])
def test_odd_studies_are_drawn_too(
    make_trial: MakeTrial, make_study: MakeStudy, tmp_path: Path, kind: str, suffix: str
) -> None:
    trials = {
        "none": [],
        "one": [make_trial(0, 0.9, 0.1, 900)],
        "alike": [make_trial(0, 0.9, 0.1, 900), make_trial(1, 0.9, 0.1, 900)],
        "limited": [make_trial(0, None, 0.1, 900, state="infeasible"), make_trial(1, state="failed")],
    }[kind]
    path = tmp_path / f"front{suffix}"
    write_plot(make_study(trials, limits={"latency_ms": 0.05} if kind == "limited" else {}), path)
    assert path.stat().st_size > 10_000


def test_html_stands_alone_and_tells_each_trial(study: StudyRecord, tmp_path: Path) -> None:
    plot_html(study, tmp_path / "front.html")
    page = (tmp_path / "front.html").read_text()
    assert not re.search(r"<(script|link|img)[^>]*\s(src|href)=", page)
    own = page[page.rindex("Plotly.newPlot(") :]
    for part in ("trial 0", "accuracy 0.9800", "latency 100 us (95.0\\u2013110) measured", "size 87.9 KiB"):
        assert part in own
    assert "float32" in own and "conv8k3s2 \\u00b7 pool \\u00b7 dense1" in own
    assert "limit 200 us" in own


def test_what_users_named_cannot_become_html(
    make_trial: MakeTrial, make_study: MakeStudy, tmp_path: Path
) -> None:
    bad = "</script><script>alert(1)</script>"
    study = make_study([make_trial(0, 0.9, 0.1, 900)], data={"name": bad}, metric=bad)
    plot_html(study, tmp_path / "front.html")
    assert "<script>alert" not in (tmp_path / "front.html").read_text()


def test_a_dollar_in_a_name_is_no_formula(
    make_trial: MakeTrial, make_study: MakeStudy, tmp_path: Path
) -> None:
    plot_png(
        make_study([make_trial(0, 0.9, 0.1, 900)], data={"name": "a$_{$b"}, metric="m:$x_{"),
        tmp_path / "f.png",
    )
    assert (tmp_path / "f.png").exists()


def test_another_suffix_is_refused_and_nothing_is_written(study: StudyRecord, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"\.html or \.png, got 'front\.pdf'"):
        write_plot(study, tmp_path / "front.pdf")
    assert not list(tmp_path.iterdir())


def test_html_numbers_equal_the_records(study: StudyRecord, tmp_path: Path) -> None:
    plot_html(study, tmp_path / "front.html")
    page = (tmp_path / "front.html").read_text()
    start = page.index("[", page.rindex("Plotly.newPlot("))
    traces, _ = json.JSONDecoder().raw_decode(page[start:])
    best = [t for t in traces if t.get("name") == "front"]
    assert [sorted(zip(_values(t["x"]), _values(t["y"]), strict=True)) for t in best] == [
        [(0.02, 0.95), (0.1, 0.98)],
        [(30_000.0, 0.95), (90_000.0, 0.98)],
    ]


def _values(data: object) -> list[float]:
    assert isinstance(data, list)
    return [float(value) for value in data]


def test_where_nothing_tells_the_latency_memory_is_drawn(
    make_trial: MakeTrial, make_study: MakeStudy
) -> None:
    trials = [make_trial(n, 0.9 - n / 10, None, 500 - n, arena_bytes=3000.0 - n) for n in range(2)]
    scene = scene_of(make_study(trials, objectives=["accuracy", "arena_bytes", "model_bytes"]))
    assert [axis.metric for axis in scene.axes] == ["arena_bytes", "model_bytes"]
    assert scene.subtitle[1].startswith("memory measured for This machine")
    timed = scene_of(make_study([make_trial(0, 0.9, 0.1, 500, arena_bytes=3000.0)]))
    assert [axis.metric for axis in timed.axes] == ["latency_ms", "model_bytes"]


def test_an_estimate_has_bounds_to_draw(make_trial: MakeTrial, make_study: MakeStudy) -> None:
    record, source = make_trial(0, 0.9, 0.1, 500), Source(provenance="estimated", device="nucleo-l4r5zi")
    told = Measurement(metric="latency_ms", value=0.1, low=0.07, high=0.2, source=source)
    others = tuple(m for m in record.evidence.measurements if m.metric != "latency_ms")
    seen = record.evidence.model_copy(update={"latency": None, "measurements": (*others, told)})
    assert record.outcome is not None
    record = record.model_copy(update={"outcome": record.outcome.model_copy(update={"evidence": seen})})
    below, above = scene_of(make_study([record])).spread([record])
    assert (below, above) == ([pytest.approx(0.03)], [pytest.approx(0.1)])
