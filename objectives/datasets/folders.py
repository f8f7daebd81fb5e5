"""A folder of images with a folder per class, decoded a few files at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.datasets.raw import Part, Raw
from objectives.datasets.rows import AnyArray, IntArray
from objectives.datasets.spec import DataSpec
from objectives.datasets.wording import count, listing, one_line
from objectives.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
GREY_MODES = frozenset(("1", "L", "LA", "La"))
DEEP_MODES = frozenset(("I", "F"))
EXIF_ORIENTATION = 0x0112
TURNED = frozenset((5, 6, 7, 8))


@dataclass(frozen=True)
class ImageRows:
    """Image files as rows of uint8 (height, width, channels); `take` decodes those that are asked for."""

    files: tuple[Path, ...]
    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(files, height, width, channels)."""
        return (len(self.files), self.height, self.width, self.channels)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always uint8."""
        return np.dtype(np.uint8)

    def take(self, indices: IntArray) -> AnyArray:
        """Decode these files; raises DataError for one that is broken."""
        batch = np.empty((len(indices), *self.shape[1:]), np.uint8)
        for place, index in enumerate(indices):
            batch[place] = self._decode(self.files[int(index)])
        return batch

    def _decode(self, file: Path) -> AnyArray:
        from PIL import Image, ImageOps

        with _opened(file) as image:
            plain = image.convert("RGBA") if image.mode == "P" else image
            upright = ImageOps.exif_transpose(plain).convert("L" if self.channels == 1 else "RGB")
            if upright.size != (self.width, self.height):
                upright = upright.resize((self.width, self.height), Image.Resampling.BILINEAR)
            return np.asarray(upright, np.uint8).reshape(self.shape[1:])


def load_folder(spec: DataSpec, folder: Path) -> Raw:
    """List the images of each class's folder and look at every file's header; none is decoded yet.

    Grey if all files are grey, else RGB. Sizes must be equal, or `spec.image_size` (height, width) is
    what all are resized to. Raises DataError otherwise, and where a class's folder holds no image.
    """
    classes, others = _list_files(folder)
    files = tuple(file for listed in classes.values() for file in listed)
    labels = np.repeat(np.arange(len(classes)), [len(listed) for listed in classes.values()])
    size, channels = _look_at(files, spec.image_size)
    notes = (f"{count(others, 'file')} beside the images left out",) if others else ()
    return Raw(
        name=folder.resolve().name,
        train=Part(ImageRows(files, *size, channels), labels),
        classes=tuple(classes),
        notes=notes,
    )


def _list_files(folder: Path) -> tuple[dict[str, list[Path]], int]:
    """Return the sorted images by class, and the number of visible files that are none."""
    try:
        folders = sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
        found = {f.name: sorted(p for p in f.iterdir() if not p.name.startswith(".")) for f in folders}
    except OSError as error:
        raise DataError(
            f"'{folder}' cannot be read ({one_line(error)}); check the path and its rights"
        ) from error
    images = {name: [p for p in paths if p.suffix.lower() in SUFFIXES] for name, paths in found.items()}
    empty = [name for name, paths in images.items() if not paths]
    if not images or empty:
        raise DataError(
            "a folder of images holds a folder per class with its images directly inside, got "
            f"'{folder}' with "
            + (f"no image in {listing(empty)}" if empty else "no folder in it")
            + f"; images end in {', '.join(sorted(SUFFIXES))}"
        )
    return images, sum(map(len, found.values())) - sum(map(len, images.values()))


def _look_at(files: tuple[Path, ...], wanted: tuple[int, int] | None) -> tuple[tuple[int, int], int]:
    """Return (height, width) and the channels of all files, from their headers."""
    first, grey = wanted, True
    for file in files:
        size, mode = _header(file)
        first = first or size
        grey = grey and mode in GREY_MODES
        if wanted is None and size != first:
            raise DataError(
                f"images have one size, got {first[0]} x {first[1]} in '{files[0]}' and {size[0]} "
                f"x {size[1]} in "
                f"'{file}'; give the size to bring all to with --image-size HEIGHTxWIDTH"
            )
    return first or (1, 1), 1 if grey else 3


def _header(file: Path) -> tuple[tuple[int, int], str]:
    """Return (height, width) as people see the image, and its mode."""
    with _opened(file) as image:
        if image.mode in DEEP_MODES or image.mode.startswith("I;"):
            raise DataError(
                f"images have 8 bits per channel, and '{file}' has mode {image.mode}; convert it to 8 bits"
            )
        # Asked for its EXIF, a PNG that has none is decoded as a whole, to look behind its pixels.
        has_exif = image.format != "PNG" or "exif" in image.info
        turned = has_exif and image.getexif().get(EXIF_ORIENTATION) in TURNED
        width, height = reversed(image.size) if turned else image.size
        return (height, width), image.mode


@contextmanager
def _opened(file: Path) -> Iterator["Image.Image"]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"image '{file}' cannot be read ({one_line(error)}); repair it or take it away"
        ) from error
