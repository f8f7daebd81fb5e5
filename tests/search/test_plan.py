"""Plans from files and flags, and the one line that a wrong one gets."""

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from search.commands.study import plan_of
from search.errors import StudyError
from search.home import Home
from search.limits import Limits
from search.options import LIMIT_OPTIONS
from search.places import Places
from search.plan import StudyPlan, make_plan, merged, read_plan_file
from search.preferences import limit_goals
from search.units import parse_bytes, parse_ms

FLAGS = {**dict.fromkeys(LIMIT_OPTIONS), "ranges": (), "name": None}


def given_flags(tmp_path, path=None, **flags):
    return plan_of(path, {**FLAGS, **flags}, Places(Home(tmp_path)))


def test_a_plan_needs_data_alone():
    plan = make_plan({"data": "digits"})
    assert plan.data.source == "digits" and plan.trials == 100
    assert [goal.metric for goal in plan.goals] == ["accuracy", "latency_ms", "model_bytes"]
    assert all(goal.objective and goal.limit is None for goal in plan.goals)


def test_a_plan_reads_back_from_its_own_yaml():
    content = {
        "data": {"source": "x.csv", "target": "y"},
        "limits": {"model_bytes": "64K", "latency_ms": "800us"},
        "ranges": {"filters": {"low": 8, "high": 32}, "precision": ["int8", "float16"], "dropout": 0.1},
    }
    plan = make_plan(content)
    assert plan.limits.model_bytes == 65536 and plan.limits.latency_ms == pytest.approx(0.8)
    assert make_plan(yaml.safe_load(yaml.safe_dump(plan.model_dump(mode="json")))) == plan


