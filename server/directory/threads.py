"""One thread that writes, many that read: the graph is never used from the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import TypeVar

from tinyfleet.errors import QueryError
from tinyfleet.server.directory.problem import RequestError

Answer = TypeVar("Answer")


MOST_SEARCHES = 64
"""Searches that run or wait; whoever comes then is asked to come again."""


class Threads:
    """Where blocking calls of the directory go.

    Writes go to one thread, in the order in which they are asked for, so that whoever reads what
    is there and then replaces it is alone meanwhile.

    There are few, since Python runs one at a time and the one that writes must get its turn.
    Searches have threads of their own: however long they take, descriptions are still read.

    Args:
        readers: how many reads run at a time.
        searchers: how many searches run at a time.
    """

    def __init__(self, readers: int = 4, searchers: int = 4) -> None:
        self._writer = ThreadPoolExecutor(1, "directory-writer")
        self._readers = ThreadPoolExecutor(readers, "directory-reader")
        self._searchers = ThreadPoolExecutor(searchers, "directory-searcher")
        self._searches = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Remember the event loop that runs; `tell` calls back to it."""
        self._loop = asyncio.get_running_loop()

    async def write(self, call: Callable[[], Answer]) -> Answer:
        """Run `call` on the thread that writes; a client that leaves does not interrupt it."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._writer, call))

    async def read(self, call: Callable[[], Answer]) -> Answer:
        """Run `call` on a thread that reads."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, call)

    async def search(self, call: Callable[[], Answer]) -> Answer:
        """Run `call`, which answers a client's own query.

        Raises:
            RequestError: 400, the query is refused; 503, too many others wait.
        """
        if self._searches >= MOST_SEARCHES:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"expected fewer than {MOST_SEARCHES} searches at a time, got more; ask again",
                headers={"Retry-After": "5"},
            )
        self._searches += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._searchers, call)
        except QueryError as error:
            raise RequestError(HTTPStatus.BAD_REQUEST, str(error)) from None
        finally:
            self._searches -= 1

    def write_and_wait(self, call: Callable[[], Answer]) -> Answer:
        """Run `call` on the thread that writes, and wait; for threads besides the event loop's."""
        return self._writer.submit(call).result()

    def tell(self, call: Callable[[], None]) -> None:
        """Run `call` on the event loop, soon."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed: nobody listens any more
                self._loop.call_soon_threadsafe(call)

    def close(self) -> None:
        """Finish what was begun."""
        for pool in (self._writer, self._readers, self._searchers):
            pool.shutdown(cancel_futures=True)
