"""How many cores this process may use."""

import os


def cores() -> int:
    """Return how many cores this process may use; where nobody says, all that there are."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1
