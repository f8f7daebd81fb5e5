"""The front as a picture: accuracy against latency and against file size, as HTML or PNG.

Both show the same scene: the front in colour, other measured trials in grey, trials that break a
limit as crosses, trials without an accuracy (infeasible or stopped before the end) as ticks at the
lower edge, limits as dashed lines. The colour tells the figure that is not on the panel's own axis.
The HTML file needs no network.
"""

import io
from pathlib import Path

from search.errors import StudyError
from search.scene import scene_of
from search.trial import StudyRecord


def write_plot(study: StudyRecord, path: Path) -> None:
    """Write the picture that the path's suffix asks for. Raises StudyError for any but .html and .png."""
    writers = {".html": plot_html, ".png": plot_png}
    if path.suffix.lower() not in writers:
        raise StudyError(f"a plot is written as {' or '.join(writers)}, got '{path.name}'")
    writers[path.suffix.lower()](study, path)


def plot_html(study: StudyRecord, path: Path) -> None:
    """Write the picture as one HTML file (about 5 MB) to look at, zoom and hover over without network."""
    from search.webpage import webpage

    _write(path, webpage(scene_of(study)).encode())


def plot_png(study: StudyRecord, path: Path) -> None:
    """Write the picture as a PNG of 1950 x 870 pixels, or 975 x 870 where only one panel has data."""
    from search.drawing import drawing

    buffer = io.BytesIO()
    drawing(scene_of(study)).savefig(buffer, format="png")
    _write(path, buffer.getvalue())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
