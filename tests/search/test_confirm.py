"""The front is looked at twice at the end of a study: measured again, its best trained again."""

import json
import shutil
from contextlib import nullcontext

import pytest
from search_doubles import Screen, TableExecutor, screened, table, write_table

from hardware_profiles.artifact import ArtifactStore
from hardware_profiles.device import Device
from hardware_profiles.errors import MeasuringFailed, Unreachable
from hardware_profiles.runners.replay import ReplayRunner
from objectives.outcome import Failed, Measured
from search.card import model_card
from search.confirm import best, fresh_seeds, measure_again, train_again, unconfirmed, unmeasured, untrained
from search.confirmation import Confirmation
from search.errors import NothingFits, Paused
from search.front import front
from search.home import Home
from search.ledger import MemoryLedger
from search.mlflow_values import front_frame, front_markdown
from search.plan import make_plan
from search.preferences import choose
from search.shipment import manifest
from search.shipping import shipment
from search.storage import load, open_storage, read_facts, read_study, write_facts
from search.study import run_study, setting_of
from search.tables import front_table, rows

RANGES = {"sparsity": 0.0, "l1": 1e-5, "l2": 1e-5, "dropout": 0.0, "layers": 1, "optimizer": "adam"}


@pytest.fixture(autouse=True)
def ledger(monkeypatch):
    """Keep the view in memory: MLflow's has tests of its own."""
    kept = MemoryLedger()
    monkeypatch.setattr("search.study.mlflow_ledger", lambda _: kept)
    return kept


class Stored:
    """Makes executors that answer from the table, with a file of its own for each candidate."""

    def __init__(self, store: ArtifactStore, answers=table) -> None:
        self.store, self.answers, self.settings, self.made = store, answers, [], []

    def __call__(self, setting):
        told = self.answers(setting.goals)

        def answer(candidate):
            outcome = told(candidate)
            name = self.store.put(candidate.digest.encode())
            seen = outcome.evidence.model_copy(update={"artifact": name})
            return outcome.model_copy(update={"evidence": seen})

        self.settings.append(setting)
        self.made.append(TableExecutor(answer))
        return self.made[-1]


def run(home, answers=table, **changes):
    """Run a study of some trials over a small table, answered from the table of doubles."""
    data = write_table(home.parent / "three.npz")
    content = {"data": str(data), "name": "base", "ranges": RANGES, "trials": 6, "strategy": "screened"}
    stored = Stored(ArtifactStore(Home(home).artifacts), answers)
    record = run_study(make_plan({**content, **changes}), home=home, executor=stored)
    return record, stored


@pytest.fixture(scope="session")
def begun(tmp_path_factory):
    """A folder with a home and in it a study whose files, which are no models, nobody measured again."""
    folder = tmp_path_factory.mktemp("confirm")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("search.study.mlflow_ledger", lambda _: MemoryLedger())
        patched.setattr("search.study.measure_again", lambda *_: None)
        run(folder / "home")
    return folder


@pytest.fixture
def study(begun, tmp_path):
    """That study, free to be changed."""
    shutil.copytree(begun / "home", tmp_path / "home")
    return load(open_storage(Home(tmp_path / "home").studies_db), "base")


@pytest.fixture
def store(study, tmp_path):
    return ArtifactStore(Home(tmp_path / "home").artifacts)


class Again:
    """A device that takes so many times what the table says, or raises."""

    def __init__(self, record, factor=1.0, error=None):
        self.known = {trial.evidence.artifact: trial.latency for trial in record.trials}
        self.factor, self.error, self.seen = factor, error, []

    def measure(self, models, anchor):
        (model,) = models
        self.seen.append(model.stem)
        if self.error is not None:
            raise self.error
        first = self.known[model.stem]
        scaled = {name: self.factor * getattr(first, name) for name in ("latency_ms", "low_ms", "high_ms")}
        return (first.model_copy(update=scaled),)


def device(record, **how):
    runner = Again(record, **how)
    return Device(record.profile, runner, None), runner


def test_every_file_of_the_front_is_measured_once_more_and_only_once(study, store):
    record, screen = read_study(study), Screen()
    there, runner = device(record)
    assert unconfirmed(record, there, store)
    measure_again(study, there, store, screen.say)
    after = read_study(study)
    shown = front(record.trials, record.goals)
    assert len(shown) > 1
    assert runner.seen == [trial.evidence.artifact for trial in shown]
    assert all(after.confirmation(trial).agrees for trial in shown)
    assert not unconfirmed(after, there, store)
    measure_again(study, there, store, screen.say)
    assert len(runner.seen) == len(shown)
    assert len(screen.said) == 1  # and nothing of differences


