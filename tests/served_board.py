"""An emulated board behind a TCP port, as behind a serial-to-network box that can fail."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tinyfleet.client.emulated import UnicornBoard


class ServedBoard:
    """A board that one client at a time talks to; `stall` makes it deaf, `unplug` closes the line.

    Attributes:
        url: where pyserial finds it.
    """

    def __init__(self, elf: Path) -> None:
        self._elf = elf
        self._port = 0
        self._deaf, self._ending = threading.Event(), threading.Event()
        self.plug()

    @property
    def url(self) -> str:
        """What a gateway's file calls the port."""
        return f"socket://127.0.0.1:{self._port}"

    def stall(self) -> None:
        """Take what comes and answer nothing more."""
        self._deaf.set()

    def plug(self) -> None:
        """Power the board on and open its line, at the same address as before."""
        self._deaf.clear()
        self._ending.clear()
        self._listener = socket.create_server(("127.0.0.1", self._port), reuse_port=False)
        self._listener.settimeout(0.1)
        self._port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=(UnicornBoard(self._elf),))
        self._thread.start()

    def unplug(self) -> None:
        """Close the line and take the power away."""
        self._ending.set()
        self._thread.join()

    def _serve(self, board: UnicornBoard) -> None:
        with self._listener:
            while not self._ending.is_set():
                with suppress(TimeoutError, ConnectionError):
                    line, _ = self._listener.accept()
                    with line:
                        line.settimeout(0.1)
                        self._carry(line, board)

    def _carry(self, line: socket.socket, board: UnicornBoard) -> None:
        while not self._ending.is_set():
            try:
                data = line.recv(4096)
            except TimeoutError:
                continue
            if not data:
                return
            board.write(data)
            if not self._deaf.is_set():
                line.sendall(board.read(1.0))

    def __enter__(self) -> "ServedBoard":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._ending.is_set():
            self.unplug()
