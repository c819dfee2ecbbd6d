"""Finds the characters to learn from: a file, the data folder, the cache, a download, or digits."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.datasets.archive import cache_folder, fetch
from tinyfleet.simulations.datasets.digits import load_digits
from tinyfleet.simulations.datasets.omniglot import BACKGROUND, CharacterImages, load_characters

PACK = "omniglot_background_28.npz"


def find_characters(
    data: Path | None, environ: Mapping[str, str], *, download: bool = False
) -> CharacterImages:
    """Return the best characters there are; their `source` says which.

    It begins with "Omniglot" when they are read from a pack or from an archive of the author's
    format, and only then.

    In this order: `data`; the pack or the author's archive in the folder that `TINYFLEET_DATA`
    names; the author's archive in the cache; the same freshly downloaded, if `download` allows it;
    scikit-learn's digits, with the reason why not Omniglot.

    Raises:
        DatasetError: `data` or the folder is named and not there, or what is found is damaged.
    """
    if data is not None:
        return load_characters(data)
    named = environ.get("TINYFLEET_DATA")
    if named:
        folder = Path(named)
        if not folder.is_dir():
            raise DatasetError(
                f"TINYFLEET_DATA: expected a folder, got {named}; correct or unset it"
            )
        for name in (PACK, BACKGROUND.name):
            if (folder / name).is_file():
                return load_characters(folder / name)
    cache = cache_folder(environ)
    reason = f"no {BACKGROUND.name} in {cache}, and no download was asked for"
    if (cache / BACKGROUND.name).is_file():
        return load_characters(cache / BACKGROUND.name)
    if download:
        try:
            return load_characters(fetch(BACKGROUND, cache))
        except DatasetError as error:
            reason = str(error)
    digits = load_digits()
    return dataclasses.replace(digits, source=f"{digits.source}; {reason}")
