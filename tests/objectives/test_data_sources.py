"""Every kind of source, read for real from small files."""

import gzip
import hashlib
import struct
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from objectives.datasets import fashion
from objectives.datasets.rows import ArrayRows
from objectives.datasets.sources import load
from objectives.datasets.spec import Column, DataSpec
from objectives.errors import DataError


def everything(raw):
    return raw.train.x.take(np.arange(raw.train.x.shape[0]))


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("digits", (1797, 8, 8, 1), 10),
        ("wine", (178, 13), 3),
        ("breast-cancer", (569, 30), 2),
        ("iris", (150, 4), 3),
    ],
)
def test_bundled_sets_come_with_their_names(name, shape, classes):
    raw = load(DataSpec(source=name))
    assert (raw.name, raw.train.x.shape, len(raw.classes)) == (name, shape, classes)
    assert raw.columns is None if name == "digits" else len(raw.columns) == shape[1]


def test_digits_are_bytes_and_lose_nothing():
    from sklearn.datasets import load_digits

    pixels = everything(load(DataSpec(source="digits")))
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels[..., 0], load_digits().images)


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "size": [1.5, 2.5, np.nan, 4.0],
            "count": [1, 2, 3, 4],
            "colour": ["red", "blue", None, "red"],
            "open": [True, False, True, True],
            "person": ["a", "a", "b", "b"],
            "kind": ["x", "y", "x", "y"],
        }
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_numbers_stay_and_categories_become_codes(frame, tmp_path, suffix):
    path = tmp_path / f"things.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    raw = load(DataSpec(source=str(path), target="kind", group="person"))
    assert raw.columns == (
        Column(name="size"),
        Column(name="count"),
        Column(name="colour", categories=("blue", "red")),
        Column(name="open", categories=("False", "True")),
    )
    nan = np.nan
    expected = np.array([[1.5, 1, 1, 1], [2.5, 2, 0, 0], [nan, 3, nan, 1], [4, 4, 1, 1]], np.float32)
    np.testing.assert_array_equal(everything(raw), expected)
    assert list(raw.train.y) == ["x", "y", "x", "y"]
    assert list(raw.train.groups) == ["a", "a", "b", "b"]


def test_a_pandas_category_keeps_its_own_order(tmp_path):
    sizes = pd.Categorical(["small", "large", "small"], categories=["small", "medium", "large"])
    frame = pd.DataFrame({"size": sizes, "n": pd.array([1, None, 3], dtype="Int64"), "y": [0, 1, 0]})
    frame.to_parquet(tmp_path / "t.parquet")
    raw = load(DataSpec(source=str(tmp_path / "t.parquet"), target="y"))
    assert raw.columns[0].categories == ("small", "medium", "large")
    np.testing.assert_array_equal(everything(raw), np.array([[0, 1], [2, np.nan], [0, 3]], np.float32))


def test_the_row_index_that_pandas_writes_is_no_input(frame, tmp_path):
    frame.to_csv(tmp_path / "t.csv")
    raw = load(DataSpec(source=str(tmp_path / "t.csv"), target="kind"))
    assert [c.name for c in raw.columns] == ["size", "count", "colour", "open", "person"]
    assert "numbers the rows" in raw.notes[0]


def test_a_column_of_ids_is_pointed_out(tmp_path):
    frame = pd.DataFrame({"id": [f"n{k}" for k in range(40)], "v": range(40), "y": [0, 1] * 20})
    frame.to_csv(tmp_path / "t.csv", index=False)
    (note,) = load(DataSpec(source=str(tmp_path / "t.csv"), target="y")).notes
    assert "'id'" in note


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_stored_npz_is_mapped_where_it_lies(tmp_path, order):
    x = np.asarray(np.random.default_rng(0).normal(size=(7, 5, 3)), order=order)
    np.savez(tmp_path / "a.npz", y=np.arange(7), x=x)
    raw = load(DataSpec(source=str(tmp_path / "a.npz")))
    assert isinstance(raw.train.x.array.base, np.memmap) or isinstance(raw.train.x.array, np.memmap)
    np.testing.assert_array_equal(everything(raw), x)
    np.testing.assert_array_equal(raw.train.y, np.arange(7))


