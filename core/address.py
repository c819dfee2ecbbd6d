"""Addresses of programs: `host:port`, on this machine or on another."""

import socket
import ssl
import urllib.request
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path

from tinyfleet.errors import ConfigError

_NEAR = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def near(host: str) -> str:
    """Return where clients on this machine find what listens at `host`."""
    return _NEAR.get(host, host)


def join(host: str, port: int) -> str:
    """Return `host:port` as clients on this machine spell it.

    >>> join("0.0.0.0", 8000), join("::1", 8000)
    ('127.0.0.1:8000', '[::1]:8000')
    """
    host = near(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split(address: str, name: str) -> tuple[str, int]:
    """Return host and port of `host:port`; errors call the address `name`.

    Raises:
        ConfigError: it is no such address.

    >>> split("[::1]:8000", "--superlink")
    ('::1', 8000)
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"{name}: expected host:port such as 127.0.0.1:8000, got {address!r}")
    return host.strip("[]"), int(port)


def is_local(host: str) -> bool:
    """Return whether nobody but this machine reaches `host`.

    >>> is_local("localhost"), is_local("127.0.0.2"), is_local("0.0.0.0"), is_local("lab.lan")
    (True, True, False, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listening_port(host: str, port: int = 0) -> int:
    """Return `port`, or a free one where it is 0, after a look whether it can be listened on.

    Raises:
        ConfigError: it cannot.
    """
    try:
        return bound_port(host, port)
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{host}:{port}: expected an address of this machine and a free port, got {why}; "
            "take another port, or 0 for a free one"
        ) from None


def bound_port(host: str, port: int) -> int:
    """Listen on `port` of `host`, or on a free one where it is 0, for a moment; return which.

    Raises:
        OSError: it cannot be listened on.
        OverflowError: no port has this number.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port))
        bound: int = trial.getsockname()[1]
    return bound


def answers(url: str, ca: Path | None = None) -> bool:
    """Return whether `url` answers with success within a second, as a healthy service does.

    Args:
        url: where it says how it is.
        ca: file of the certificates that may vouch for it, with https.
    """
    try:
        context = ssl.create_default_context(cafile=ca) if url.startswith("https:") else None
        with urllib.request.urlopen(url, timeout=1.0, context=context) as reply:  # noqa: S310
            return bool(reply.status == 200)
    except (OSError, HTTPException):  # nobody, or another kind of service
        return False
