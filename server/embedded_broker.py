"""A broker for a first run, where Mosquitto is not installed: amqtt, and what it lacks mended.

`python -m tinyfleet.server.embedded_broker HOST PORT` serves until its standard input closes, so
it never outlives who started it. It keeps nothing on disk, and manages about 400 messages of
QoS 1 a second.
"""

import asyncio
import logging
import sys
from collections.abc import Iterator
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.plugins.base import BaseAuthPlugin

PATIENCE = 60
"""Seconds over its keep-alive that a client may be silent; without them a ping on time is late."""


class OpenDoor(BaseAuthPlugin):  # type: ignore[misc]
    """Lets everyone in, and keeps the sessions of all.

    amqtt's own plugin marks such clients as anonymous, whose sessions it forgets within a second.
    """

    async def authenticate(self, *, session: object) -> bool:
        """Return True."""
        del session
        return True


class _Snapshots(dict[str, Any]):
    """A dict that may change while somebody goes through it: amqtt awaits inside such loops."""

    def __iter__(self) -> Iterator[str]:
        return iter(list(super().keys()))

    def items(self) -> Any:
        return dict(super().items()).items()


class EmbeddedBroker(Broker):  # type: ignore[misc]
    """amqtt's broker without five faults of 0.11.4.

    - A client that subscribed while another one connected could leave that other one deaf.
    - Whoever connected got every retained message that anybody had subscribed to.
    - What was queued for an absent client came to it marked as retained.
    - A client that came back before its old connection was seen to end got nothing any more.
    - What a client published right before it said goodbye was acknowledged, and lost.
    """

    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(config)
        self._subscriptions: dict[str, Any] = _Snapshots()

    async def _client_message_loop(self, session: Any, handler: Any) -> None:
        await super()._client_message_loop(session, handler)
        published = session.delivered_message_queue
        for _ in range(published.qsize()):
            message = asyncio.get_running_loop().create_future()
            message.set_result(published.get_nowait())
            await self._handle_message_delivery(session, handler, message)

    async def _publish_session_retained_messages(self, session: Any) -> None:
        if not session.transitions.is_connected():
            session.transitions.connect()
        handler = self._get_handler(session)
        waiting = session.retained_messages
        queued = [waiting.get_nowait() for _ in range(waiting.qsize())]
        if handler is not None:
            sent = (handler.mqtt_publish(m.topic, m.data, m.qos, retain=False) for m in queued)
            await asyncio.gather(*sent, return_exceptions=True)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Any
    ) -> None:
        subscribers = self._subscriptions.get(subscription[0], ())
        if any(other.client_id == session.client_id for other, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)


def configuration(host: str, port: int) -> BrokerConfig:
    """Return amqtt's settings: one listener, and none of its plugins but an open door."""
    address = f"[{host}]" if ":" in host else host
    return BrokerConfig(
        listeners={"default": ListenerConfig(bind=f"{address}:{port}")},
        timeout_disconnect_delay=PATIENCE,
        plugins={f"{OpenDoor.__module__}.{OpenDoor.__qualname__}": {}},
    )


async def serve(host: str, port: int) -> None:
    """Serve on a port until standard input closes."""
    await EmbeddedBroker(configuration(host, port)).start()
    await asyncio.to_thread(sys.stdin.buffer.read)


def main() -> None:
    """Serve where the command line says."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))


if __name__ == "__main__":
    main()