def test_a_compressed_npz_is_read(tmp_path):
    x = np.random.default_rng(0).normal(size=(7, 5))
    np.savez_compressed(tmp_path / "a.npz", x=x, y=np.arange(7))
    np.testing.assert_array_equal(everything(load(DataSpec(source=str(tmp_path / "a.npz")))), x)


def test_a_compressed_npz_beyond_memory_says_how_to_store_it(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((7, 5)), y=np.arange(7))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 100}))
    with pytest.raises(DataError, match=r"larger than the free memory .* np\.savez"):
        load(DataSpec(source=str(tmp_path / "a.npz")))


def test_an_npz_with_a_test_set_and_groups(tmp_path):
    arrays = {f"{name}_{part}": np.ones((4, 2)) for name in "x" for part in ("train", "test")}
    labels = {f"{name}_{part}": np.arange(4) for name in ("y", "who") for part in ("train", "test")}
    np.savez(tmp_path / "a.npz", **arrays, **labels)
    raw = load(DataSpec(source=str(tmp_path / "a.npz"), group="who"))
    assert raw.test is not None
    assert list(raw.train.groups) == list(raw.test.groups) == [0, 1, 2, 3]


def save_image(path: Path, mode: str, size: tuple[int, int], value, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path, **options)


def test_a_folder_of_grey_images_has_one_channel(tmp_path):
    for name in ("cat", "dog"):
        for k in range(3):
            save_image(tmp_path / "pets" / name / f"{k}.png", "L", (6, 4), 10 * k)
    (tmp_path / "pets" / "dog" / "readme.txt").write_text("no image")
    (tmp_path / "pets" / ".cache").mkdir()
    raw = load(DataSpec(source=str(tmp_path / "pets")))
    assert (raw.name, raw.classes, raw.train.x.shape) == ("pets", ("cat", "dog"), (6, 4, 6, 1))
    assert list(raw.train.y) == [0, 0, 0, 1, 1, 1]
    assert everything(raw)[:, 0, 0, 0].tolist() == [0, 10, 20, 0, 10, 20]
    assert raw.notes == ("1 file beside the images left out",)


def test_one_coloured_image_makes_all_of_them_coloured(tmp_path):
    save_image(tmp_path / "a" / "0.png", "L", (4, 4), 7)
    save_image(tmp_path / "a" / "1.png", "P", (4, 4), 0)
    save_image(tmp_path / "b" / "0.png", "RGB", (4, 4), (1, 2, 3))
    raw = load(DataSpec(source=str(tmp_path)))
    assert raw.train.x.shape == (3, 4, 4, 3)
    assert everything(raw)[[0, 2], 0, 0].tolist() == [[7, 7, 7], [1, 2, 3]]


def test_images_are_resized_and_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: shown turned by 90 degrees
    save_image(tmp_path / "a" / "0.jpg", "L", (8, 4), 9, exif=exif)
    save_image(tmp_path / "b" / "0.jpg", "L", (4, 8), 9)
    assert load(DataSpec(source=str(tmp_path))).train.x.shape == (2, 8, 4, 1)
    raw = load(DataSpec(source=str(tmp_path), image_size=(2, 3)))
    assert everything(raw).shape == (2, 2, 3, 1)


USERS_MODULE = """
import numpy as np, pandas as pd
X = np.arange(24.0).reshape(6, 4)
Y = [0, 1] * 3
def pair(): return X, Y
def four(): return X, Y, X[:2], Y[:2]
def named(): return {"x": X, "y": Y, "who": list("aabbcc")}
def frames():
    a = pd.DataFrame({"c": ["u", "v"], "n": [1, 2]}); b = pd.DataFrame({"c": ["w", "u"], "n": [3, 4]})
    return a, [0, 1], b, [0, 1]
def other_frames(): return pd.DataFrame({"c": [1]}), [0], pd.DataFrame({"d": [1]}), [0]
def broken(): raise RuntimeError("no data\\ntoday")
def three(): return 1, 2, 3
def ragged(): return [[1], [1, 2]], [0, 1]
"""


