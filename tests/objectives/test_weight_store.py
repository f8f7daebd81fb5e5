"""Kept weights: what is put comes back, the budget holds, and neither kills nor company harm it."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from objectives.outcome import Epoch
from objectives.weights import Trained, WeightStore

CURVE = (Epoch(epoch=1, loss=1.25, valid=0.5), Epoch(epoch=2, loss=0.1, valid=0.75))


def trained(size=1000, value=1.0, curve=CURVE):
    """Return weights of a kind that a network has: some arrays, a scalar among them."""
    return Trained(
        [np.full(size, value, np.float32), np.float32(3), np.zeros((2, 0, 1), np.float32)], curve, 0.75
    )


def size_of(root):
    return sum(path.stat().st_size for path in root.glob("*.npz"))


def one_size(tmp_path):
    WeightStore(tmp_path / "probe", 10**9).put("x", trained())
    return size_of(tmp_path / "probe")


def aged(root, digest, seconds):
    """Let a file look as if it was last used that long ago."""
    then = time.time() - seconds
    os.utime(root / f"{digest}.npz", (then, then))


@pytest.mark.parametrize("curve", [CURVE, ()], ids=["curve", "no curve"])
def test_what_is_put_comes_back(tmp_path, curve):
    store = WeightStore(tmp_path / "weights", 10**9)
    store.put("abc", trained(curve=curve))
    found = WeightStore(tmp_path / "weights", 10**9).get("abc")
    assert found.curve == curve
    for one, other in zip(found.weights, trained().weights, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, np.shape(other))
        np.testing.assert_array_equal(one, other)


def test_more_than_ten_arrays_keep_their_order(tmp_path):
    store = WeightStore(tmp_path, 10**9)
    store.put("many", Trained([np.array([i]) for i in range(25)], (), 0.5))
    assert [int(array[0]) for array in store.get("many").weights] == list(range(25))


def test_what_is_not_there_is_none(tmp_path):
    assert WeightStore(tmp_path / "nowhere", 10**9).get("abc") is None


def test_the_least_recently_used_goes_first(tmp_path):
    budget = int(one_size(tmp_path) * 3.5)
    root = tmp_path / "weights"
    store = WeightStore(root, budget)
    for age, digest in ((300, "oldest"), (200, "older"), (100, "old")):
        store.put(digest, trained())
        aged(root, digest, age)
    assert store.get("oldest") is not None  # now the most recently used
    store.put("new", trained())
    assert store.get("older") is None
    assert all(store.get(digest) for digest in ("oldest", "old", "new"))
    assert size_of(root) <= budget


def test_the_newest_is_kept_even_if_it_alone_is_over_the_budget(tmp_path):
    store = WeightStore(tmp_path, 10)
    store.put("one", trained())
    store.put("two", trained())
    assert store.get("one") is None
    assert store.get("two") is not None


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short", b"no zip at all"])
def test_a_damaged_file_counts_as_missing_and_is_replaced(tmp_path, damage):
    store = WeightStore(tmp_path, 10**9)
    store.put("abc", trained())
    (tmp_path / "abc.npz").write_bytes(damage)
    assert store.get("abc") is None
    store.put("abc", trained())
    assert store.get("abc") is not None


def test_a_file_cut_in_the_middle_counts_as_missing(tmp_path):
    store = WeightStore(tmp_path, 10**9)
    store.put("abc", trained())
    whole = (tmp_path / "abc.npz").read_bytes()
    (tmp_path / "abc.npz").write_bytes(whole[: len(whole) // 2])
    assert store.get("abc") is None


def test_left_overs_of_killed_writers_go_and_those_of_running_ones_stay(tmp_path):
    for name, age in ((".part-dead", 7200), (".part-alive", 10)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    WeightStore(tmp_path, 10**9).put("abc", trained())
    assert {path.name for path in tmp_path.iterdir()} == {".part-alive", "abc.npz"}


WRITER = """
import sys
from pathlib import Path
import numpy as np
from objectives.weights import Trained, WeightStore
store = WeightStore(Path(sys.argv[1]), 10**9)
print("ready", flush=True)
number = 0
while True:
    store.put("abc", Trained([np.full(200_000, number, np.float32)] * 2, (), 0.5))
    number += 1
"""


def test_a_writer_killed_at_any_instant_leaves_whole_weights_or_none(tmp_path):
    for delay_s in (0.02, 0.05, 0.11):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout.readline() == "ready\n"
            time.sleep(delay_s)
            child.send_signal(signal.SIGKILL)
        found = WeightStore(tmp_path, 10**9).get("abc")
        if found is not None:
            first, second = found.weights
            assert np.ptp(first) == 0
            np.testing.assert_array_equal(first, second)


def test_many_writers_and_readers_keep_the_budget_and_see_whole_weights_alone(tmp_path):
    budget = one_size(tmp_path) * 4
    root = tmp_path / "weights"

    def work(worker):
        store = WeightStore(root, budget)
        seen = []
        for step in range(15):
            store.put(f"{worker}-{step}", trained(value=worker))
            seen.append(store.get(f"{(worker + 1) % 4}-{step}"))
        return [found.weights[0] for found in seen if found is not None]

    with ThreadPoolExecutor(4) as pool:
        for worker, arrays in enumerate(pool.map(work, range(4))):
            for array in arrays:
                np.testing.assert_array_equal(array, np.full(1000, (worker + 1) % 4, np.float32))
    WeightStore(root, budget).put("last", trained())
    assert size_of(root) <= budget