def test_a_limit_without_an_objective_is_a_budget():
    plan = make_plan({"data": "digits", "objectives": ["accuracy"], "limits": {"model_bytes": 1000}})
    assert [(goal.metric, goal.objective) for goal in plan.goals] == [
        ("accuracy", True),
        ("model_bytes", False),
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "a plan needs 'data'; add it to the plan or give --data"),
        ({"data": {}}, "a plan needs 'data.source'; add it to the plan or give --data"),
        (
            {"data": "digits", "trails": 3},
            "a plan has no key 'trails'; did you mean 'trials'? (there are data, dev",
        ),
        ({"data": {"source": "x", "targte": "y"}}, "a plan has no key 'data.targte'; did you mean 'target'?"),
        (
            {"data": "digits", "limits": {"model_byte": 1}},
            "no key 'limits.model_byte'; did you mean 'model_bytes'?",
        ),
        (
            {"data": "digits", "ranges": {"filters": {"low": 1, "hihg": 2}}},
            "a plan has no key 'ranges.filters.hihg'; did you mean 'high'? (there are type, low, high,",
        ),
        (
            {"data": "digits", "trials": 0},
            "the plan's trials: Input should be greater than or equal to 1, got 0",
        ),
        ({"data": "digits", "trials": "many"}, "the plan's trials: Input should be a valid integer"),
        (
            {"data": "digits", "workers": -1},
            "the plan's workers: Input should be greater than or equal to 1, got -1",
        ),
        ({"data": "digits", "timeout_s": 0}, "the plan's timeout_s: Input should be greater than 0, got 0"),
        (
            {"data": "digits", "trial_timeout_s": 0},
            "the plan's trial_timeout_s: Input should be greater than 0, got 0",
        ),
        (
            {"data": "digits", "timeout_s": float("nan")},
            "the plan's timeout_s: Input should be a finite number",
        ),
        (
            {"data": "digits", "seed": -1},
            "the plan's seed: Input should be greater than or equal to 0, got -1",
        ),
        ({"data": "digits", "seed": 2**31}, "the plan's seed: Input should be less than 2147483648"),
        (
            {"data": "digits", "limits": {"latency_ms": 0}},
            "the plan's limits.latency_ms: Input should be greater",
        ),
        (
            {"data": "digits", "limits": {"model_bytes": "-3"}},
            "a size is a number of bytes, or one with K or M",
        ),
        ({"data": "digits", "limits": {"model_bytes": "64Q"}}, "(64K), got '64Q'"),
        (
            {"data": "digits", "limits": {"model_bytes": "1e999"}},
            "a size is less than 2^63 bytes, got '1e999'",
        ),
        ({"data": "digits", "limits": {"latency_ms": "2h"}}, "a time is a number of milliseconds"),
        (
            {"data": "digits", "limits": {"accuracy": 90}},
            "a limit on accuracy is a share, more than 0 and at most 1",
        ),
        ({"data": "digits", "limits": {"accuracy": 0}}, "more than 0 and at most 1, got 0"),
        ({"data": "digits", "objectives": []}, "each once, got none"),
        ({"data": "digits", "objectives": ["accuracy", "accuracy"]}, "each once, got accuracy, accuracy"),
        ({"data": "digits", "objectives": ["speed"]}, "energy_mj or package.module:Objective, got 'speed'"),
        (
            {"data": "digits", "task": "regression"},
            "the plan's task: Input should be 'classification', got 'regr",
        ),
        ({"data": "digits", "name": "a/b"}, "a study's name is made of at most 100 letters, digits"),
        ({"data": "digits", "name": "-x"}, "does not begin with '-', got '-x'"),
        ({"data": "digits", "name": ".."}, "the plan's name: a study's name"),
        ({"data": "digits", "name": "x" * 101}, "at most 100"),
        (
            {"data": "digits", "ranges": {"filters": {"low": 9, "high": 3}}},
            "low must not exceed high, got 9 > 3",
        ),
    ],
)
def test_a_wrong_plan_is_one_line_with_the_rule_and_the_value(content, told):
    with pytest.raises(StudyError) as caught:
        make_plan(content)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_limit_on_a_metric_of_the_users_own_is_his_affair():
    plan = make_plan({"data": "digits", "metric": "mine:loss", "limits": {"accuracy": -3.5}})
    assert plan.limits.accuracy == -3.5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a\n- b\n", "a plan holds keys with values, but '.*' does not; start with `data: digits`"),
        ("", "a plan holds keys with values"),
        ("1: x\n", "a plan holds keys with values"),
        ("data: [unclosed\n", "is no YAML"),
        ("data: !!python/object:os.system x\n", "is no YAML"),
    ],
)
def test_a_file_that_holds_no_plan_is_one_line(tmp_path, text, told):
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(StudyError, match=told) as caught:
        read_plan_file(tmp_path / "plan.yaml")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(StudyError, match=r"cannot be read: No such file or directory; name a YAML file"):
        read_plan_file(tmp_path / "none.yaml")
    with pytest.raises(StudyError, match="cannot be read: Is a directory"):
        read_plan_file(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"data: caf\xe9\n")
    with pytest.raises(StudyError, match="is no YAML"):
        read_plan_file(tmp_path / "latin.yaml")


# Flags.


def test_flags_go_before_the_file(tmp_path):
    (tmp_path / "plan.yaml").write_text(
        "data: digits\ntrials: 7\nepochs: 3\nlimits: {model_bytes: 9000, accuracy: .5}\n"
        "ranges: {filters: [8]}\n"
    )
    plan = given_flags(
        tmp_path, str(tmp_path / "plan.yaml"), trials=9, max_model_bytes="32K", data__subset=500,
        ranges=("kernel=3", "units=8..16"),
    )  # fmt: skip
    assert (plan.trials, plan.epochs) == (9, 3)
    assert (plan.limits.model_bytes, plan.limits.accuracy) == (32768, 0.5)
    assert (plan.data.source, plan.data.subset) == ("digits", 500)
    assert set(plan.ranges) == {"filters", "kernel", "units"}


def test_ranges_on_the_command_line(tmp_path):
    flags = ("filters=8..32", "learning_rate=1e-4..1e-2", "kernel=3", "precision=int8, float16")
    ranges = given_flags(tmp_path, data__source="digits", ranges=flags).ranges
    told = {name: within.describe() for name, within in ranges.items()}
    assert told == {
        "filters": "8 to 32",
        "learning_rate": "0.0001 to 0.01",
        "kernel": "3",
        "precision": "int8, float16",
    }


@pytest.mark.parametrize("text", ["filters", "=3", "filters=", "filters=a..b", "filters=3.."])
def test_a_wrong_range_is_one_line(tmp_path, text):
    with pytest.raises(StudyError, match=rf"(a range is written|numbers as its ends).*got '{text}'"):
        given_flags(tmp_path, data__source="digits", ranges=(text,))


