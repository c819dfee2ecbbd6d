"""Finds the keywords to learn from: a file, the data folder, or a published archive."""

from collections.abc import Mapping
from pathlib import Path

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.datasets.archive import cache_folder, fetch
from tinyfleet.simulations.datasets.speech_commands import (
    PUBLISHED,
    load_archive,
    load_recorded_pack,
)
from tinyfleet.simulations.datasets.takes import KeywordTakes, load_pack

__all__ = ["PACK", "KeywordTakes", "find_keywords", "load_keywords"]

PACK = "keywords_mfcc49x10.npz"


def find_keywords(
    data: Path | None, environ: Mapping[str, str], *, download: bool = False
) -> KeywordTakes:
    """Return the keywords there are; their `source` says which.

    In this order: `data`; the pack in the folder that `TINYFLEET_DATA` names. Where `data` is not
    there but has the name of one of Google's archives, this is taken from the cache, or freshly
    downloaded if `download` allows it: over a gigabyte is fetched only when asked for by name.

    Raises:
        DatasetError: `data` or the folder is named and not there, what is found is damaged, or
            nothing is found.
    """
    cache = cache_folder(environ)
    if data is not None:
        published = PUBLISHED.get(data.name)
        if published and not data.exists():
            kept = cache / published.name
            if not (download or kept.exists()):
                raise DatasetError(f"{data}: no such file; fetch it from {published.url}")
            return load_archive(fetch(published, cache), cache)
        return load_keywords(data, cache)
    named = environ.get("TINYFLEET_DATA")
    if named and not Path(named).is_dir():
        raise DatasetError(f"TINYFLEET_DATA: expected a folder, got {named}; correct or unset it")
    if named and (Path(named) / PACK).is_file():
        return load_pack(Path(named) / PACK, f"Arabic Speech Commands, pack {PACK}")
    first = next(iter(PUBLISHED.values()))
    raise DatasetError(
        f"keywords: expected {PACK} in the folder that TINYFLEET_DATA names, got none; "
        f"simulate takes other files, --data {first.name} fetches {first.size / 1e9:.1f} GB from "
        f"{first.url}"
    )


def load_keywords(path: Path, cache: Path) -> KeywordTakes:
    """Read what is at `path`: a pack of coefficients (.npz) or of sound (.flac), or an archive.

    Args:
        path: the file.
        cache: folder where the coefficients of an archive are kept.

    Raises:
        DatasetError: the file is missing, damaged, or of another kind.
    """
    if path.name.endswith((".tar.gz", ".tgz")):
        return load_archive(path, cache)
    return load_recorded_pack(path) if path.suffix == ".flac" else load_pack(path)
