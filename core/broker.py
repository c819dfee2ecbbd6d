"""Where a broker is, how we know it and it knows us, and what is wrong when it does not."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tinyfleet.errors import BrokerError


@dataclass(frozen=True)
class Broker:
    """Where a broker is and how it knows us. Files of certificates turn TLS on.

    Attributes:
        host: name or address.
        port: TCP port.
        username: whom we say we are; None for nobody.
        password: the proof of it.
        ca: file of the certificates that may vouch for the broker (PEM).
        certificate: our own certificate (PEM), with TLS.
        key: its private key, where it is not in the same file.

    Raises:
        BrokerError: a value that cannot be.
    """

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        for name, good, expected in (
            ("host", bool(self.host), "a name or an address"),
            ("port", 1 <= self.port <= 65535, "1 to 65535"),
            ("password", self.password is None or self.username is not None, "a username with it"),
            ("certificate", self.certificate is None or self.ca is not None, "a ca with it"),
            ("key", self.key is None or self.certificate is not None, "a certificate with it"),
        ):
            if not good:
                got = "none" if name in ("password", "certificate", "key") else getattr(self, name)
                raise BrokerError(f"broker.{name}: expected {expected}, got {got}")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def make_client(
    broker: Broker, client_id: str, window: int, *, clean: bool, will: tuple[str, bytes] | None
) -> mqtt.Client:
    """Return a client of paho for `broker`, not connected yet.

    Args:
        broker: where it is.
        client_id: whom the broker keeps a session for.
        window: messages that may wait for the broker's acknowledgement.
        clean: whether the broker forgets the session when the connection ends.
        will: topic and payload of what the broker publishes, retained, when the client vanishes.

    Raises:
        BrokerError: a file of certificates cannot be used.
    """
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id,
        clean_session=clean,
        protocol=MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.max_inflight_messages_set(2 * window)
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    if broker.ca is not None:
        client.tls_set_context(tls_context(broker, broker.ca))
    if will is not None:
        client.will_set(*will, qos=1, retain=True)
    return client


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho would leave that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def tls_context(broker: Broker, ca: Path) -> ssl.SSLContext:
    """Return what the broker's certificate is checked with, and our own is shown with."""
    try:
        context = ssl.create_default_context(cafile=str(ca))
    except OSError as error:
        raise BrokerError(
            f"broker.ca: {ca}: expected certificates in PEM, got {_cause(error)}"
        ) from None
    context.sslsocket_class = _TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if broker.certificate is not None:
        try:
            # An empty password, so that no encrypted key ever asks a terminal for one.
            context.load_cert_chain(broker.certificate, broker.key, password="")
        except OSError as error:
            raise BrokerError(
                f"broker.certificate: {broker.certificate}, key: {broker.key}: expected a "
                f"certificate and its unencrypted key in PEM, got {_cause(error)}"
            ) from None
    return context


def explain(broker: Broker, error: OSError | ValueError) -> str:
    """Return in one line why no connection came about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"broker {broker}: expected a certificate that {broker.ca} vouches for, "
            f"got: {error.verify_message}; check ca, the host's name and the dates"
        )
    return (
        f"broker {broker}: expected a broker, got {_cause(error)}; check host and port, "
        "and that it runs"
    )


def _cause(error: OSError | ValueError) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(text.split()) or type(error).__name__
