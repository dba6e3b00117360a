"""async/await on Curio: one thread, and a task for everything that has to wait.

Each client has a task that reads and a task that writes.

    reader -- order lock --> queue of each client --> writer

A reader splits its bytes into complete frames, takes the lock, and puts them into
every client's queue. The holder of the lock comes next for all receivers: this is the
sequencing point. It never waits for a client while holding the lock; a client with a
full queue misses the frame. A writer sends everything in its queue at once.

Curio switches tasks only where a task has to wait, and a put into a queue with room
does not wait. So a reader with many frames takes turns: after a few of them it yields,
and the writers drain the queues before they overflow.

When a stream ends, its reader removes the client and puts END into its queue. The
writer sends everything before END and closes the connection; no other task closes it.

Shortcut: after a reset the writer keeps draining its queue until the reader, which the
same reset has woken, has put END there.
"""

import multiprocessing.connection
import socket
import ssl
import sys
from itertools import islice

# Curio 1.6, the last release, is from 2022. On import it looks up four names that
# Python 3.12 has removed, for features that this program does not use.
for name in "CHALLENGE", "FAILURE", "WELCOME":
    vars(multiprocessing.connection).setdefault(name, b"")
vars(ssl).setdefault("wrap_socket", ssl.SSLContext.wrap_socket)

import curio

QUEUE_FRAMES = 64  # queued for a client that reads slowly
CHUNK_BYTES = 16 * 1024  # per read
BACKLOG = 1024  # connections queued in the kernel
ACCEPT_RETRY_SECONDS = 0.05  # pause after a failed accept
END = b""  # nothing follows in this queue (a frame has at least its length byte)


def main():
    try:
        listener = listen(sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(f"server: {error}")
    with listener:
        host, port = listener.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        print(f"listening on {host}:{port}", flush=True)
        curio.run(serve, curio.io.Socket(listener))


def listen(arguments):
    if len(arguments) != 1:
        raise ValueError("usage: server.py HOST:PORT")
    host, _, port = arguments[0].rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        family, host = socket.AF_INET6, host[1:-1]
    else:
        family = socket.AF_INET
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{arguments[0]!r} is not HOST:PORT")
    return socket.create_server((host, int(port)), family=family, backlog=BACKLOG)


class Client:
    def __init__(self, connection):
        self.connection = connection
        self.queue = curio.Queue()  # the room bounds it, so that END always fits


class Room:
    def __init__(self):
        self.clients = set()
        self.order = curio.Lock()

    async def enter(self, client):
        async with self.order:
            self.clients.add(client)

    async def leave(self, client):
        async with self.order:
            self.clients.remove(client)
            await client.queue.put(END)

    async def send(self, frames):
        """The sequencing point."""
        async with self.order:
            for client in self.clients:
                for frame in frames[: QUEUE_FRAMES - client.queue.qsize()]:
                    await client.queue.put(frame)

    def turn_frames(self):
        """As many from each reader as fit into a queue all together."""
        return max(1, QUEUE_FRAMES // len(self.clients))


async def serve(listener):
    room = Room()
    while True:
        try:
            connection, _ = await listener.accept()
        except OSError as error:  # descriptors have probably run out
            print(f"server: {error}", file=sys.stderr)
            await curio.sleep(ACCEPT_RETRY_SECONDS)
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(connection)
        await room.enter(client)
        await curio.spawn(read, client, room, daemon=True)
        await curio.spawn(write, client, daemon=True)


async def read(client, room):
    received = b""
    try:
        while chunk := await client.connection.recv(CHUNK_BYTES):
            frames, received = split(received + chunk)
            if received:
                # Acknowledge at once: Nagle's algorithm may hold the rest back until then.
                client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            waiting = iter(frames)
            while turn := list(islice(waiting, room.turn_frames())):
                await room.send(turn)
                await curio.sleep(0)
    except OSError:
        pass  # a reset: the stream ends here
    await room.leave(client)


def split(received):
    """Returns the complete frames, each with its length byte, and the rest."""
    frames = []
    start = 0
    while start < len(received):
        end = start + 1 + received[start]
        if end > len(received):
            break
        frames.append(received[start:end])
        start = end
    return frames, received[start:]


async def write(client):
    gone = ended = False
    while not ended:
        frames = [await client.queue.get()]
        while not client.queue.empty():
            frames.append(await client.queue.get())
        ended = frames[-1] == END
        try:
            if not gone:
                await client.connection.sendall(b"".join(frames))
        except OSError:
            gone = True
    await client.connection.close()


if __name__ == "__main__":
    main()
