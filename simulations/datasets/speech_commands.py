"""Google Speech Commands (Warden 2017, CC BY 4.0): words of a second each, by many people.

Read from the published archives, or from a pack: such clips end to end in one .flac, with
`<name>_index.npz` beside it that says which is which.
"""

import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfleet.atomic import write_atomically
from tinyfleet.client.npz import read_arrays
from tinyfleet.client.sound import Samples, read_sound, wav_samples
from tinyfleet.errors import DatasetError, FleetError
from tinyfleet.mfcc import CLIP, SCALE, ZERO_POINT, Codes, dequantised, mfcc, quantised
from tinyfleet.simulations.datasets.archive import Archive, verify
from tinyfleet.simulations.datasets.takes import (
    KeywordTakes,
    load_pack,
    whole_numbers,
)

_TOGETHER = 128  # clips that the front end is given at a time
_MOST = 1 << 20  # bytes of a clip; those of a second are 32,044
_INDEX = ("label", "speaker_hash", "keyword_names", "clip_samples")

# <word>/<speaker>_nohash_<number>.wav; the folder of noises has no such names
_CLIP_NAME = re.compile(r"(?:.*/)?(?P<word>[^/_][^/]*)/(?P<speaker>[0-9a-f]+)_nohash_\d+\.wav")


def _archive(version: str, size: int, sha256: str) -> Archive:
    name = f"speech_commands_{version}.tar.gz"
    return Archive(name, f"http://download.tensorflow.org/data/{name}", size, sha256)


# SHA-256 as torchaudio publishes them (torchaudio/datasets/speechcommands.py).
ARCHIVES = (
    _archive(
        "v0.01",
        1489096277,
        "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
    ),
    _archive(
        "v0.02",
        2428923189,
        "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    ),
)
PUBLISHED = {archive.name: archive for archive in ARCHIVES}


def load_archive(path: Path, cache: Path) -> KeywordTakes:
    """Read an archive of Google's layout, `<word>/<speaker>_nohash_<number>.wav` in a .tar.gz.

    A file that has a published name must have the published bytes. Its coefficients are kept in
    the cache as a pack, under the checksum of the archive, so that they are computed once.

    Args:
        path: the archive.
        cache: folder of the pack.

    Raises:
        DatasetError: the file is missing, cut short, damaged, or holds something else; or the
            cache cannot be written.
    """
    published = PUBLISHED.get(path.name)
    if published is not None:
        verify(path, published)
    digest = published.sha256 if published is not None else _digest(path)
    pack = cache / f"keywords-{digest[:16]}.npz"
    if not pack.is_file():
        _keep(pack, *_read(path))
    return load_pack(pack, f"Google Speech Commands archive {path.name}")


def load_recorded_pack(path: Path) -> KeywordTakes:
    """Read a pack of sound: clips end to end in a .flac at 16 kHz, and their index.

    The index is `<name>_index.npz` beside it: `label` `(n,)`, places in `keyword_names`,
    `speaker_hash` `(n,)`, and `clip_samples`, the length of each clip.

    Raises:
        DatasetError: a file is missing, cut short, damaged, or holds something else; or soundfile
            is not installed.
    """
    index = path.with_name(f"{path.stem}_index.npz")
    arrays = read_arrays(index, _INDEX)
    for name in _INDEX:
        if name not in arrays:
            raise DatasetError(f"{index}: {name}: expected an array of this name, got none")
    sound, label = read_sound(path), whole_numbers(index, arrays, "label")
    lengths = np.unique(whole_numbers(index, arrays, "clip_samples"))
    length, count = int(lengths[0]) if len(lengths) == 1 else 0, label.size
    if min(length, count) < 1 or len(sound) != length * count:
        raise DatasetError(
            f"{path}: expected {count} clips of {length} samples, as {index.name} says, got "
            f"{len(sound)} samples"
        )
    clips = sound.reshape(count, length)
    codes = np.concatenate(
        [quantised(mfcc(clips[i : i + _TOGETHER])) for i in range(0, count, _TOGETHER)]
    )
    names = tuple(map(str, arrays["keyword_names"].ravel().tolist()))
    return KeywordTakes(
        dequantised(codes),
        label,
        _numbers(arrays["speaker_hash"]),
        names,
        f"Google Speech Commands, pack {path.name}",
    )


def _read(path: Path) -> tuple[Codes, NDArray[np.int64], NDArray[np.str_], tuple[str, ...]]:
    """Return codes, keyword and speaker of each clip in the order of its name, and the keywords."""
    codes: list[Codes] = []
    clips: list[Samples] = []
    said: list[tuple[str, str, str]] = []  # name of the clip, word and speaker
    for found, sound in _sounds(path):
        said.append((found.string, found["word"], found["speaker"]))
        clips.append(_second(wav_samples(f"{path}: {found.string}", sound)))
        if len(clips) == _TOGETHER:
            codes.append(quantised(mfcc(np.stack(clips))))
            clips.clear()
    if not said:
        raise DatasetError(f"{path}: expected <word>/<speaker>_nohash_<number>.wav, got none")
    if clips:
        codes.append(quantised(mfcc(np.stack(clips))))
    places, words, speakers = np.array(said).T
    order = np.argsort(places)
    names, keyword = np.unique(words[order], return_inverse=True)
    return np.concatenate(codes)[order], keyword, speakers[order], tuple(map(str, names.tolist()))


def _sounds(path: Path) -> Iterator[tuple[re.Match[str], bytes]]:
    """Yield each clip's matched name and its bytes in the archive's order; nothing is unpacked."""
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                found = _CLIP_NAME.fullmatch(member.name.removeprefix("./"))
                file = archive.extractfile(member) if found and member.isreg() else None
                if found is None or file is None:
                    continue
                if member.size > _MOST:
                    raise DatasetError(
                        f"{path}: {found.string}: expected a clip of a second, at most {_MOST} "
                        f"bytes, got {member.size}"
                    )
                yield found, file.read()
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise DatasetError(
            f"{path}: expected a whole .tar.gz, got one that is cut short, damaged or of another "
            f"kind ({error}); fetch it again"
        ) from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error


def _second(samples: Samples) -> Samples:
    """Return a clip of one second: what it lacks is silence, what is more is cut off."""
    clip = np.zeros(CLIP, np.int16)
    clip[: len(samples)] = samples[:CLIP]
    return clip


def _numbers(speaker: NDArray[Any]) -> NDArray[np.int64]:
    """Number speakers 0, 1, ... in the order of what they are called."""
    return np.unique(speaker, return_inverse=True)[1].astype(np.int64)


def _keep(
    pack: Path,
    codes: Codes,
    keyword: NDArray[np.int64],
    speaker: NDArray[np.str_],
    names: tuple[str, ...],
) -> None:
    """Write what `load_pack` reads."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        features=codes,
        keyword=keyword,
        speaker=_numbers(speaker),
        keyword_names=np.array(names),
        mfcc_scale=np.float32(SCALE),
        mfcc_zero_point=np.int16(ZERO_POINT),
    )
    try:
        pack.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(pack, content.getvalue())
    except (FleetError, OSError) as error:
        raise DatasetError(
            f"{pack.parent}: cannot be written: {error}; point XDG_CACHE_HOME elsewhere"
        ) from error
