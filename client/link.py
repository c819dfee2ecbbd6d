"""The link to one device: one request, one answer, whatever the line does to either.

A request is repeated until its answer comes; every request is built so that this changes nothing
(`docs/wire.md`). A late answer is told from the one awaited by its type, number and offset.
"""

import math
import time
from collections.abc import Sequence

from tinyfleet.client.ports import Port, PortLost
from tinyfleet.errors import WireError
from tinyfleet.wire import (
    ANSWER,
    ERROR,
    SAFE_PAYLOAD,
    Blob,
    Counters,
    DeviceRefused,
    Frame,
    FrameReader,
    Hello,
    Kind,
    Options,
    Reason,
    Request,
    Result,
    encode,
    pack_begin,
    pack_read,
    pack_select,
    pack_sense,
    refusal,
    unpack_number,
)

LONGEST_WAIT = 2.0  # seconds
BEGIN_AGAIN = {Reason.TRANSFER, Reason.CHECKSUM}
PLAIN = Options()


class Link:
    """A device behind a port.

    Args:
        port: the line.
        timeout: seconds that the first try waits for an answer; each further one waits twice as
            long, up to 2 s.
        tries: how often a request is sent before the device counts as lost.

    Attributes:
        retries: requests sent again.
        resumed: transfers begun again where the device stood, or anew.
        late: answers that nobody awaited any more.
    """

    def __init__(self, port: Port, timeout: float = 0.5, tries: int = 16) -> None:
        self._port, self._timeout, self._tries = port, timeout, tries
        self._reader = FrameReader()
        self._number = 0
        self._payload_max = SAFE_PAYLOAD
        self.retries = self.resumed = self.late = 0

    @property
    def dropped(self) -> int:
        """Malformed frames that came from the device."""
        return self._reader.dropped

    def hello(self) -> Hello:
        """Ask the device what it is.

        Raises:
            WireError: it does not answer, or speaks another version.
        """
        hello = Hello.from_bytes(self._ask("hello", self._frame(Request.HELLO)))
        self._payload_max = hello.payload_max
        return hello

    def counters(self) -> Counters:
        """Ask the device what it has counted, or raise `WireError`."""
        return Counters.from_bytes(self._ask("counters", self._frame(Request.COUNTERS)))

    def sense(self, rate: float, samples: int) -> Result:
        """Let the device learn `samples` readings of its own sensor, at least one a second.

        Raises:
            DeviceRefused: it has no sensor, program or weights.
            WireError: it does not answer.
        """
        frame = self._frame(Request.SENSE, pack_sense(rate, samples))
        more = math.ceil(samples / LONGEST_WAIT)
        return Result.from_bytes(self._ask("sense", frame, self._tries + more))

    def select(self, count: int, ranges: Sequence[tuple[int, int]]) -> int:
        """Let the device choose the `count` entries in `ranges` that moved most.

        Returns:
            How many it chose, for `read_blob`: `count`, or 0 where a weight is not finite.

        Raises:
            DeviceRefused: it has kept no copy to measure against.
            WireError: it does not answer, or chose another number.
        """
        frame = self._frame(Request.SELECT, pack_select(count, ranges))
        chosen = unpack_number(self._ask("select", frame), "select")
        if chosen not in (0, count):
            raise WireError(f"select: expected {count} entries or none, got {chosen}")
        return chosen

    def read_blob(self, blob: Blob, start: int, stop: int) -> bytes:
        """Return bytes `start..stop - 1` of `blob`.

        Raises:
            DeviceRefused: it has no such blob, or a shorter one.
            WireError: it does not answer, or with another number of bytes.
        """
        asked, parts = f"read {blob.name.lower()}", []
        for offset in range(start, stop, self._payload_max):
            length = min(self._payload_max, stop - offset)
            part = self._ask(asked, self._frame(Request.READ, pack_read(blob, length), offset))
            if len(part) != length:
                raise WireError(f"{asked}: expected {length} bytes, got {len(part)}")
            parts.append(part)
        return b"".join(parts)

    def send_blob(self, kind: Kind, data: bytes, options: Options = PLAIN) -> Result:
        """Bring `data`, `options.passes` times over, and commit it.

        A transfer that the device has lost begins again. Not so one that it learned from: the
        weights are no longer those that it started from, so the caller has to start over.

        Raises:
            DeviceRefused: the device refuses, or has lost what it was learning from.
            WireError: it does not answer.
        """
        asked = kind.name.lower()
        begin = self._frame(Request.BEGIN, pack_begin(kind, data, options))
        for left in reversed(range(self._tries)):
            try:
                self._send_chunks(asked, begin, data, options.passes)
                commit = Frame(Request.COMMIT, begin.transfer)
                return Result.from_bytes(self._ask(f"{asked}: commit", commit))
            except DeviceRefused as refused:
                if not left or kind is Kind.LEARN or refused.reason not in BEGIN_AGAIN:
                    raise
                self.resumed += 1
        raise AssertionError("the last try returns or raises")

    def _send_chunks(self, asked: str, begin: Frame, data: bytes, passes: int) -> None:
        """Begin, or begin again, and send chunks from wherever the device stands."""
        length, stuck = len(data) * passes, 0
        offset = unpack_number(self._ask(f"{asked}: begin", begin), asked)
        while offset < length and stuck < self._tries:
            at = offset % len(data)
            chunk = data[at : at + self._payload_max]
            frame = Frame(Request.CHUNK, begin.transfer, offset, chunk)
            expected = unpack_number(self._ask(f"{asked}: chunk", frame), asked)
            stuck = 0 if expected > offset else stuck + 1
            offset = expected
        if offset != length:
            raise WireError(f"{asked}: expected the device to take {length} bytes, got {offset}")

    def _frame(self, request: Request, payload: bytes = b"", offset: int = 0) -> Frame:
        """Return a request under a number of its own."""
        self._number = self._number % 255 + 1
        return Frame(request, self._number, offset, payload)

    def _ask(self, asked: str, frame: Frame, tries: int | None = None) -> bytes:
        """Return the payload that answers `frame`."""
        tries = tries or self._tries
        data, wait, trouble = encode(frame), self._timeout, "no answer"
        for tried in range(tries):
            try:
                self._port.write(b"\0" + data if tried else data)  # a zero ends what was cut off
                if answer := self._answer(frame, wait):
                    if answer.type == ERROR:
                        raise refusal(answer.payload, asked)
                    return answer.payload
            except PortLost as lost:
                trouble = str(lost)
                time.sleep(wait)
            self.retries += 1
            wait = min(2 * wait, LONGEST_WAIT)
        raise WireError(
            f"{asked}: expected an answer within {tries} tries, got: {trouble}; "
            "is the board connected and powered?"
        )

    def _answer(self, frame: Frame, wait: float) -> Frame | None:
        """Return the answer to `frame`, or None when none came within `wait` seconds."""
        awaited = {(kind, frame.transfer, frame.offset) for kind in (frame.type | ANSWER, ERROR)}
        found, deadline = None, time.monotonic() + wait
        while found is None and (left := deadline - time.monotonic()) > 0:
            data = self._port.read(left)
            if not data:
                break
            for got in self._reader.feed(data):
                if (got.type, got.transfer, got.offset) in awaited:
                    found = got
                else:
                    self.late += 1
        return found
