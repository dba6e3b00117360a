"""async/await on Curio: one thread, and a task for everything that has to wait.

Each client has a task that reads and a task that writes.

    reader -- order lock --> queue of each client --> writer

A reader cuts its bytes into whole frames, takes the lock, and puts them into every
client's queue: who holds the lock decides what comes next, for everybody alike. It
never waits for a client meanwhile; who has a full queue misses the frame. A writer
sends all that its queue holds at once.

Curio switches tasks only where a task has to wait, and putting into a queue with
room is no reason to. So a reader with many frames takes turns: after a few of them
it steps aside, and the writers empty the queues before there are too many.

When a stream ends, its reader takes the client out and puts END into its queue. The
writer sends what stands before it and closes the connection; nobody else ever does.

Shortcut: a writer whose client is gone goes on emptying its queue until its reader,
which has been woken by the same reset, has put END there.
"""

import multiprocessing.connection
import socket
import ssl
import sys
from itertools import islice

# Curio 1.6, the last release, is from 2022. Python 3.12 took away four names that it
# looks up when it is imported, for parts that are not used here.
for name in "CHALLENGE", "FAILURE", "WELCOME":
    vars(multiprocessing.connection).setdefault(name, b"")
vars(ssl).setdefault("wrap_socket", ssl.SSLContext.wrap_socket)

import curio

QUEUE_FRAMES = 64  # held for a client that reads slowly
CHUNK_BYTES = 16 * 1024  # read at once
BACKLOG = 1024  # connections that the kernel holds for us
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
        """So many from each reader, and all of them together overflow no queue."""
        return max(1, QUEUE_FRAMES // len(self.clients))


async def serve(listener):
    room = Room()
    while True:
        try:
            connection, _ = await listener.accept()
        except OSError as error:  # out of descriptors, most likely
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
            waiting = iter(frames)
            while turn := list(islice(waiting, room.turn_frames())):
                await room.send(turn)
                await curio.sleep(0)
    except OSError:
        pass  # a reset: the stream ends here
    await room.leave(client)


def split(received):
    """Returns the whole frames, each with its length byte, and the rest."""
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