def test_the_image_size(tmp_path):
    plan = given_flags(tmp_path, data__source="folder", data__image_size="64X48")
    assert plan.data.image_size == (64, 48)
    for text in ("64", "64x", "ax3", "64 48", "3x-4"):
        with pytest.raises(StudyError, match=f"an image size is written HEIGHTxWIDTH .* got '{text}'"):
            given_flags(tmp_path, data__source="folder", data__image_size=text)


def test_no_data_and_no_name_is_one_line(tmp_path):
    with pytest.raises(StudyError, match="a study needs data; give --data"):
        given_flags(tmp_path)
    with pytest.raises(StudyError, match=r"no study named 'x'.*; a new study needs --data"):
        given_flags(tmp_path, name="x")
    assert not list(tmp_path.iterdir())


@given(st.dictionaries(st.sampled_from(["trials", "epochs", "seed"]), st.integers(1, 99)))
def test_merging_nothing_changes_nothing(content):
    assert merged(content, {}) == content


@given(st.integers(0, 2**40), st.sampled_from(["", "B", "K", "k", "KB", "KiB", "M", "mb"]))
def test_sizes(number, unit):
    factor = {"": 1, "B": 1, "K": 1024, "M": 1024**2}[unit[:1].upper()]
    assert parse_bytes(f" {number} {unit} ") == number * factor


@given(st.floats(1e-6, 1e6), st.sampled_from(["", "ms", "us", "s"]))
def test_times(number, unit):
    assert parse_ms(f"{number}{unit}") == pytest.approx(number * {"": 1, "ms": 1, "us": 1e-3, "s": 1e3}[unit])


@given(st.text())
def test_any_text_is_a_size_or_a_refusal(text):
    for parse in (parse_bytes, parse_ms):
        with contextlib.suppress(ValueError):
            assert isinstance(parse(text), int | float)


def test_what_is_no_text_passes():
    assert parse_bytes(3) == 3 and parse_ms(None) is None


def test_a_plan_is_frozen_and_has_no_address():
    assert not {"storage", "tracking_uri", "ray_address", "home"} & set(StudyPlan.model_fields)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_wider_drop_relaxes_what_a_narrower_one_came_to(direction):
    """Taken up again, the plan that was stored is the start: what was derived must not be given."""
    content = {"data": "digits", "model": "mine.keras", "metric_direction": direction}
    narrow = make_plan({**content, "limits": {"accuracy_drop": 1}}).measured_against(0.9)
    stored = narrow.model_dump(mode="json")
    wide = make_plan(merged(stored, {"limits.accuracy_drop": 5})).measured_against(0.9)
    sign = 1 if direction == "maximize" else -1
    (one,), (other,) = ([g.limit for g in p.goals if g.metric == "accuracy"] for p in (narrow, wide))
    assert sign * other < sign * one
    assert one == pytest.approx(0.89 if direction == "maximize" else 0.909)


def test_of_two_limits_on_accuracy_the_stricter_one_counts():
    content = {"data": "digits", "model": "mine.keras"}
    for least, expected in ((0.5, 0.89), (0.95, 0.95)):
        plan = make_plan({**content, "limits": {"accuracy_drop": 1, "accuracy": least}}).measured_against(0.9)
        assert [g.limit for g in plan.goals if g.metric == "accuracy"] == [pytest.approx(expected)]


@pytest.mark.parametrize("limit", [0, -1.5])
def test_a_limit_on_what_is_minimised_is_above_0(limit):
    loss = {"data": "digits", "metric": "own:loss", "metric_direction": "minimize"}
    with pytest.raises(StudyError, match=f"limit on 'own:loss', which is minimised, is above 0, got {limit}"):
        make_plan({**loss, "limits": {"accuracy": limit}})
    plan = make_plan({**loss, "model": "net.keras", "limits": {"accuracy_drop": 5}})
    with pytest.raises(StudyError, match="is above 0"):
        plan.measured_against(float(limit))
    assert plan.measured_against(2.0).limits.accuracy_against_model == pytest.approx(2.1)
    with pytest.raises(StudyError, match="is above 0"):
        limit_goals(plan, Limits(accuracy=limit))
