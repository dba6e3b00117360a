#!/usr/bin/python3
"""Chat server on asyncio streams.

One task per client reads a header byte and then a body; there is one thread,
so the loop over the clients in broadcast() is the single sequencing point.
A message is dropped whole for a client whose transport holds 64 KiB unsent.
"""
import asyncio
import os
import re
import socket
import sys
import threading

QUEUE_BYTES = 64 * 1024
clients = set()  # the StreamWriters of those who receive


def listening_socket(text):
    match = re.fullmatch(r"(?:\[([^\[\]]*:[^\[\]]*)\]|([^\[\]:\s]+)):([0-9]{1,5})", text)
    if not match or int(match[3]) > 65535:
        raise ValueError("not an address HOST:PORT")
    host, port = match[1] or match[2], int(match[3])
    numeric = bool(match[1] or re.fullmatch("[0-9.]+", host))
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, socket.AF_INET6 if match[1] else 0, socket.SOCK_STREAM,
        flags=socket.AI_NUMERICHOST if numeric else 0)[0]
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(address)
    sock.listen(4096)
    if numeric and port:
        return sock, text
    host, port = sock.getsockname()[:2]
    return sock, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Connection(asyncio.StreamReaderProtocol):
    """When a write fails asyncio closes the socket, and with it would go the
    frames that the client sent before it left: hand them to the reader."""

    def __init__(self, loop):
        self.input = asyncio.StreamReader(loop=loop)
        super().__init__(self.input, connected, loop=loop)

    def connection_made(self, transport):
        self.socket = transport.get_extra_info("socket")
        super().connection_made(transport)

    def connection_lost(self, exc):
        if exc is not None:
            rest = b""
            try:
                while chunk := os.read(self.socket.fileno(), 65536):
                    rest += chunk
            except OSError:
                pass
            if rest:
                self.input.feed_data(rest)
        super().connection_lost(None)


def broadcast(frame):
    for writer in clients:
        transport = writer.transport
        if transport.is_closing():
            continue
        if transport.get_write_buffer_size() + len(frame) <= QUEUE_BYTES:
            writer.write(frame)


def connected(reader, writer):
    clients.add(writer)  # at once, not when the task starts
    return serve(reader, writer)


async def serve(reader, writer):
    try:
        while True:
            header = await reader.readexactly(1)
            body = await reader.readexactly(header[0])
            broadcast(header + body)
            await asyncio.sleep(0)  # a full read buffer must not hold up the others
    except (asyncio.IncompleteReadError, OSError):
        pass
    finally:
        clients.discard(writer)
        writer.close()  # sends what is queued, then closes


async def main(listener, address):
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    print("listening on", address, flush=True)
    while True:
        try:
            sock, _ = await loop.sock_accept(listener)
            await loop.connect_accepted_socket(lambda: Connection(loop), sock)
        except OSError:  # out of descriptors, or the client left already
            await asyncio.sleep(0.1)


def give_up():
    print("the name server does not answer", file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: py_streams.py HOST:PORT")
    watchdog = threading.Timer(4, give_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        listener = listening_socket(sys.argv[1])
    except (OSError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    watchdog.cancel()
    asyncio.run(main(*listener))
