"""Structured concurrency on Trio: no task outlives the block that started it.

    serve_listeners -> attend: read -- post --> queue of each client --> write

The tasks form a tree. Trio's `serve_listeners` opens a nursery and starts an `attend`
for each client in it. `attend` opens a nursery of its own: it reads in the block itself
and writes in a task. When control leaves the block, both have ended, in whatever way,
and Trio closes the connection.

`read` receives a chunk and splits off the complete frames. `post` offers them to every
client's queue, including the sender's. It contains no checkpoint, as Trio calls the
places where tasks can switch, so nothing else runs meanwhile: it is the sequencing
point. A client whose queue is full misses the frames. `write` sends all that has
gathered in its queue with one call.

A queue is a memory channel, and to close its sending end is to say that nothing
follows: `write` receives what is left, then its loop ends. A reset is an exception in
`read`, which makes the nursery cancel `write`, wherever it waits.

Shortcut: the frames of one chunk are delivered, or dropped, together.
"""

import contextlib
import re
import signal
import sys

import trio

QUEUE_CHUNKS = 128  # queued for a client that reads slowly
CHUNK_BYTES = 4096  # per read; with the start of a frame, up to 255 more in the queue
LISTEN_BACKLOG = 1024  # connections queued in the kernel


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C needs no traceback
    try:
        host, port = parse(sys.argv[1:])
        trio.run(serve, host, port)
    except (OSError, ValueError) as error:
        sys.exit(f"server: {error}")


def parse(arguments):
    if len(arguments) != 1:
        raise ValueError("usage: server.py HOST:PORT")
    match = re.fullmatch(r"(?:\[(.+)\]|([^:]+)):(\d{1,5})", arguments[0], re.ASCII)
    if not match or int(match[3]) > 65535:
        raise ValueError(f"invalid address {arguments[0]!r}: expected HOST:PORT")
    return match[1] or match[2], int(match[3])


async def serve(host, port):
    # One listener for each address, if HOST is a name that has several.
    listeners = await trio.open_tcp_listeners(port, host=host, backlog=LISTEN_BACKLOG)
    host, port = listeners[0].socket.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    print(f"listening on {host}:{port}", flush=True)
    # When descriptors run out, it logs that to standard error, and pauses for 100 ms.
    await trio.serve_listeners(Room().attend, listeners)


class Room:
    def __init__(self):
        self.queues = set()  # sending ends

    async def attend(self, stream):
        try:
            async with trio.open_nursery() as nursery:
                with self.queue() as queue:
                    nursery.start_soon(write, queue, stream)
                    await self.read(stream)
        except* trio.BrokenResourceError:
            pass  # a reset

    @contextlib.contextmanager
    def queue(self):
        """In this block the client receives; after it only what is in the queue."""
        sending, receiving = trio.open_memory_channel(QUEUE_CHUNKS)
        self.queues.add(sending)
        with sending:
            try:
                yield receiving
            finally:
                self.queues.remove(sending)

    async def read(self, stream):
        received = b""
        while chunk := await stream.receive_some(CHUNK_BYTES):
            received += chunk
            end = end_of_frames(received)
            if end:
                self.post(received[:end])
                received = received[end:]
            else:
                # Acknowledge at once: Nagle's algorithm may hold the rest back until then.
                stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_QUICKACK, 1)

    def post(self, frames):
        """The sequencing point."""
        for queue in self.queues:
            try:
                queue.send_nowait(frames)
            except trio.WouldBlock:
                pass  # it is full
            except trio.BrokenResourceError:
                pass  # its writer has ended, and the reader will notice


def end_of_frames(received):
    """The length of the complete frames at the start."""
    end = 0
    while end < len(received):
        following = end + 1 + received[end]
        if following > len(received):
            break
        end = following
    return end


async def write(queue, stream):
    # If sending fails, the client may still have sent something: `read` goes on.
    with queue, contextlib.suppress(trio.BrokenResourceError):
        async for frames in queue:
            await stream.send_all(b"".join([frames, *gathered(queue)]))


def gathered(queue):
    with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
        while True:
            yield queue.receive_nowait()


if __name__ == "__main__":
    main()