@pytest.fixture
def users_folder(tmp_path, monkeypatch):
    (tmp_path / "users_data.py").write_text(USERS_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("users_data", None)


@pytest.mark.parametrize(("name", "test_rows"), [("pair", None), ("four", 2), ("named", None)])
@pytest.mark.usefixtures("users_folder")
def test_a_users_function_gives_arrays(name, test_rows):
    raw = load(DataSpec(source=f"users_data:{name}"))
    assert (raw.name, raw.train.x.shape) == (name, (6, 4))
    assert (None if raw.test is None else raw.test.x.shape[0]) == test_rows


def test_the_current_folder_is_appended_and_never_inserted(users_folder):
    load(DataSpec(source="users_data:pair"))
    assert sys.path[-1] == str(users_folder)
    assert sys.path.count(str(users_folder)) == 1


@pytest.mark.usefixtures("users_folder")
def test_a_users_dict_may_hold_groups():
    raw = load(DataSpec(source="users_data:named", group="who"))
    assert list(raw.train.groups) == list("aabbcc")


@pytest.mark.usefixtures("users_folder")
def test_frames_of_train_and_test_share_their_categories():
    raw = load(DataSpec(source="users_data:frames"))
    assert raw.columns[0] == Column(name="c", categories=("u", "v", "w"))
    assert everything(raw).tolist() == [[0, 1], [1, 2]]
    assert raw.test.x.take(np.arange(2)).tolist() == [[2, 3], [0, 4]]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", "RuntimeError: no data today"),
        ("three", "got 3 things"),
        ("pear", "did you mean 'pair'"),
        ("ragged", "one shape"),
        ("other_frames", "columns of the train set"),
    ],
)
@pytest.mark.usefixtures("users_folder")
def test_a_function_that_cannot_be_used_is_named(name, said):
    with pytest.raises(DataError, match=said) as caught:
        load(DataSpec(source=f"users_data:{name}"))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("users_folder")
def test_a_module_that_is_not_there_is_named():
    with pytest.raises(DataError, match=r"'nowhere_at_all' of .* cannot be imported"):
        load(DataSpec(source="nowhere_at_all:f"))


def idx_gz(array: np.ndarray) -> bytes:
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def fashion_files(tmp_path, monkeypatch):
    """Small files of Fashion-MNIST's form, with their MD5s in place of the publisher's."""
    folder = tmp_path / "published"
    folder.mkdir()
    for prefix, rows in (("train", 30), ("t10k", 20)):
        images = np.random.default_rng(rows).integers(0, 256, (rows, 28, 28))
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx_gz(images))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx_gz(np.arange(rows) % 10))
    md5s = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in fashion.FILES_MD5}
    monkeypatch.setattr(fashion, "FILES_MD5", md5s)
    monkeypatch.setattr(fashion, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return folder


def test_fashion_mnist_is_found_in_the_keras_cache(fashion_files, tmp_path):
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    fashion_files.rename(fashion.keras_folder())
    raw = load(DataSpec(source="fashion-mnist"))
    assert (raw.train.x.shape, raw.test.x.shape) == ((30, 28, 28, 1), (20, 28, 28, 1))
    assert raw.classes[9] == "Ankle boot"
    assert everything(raw).dtype == np.uint8


def test_fashion_mnist_is_downloaded_whole(fashion_files):
    fashion.download(fashion.keras_folder(), fashion_files.as_uri() + "/")
    assert sorted(p.name for p in fashion.keras_folder().iterdir()) == sorted(fashion.FILES_MD5)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_failed_download_leaves_no_half_file(fashion_files, damage):
    broken = fashion_files / "t10k-images-idx3-ubyte.gz"
    broken.write_bytes(broken.read_bytes()[:-9]) if damage == "cut" else broken.unlink()
    with pytest.raises(DataError, match="install the package dataset-fashion-mnist"):
        fashion.download(fashion.keras_folder(), fashion_files.as_uri() + "/")
    left = {p.name for p in fashion.keras_folder().iterdir()}
    assert left == {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"}


def test_a_broken_idx_file_is_named(fashion_files):
    broken = fashion_files / "t10k-images-idx3-ubyte.gz"
    broken.write_bytes(broken.read_bytes()[:-9])
    with pytest.raises(DataError, match="no readable IDX file"):
        fashion.read_idx(broken)


@pytest.mark.needs_system_package("dataset-fashion-mnist", str(fashion.DEBIAN_FOLDER))
def test_the_packaged_fashion_mnist_is_whole():
    raw = load(DataSpec(source="fashion-mnist"))
    assert (raw.train.x.shape, raw.test.x.shape) == ((60000, 28, 28, 1), (10000, 28, 28, 1))
    assert isinstance(raw.train.x, ArrayRows)
    assert np.bincount(raw.train.y).tolist() == [6000] * 10
