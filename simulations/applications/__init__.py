"""The applications by name; what each of them needs besides is imported once a study uses it."""

from collections.abc import Mapping

from tinyfleet.errors import StudyError
from tinyfleet.simulations.applications import characters, keywords, presence, sine
from tinyfleet.simulations.applications.application import Application, Parts
from tinyfleet.simulations.own_file import is_own, load_own

__all__ = ["APPLICATIONS", "Application", "Parts", "find_application"]

APPLICATIONS: Mapping[str, Application] = {
    one.APPLICATION.name: one.APPLICATION for one in (sine, characters, keywords, presence)
}


def find_application(name: str) -> Application:
    """Return the application called `name`, or that of the file `name`, a path that ends in .py.

    Raises:
        StudyError: there is none of this name, or the file holds none, or one with a name of ours.
    """
    if not is_own(name):
        if name not in APPLICATIONS:
            raise StudyError(
                f"app: expected one of {', '.join(APPLICATIONS)}, a .py or a .toml file, "
                f"got {name[:60]!r}"
            )
        return APPLICATIONS[name]
    found = load_own(name, "APPLICATION", Application)
    if found.name in APPLICATIONS:
        raise StudyError(
            f"{name}: APPLICATION: expected another name than {', '.join(APPLICATIONS)}, "
            f"which are taken, got {found.name!r}"
        )
    return found
