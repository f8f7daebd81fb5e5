"""The one folder in which everything lies that no server keeps: `EDGESEARCH_HOME`.

    studies.db            Optuna's storage: the truth about every study
    artifacts/            every `.tflite`, by its SHA-256: the truth about every model
    data/  weights/       prepared data sets and trained networks, kept to be used again
    models/               networks that were brought, ready to be compressed
    mlflow.db             the MLflow view, rebuilt by `edgesearch sync`
    mlflow-artifacts/     what MLflow shows of each run
    locks/                one driver per study
    ray-token             what the workers of a local Ray cluster ask for, mode 0600

Naming a path makes nothing; the folder appears when something is about to be written, with mode 0700
so that nobody else on the machine reads what is in it.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from search.errors import StudyError

VARIABLE = "EDGESEARCH_HOME"
PROBE_BYTES = 65536


@dataclass(frozen=True)
class Home:
    """The paths under one absolute folder. Raises StudyError for a path that no database URL can hold."""

    root: Path

    def __post_init__(self) -> None:
        """Make the folder absolute, so that a later change of directory does not move it."""
        object.__setattr__(self, "root", self.root.expanduser().absolute())
        unfit = sorted(set("?#%").intersection(str(self.root)))
        if unfit:
            raise StudyError(
                f"the path of {VARIABLE} becomes part of URLs and holds none of ? # %, got '{self.root}'; "
                "name another folder"
            )

    @property
    def studies_db(self) -> str:
        """The SQLite URL of Optuna's storage."""
        return f"sqlite:///{self.root / 'studies.db'}"

    @property
    def mlflow_uri(self) -> str:
        """The SQLite URL of the MLflow view."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> Path:
        """Where MLflow keeps the files of its runs."""
        return self.root / "mlflow-artifacts"

    @property
    def artifacts(self) -> Path:
        """The root of the ArtifactStore."""
        return self.root / "artifacts"

    @property
    def data(self) -> Path:
        """Where prepared data sets are kept."""
        return self.root / "data"

    @property
    def weights(self) -> Path:
        """Where trained networks are kept."""
        return self.root / "weights"

    @property
    def models(self) -> Path:
        """Where networks that were brought are kept, ready to be compressed."""
        return self.root / "models"

    @property
    def locks(self) -> Path:
        """Where lock files lie."""
        return self.root / "locks"

    @property
    def ray_token(self) -> Path:
        """The file with the token of local Ray clusters."""
        return self.root / "ray-token"

    def ensure_writable(self) -> None:
        """Make the folders and prove that they take data.

        Raises StudyError, on one line, where the disk is full or read-only or the folder is another's.
        """
        with writing(self.root):
            make_private(self.root)
            for folder in (self.artifacts, self.data, self.weights, self.locks, self.mlflow_artifacts):
                make_private(folder)
            with tempfile.TemporaryFile(dir=self.root) as probe:
                probe.write(bytes(PROBE_BYTES))
                probe.flush()
                os.fsync(probe.fileno())


def find_home(environment: Mapping[str, str] | None = None) -> Home:
    """Return the home that `EDGESEARCH_HOME` names, else `./edgesearch-home`."""
    named = (os.environ if environment is None else environment).get(VARIABLE)
    return Home(Path(named or "edgesearch-home"))


def make_private(folder: Path) -> None:
    """Make a folder with mode 0700, and its parents, where it is missing. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk refuses while the block writes to `path` into a StudyError on one line."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else path
        raise StudyError(
            f"cannot write to '{where}': {error.strerror or error}; free the disk, or name a folder of yours "
            f"in {VARIABLE}"
        ) from error
