"""The store on disk: complete or not there, named after its content, never larger in memory than a chunk."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from objectives.datasets import store
from objectives.datasets.prepare import open_data, prepare
from objectives.datasets.rows import ArrayRows
from objectives.datasets.spec import DataSpec, DataSummary
from objectives.errors import DataError


def save_npz(path: Path, seed: int = 0, rows: int = 60, **more) -> str:
    generator = np.random.default_rng(seed)
    arrays = {"x": generator.normal(size=(rows, 3)), "y": np.arange(rows) % 2, **more}
    np.savez(path, **arrays)
    return str(path)


def stores(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir() if p.name != ".lock")


def test_what_is_opened_is_what_was_prepared(tmp_path):
    from sklearn.datasets import load_digits

    summary = prepare(DataSpec(source="digits"), tmp_path)
    data = open_data(tmp_path, summary.digest)
    assert data.summary == summary
    assert summary.sizes == (1078, 360, 359)
    x_test, y_test = data.test()
    assert (data.x_dev.dtype, data.y_dev.dtype, y_test.dtype) == (np.uint8, np.int32, np.int32)
    (fold,) = data.folds
    assert (data.x_dev[fold.train].shape, data.x_dev[fold.valid].shape) == ((1078, 8, 8, 1), (360, 8, 8, 1))
    assert data.x_dev[fold.train].base is not None  # a view, no copy
    found = sorted(
        (label, image.tobytes())
        for x, y in ((data.x_dev, data.y_dev), (x_test, y_test))
        for label, image in zip(y.tolist(), np.asarray(x), strict=True)
    )
    bunch = load_digits()
    images = bunch.images.astype(np.uint8)
    assert found == sorted((int(t), i.tobytes()) for t, i in zip(bunch.target, images, strict=True))


def test_the_arrays_are_read_only_maps_and_the_test_set_is_behind_a_method(tmp_path):
    data = open_data(tmp_path, prepare(DataSpec(source="iris"), tmp_path).digest)
    assert isinstance(data.x_dev, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        data.x_dev[0] = 0
    assert not hasattr(data, "x_test")
    assert "x_test" not in repr(data)


def test_folds_come_back(tmp_path):
    summary = prepare(DataSpec(source="wine"), tmp_path)
    data = open_data(tmp_path, summary.digest)
    assert (summary.folds, len(data.folds)) == (8, 8)
    for fold in data.folds:
        assert sorted(np.concatenate((fold.train, fold.valid))) == list(range(len(data.y_dev)))
    assert "averaged" in summary.notes[-1]


def test_constant_columns_are_left_out_with_a_word(tmp_path):
    summary = prepare(DataSpec(source="digits", kind="table"), tmp_path)
    assert summary.input_shape == (61,)
    assert [c.name for c in summary.columns][:2] == ["column 1", "column 2"]
    assert "'column 0', 'column 32', 'column 39'" in summary.notes[-1]
    data = open_data(tmp_path, summary.digest)
    (fold,) = data.folds
    assert np.all(np.ptp(data.x_dev[fold.train], axis=0) > 0)
    assert data.test()[0].shape == (359, 61)


def test_a_given_test_set_stays_as_it_is(tmp_path):
    x = np.arange(60.0).reshape(20, 3)
    source = tmp_path / "a.npz"
    np.savez(source, x_train=x, y_train=np.arange(20) % 2, x_test=x[:6] + 0.5, y_test=np.arange(6) % 2)
    summary = prepare(DataSpec(source=str(source)), tmp_path / "s")
    x_test, y_test = open_data(tmp_path / "s", summary.digest).test()
    np.testing.assert_array_equal(x_test, x[:6] + 0.5)
    assert y_test.tolist() == [0, 1, 0, 1, 0, 1]
    assert summary.sizes == (15, 5, 6)


def test_a_subset_says_so(tmp_path):
    summary = prepare(DataSpec(source="digits", subset=500), tmp_path)
    assert sum(summary.sizes) == 500
    assert "a stratified subset of 500 of 1,797 samples" in summary.notes


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 59), st.integers(0, 2), st.integers(0, 3))
def test_the_digest_changes_with_any_value_and_with_nothing_else(tmp_path, row, column, seed):
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    spec = DataSpec(source=save_npz(folder / "a.npz"), split_seed=seed)
    first = prepare(spec, folder / "s")
    copied = prepare(spec.model_copy(update={"source": save_npz(folder / "b.npz")}), folder / "other")
    assert (copied.digest, copied.name) == (first.digest, "b")
    x = np.load(folder / "a.npz")["x"]
    x[row, column] += 1
    changed = prepare(spec.model_copy(update={"source": save_npz(folder / "a.npz", x=x)}), folder / "s")
    assert changed.digest != first.digest
    assert stores(folder / "s") == sorted((first.digest, changed.digest))


def test_the_digest_tells_labels_kinds_seeds_and_names_apart(tmp_path):
    base = save_npz(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(60, 4, 4)))
    renamed = save_npz(tmp_path / "b.npz", x=np.load(base)["x"], y=np.where(np.arange(60) % 2, "dog", "cat"))
    specs = [
        DataSpec(source=base),
        DataSpec(source=base, kind="table"),
        DataSpec(source=base, kind="series"),
        DataSpec(source=base, split_seed=1),
        DataSpec(source=base, subset=50),
        DataSpec(source=renamed),
    ]
    assert len({prepare(spec, tmp_path / "s").digest for spec in specs}) == len(specs)


@pytest.mark.parametrize("chunk_bytes", [1, 100, 10**9])
def test_chunks_change_nothing(tmp_path, chunk_bytes):
    spec = DataSpec(source=save_npz(tmp_path / "a.npz"))
    assert prepare(spec, tmp_path / "s", chunk_bytes=chunk_bytes) == prepare(spec, tmp_path / "t")


@dataclass(frozen=True)
class Watched:
    """Rows that remember how many were asked for at once."""

    inner: ArrayRows
    asked: list[int] = field(default_factory=list)

    @property
    def shape(self):
        return self.inner.shape

    @property
    def dtype(self):
        return self.inner.dtype

    def take(self, indices):
        self.asked.append(len(indices))
        return self.inner.take(indices)


def content_of(rows, count: int) -> store.Content:
    summary = DataSummary(
        name="n",
        digest="",
        kind="table",
        input_shape=(4,),
        dtype="float32",
        classes=("a", "b"),
        sizes=(6, 2, 2),
    )
    order = np.random.default_rng(0).permutation(count)
    return store.Content(summary, {"x_dev": store.Ordered(rows, order)}, ((np.arange(6), np.arange(6, 8)),))


def test_never_more_rows_than_a_chunk_holds_are_read_at_once(tmp_path):
    array = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    rows = Watched(ArrayRows(array))
    digest = store.save(tmp_path, content_of(rows, 1000), chunk_bytes=160).digest
    assert max(rows.asked) == 10
    written = np.load(tmp_path / digest / "x_dev.npy")
    np.testing.assert_array_equal(written, array[np.random.default_rng(0).permutation(1000)])


def test_a_known_set_is_read_and_not_written_again(tmp_path):
    spec = DataSpec(source="iris")
    first = prepare(spec, tmp_path)
    (tmp_path / ".lock").unlink()
    before = (tmp_path / first.digest / "x_dev.npy").stat().st_mtime_ns
    assert prepare(spec, tmp_path) == first
    assert (tmp_path / first.digest / "x_dev.npy").stat().st_mtime_ns == before
    assert not (tmp_path / ".lock").exists()  # nothing was to be written, so nothing was locked


def test_a_folder_of_images_is_decoded_a_few_at_a_time(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "i" / name).mkdir(parents=True)
        for k in range(15):
            pixels = generator.integers(0, 256, (5, 6, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "i" / name / f"{k}.png")
    summary = prepare(DataSpec(source=str(tmp_path / "i")), tmp_path / "s", chunk_bytes=200)
    data = open_data(tmp_path / "s", summary.digest)
    assert (summary.kind, summary.dtype, summary.input_shape) == ("image", "uint8", (5, 6, 3))
    stored = {image.tobytes() for x in (data.x_dev, data.test()[0]) for image in np.asarray(x)}
    files = {np.asarray(Image.open(p)).tobytes() for p in (tmp_path / "i").glob("*/*.png")}
    assert stored == files


@pytest.fixture
def small_files_only():
    """Let no file of this process grow beyond 64 KiB, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, request):
    source = save_npz(tmp_path / "a.npz", rows=20_000)
    request.getfixturevalue("small_files_only")
    with pytest.raises(DataError, match=r"cannot be written to .* free some space") as caught:
        prepare(DataSpec(source=source), tmp_path / "s")
    assert "\n" not in str(caught.value)
    assert stores(tmp_path / "s") == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="EDGESEARCH_HOME"):
        prepare(DataSpec(source="iris"), tmp_path / "file")
    with pytest.raises(DataError, match="EDGESEARCH_HOME"):
        prepare(DataSpec(source="iris"), tmp_path / "file" / "below")


