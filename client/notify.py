"""Tells systemd how a service is: ready, stopping, still alive (sd_notify, without its library)."""

import os
import socket


def notify(state: str) -> None:
    """Send `state`, such as "READY=1"; nothing happens where nobody asked for it.

    A message that systemd does not take is lost: the service is not worse for it.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # a name of Linux's own, not a file
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)
        try:
            channel.sendto(state.encode(), address)
        except OSError:
            return


def watchdog_seconds() -> float | None:
    """Return within how many seconds systemd wants to hear from this process; None for never."""
    wanted, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wanted.isdigit() or (process and process != str(os.getpid())):
        return None
    return int(wanted) / 1e6
