"""Whether what a gateway needs can be reached from here: its SuperLink, its broker."""

import socket
import ssl
import urllib.error
import urllib.request
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from tinyfleet.address import join
from tinyfleet.client.gateway import Gateway

SECONDS = 3.0
"""How long an answer may take."""


def superlink_fault(host: str, port: int, trust: ssl.SSLContext | None) -> str | None:
    """Return why the SuperLink at `host:port` is not reached; None when it answers.

    Args:
        host: its name or address.
        port: its port.
        trust: who may vouch for it; None for no TLS.
    """
    connection = HTTPConnection(host, port, timeout=SECONDS)
    if trust is not None:
        connection = HTTPSConnection(host, port, timeout=SECONDS, context=trust)
    try:
        connection.connect()
        connection.request("GET", "/health")
        connection.getresponse()
    except (ConnectionResetError, HTTPException) as error:
        if trust is not None:
            return _reason(error)
        return "it speaks no plain HTTP; if it has TLS, give --ca"
    except OSError as error:
        return _reason(error)
    finally:
        connection.close()
    return None


def daemon_answers(gateway: Gateway) -> bool:
    """Return whether the daemon says how it is, well or not; True where it cannot be asked."""
    return not _can_be_asked(gateway) or _health(gateway) is not None


def broker_fault(gateway: Gateway) -> str | None:
    """Return why the daemon has not reached its broker; None when it has.

    Where the daemon cannot be asked, it is whether the broker takes connections.
    """
    if _can_be_asked(gateway):
        return None if _health(gateway) == 200 else "the daemon is not connected"
    broker = gateway.broker
    try:
        socket.create_connection((broker.host, broker.port), SECONDS).close()
    except OSError as error:
        return _reason(error)
    return None


def _can_be_asked(gateway: Gateway) -> bool:
    return gateway.listen is not None and gateway.listen[1] != 0


def _health(gateway: Gateway) -> int | None:
    """Return the status that the daemon answers with; None when it does not."""
    assert gateway.listen is not None
    try:
        url = f"http://{join(*gateway.listen)}/healthz"
        with urllib.request.urlopen(url, timeout=1.0) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, HTTPException):
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate: {error.verify_message}"
    told = error.strerror if isinstance(error, OSError) else None
    return told or str(error) or type(error).__name__
