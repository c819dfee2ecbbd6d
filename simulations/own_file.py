"""A researcher's own application or algorithm: a Python file that a study names by its path."""

import hashlib
import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from tinyfleet.errors import FleetError, StudyError

T = TypeVar("T")

_NAMES = "tinyfleet_own_"


def is_own(name: str) -> bool:
    """Say whether a study means a file by `name`, not something that has this name."""
    return name.endswith(".py")


def fingerprints(*names: str) -> dict[str, str]:
    """Return 16 hexadecimal digits of the SHA-256 of each of `names` that is a file's.

    Raises:
        StudyError: a file cannot be read.
    """
    return {name: hashlib.sha256(_read(name)).hexdigest()[:16] for name in names if is_own(name)}


def load_own(name: str, variable: str, kind: type[T]) -> T:
    """Return what the file `name` holds as `variable`; the file is run as a module, once.

    Raises:
        StudyError: the file cannot be read, raises, or holds nothing of this kind.
    """
    module = _run(name)
    found = getattr(module, variable, None)
    if not isinstance(found, kind):
        got = "none" if found is None else type(found).__name__
        raise StudyError(
            f"{name}: {variable}: expected {_article(kind.__name__)}, got {got}; "
            f"end the file with {variable} = {kind.__name__}(...)"
        )
    return found


@contextmanager
def own_errors() -> Iterator[None]:
    """Turn what a researcher's own file raises into one line that says where.

    Raises:
        StudyError: an exception, other than a `FleetError`, left a function of such a file.
    """
    try:
        yield
    except FleetError:
        raise
    except Exception as error:
        place = _place(error)
        if place is None:
            raise
        raise StudyError(_told(place, error)) from error


@contextmanager
def asking(name: str, what: str) -> Iterator[None]:
    """Name the own file `name`, and `what` it is asked for, in whatever goes wrong meanwhile.

    What tinyfleet's own applications and algorithms raise is left as it is.

    Raises:
        FleetError: of the kind that was raised.
        StudyError: another exception was raised: in the file, or because it cannot be asked so.
    """
    try:
        yield
    except FleetError as error:
        if not is_own(name):
            raise
        raise type(error)(f"{name}: {what}: {error}") from error
    except Exception as error:
        if not is_own(name):
            raise
        raise StudyError(_told(_place(error) or f"{name}: {what}", error)) from error


def _run(name: str) -> ModuleType:
    source = _read(name)
    own = f"{_NAMES}{hashlib.sha256(source + name.encode()).hexdigest()[:16]}"
    if own in sys.modules:
        return sys.modules[own]
    loader = importlib.machinery.SourceFileLoader(own, name)
    spec = importlib.util.spec_from_file_location(own, name, loader=loader)
    if spec is None:
        raise StudyError(f"{name}: expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[own] = module  # dataclasses look there for the module that they are in
    try:
        exec(compile(source, name, "exec"), module.__dict__)  # noqa: S102
    except (Exception, SystemExit) as error:
        place = _place(error) or _syntax(name, error)
        del sys.modules[own]
        if isinstance(error, FleetError):
            raise StudyError(f"{place}: {error}") from error
        raise StudyError(_told(place, error)) from error
    return module


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise StudyError(
            f"{name[:200]}: expected a readable Python file: {error.strerror}"
        ) from None


def _place(error: BaseException) -> str | None:
    """Return the last line of an own file that an exception went through; None for none."""
    files = {m.__file__ for n, m in sys.modules.items() if n.startswith(_NAMES)}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]
    return f"{frames[-1].filename}: line {frames[-1].lineno}" if frames else None


def _syntax(name: str, error: BaseException) -> str:
    line = error.lineno if isinstance(error, SyntaxError) else None
    return f"{name}: line {line}" if line else name


def _told(place: str, error: BaseException) -> str:
    said = " ".join(str(error).split())
    return f"{place}: {type(error).__name__}: {said:.200}; mend the file"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIOU' else 'a'} {noun}"
