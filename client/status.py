"""A daemon's status page: `/metrics` for Prometheus, `/healthz` for whoever restarts it.

Nobody has to say who they are here, so it listens where the configuration says: at 127.0.0.1
unless told otherwise. It only reads.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from threading import Thread

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from tinyfleet.client.figures import Figures
from tinyfleet.errors import ConfigError

STALE = 30.0
"""Seconds without a new figure after which a daemon counts as hung."""

_COUNTERS = {
    "orders": "Orders that were taken.",
    "updates": "Updates that devices made.",
    "malformed": "Messages that meant nothing.",
    "resent": "Answers that were published again.",
    "disconnections": "Times that the broker was lost or did not take the gateway.",
    "bytes_received": "Payload bytes that came.",
    "bytes_sent": "Payload bytes that were published.",
    "link_retries": "Requests that were repeated to boards.",
    "link_dropped": "Malformed frames that came from boards.",
}
_GAUGES = {
    "connected": "Whether the broker has the gateway.",
    "asked": "Orders being followed.",
    "unacknowledged": "Answers that nobody has acknowledged.",
    "outbox_bytes": "Bytes of orders and answers that wait.",
}


@contextmanager
def serving(listen: tuple[str, int], figures: Callable[[], Figures]) -> Iterator[tuple[str, int]]:
    """Serve the status page while the context lasts; yield where.

    Raises:
        ConfigError: the address cannot be listened at.
    """
    registry = CollectorRegistry()
    registry.register(_Counts(figures))
    ProcessCollector(registry=registry)

    class Page(BaseHTTPRequestHandler):
        """Answers GET."""

        timeout = 10.0  # seconds that a connection may idle

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif self.path == "/healthz":
                well, body = health(figures())
                status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, "application/json", json.dumps(body).encode() + b"\n")
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics or /healthz\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep the daemon's log for what matters."""

    class Server(ThreadingHTTPServer):
        """Listens at addresses of either kind."""

        address_family = AF_INET6 if ":" in listen[0] else AF_INET

    try:
        server = Server(listen, Page)
    except OSError as error:
        raise ConfigError(
            f"status.listen: expected an address that is free, got {listen[0]}:{listen[1]} "
            f"({error.strerror or error})"
        ) from None
    thread = Thread(target=server.serve_forever, name="status", daemon=True)
    thread.start()
    try:
        yield str(server.server_address[0]), server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def health(figures: Figures) -> tuple[bool, dict[str, object]]:
    """Return whether a daemon is well, and what `/healthz` says of it."""
    alive = time.monotonic() - figures.at < STALE
    well = alive and figures.connected
    return well, {
        "status": "ok" if well else "disconnected" if alive else "hung",
        "fleet": figures.fleet,
        "gateway": figures.gateway,
        "session": figures.session,
        "devices": dict(figures.devices),
        "asked": figures.asked,
        "unacknowledged": figures.unacknowledged,
    }


class _Counts(Collector):
    """The daemon's figures as Prometheus has them."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield a metric for each figure."""
        figures = self._figures()
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"tinyfleet_{name}", text, value=getattr(figures, name))
        for name, text in _GAUGES.items():
            yield GaugeMetricFamily(f"tinyfleet_{name}", text, value=getattr(figures, name))
        devices = GaugeMetricFamily("tinyfleet_devices", "Devices by state.", labels=["state"])
        for state in ("idle", "learning", "absent"):
            devices.add_metric([state], figures.devices.get(state, 0))
        yield devices
        for name, label, text, counts in (
            ("refusals", "cause", "Orders that were refused.", figures.refusals),
            ("acknowledged", "status", "Answers acknowledged.", figures.acknowledged),
        ):
            family = CounterMetricFamily(f"tinyfleet_{name}", text, labels=[label])
            for value, count in counts.items():
                family.add_metric([value], count)
            yield family
