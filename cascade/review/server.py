"""The server of the page: on this machine only, under an address that nobody can guess."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn

from cascade.errors import OutputError
from cascade.review.app import make_app
from cascade.review.desk import Desk
from cascade.review.safety import HOST, Guard, new_token
from cascade.review.worker import Worker

_START_S = 20.0


@dataclass(frozen=True)
class Served:
    """A page that is being served.

    Parameters
    ----------
    address : str
        With the token.
    server : uvicorn.Server
    """

    address: str
    server: uvicorn.Server

    def wait(self) -> None:
        """Until it is stopped."""
        while not self.server.should_exit:
            time.sleep(0.2)


@contextlib.contextmanager
def served(desk: Desk, *, port: int = 0) -> Iterator[Served]:
    """Serve the page while the block lasts; what is being written is finished before it ends.

    Parameters
    ----------
    desk : Desk
    port : int
        0 takes a free one.

    Raises
    ------
    OutputError
        The port is taken.
    """
    sock = _listening(port)
    number = int(sock.getsockname()[1])
    worker, secret = Worker(desk), new_token()
    guard = Guard(make_app(desk, worker), secret, number)
    config = uvicorn.Config(guard, log_level="error", access_log=False, lifespan="off", server_header=False, ws="none", http="h11")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    worker.start()
    thread.start()
    try:
        _until_started(server)
        yield Served(f"http://{HOST}:{number}/{secret}/", server)
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        worker.stop()
        sock.close()


def _listening(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except (OSError, OverflowError) as error:
        sock.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "another program has it" if taken else f"it cannot be had ({error})"
        raise OutputError(f"port {port}: expected a free port; {why}; choose another with --port, or leave it out") from error
    return sock


def _until_started(server: uvicorn.Server) -> None:
    end = time.monotonic() + _START_S
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
