"""Ports: where a link's bytes go and come from."""

import os
import select
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Protocol

import serial

from tinyfleet.errors import ConfigError, WireError

READ_MOST = 65536


class PortLost(WireError):  # noqa: N818 - it says what happened
    """A port that is closed, unplugged or gone; its next use tries to open it again."""


class Port(Protocol):
    """A line to one device that carries bytes, and may lose or damage them."""

    def write(self, data: bytes) -> None:
        """Send `data`, or raise `PortLost`."""
        ...

    def read(self, timeout: float) -> bytes:
        """Return what has come, at the latest after `timeout` seconds; b"" when nothing came.

        Raises:
            PortLost: the line is gone.
        """
        ...

    def close(self) -> None:
        """Give the line back."""
        ...


class SerialPort:
    """A serial line: a device path, a pseudo-terminal, or `socket://host:port`.

    It is opened by the first use, and again by the next one after it was lost.

    Args:
        url: what `serial.serial_for_url` takes.
        baudrate: bits a second; it means nothing to sockets.

    Raises:
        ConfigError: this is no address of a serial line.
    """

    def __init__(self, url: str, baudrate: int = 115200) -> None:
        self._url = url
        try:
            self._line = serial.serial_for_url(
                url, baudrate, do_not_open=True, exclusive=True, timeout=0, write_timeout=5
            )
        except ValueError as error:
            raise ConfigError(
                f"port: expected a device path or socket://host:port, got {url!r} ({error})"
            ) from None

    def write(self, data: bytes) -> None:
        """See `Port`."""
        try:
            self._opened().write(data)
        except OSError as error:  # a SerialException is one
            raise self._lost(error) from None

    def read(self, timeout: float) -> bytes:
        """See `Port`."""
        try:
            line = self._opened()
            waiting = select.select([line], [], [], timeout)[0]
            data: bytes = line.read(READ_MOST) if waiting else b""
        except OSError as error:
            raise self._lost(error) from None
        return data

    def close(self) -> None:
        """See `Port`."""
        self._line.close()

    def _opened(self) -> serial.Serial:
        if not self._line.is_open:
            self._line.open()
        return self._line

    def _lost(self, error: OSError) -> PortLost:
        self._line.close()
        # pyserial's own text tells the path and the number of the error once more.
        reason = error if error.errno is None else os.strerror(error.errno)
        return PortLost(f"{self._url}: expected an open line, got: {reason}")


class ProcessPort:
    """A program that speaks the wire on its standard input and output.

    Its process group is ended with it, and started again by a write after it has ended.

    Args:
        command: the program and its arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, data: bytes) -> None:
        """See `Port`."""
        process = self._process or self._start()
        try:
            _pipe(process.stdin).write(data)
        except OSError as error:
            raise self._lost(error) from None

    def read(self, timeout: float) -> bytes:
        """See `Port`."""
        process = self._process or self._start()
        output = _pipe(process.stdout)
        if not select.select([output], [], [], timeout)[0]:
            return b""
        data = os.read(output.fileno(), READ_MOST)
        if not data:
            raise self._lost("it has ended")
        return data

    def close(self) -> None:
        """See `Port`."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _pipe(process.stdin).close()
        _pipe(process.stdout).close()

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            self._process = subprocess.Popen(  # noqa: S603 - its own command
                self._command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise self._lost(error) from None
        return self._process

    def _lost(self, why: object) -> PortLost:
        self.close()
        return PortLost(f"{self._command[0]}: expected a running program, got: {why}")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "Popen was asked for pipes"
    return pipe
