#!/usr/bin/env python3
"""__NAME__: one thread and a selector.

How a message flows. `serve` asks the selector which sockets are ready. What a
client has sent is read once (`read_once`), and its whole frames are put behind
the backlog of every client, the sender's included; the order in which that
happens is the order of the messages. Then the backlogs are written as far as the
sockets take them (`write_backlog`). A backlog is bounded: a client that reads too
slowly misses the frames that do not fit.
"""

import selectors
import signal
import socket
import sys

BACKLOG_BYTES_MAX = 64 * 1024  # held for one client
READ_BYTES_MAX = 16 * 1024  # read from one client before the others have their turn
ACCEPT_PAUSE_SECONDS = 0.1  # when descriptors have run out
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Client:
    def __init__(self, stream):
        self.stream = stream
        self.received = bytearray()  # the front of a frame whose end has not come yet
        self.backlog = bytearray()  # whole frames; the first may be written in part
        self.leaving = False  # sends no more, and gets no more than its backlog
        self.interest = READ

    def read_once(self):
        """Returns the frames that are complete now, in one piece."""
        try:
            data = self.stream.recv(READ_BYTES_MAX)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
            self.backlog.clear()  # reset: nothing more can be written
        self.leaving = not data
        self.received += data
        end = 0
        while end < len(self.received) and end + self.received[end] < len(self.received):
            end += 1 + self.received[end]
        frames = bytes(self.received[:end])
        del self.received[:end]
        return frames

    def write_backlog(self):
        try:
            while self.backlog:
                del self.backlog[: self.stream.send(self.backlog)]
        except BlockingIOError:
            pass
        except OSError:
            self.leaving = True
            self.backlog.clear()


def accept_all(listener, selector, clients):
    """Returns False if there is no descriptor for a client that waits."""
    while True:
        try:
            stream, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return True
        except OSError as error:
            print(f"server: cannot accept a client: {error}", file=sys.stderr)
            return False
        stream.setblocking(False)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(stream)
        clients.add(client)
        selector.register(stream, READ, client)


def serve(listener):
    selector = selectors.DefaultSelector()
    selector.register(listener, READ)
    clients = set()
    accepting = True
    while True:
        events = selector.select(None if accepting else ACCEPT_PAUSE_SECONDS)
        if not accepting:  # After the pause the listener has another try.
            selector.register(listener, READ)
            accepting = True
        for key, _ in events:
            client = key.data
            if client is None:
                accepting = accept_all(listener, selector, clients)
                if not accepting:
                    selector.unregister(listener)
            elif not client.leaving:
                frames = client.read_once()
                for other in clients:
                    if len(other.backlog) + len(frames) <= BACKLOG_BYTES_MAX and not other.leaving:
                        other.backlog += frames
        for client in list(clients):
            client.write_backlog()
            if client.leaving and not client.backlog:
                clients.remove(client)
                selector.unregister(client.stream)
                client.stream.close()
                continue
            interest = (0 if client.leaving else READ) | (WRITE if client.backlog else 0)
            if interest != client.interest:
                selector.modify(client.stream, interest, client)
                client.interest = interest


def listen(address):
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise OSError("expected HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise OSError("an IPv6 address is written in brackets: [::1]:8080")
    found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    listener = socket.create_server(found[4][:2], family=found[0], backlog=1024)
    listener.setblocking(False)
    return listener


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if len(sys.argv) != 2:
        sys.exit("server: error: expected one argument, HOST:PORT")
    try:
        listener = listen(sys.argv[1])
    except (OSError, UnicodeError) as error:
        sys.exit(f"server: error: cannot listen on {sys.argv[1]!a}: {error}")
    host, port = listener.getsockname()[:2]
    print(f"listening on [{host}]:{port}" if ":" in host else f"listening on {host}:{port}", flush=True)
    serve(listener)


if __name__ == "__main__":
    main()
