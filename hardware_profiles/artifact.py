"""Content-addressed files: written once under the name of their SHA-256, never changed."""

import hashlib
import os
import tempfile
import zlib
from pathlib import Path


class ArtifactStore:
    """A folder of `.tflite` files, shared by every worker and study that uses it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, data: bytes) -> str:
        """Keep the bytes and return their SHA-256 (64 hex digits). Safe against a kill at any instant."""
        name = hashlib.sha256(data).hexdigest()
        path = self.path(name)
        if not path.exists():
            write_atomically(path, data)
        return name

    def get(self, sha256: str) -> bytes:
        """Return the bytes. Raises FileNotFoundError where they are not kept."""
        return self.path(sha256).read_bytes()

    def path(self, sha256: str) -> Path:
        """Return where the bytes of that digest lie."""
        return self.root / sha256[:2] / f"{sha256}.tflite"


def compressed_bytes(data: bytes) -> int:
    """Return the size of a file deflated at the highest level: what is downloaded."""
    return len(zlib.compress(data, 9))


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing, whatever kills the writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
