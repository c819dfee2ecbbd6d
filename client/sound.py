"""Sound at 16 kHz, one channel, 16 bits: from .wav and .flac files, or raw from a microphone."""

import io
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.mfcc import RATE

Samples = NDArray[np.int16]

BLOCK = 3200  # samples that are read at a time from a stream: 0.2 s


def read_sound(path: Path) -> Samples:
    """Return the samples of a .wav or .flac file, `(samples,)`.

    Raises:
        DatasetError: the file is missing, damaged, of another kind or another form of sound; or
            soundfile, which reads .flac, is not installed.
    """
    if path.suffix == ".flac":
        return _flac(path)
    try:
        return wav_samples(str(path), path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error


def wav_samples(place: str, content: bytes) -> Samples:
    """Return the samples of a .wav file's content, `(samples,)`.

    Raises:
        DatasetError: it is damaged, or another form of sound; the message begins with `place`.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            count = file.getnframes()
            raw = file.readframes(count)
    except (wave.Error, EOFError, ValueError, RuntimeError) as error:  # the last from wave's chunks
        raise DatasetError(f"{place}: expected a whole .wav file, got {error or 'less'}") from error
    if (rate, channels, width) != (RATE, 1, 2):
        raise DatasetError(
            f"{place}: expected 16 bits of one channel at {RATE} Hz, got {8 * width} bits of "
            f"{channels} at {rate} Hz"
        )
    if len(raw) != 2 * count:
        raise DatasetError(
            f"{place}: expected a whole .wav file of {count} samples, as it says, got "
            f"{len(raw) // 2}; record it again"
        )
    return np.frombuffer(raw, "<i2").astype(np.int16)


def pcm_blocks(file: BinaryIO) -> Iterator[Samples]:
    """Yield raw samples, 16 bits little-endian, as they come from a pipe, a socket or a file.

    A microphone: `arecord -t raw -f S16_LE -r 16000 -c 1 | ...`.
    """
    left = b""
    while raw := file.read(2 * BLOCK):
        whole = len(left + raw) // 2 * 2
        yield np.frombuffer((left + raw)[:whole], "<i2").astype(np.int16)
        left = (left + raw)[whole:]


def _flac(path: Path) -> Samples:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # the library, or the one in C that it loads
        raise DatasetError(
            f"{path}: soundfile, which reads .flac, is not installed ({error}); "
            "pip install 'tinyfleet[simulation]'"
        ) from error
    try:
        samples, rate = soundfile.read(path, dtype="int16")
    except (soundfile.SoundFileError, OSError) as error:
        raise DatasetError(f"{path}: expected a whole .flac file, got {error}") from error
    if samples.ndim != 1 or rate != RATE:
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        raise DatasetError(
            f"{path}: expected one channel at {RATE} Hz, got {channels} at {rate} Hz"
        )
    return np.asarray(samples, np.int16)