def test_left_overs_are_cleared_and_a_half_store_is_replaced(tmp_path):
    digest = prepare(DataSpec(source="iris"), tmp_path).digest
    (tmp_path / ".building-old").mkdir()
    (tmp_path / digest / "summary.json").unlink()
    assert prepare(DataSpec(source="iris"), tmp_path).digest == digest
    assert stores(tmp_path) == [digest]
    assert len(open_data(tmp_path, digest).y_dev) == 120


@pytest.mark.parametrize("damage", ["summary.json", "folds.npz", "x_dev.npy"])
def test_a_damaged_store_is_refused_when_it_is_opened(tmp_path, damage):
    digest = prepare(DataSpec(source="iris"), tmp_path).digest
    (tmp_path / digest / damage).write_text("{")
    with pytest.raises(DataError, match="prepare it again") as caught:
        open_data(tmp_path, digest)
    assert "\n" not in str(caught.value)


SLOW_PREPARATION = """
import sys, time
from pathlib import Path
from objectives.datasets import rows
from objectives.datasets.prepare import prepare
from objectives.datasets.spec import DataSpec
take = rows.ArrayRows.take
rows.ArrayRows.take = lambda self, indices: (time.sleep(0.01), take(self, indices))[1]
prepare(DataSpec(source="digits"), Path(sys.argv[1]), chunk_bytes=64)
"""


@pytest.mark.slow
def test_killed_on_the_way_nothing_trips_the_next_call(tmp_path):
    here = str(Path(store.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": here}
    process = subprocess.Popen([sys.executable, "-c", SLOW_PREPARATION, str(tmp_path)], env=environment)
    try:
        while not any(tmp_path.glob(".building-*/x_dev.npy")):
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert [name[:10] for name in stores(tmp_path)] == [".building-"]
    summary = prepare(DataSpec(source="digits"), tmp_path)
    assert stores(tmp_path) == [summary.digest]
    assert len(open_data(tmp_path, summary.digest).y_dev) == 1438
