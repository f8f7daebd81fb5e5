"""What every space keeps. A space's tests subclass this and supply the fixtures `space` and `problem`."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spaces.candidate import Candidate, Problem
from spaces.chooser import Choices, Chooser, Integers, Pick, RandomChooser, Reals, Recorder, family, single
from spaces.space import Space, narrow
from spaces.weights import kernel_sizes

SEEDS = st.integers(0, 2**32)
# A test of the contract runs in every subclass, and that is meant.
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors])


class Replayed:
    """Chooses what a recorder has noted."""

    def __init__(self, recorder: Recorder) -> None:
        self.answers = recorder.answers

    def __call__(self, name: str, within: Integers | Reals | Choices) -> bool | int | float | str:
        assert within.holds(self.answers[name])
        return self.answers[name]


def suggestion(space: Space, problem: Problem, chooser: Chooser, ranges=None) -> Candidate:
    """Return the candidate that a chooser leads to, of the space's own ranges unless others are given."""
    return space.suggest(Pick(chooser, space.ranges(problem) if ranges is None else ranges), problem)


def recorded(seed: int) -> Recorder:
    """Return a recorder around a seeded random chooser; it fails for a name that is asked twice."""
    return Recorder(RandomChooser(random.Random(seed)))


def some_part(within: Integers | Reals | Choices, generator: random.Random):
    """Return a random part of a range: some options, or from one value in it to another."""
    if isinstance(within, Choices):
        return Choices(
            options=tuple(generator.sample(within.options, generator.randint(1, len(within.options))))
        )
    choose = RandomChooser(generator)
    low, high = sorted(choose("", within) for _ in range(2))
    return type(within)(low=low, high=high)


def tidied(within: Integers | Reals | Choices, answer):
    """Return the answer as a candidate has it."""
    return within.tidy(answer) if isinstance(within, Reals) else answer


class SpaceContract:
    """Subclass with class-scoped fixtures: `space`, and a `problem` that it is for."""

    def test_has_the_members_of_a_space(self, space, problem):
        assert isinstance(space, Space)
        assert space.name
        assert problem.kind in space.kinds

    @given(seed=SEEDS)
    @quick
    def test_any_choice_makes_a_candidate_and_asks_each_name_once(self, space, problem, seed):
        candidate = suggestion(space, problem, recorded(seed))
        assert isinstance(candidate, Candidate)
        assert candidate.compression.precision in problem.precisions
        assert all(kernel.weights > 0 for kernel in kernel_sizes(candidate, problem))

    @given(seed=SEEDS)
    @quick
    def test_the_same_answers_make_the_same_candidate(self, space, problem, seed):
        recorder = recorded(seed)
        first = suggestion(space, problem, recorder)
        second = suggestion(type(space)(), problem, Replayed(recorder))
        assert first == second
        assert first.digest == second.digest

    @given(seed=SEEDS)
    @quick
    def test_json_keeps_the_candidate_and_its_digests(self, space, problem, seed):
        candidate = suggestion(space, problem, recorded(seed))
        again = Candidate.model_validate_json(candidate.model_dump_json())
        assert again == candidate
        assert [stage.digest for stage in again.stages] == [stage.digest for stage in candidate.stages]

    def test_every_range_is_asked_for_unless_it_leaves_one_value(self, space, problem):
        asked: set[str] = set()
        for seed in range(200):
            recorder = recorded(seed)
            suggestion(space, problem, recorder)
            asked |= {family(name) for name in recorder.asked} | set(recorder.asked)
        open_ranges = {name for name, within in space.ranges(problem).items() if single(within) is None}
        assert open_ranges <= asked, f"never asked: {open_ranges - asked}"

    @given(seed=SEEDS, member=st.booleans())
    @quick
    def test_whatever_is_narrowed_stays_inside(self, space, problem, seed, member):
        generator = random.Random(seed)
        whole = space.ranges(problem)
        first = recorded(seed)
        suggestion(space, problem, first)
        names = sorted(first.asked) if member else sorted(whole)
        wanted = {
            name: some_part(whole.get(name) or whole[family(name)], generator)
            for name in generator.sample(names, generator.randint(1, len(names)))
        }
        recorder = recorded(seed + 1)
        suggestion(space, problem, recorder, narrow(whole, wanted))
        for name, answer in recorder.answers.items():
            limits = wanted.get(name) or wanted.get(family(name)) or whole.get(name) or whole[family(name)]
            assert limits.holds(answer)
            assert (whole.get(name) or whole[family(name)]).holds(answer)

    @given(seed=SEEDS)
    @quick
    def test_a_space_narrowed_to_one_point_asks_nothing(self, space, problem, seed):
        recorder = recorded(seed)
        candidate = suggestion(space, problem, recorder)
        answers = {name: tidied(recorder.asked[name], answer) for name, answer in recorder.answers.items()}
        points = {name: Choices(options=(answer,)) for name, answer in answers.items()}
        silent = recorded(0)
        assert suggestion(space, problem, silent, narrow(space.ranges(problem), points)) == candidate
        assert not silent.asked
