"""Write a file whole or not at all."""

import contextlib
import os
import secrets
from pathlib import Path

from tinyfleet.errors import FleetError


def write_atomically(path: str | Path, data: bytes | str) -> None:
    """Put `data` at `path`, text as UTF-8: readers find the old file or the new one, never a part.

    The bytes go to a temporary file in the same folder, reach the disk, and then take the name;
    the folder is synced too, so the name outlives a loss of power. A failure leaves nothing behind.

    Raises:
        FleetError: the file cannot be written.
    """
    path = Path(path)
    temporary = path.parent / f".{secrets.token_hex(8)}.part"
    content = data.encode() if isinstance(data, str) else data
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise FleetError(
            f"{path}: expected a file that can be written, got {error.strerror or error}; "
            "check the folder, its permissions and the free space"
        ) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
