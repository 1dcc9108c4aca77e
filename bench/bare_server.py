"""A receiver that does nothing but answer 204, as cheaply as Python can: the floor for whoever sends callbacks.

Takes one request at a time on each connection and believes that it comes in one piece. Prints its port.
"""

from __future__ import annotations

import argparse
import selectors
import socket

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


def serve(server: socket.socket) -> None:
    """For ever."""
    waiting = selectors.DefaultSelector()
    waiting.register(server, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is server:
                waiting.register(server.accept()[0], selectors.EVENT_READ)
                continue
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            if connection.recv(65536):
                connection.send(_ANSWER)
            else:
                waiting.unregister(connection)
                connection.close()


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        print(server.getsockname()[1], flush=True)
        serve(server)


if __name__ == "__main__":
    main()
