"""What cannot be used is refused on one line with rule, value and way out; nothing is written."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from objectives.datasets.prepare import open_data, prepare
from objectives.datasets.spec import DataSpec
from objectives.errors import DataError

Y = np.repeat([0, 1], 20)
X = np.random.default_rng(0).normal(size=(40, 3))


@pytest.fixture
def refusal(tmp_path):
    """Return a function that prepares, expects a refusal, checks its form and that nothing was written."""

    def prepared(**spec) -> str:
        with pytest.raises(DataError) as caught:
            prepare(DataSpec(**spec), tmp_path / "store")
        message = str(caught.value)
        assert "\n" not in message
        assert ";" in message or "(" in message  # a way out follows the rule
        assert not (tmp_path / "store").exists()
        return message

    return prepared


@pytest.fixture
def npz(tmp_path, refusal):
    def refused(*, spec=None, **arrays) -> str:
        np.savez(tmp_path / "data.npz", **arrays)
        return refusal(source=str(tmp_path / "data.npz"), **(spec or {}))

    return refused


@pytest.fixture
def csv(tmp_path, refusal):
    def refused(frame, **spec) -> str:
        frame.to_csv(tmp_path / "data.csv", index=False)
        return refusal(source=str(tmp_path / "data.csv"), **spec)

    return refused


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("digit", "did you mean 'digits'"),
        ("fashion_mnist", "did you mean 'fashion-mnist'"),
        ("quux", "data is a name"),
        ("./quux", "no file or folder './quux'"),
        ("quux.csv", "no file or folder 'quux.csv'"),
        ("~nobody-at-all/quux.npz", "no file or folder"),
    ],
)
def test_unknown_names(refusal, source, said):
    assert said in refusal(source=source)


def test_a_misspelt_file_is_suggested(refusal, tmp_path):
    (tmp_path / "wines.csv").write_text("a,b\n1,2\n")
    assert "did you mean" in refusal(source=str(tmp_path / "wine.csv"), target="a")


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.npz"])
def test_unreadable_files(refusal, tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00PK\x03" * 7)
    target = None if name == "a.npz" else "y"
    assert "cannot be read as ." in refusal(source=str(tmp_path / name), target=target)


def test_empty_and_cut_files(refusal, tmp_path):
    (tmp_path / "a.csv").write_text("")
    assert "cannot be read" in refusal(source=str(tmp_path / "a.csv"), target="y")
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
    assert "cannot be read as .npz" in refusal(source=str(tmp_path / "a.npz"))


def test_a_file_of_another_form(refusal, tmp_path):
    (tmp_path / "a.xlsx").write_text("x")
    assert "ends in .npz, .csv or .parquet" in refusal(source=str(tmp_path / "a.xlsx"))


@pytest.mark.parametrize(
    "spec",
    [
        {"source": "iris", "target": "species"},
        {"source": "iris", "group": "plot"},
        {"source": "iris", "image_size": (8, 8)},
    ],
)
def test_options_that_a_source_has_no_use_for(refusal, spec):
    assert "has no use for --" in refusal(**spec)


def test_targets_and_groups_that_are_not_there(csv):
    frame = pd.DataFrame({"length": X[:, 0], "species": Y})
    assert "name it with --target, one of 'length', 'species'" in csv(frame)
    assert "did you mean 'species'?" in csv(frame, target="specie")
    assert "its columns: 'length', 'species'" in csv(frame, target="zzz")
    assert "no group column 'who'" in csv(frame, target="species", group="who")
    assert "two columns" in csv(frame, target="species", group="species")
    assert "at least one input column" in csv(frame[["species"]], target="species")
    joined = pd.DataFrame({"length;species": ["1;2"]})
    assert "separated by commas" in csv(joined, target="y")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(csv, npz, value):
    x = X.copy()
    x[[3, 5], 1] = value
    figures = "2 NaN and 0 infinite" if np.isnan(value) else "0 NaN and 2 infinite"
    message = csv(pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": Y}), target="y")
    assert f"x holds {figures} in 'b'" in message
    assert f"{figures} in 'column 1'" in npz(x=x, y=Y)
    assert f"the test set holds {figures}" in npz(x_train=X, y_train=Y, x_test=x, y_test=Y)
    assert f"{figures} in 'channel 0'" in npz(x=x[..., None], y=Y, spec={"kind": "image"})


def test_numbers_beyond_float32_are_infinite(npz):
    x = X.copy()
    x[3, 1] = 1e300
    assert "1 infinite in 'column 1'" in npz(x=x, y=Y)


def test_many_broken_columns_are_counted(npz):
    assert "and some in 4 more" in npz(x=np.full((40, 7), np.nan), y=Y)


def test_missing_categories_and_labels(csv):
    colours = ["red", None] * 20
    assert "20 NaN" in csv(pd.DataFrame({"colour": colours, "y": Y}), target="y")
    assert "misses 20" in csv(pd.DataFrame({"v": X[:, 0], "y": colours}), target="y")
    assert "misses 1" in csv(pd.DataFrame({"v": X[:, 0], "y": [None, *Y[1:]]}), target="y")
    grouped = pd.DataFrame({"v": X[:, 0], "y": Y, "who": colours})
    assert "20 have none" in csv(grouped, target="y", group="who")


def test_classes_that_are_too_few_or_too_small(npz):
    assert "got only '7'" in npz(x=X, y=np.full(40, 7))
    assert "needs 10, and '1' has 9" in npz(x=X, y=np.repeat([0, 1], [31, 9]))
    small_test = {"x_train": X, "y_train": Y, "x_test": X[:3], "y_test": [0, 0, 1]}
    assert "the given test set has 1 of '1'" in npz(**small_test)
    assert "needs samples" in npz(x=np.zeros((0, 3)), y=np.zeros(0, int))


def test_lengths_and_shapes_that_differ(npz):
    assert "40 samples and 39 labels in x" in npz(x=X, y=Y[:39])
    four = {"x_train": X, "y_train": Y, "y_test": Y}
    assert "40 samples and 39 labels in test" in npz(**{**four, "y_test": Y[:39]}, x_test=X)
    assert "(3,), got (2,)" in npz(**four, x_test=X[:, :2])
    assert "one-hot" in npz(x=X, y=np.eye(2)[Y])
    pixels = {**four, "x_train": np.zeros((40, 3, 3), np.uint8), "x_test": np.zeros((40, 3, 3))}
    assert "of one type, got uint8 and float64" in npz(**pixels)


def test_test_labels_that_train_does_not_know(npz):
    message = npz(x_train=X, y_train=Y, x_test=X, y_test=Y + 1)
    assert "it has '2' beside '0', '1'" in message


def test_arrays_that_are_no_data(npz):
    assert "named x and y" in npz(a=X)
    assert "named x and y" in npz(x=X, y=Y, x_train=X, y_train=Y, x_test=X, y_test=Y)
    assert "got shape (40,)" in npz(x=X[:, 0], y=Y)
    assert "holds numbers" in npz(x=X.astype(str), y=Y)
    assert "holds numbers" in npz(x=X.astype(complex), y=Y)
    assert "cannot be read as .npz" in npz(x=X.astype(object), y=Y)
    assert "no group array 'who'" in npz(x=X, y=Y, spec={"group": "who"})
    assert "labels are text" in npz(x=X, y=Y.astype("datetime64[D]"))


@pytest.mark.parametrize(
    ("kind", "shape"), [("image", (40, 3)), ("series", (40, 3, 3, 2)), ("series", (40, 1, 1, 1, 1))]
)
def test_kinds_that_samples_cannot_be(npz, kind, shape):
    x = np.random.default_rng(0).normal(size=shape)
    assert "got" in npz(x=x, y=Y, spec={"kind": kind})


def test_categories_are_no_series(csv):
    frame = pd.DataFrame({"c": ["a", "b"] * 20, "v": X[:, 0], "y": Y})
    assert "a series holds numbers" in csv(frame, target="y", kind="series")


@pytest.mark.parametrize(
    ("target", "how"),
    [
        (X[:, 0], "40 values that are no whole numbers, such as 0.12573, in 40 samples"),
        (np.arange(40), "40 different numbers in 40 samples, fewer than 10 samples of each"),
    ],
)
def test_a_continuous_target_is_refused_with_that_sentence(npz, csv, target, how):
    sentence = "edgesearch trains classifiers and refuses a continuous target: the target holds"
    for message in (npz(x=X, y=target), csv(pd.DataFrame({"v": Y, "price": target}), target="price")):
        assert sentence in message
        assert how in message
    assert "refuses a continuous target" in npz(x=X, y=np.where(Y, 1e300, 0))


def test_every_column_constant(npz):
    assert "all are constant" in npz(x=np.ones((40, 2)), y=Y)


def test_columns_that_are_neither_numbers_nor_categories(tmp_path, refusal):
    days = pd.date_range("2020-01-01", periods=40)
    pd.DataFrame({"day": days, "y": Y}).to_parquet(tmp_path / "d.parquet")
    assert "'day' holds Timestamp" in refusal(source=str(tmp_path / "d.parquet"), target="y")


def test_groups_that_are_too_few_or_cannot_be_parted(npz):
    assert "at least 5, got 3 groups" in npz(x=X, y=Y, who=np.arange(40) % 3, spec={"group": "who"})
    # All of class 1 belongs to one group, so only one set can have it.
    who = np.where(Y == 1, 99, np.arange(40) % 8)
    message = npz(x=X, y=Y, who=who, spec={"group": "who"})
    assert "of '1'; bring more groups" in message
    assert "of shape (39,)" in npz(x=X, y=Y, who=who[:39], spec={"group": "who"})
    given = {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y, "who_train": who, "who_test": who + 7}
    assert "is in train and in the given test set" in npz(**given, spec={"group": "who"})


def test_a_subset_larger_than_the_data(refusal):
    assert "at most all 150 samples, got 151" in refusal(source="iris", subset=151)


def test_a_class_name_of_two_lines(npz):
    assert "one line of text" in npz(x=X, y=np.where(Y, "a\nb", "c"))


class TestFolders:
    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / "images" / name).mkdir(parents=True)
            for k in range(12):
                Image.new("L", (4, 4), 20 * k).save(tmp_path / "images" / name / f"{k:02}.png")
        return tmp_path / "images"

    def test_sizes_that_differ_name_the_way_out(self, folder, refusal):
        Image.new("L", (5, 4)).save(folder / "b" / "x.png")
        message = refusal(source=str(folder))
        assert "got 4 x 4 in" in message
        assert "and 4 x 5 in" in message
        assert "--image-size HEIGHTxWIDTH" in message

    def test_a_class_without_images_is_named(self, folder, refusal):
        (folder / "c").mkdir()
        assert "no image in 'c'" in refusal(source=str(folder))

    def test_a_folder_without_classes(self, tmp_path, refusal):
        (tmp_path / "empty").mkdir()
        assert "no folder in it" in refusal(source=str(tmp_path / "empty"))

    def test_deep_images(self, folder, refusal):
        Image.new("I;16", (4, 4)).save(folder / "b" / "x.png")
        assert "8 bits per channel" in refusal(source=str(folder))

    def test_a_file_that_is_no_image(self, folder, refusal):
        (folder / "b" / "x.png").write_text("no image")
        assert "x.png' cannot be read" in refusal(source=str(folder))

    def test_a_cut_image_is_found_while_writing_and_leaves_nothing(self, folder, tmp_path):
        noise = np.random.default_rng(0).integers(0, 256, (4, 4)).astype(np.uint8)
        Image.fromarray(noise).save(folder / "b" / "x.png")
        content = (folder / "b" / "x.png").read_bytes()
        (folder / "b" / "x.png").write_bytes(content[:-25])
        with pytest.raises(DataError, match=r"x\.png' cannot be read"):
            prepare(DataSpec(source=str(folder)), tmp_path / "store")
        assert [p.name for p in (tmp_path / "store").iterdir() if p.name != ".lock"] == []

    def test_options_of_tables(self, folder, refusal):
        assert "no use for --target" in refusal(source=str(folder), target="y")


def test_a_store_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no prepared data '0123456789abcdef'"):
        open_data(tmp_path, "0123456789abcdef")