def test_a_study_that_ends_since_nothing_new_fits_looks_twice_at_what_does(study, tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr("search.driver.PATIENCE", 3)
    monkeypatch.setattr("search.study.measure_again", lambda again, *_: looked.append(again.study_name))
    with pytest.raises(NothingFits) as caught:
        run(tmp_path / "home", too_large, trials=100, limits={"model_bytes": 4_000})
    assert looked == ["base"] and front(caught.value.record.trials, caught.value.record.goals)


def too_large(goals):
    (size,) = (goal for goal in goals if goal.metric == "model_bytes")
    return lambda _: screened(size, 1e6)


@pytest.mark.parametrize(("factor", "agrees"), [(1.1, True), (0.9, True), (1.5, False), (0.5, False)])
def test_a_latency_agrees_where_the_intervals_meet_and_else_it_is_told(study, store, factor, agrees):
    record, screen = read_study(study), Screen()
    measure_again(study, device(record, factor=factor)[0], store, screen.say)
    shown = front(record.trials, record.goals)
    assert {read_study(study).confirmation(trial).agrees for trial in shown} == {agrees}
    told = [line for line in screen.said if "the latency was" in line]
    assert len(told) == (0 if agrees else len(shown))


def test_one_file_that_cannot_be_measured_leaves_the_others(study, store):
    record, screen = read_study(study), Screen()
    there, runner = device(record, error=MeasuringFailed("it crashed"))
    measure_again(study, there, store, screen.say)
    assert len(runner.seen) == len(front(record.trials, record.goals))
    assert sum("could not be measured once more: it crashed" in line for line in screen.said) > 1
    assert not read_study(study).confirmations


def test_nothing_is_measured_without_a_device_by_a_recording_or_without_the_file(study, store, tmp_path):
    record = read_study(study)
    assert unmeasured(record, device(record)[0], store)
    assert not unmeasured(record, Device(record.profile, None, None), store)
    assert not unmeasured(record, Device(record.profile, ReplayRunner({}), None), store)
    assert not unmeasured(record, device(record)[0], ArtifactStore(tmp_path / "elsewhere"))


def confirming(study, count):
    """Let the plan ask for so many candidates to be trained again."""
    facts = read_facts(study)
    write_facts(study, facts.model_copy(update={"plan": facts.plan.model_copy(update={"confirm": count})}))
    return read_facts(study)


class Opened:
    """Opens executors that answer from a function of setting and candidate."""

    def __init__(self, answer):
        self.answer, self.settings, self.submitted = answer, [], []

    def __call__(self, setting):
        self.settings.append(setting)
        pool = TableExecutor(lambda candidate: self.answer(setting, candidate))
        pool.submitted = self.submitted
        return nullcontext(pool)


def luck(setting, candidate):
    """Answer from the table, less a bit that depends on the seed."""
    outcome = table()(candidate)
    lower = tuple(
        m.model_copy(update={"value": m.value - 0.01 * setting.seed}) if m.metric == "accuracy" else m
        for m in outcome.evidence.measurements
    )
    return Measured(evidence=outcome.evidence.model_copy(update={"measurements": lower}))


def test_the_best_are_trained_again_with_fresh_seeds_and_only_once(study, tmp_path):
    facts, opened, screen = confirming(study, 2), Opened(luck), Screen()
    setting = setting_of(facts, Home(tmp_path / "home"))
    train_again(study, setting, opened, screen.say)
    record = read_study(study)
    chosen = best(record, 2)
    assert chosen[0] == choose(record)
    assert [one.seed for one in opened.settings] == list(fresh_seeds(0)) == [1, 2]
    assert all(goal.limit is None for one in opened.settings for goal in one.goals)
    assert sorted(n for n, _ in opened.submitted) == sorted(2 * [trial.number for trial in chosen])
    for trial in chosen:
        own, known = trial.values["accuracy"], record.confirmation(trial)
        assert known.accuracies == pytest.approx((own - 0.01, own - 0.02))
        assert known.mean == pytest.approx(own - 0.015)
        assert known.spread == pytest.approx(0.01 / 2**0.5)
    train_again(study, setting, opened, screen.say)
    assert len(opened.settings) == 2


def test_more_are_trained_where_more_are_asked_for(study, tmp_path):
    opened, home = Opened(luck), Home(tmp_path / "home")
    train_again(study, setting_of(confirming(study, 1), home), opened, print)
    train_again(study, setting_of(confirming(study, 2), home), opened, print)
    first, second = best(read_study(study), 2)
    assert [n for n, _ in opened.submitted] == [first.number] * 2 + [second.number] * 2


def test_what_fails_by_its_own_fault_is_kept_as_that_and_other_faults_are_tried_again(study, tmp_path):
    faults = {1: "candidate", 2: "infrastructure"}

    def fails(setting, candidate):
        return Failed(error="no luck", fault=faults[setting.seed])

    facts, screen = confirming(study, 1), Screen()
    train_again(study, setting_of(facts, Home(tmp_path / "home")), Opened(fails), screen.say)
    record = read_study(study)
    (one,) = best(record, 1)
    assert record.confirmation(one).retrained == {1: None}
    assert record.confirmation(one).mean is None
    assert not untrained(record, 1)
    assert untrained(record, 2) == (one,)
    assert sum("no luck" in line for line in screen.said) == 2


def test_a_device_that_goes_away_is_said_as_that(study, store, tmp_path):
    record = read_study(study)
    with pytest.raises(Unreachable, match="unplugged"):
        measure_again(study, device(record, error=Unreachable("unplugged"))[0], store, print)
    gone = Opened(lambda *_: Failed(error="unplugged", fault="device"))
    with pytest.raises(Unreachable, match="unplugged"):
        train_again(study, setting_of(confirming(study, 1), Home(tmp_path / "home")), gone, print)


def confirmed(study, tmp_path, store, factor=1.0):
    """Return the study with its front looked at twice."""
    measure_again(study, device(read_study(study), factor=factor)[0], store, print)
    train_again(study, setting_of(confirming(study, 1), Home(tmp_path / "home")), Opened(luck), print)
    return read_study(study)


def text_of(renderable):
    from rich.console import Console

    console = Console(width=400)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_every_view_shows_it(study, store, tmp_path):
    plain = text_of(front_table(front(read_study(study).trials, read_study(study).goals), read_study(study)))
    assert "measured again" not in plain
    assert "trained again" not in plain
    record = confirmed(study, tmp_path, store, factor=1.5)
    shown = front(record.trials, record.goals)
    (one,) = best(record, 1)
    known = record.confirmation(one)
    told = f"{known.mean:.4f} ± {known.spread:.4f}"
    drawn = text_of(front_table(shown, record))
    assert drawn.count("(differs)") == len(shown)
    assert told in drawn
    cells = {row["trial"]: row for row in rows(shown, record)}
    assert cells[one.number]["confirmed_accuracy"] == known.mean
    assert cells[one.number]["confirmed_trainings"] == 2
    assert {row["latency_agrees"] for row in cells.values()} == {False}
    assert front_frame(record)["confirmed_latency_ms"].notna().all()
    assert "confirmed_accuracy" in front_markdown(record)


def test_a_study_pauses_where_the_device_goes_away_at_its_end(study, tmp_path, monkeypatch):
    def away(*_):
        raise Unreachable("the board is unplugged")

    monkeypatch.setattr("search.study.measure_again", away)
    with pytest.raises(Paused, match=r"the board is unplugged; what is done is kept.*same command"):
        run(tmp_path / "home", data=read_facts(study).plan.data.source)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_real_study_is_confirmed_at_its_end_and_the_card_says_so(tmp_path, ledger):
    screen, home = Screen(), tmp_path / "home"
    content = {
        "data": "digits", "name": "digits", "space": "mlp", "trials": 2, "epochs": 2, "ranges": RANGES,
        "strategy": "plain", "confirm": 1,
    }  # fmt: skip
    record = run_study(make_plan(content), home=home, executor="in-process", display=screen)
    shown = front(record.trials, record.goals)
    (one,) = best(record, 1)
    assert all(record.confirmation(trial).latency is not None for trial in shown)
    assert len(record.confirmation(one).accuracies) == 2
    assert ledger.digests["digits"].confirmations == record.confirmations
    said = len(screen.said)
    again = run_study(make_plan(content), home=home, executor="in-process", display=screen)
    assert again.confirmations == record.confirmations
    assert not any("again" in line or "once more" in line for line in screen.said[said:])
    study = load(open_storage(Home(home).studies_db), "digits")
    shipped = shipment(study, record, one, Home(home))
    assert "confirmed:** measured once more" in model_card(shipped)
    assert f"came to {record.confirmation(one).mean:.4f}" in model_card(shipped)
    assert json.loads(json.dumps(manifest(shipped)))["confirmation"]["latency"]["latency_ms"] > 0


def test_a_confirmation_of_one_training_has_no_spread():
    known = Confirmation(trial=0, artifact="a").trained(1, 0.9)
    assert (known.mean, known.spread) == (0.9, None)
    assert Confirmation.model_validate_json(known.model_dump_json()) == known
