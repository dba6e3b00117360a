#!/usr/bin/python3
"""Chat server on asyncio protocols.

data_received() collects bytes; work() takes whole frames out of them, a few in
a turn of the loop, and hands each to all transports (the sequencing point).
Reading pauses while frames are left. A transport with 64 KiB unsent misses the
message. When a write fails, what the client had sent before is still delivered.
"""
import asyncio
import os
import re
import socket
import sys
import threading

QUEUE_BYTES = 64 * 1024
FRAMES_IN_A_TURN = 32
transports = set()


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


def broadcast(frame):
    for transport in transports:
        if transport.is_closing():
            continue
        if transport.get_write_buffer_size() + len(frame) <= QUEUE_BYTES:
            transport.write(frame)


class Client(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.input = bytearray()
        self.working = False
        transports.add(transport)

    def data_received(self, data):
        self.input += data
        if not self.working:
            self.work()

    def work(self):
        start = 0
        for _ in range(FRAMES_IN_A_TURN):
            if not self.whole_frame(start):
                break
            end = start + 1 + self.input[start]
            broadcast(bytes(self.input[start:end]))
            start = end
        del self.input[:start]
        self.working = self.whole_frame(0)
        if self.working:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.work)
        else:
            self.transport.resume_reading()

    def whole_frame(self, start):
        return start < len(self.input) and start + self.input[start] < len(self.input)

    def eof_received(self):
        # Reading is never paused here, so all whole frames have been delivered.
        transports.discard(self.transport)
        self.transport.close()  # sends what is queued first
        return True  # closing is our business

    def connection_lost(self, exc):
        transports.discard(self.transport)
        if exc is None:
            return
        fd = self.transport.get_extra_info("socket").fileno()
        try:
            while chunk := os.read(fd, 65536):
                self.data_received(chunk)
        except OSError:
            pass


async def main(listener, address):
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    print("listening on", address, flush=True)
    while True:
        try:
            sock, _ = await loop.sock_accept(listener)
            await loop.connect_accepted_socket(Client, sock)
        except OSError:  # out of descriptors, or the client left already
            await asyncio.sleep(0.1)


def give_up():
    print("the name server does not answer", file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: py_protocol.py HOST:PORT")
    watchdog = threading.Timer(4, give_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        listener = listening_socket(sys.argv[1])
    except (OSError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    watchdog.cancel()
    asyncio.run(main(*listener))
