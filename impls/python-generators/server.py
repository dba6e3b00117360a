"""Generators: a task yields what it waits for, and a trampoline over epoll grants it.

The idea: a generator stops at `yield` and can be continued there, so it can serve as a
coroutine. This is how async/await was written before those were keywords, and they work
the same way inside. There are four wishes: `Ready` (a socket can be read or written),
an `Event`, a `Pause`, and nothing: a bare `yield` lets the others have their turn. A
function that waits is itself a generator, and `yield from` delegates to it: its wishes
go to the trampoline, and its result comes back.

    serve -> attend: read -- post --> backlog of each client --> write

How a message flows. `read` receives what its client has sent, and `post` appends the
complete frames to every client's backlog, including the sender's. It is a plain function
and cannot yield, so nothing else runs meanwhile: it is the sequencing point. A client
whose backlog is full misses the frames. `write` sends the whole backlog at once.

The trampoline runs every task that has what it wished for once, then asks epoll. epoll
reports a change only once (it is edge-triggered), and nobody listens to it who does not
wait: a task tries first, and wishes for a socket only after a `BlockingIOError`.

Shortcut: the frames of one read are delivered, or dropped, together.
"""

import collections
import dataclasses
import re
import select
import signal
import socket
import sys
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
    trampoline = Trampoline()
    trampoline.start(serve(listener, trampoline))
    trampoline.run()


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


# The wishes.


@dataclasses.dataclass(frozen=True)
class Ready:
    connection: socket.socket
    how: int  # select.EPOLLIN or select.EPOLLOUT


@dataclasses.dataclass(frozen=True)
class Pause:
    seconds: float


class Event:
    """Granted from `set` to `clear`."""

    def __init__(self, trampoline):
        self.trampoline = trampoline
        self.is_set = False
        self.waiting = []

    def set(self):
        self.is_set = True
        self.trampoline.runnable.extend(self.waiting)
        self.waiting.clear()

    def clear(self):
        self.is_set = False


class Trampoline:
    def __init__(self):
        self.epoll = select.epoll()
        self.runnable = collections.deque()
        self.waiting = {}  # tasks by descriptor and how
        self.pausing = {}  # tasks and their times

    def start(self, task):
        self.runnable.append(task)

    def watch(self, connection):
        connection.setblocking(False)
        changes = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
        self.epoll.register(connection, changes)

    def run(self):
        while True:
            for _ in range(len(self.runnable)):
                task = self.runnable.popleft()
                try:
                    self.grant(next(task), task)
                except StopIteration:
                    pass
            self.poll()

    def grant(self, wish, task):
        match wish:
            case None | Event(is_set=True):
                self.runnable.append(task)
            case Event():
                wish.waiting.append(task)
            case Ready():
                self.waiting[wish.connection.fileno(), wish.how] = task
            case Pause():
                self.pausing[task] = time.monotonic() + wish.seconds

    def poll(self):
        for descriptor, changes in self.epoll.poll(self.patience()):
            for how in select.EPOLLIN, select.EPOLLOUT:
                if changes & (how | select.EPOLLHUP | select.EPOLLERR):
                    task = self.waiting.pop((descriptor, how), None)
                    if task:
                        self.start(task)
        now = time.monotonic()
        for task in [task for task, at in self.pausing.items() if at <= now]:
            del self.pausing[task]
            self.start(task)

    def patience(self):
        """How long to poll, in seconds; None: until something happens."""
        if self.runnable:
            return 0
        now = time.monotonic()
        return min((max(0, at - now) for at in self.pausing.values()), default=None)


# What waits is delegated to with `yield from`.


def accept(listener):
    while True:
        try:
            return listener.accept()[0]
        except BlockingIOError:
            yield Ready(listener, select.EPOLLIN)
        except OSError as error:  # descriptors have probably run out
            print(f"server: cannot accept a client: {error}", file=sys.stderr)
            yield Pause(ACCEPT_RETRY_SECONDS)


def receive(connection, size):
    while True:
        try:
            return connection.recv(size)
        except BlockingIOError:
            yield Ready(connection, select.EPOLLIN)


def send(connection, data):
    while data:
        try:
            data = data[connection.send(data) :]
        except BlockingIOError:
            yield Ready(connection, select.EPOLLOUT)


# The chat.


class Client:
    def __init__(self, connection, trampoline):
        self.connection = connection
        self.backlog = bytearray()  # complete frames
        self.leaving = False  # it sends no more, and only its backlog is still sent
        self.news = Event(trampoline)  # one of the two has changed
        self.written = Event(trampoline)  # `write` has ended

    def take(self):
        """Waits for frames; returns none when the client is leaving and has had all."""
        yield self.news
        if not self.leaving:
            self.news.clear()
        frames, self.backlog = self.backlog, bytearray()
        return frames


class Room:
    def __init__(self):
        self.clients = set()

    def post(self, frames):
        """The sequencing point."""
        for client in self.clients:
            if len(client.backlog) + len(frames) <= BACKLOG_BYTES_MAX:
                client.backlog += frames
                client.news.set()

    def leave(self, client):
        self.clients.remove(client)
        client.leaving = True
        client.news.set()

    def share(self):
        """So many bytes that a share of every client fits into a backlog."""
        return max(FRAME_BYTES_MAX, BACKLOG_BYTES_MAX // len(self.clients))


def serve(listener, trampoline):
    room = Room()
    trampoline.watch(listener)
    while True:
        connection = yield from accept(listener)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trampoline.watch(connection)
        client = Client(connection, trampoline)
        room.clients.add(client)
        trampoline.start(attend(client, room))
        trampoline.start(write(client))
        yield


def attend(client, room):
    try:
        yield from read(client, room)
    except OSError:
        pass  # a reset: `write` will notice it, too
    room.leave(client)
    yield client.written
    client.connection.close()


def read(client, room):
    received = b""
    while chunk := (yield from receive(client.connection, room.share())):
        received += chunk
        end = end_of_frames(received)
        if end:
            room.post(received[:end])
            received = received[end:]
        else:
            # Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        yield


def end_of_frames(received):
    """The length of the complete frames at the start."""
    end = 0
    while end < len(received):
        following = end + 1 + received[end]
        if following > len(received):
            break
        end = following
    return end


def write(client):
    try:
        while frames := (yield from client.take()):
            yield from send(client.connection, frames)
    except OSError:
        pass  # a reset: `read` takes what the client has sent before
    client.written.set()


if __name__ == "__main__":
    main()
