"""Published archives: where they are, their size and hash, and the cache that keeps them."""

import hashlib
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from tinyfleet.errors import DatasetError

TIMEOUT = 15.0  # seconds without a byte
_BLOCK = 1 << 20  # bytes of a download that are in memory


@dataclass(frozen=True)
class Archive:
    """A published file that never changes.

    Attributes:
        name: its file name, also in the cache.
        url: where its author keeps it.
        size: in bytes.
        sha256: of its bytes, 64 hexadecimal digits.
    """

    name: str
    url: str
    size: int
    sha256: str


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where downloads are kept: `$XDG_CACHE_HOME/tinyfleet`, else `~/.cache/tinyfleet`."""
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tinyfleet"


def verify(path: Path, archive: Archive) -> None:
    """Compare the file at `path` with what was published.

    Raises:
        DatasetError: it cannot be read, is shorter or longer, or hashes differently.
    """
    try:
        fault = _fault(path, archive)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    if fault:
        raise DatasetError(
            f"{path}: {fault}; fetch {archive.url} again, or rename a file that is meant to differ"
        )


def fetch(archive: Archive, folder: Path) -> Path:
    """Return the archive's place in `folder`, downloading it if it is not there yet.

    What is there already is verified too. A download appears under its name only once it is whole
    and verified.

    Raises:
        DatasetError: no network, a folder that cannot be written, or other bytes than published.
    """
    path = folder / archive.name
    if path.exists():
        verify(path, archive)
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
            fresh = Path(scratch) / archive.name
            _download(archive, fresh)
            fault = _fault(fresh, archive)
            if fault:
                raise DatasetError(f"{archive.url}: {fault}; fetch it by hand to {path}")
            fresh.replace(path)
    except OSError as error:
        raise DatasetError(
            f"{folder}: cannot be written: {error.strerror}; point XDG_CACHE_HOME elsewhere"
        ) from error
    return path


def _download(archive: Archive, path: Path) -> None:
    """Write what the archive's address answers, at most one byte more than it should be."""
    left = archive.size + 1
    with path.open("wb") as file:
        try:
            with urllib.request.urlopen(archive.url, timeout=TIMEOUT) as answer:  # noqa: S310 - ours
                while left and (block := answer.read(min(left, _BLOCK))):
                    file.write(block)
                    left -= len(block)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise DatasetError(f"{archive.url}: cannot be downloaded: {reason}") from error


def _fault(path: Path, archive: Archive) -> str:
    """Say how the file differs from what was published; nothing when it does not."""
    size = path.stat().st_size
    if size != archive.size:
        kind = "cut short" if size < archive.size else "too long"
        return f"{kind}: expected {archive.size} bytes, got {size}"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != archive.sha256:
        return f"expected SHA-256 {archive.sha256}, got {digest}"
    return ""
