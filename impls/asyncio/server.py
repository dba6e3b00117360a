"""async/await on asyncio: a task group per client, and `drain` where a writer waits.

    accept -> attend: read -- post --> backlog of each client --> write -> drain

`serve` accepts clients and starts an `attend` task for each. `attend` reads in its own
task and writes in a second one; a task group holds both, so that neither outlives the
other: a reset ends the two of them, and the connection is closed after them.

`read` takes a share of what the client has sent, and `post` appends the complete frames
to every client's backlog, including the sender's. It has no `await`, so nothing else
runs meanwhile: this is the sequencing point. A client whose backlog is full misses the
frames. `write` hands over the whole backlog, and `drain` returns when the kernel has
taken it; until then messages gather, to be sent with one call.

asyncio switches tasks only where one has to wait, and a read from a full buffer does
not. So `read` yields after each share, and the writers empty the backlogs.

Shortcuts: the frames of one share are delivered, or dropped, together. When a write
fails, asyncio gives up the connection in both directions, and with it anything that the
client sent before it disconnected but that has not been read yet.
"""

import asyncio
import contextlib
import re
import signal
import socket
import sys

BACKLOG_BYTES_MAX = 64 * 1024  # queued for a client that reads slowly
FRAME_BYTES_MAX = 1 + 255  # a length and a body
READER_BYTES = 16 * 1024  # asyncio stops receiving when it has buffered twice as many
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
    asyncio.run(serve(listener))


def listen(arguments):
    if len(arguments) != 1:
        raise ValueError("usage: server.py HOST:PORT")
    match = re.fullmatch(r"(?:\[(.+)\]|([^:]+)):(\d{1,5})", arguments[0], re.ASCII)
    if not match or int(match[3]) > 65535:
        raise ValueError(f"invalid address {arguments[0]!r}: expected HOST:PORT")
    listener = socket.create_server(
        (match[1] or match[2], int(match[3])),
        family=socket.AF_INET6 if match[1] else socket.AF_INET,
        backlog=LISTEN_BACKLOG,
    )
    listener.setblocking(False)
    return listener


async def serve(listener):
    room = Room()
    async with asyncio.TaskGroup() as attending:
        while True:
            try:
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError as error:  # descriptors have probably run out
                print(f"server: cannot accept a client: {error}", file=sys.stderr)
                await asyncio.sleep(ACCEPT_RETRY_SECONDS)
                continue
            # The streams do so themselves only for sockets that name their protocol.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = Client(connection)
            room.clients.add(client)
            attending.create_task(attend(client, room))


class Client:
    def __init__(self, connection):
        self.connection = connection
        self.backlog = bytearray()  # complete frames
        self.leaving = False  # it sends no more, and only its backlog is still sent
        self.news = asyncio.Event()  # one of the two has changed

    async def take(self):
        """Waits for frames; returns none when the client is leaving and has had all."""
        await self.news.wait()
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
        self.clients.discard(client)
        client.leaving = True
        client.news.set()

    def share(self):
        """So many bytes that a share of every client fits into a backlog."""
        return max(FRAME_BYTES_MAX, BACKLOG_BYTES_MAX // len(self.clients))


async def attend(client, room):
    try:
        reader, writer = await asyncio.open_connection(
            sock=client.connection, limit=READER_BYTES
        )
        with contextlib.closing(writer):
            async with asyncio.TaskGroup() as halves:
                halves.create_task(write(client, writer))
                await read(client, reader, room)
                room.leave(client)  # `write` sends the rest and ends
    except* OSError:
        pass  # a reset
    finally:
        room.leave(client)


async def read(client, reader, room):
    received = b""
    while chunk := await reader.read(room.share()):
        received += chunk
        end = end_of_frames(received)
        if end:
            room.post(received[:end])
            received = received[end:]
        else:
            # Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        await asyncio.sleep(0)


def end_of_frames(received):
    """The length of the complete frames at the start."""
    end = 0
    while end < len(received):
        following = end + 1 + received[end]
        if following > len(received):
            break
        end = following
    return end


async def write(client, writer):
    writer.transport.set_write_buffer_limits(high=0)  # `drain` waits for all of it
    while frames := await client.take():
        writer.write(frames)
        await writer.drain()


if __name__ == "__main__":
    main()
