"""Data sets that come with scikit-learn: a study needs no download to be tried."""

from collections.abc import Callable
from typing import Any

import numpy as np

from objectives.datasets.raw import Part, Raw
from objectives.datasets.rows import ArrayRows
from objectives.datasets.spec import Column


def load_digits() -> Raw:
    """1,797 handwritten digits, 8 x 8 grey pixels of 0 to 16, as uint8 images; 10 classes."""
    import sklearn.datasets as bundles  # type: ignore[import-untyped, unused-ignore]

    bunch = bundles.load_digits()
    images = bunch.images.astype(np.uint8)[..., np.newaxis]
    return Raw(name="digits", train=Part(ArrayRows(images), bunch.target), classes=_names(bunch))


def load_wine() -> Raw:
    """178 wines of three growers, 13 chemical figures."""
    import sklearn.datasets as bundles  # type: ignore[import-untyped, unused-ignore]

    return _table("wine", bundles.load_wine())


def load_breast_cancer() -> Raw:
    """569 biopsies, malignant or benign, 30 figures of cell nuclei."""
    import sklearn.datasets as bundles  # type: ignore[import-untyped, unused-ignore]

    return _table("breast-cancer", bundles.load_breast_cancer())


def load_iris() -> Raw:
    """150 irises of three species, 4 lengths in cm."""
    import sklearn.datasets as bundles  # type: ignore[import-untyped, unused-ignore]

    return _table("iris", bundles.load_iris())


BUNDLED: dict[str, Callable[[], Raw]] = {
    "digits": load_digits,
    "wine": load_wine,
    "breast-cancer": load_breast_cancer,
    "iris": load_iris,
}


def _table(name: str, bunch: Any) -> Raw:
    columns = tuple(Column(name=str(feature)) for feature in bunch.feature_names)
    return Raw(
        name=name,
        train=Part(ArrayRows(bunch.data), bunch.target),
        columns=columns,
        classes=_names(bunch),
    )


def _names(bunch: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in bunch.target_names)
