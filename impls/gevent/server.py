"""Green threads on gevent: a program for threads, run unchanged in coroutines.

    python -m gevent.monkey server.py HOST:PORT

The idea: this file uses `socket` and `threading` and nothing else. `gevent.monkey`
replaces both underneath it before it starts: a thread becomes a greenlet, and a call
that would block switches to another one. Without gevent (`python server.py HOST:PORT`)
the same file is a server with two operating-system threads per client.

    main -> attend: read -- post --> backlog of each client --> write

How a message flows. Each client has a thread that reads and one that writes. `read`
receives what its client has sent, and `post` appends the complete frames to every
client's backlog, including the sender's, while it holds the room's lock. The thread
that holds the lock is the sequencing point; it never waits for a client, and a client
whose backlog is full misses the frames. `write` takes the whole backlog and sends it
with one call.

gevent switches only where a thread would block, and to receive what is already there
does not. So `read` sleeps for no time after each read, which lets all others run.

Shortcut: the frames of one read are delivered, or dropped, together.
"""

import re
import signal
import socket
import sys
import threading
import time

BACKLOG_BYTES_MAX = 64 * 1024  # queued for a client that reads slowly
FRAME_BYTES_MAX = 1 + 255  # a length and a body
LISTEN_BACKLOG = 1024  # connections queued in the kernel
ACCEPT_RETRY_SECONDS = 0.05  # pause after a failed accept


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C needs no traceback
    try:
        listener = listen(sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(f"server: {error}")
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    print(f"listening on {host}:{port}", flush=True)
    room = Room()
    while True:
        try:
            connection, _ = listener.accept()
        except OSError as error:  # descriptors have probably run out
            print(f"server: cannot accept a client: {error}", file=sys.stderr)
            time.sleep(ACCEPT_RETRY_SECONDS)
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(connection)
        room.enter(client)
        threading.Thread(target=attend, args=(client, room), daemon=True).start()


def listen(arguments):
    if len(arguments) != 1:
        raise ValueError("usage: server.py HOST:PORT")
    match = re.fullmatch(r"(?:\[(.+)\]|([^:]+)):(\d{1,5})", arguments[0], re.ASCII)
    if not match or int(match[3]) > 65535:
        raise ValueError(f"invalid address {arguments[0]!r}: expected HOST:PORT")
    return socket.create_server(
        (match[1] or match[2], int(match[3])),
        family=socket.AF_INET6 if match[1] else socket.AF_INET,
        backlog=LISTEN_BACKLOG,
    )


class Client:
    def __init__(self, connection):
        self.connection = connection
        self.backlog = bytearray()  # complete frames
        self.leaving = False  # it sends no more, and only its backlog is still sent
        self.news = threading.Event()  # one of the two has changed


class Room:
    def __init__(self):
        self.lock = threading.Lock()  # guards the set and what its clients hold
        self.clients = set()

    def enter(self, client):
        with self.lock:
            self.clients.add(client)

    def leave(self, client):
        with self.lock:
            self.clients.remove(client)
            client.leaving = True
            client.news.set()

    def post(self, frames):
        """The holder of the lock is the sequencing point."""
        with self.lock:
            for client in self.clients:
                if len(client.backlog) + len(frames) <= BACKLOG_BYTES_MAX:
                    client.backlog += frames
                    client.news.set()

    def take(self, client):
        """Waits for frames; returns none when the client is leaving and has had all."""
        client.news.wait()
        with self.lock:
            if not client.leaving:
                client.news.clear()
            frames, client.backlog = client.backlog, bytearray()
        return frames

    def share(self):
        """So many bytes that a share of every client fits into a backlog."""
        return max(FRAME_BYTES_MAX, BACKLOG_BYTES_MAX // len(self.clients))


def attend(client, room):
    writer = threading.Thread(target=write, args=(client, room), daemon=True)
    writer.start()
    try:
        read(client, room)
    except OSError:
        pass  # a reset: `write` notices it, too
    room.leave(client)
    writer.join()
    client.connection.close()


def read(client, room):
    received = b""
    while chunk := client.connection.recv(room.share()):
        received += chunk
        end = end_of_frames(received)
        if end:
            room.post(received[:end])
            received = received[end:]
        else:
            # Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        time.sleep(0)


def end_of_frames(received):
    """The length of the complete frames at the start."""
    end = 0
    while end < len(received):
        following = end + 1 + received[end]
        if following > len(received):
            break
        end = following
    return end


def write(client, room):
    try:
        while frames := room.take(client):
            client.connection.sendall(frames)
    except OSError:
        pass  # a reset: `read` takes what the client has sent before


if __name__ == "__main__":
    main()
