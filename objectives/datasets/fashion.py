"""Fashion-MNIST: 60,000 + 10,000 grey images of 28 x 28, ten kinds of clothes (Xiao, Rasul, Vollgraf 2017).

Looked for where Debian's package dataset-fashion-mnist puts it, then in the Keras cache, where it is
downloaded to if it is nowhere.
"""

import gzip
import hashlib
import os
import struct
import tempfile
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path

import numpy as np

from objectives.datasets.raw import Part, Raw
from objectives.datasets.rows import AnyArray, ArrayRows
from objectives.datasets.wording import one_line
from objectives.errors import DataError

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
OFFICIAL_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
# MD5 as the publisher's README gives it: the page is plain http, so what arrives is checked.
FILES_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
WAY_OUT = "install the package dataset-fashion-mnist (Debian), or put the four files in '{}'"
DOWNLOAD_TIMEOUT_S = 60


def load_fashion_mnist() -> Raw:
    """Return the images as uint8 (28, 28, 1), with their given test set."""
    folder = find_folder()
    return Raw(
        name="fashion-mnist",
        train=_part(folder, "train"),
        test=_part(folder, "t10k"),
        classes=CLASSES,
        notes=(f"fashion-mnist: read from {folder}",),
    )


def find_folder() -> Path:
    """Return a folder that holds the four files; download them into the Keras cache if there is none."""
    if (found := found_in()) is not None:
        return found
    download(keras_folder())
    return keras_folder()


def found_in() -> Path | None:
    """Return a folder that holds the four files already, or None; nothing is downloaded."""
    for folder in (DEBIAN_FOLDER, keras_folder()):
        if all((folder / name).is_file() for name in FILES_MD5):
            return folder
    return None


def keras_folder() -> Path:
    """Return the folder in which Keras caches this data set."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets" / "fashion-mnist"


def download(folder: Path, url: str = OFFICIAL_URL) -> None:
    """Fetch what is missing; a file appears under its name only when it is whole and its MD5 is right."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES_MD5:
            if not (folder / name).is_file():
                _download_file(url + name, folder / name)
    except (OSError, HTTPException) as error:
        raise DataError(
            f"fashion-mnist is not on this machine and cannot be downloaded from {url} ({one_line(error)}); "
            + WAY_OUT.format(folder)
        ) from error


def _download_file(url: str, path: Path) -> None:
    with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_S) as answer:  # noqa: S310 - a constant
        content = answer.read()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != FILES_MD5[path.name]:
        raise OSError(f"the MD5 of {path.name} should be {FILES_MD5[path.name]}, got {found}")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as folder:
        part = Path(folder) / path.name
        part.write_bytes(content)
        part.replace(path)


def _part(folder: Path, prefix: str) -> Part:
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    return Part(ArrayRows(images[..., np.newaxis]), labels)


def read_idx(path: Path) -> AnyArray:
    """Read a gzipped IDX file: the bytes 0, 0, 8 (uint8), number of axes; each axis as big-endian uint32."""
    try:
        content = gzip.decompress(path.read_bytes())
        axes = content[3]
        shape = struct.unpack_from(f">{axes}I", content, 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, struct.error, zlib.error) as error:
        raise DataError(
            f"'{path}' is no readable IDX file ({one_line(error)}); remove it and "
            + WAY_OUT.format(path.parent)
        ) from error
