"""__NAME__: one thread and a selector.

How a message flows. `serve` asks the selector which sockets are ready. It reads
once from each readable client (`read_once`) and appends the complete frames to
every client's backlog, including the sender's; the order of these appends is the
order of the messages. Then `write_backlog` writes as much of each backlog as the
socket accepts. A backlog is bounded: a client that reads too slowly misses the
frames that do not fit.
"""

import selectors
import signal
import socket
import sys

BACKLOG_BYTES_MAX = 64 * 1024  # queued for one client
READ_BYTES_MAX = 16 * 1024  # per read of one client, then the next has its turn
ACCEPT_PAUSE_SECONDS = 0.1  # when descriptors have run out
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Client:
    def __init__(self, stream):
        self.stream = stream
        self.received = bytearray()  # the start of an incomplete frame
        self.backlog = bytearray()  # complete frames; the first may be partly written
        self.leaving = False  # it sends no more, and only its backlog is still sent
        self.interest = READ

    def read_once(self):
        """Returns the complete frames, concatenated."""
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
        while end < len(self.received) and end + self.received[end] < len(
            self.received
        ):
            end += 1 + self.received[end]
        if data and not end:
            # Only part of a frame: its sender may wait for an acknowledgement, which the
            # kernel delays by 40 ms unless told otherwise each time.
            self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
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
    """Returns False if there is no descriptor for a pending connection."""
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
        if not accepting:  # After the pause, try to accept again.
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
                    if (
                        len(other.backlog) + len(frames) <= BACKLOG_BYTES_MAX
                        and not other.leaving
                    ):
                        other.backlog += frames
        for client in list(clients):
            client.write_backlog()
            if client.leaving and not client.backlog:
                clients.remove(client)
                selector.unregister(client.stream)
                client.stream.close()
                continue
            interest = (0 if client.leaving else READ) | (
                WRITE if client.backlog else 0
            )
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
    host = f"[{host}]" if ":" in host else host
    print(f"listening on {host}:{port}", flush=True)
    serve(listener)


if __name__ == "__main__":
    main()
