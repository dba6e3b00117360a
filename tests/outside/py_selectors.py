#!/usr/bin/python3
"""Chat server in one thread on the selectors module.

It reads at most 512 bytes from a client at a time. Each client has an output
buffer of at most 64 KiB; a message that does not fit is dropped for it. The
loop in broadcast() is the sequencing point. A client whose output failed is
read to its end nevertheless.
"""
import os
import re
import selectors
import socket
import sys
import threading
import time

CHUNK = 512
QUEUE_BYTES = 64 * 1024
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
selector = selectors.DefaultSelector()
clients = set()  # those who receive


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


class Client:
    def __init__(self, sock):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.input = bytearray()
        self.output = bytearray()
        self.ended = False  # it sends no more
        self.broken = False  # nothing can be sent to it
        self.events = READ
        selector.register(sock, READ, self)
        clients.add(self)

    def queue(self, frame):
        if not self.broken and len(self.output) + len(frame) <= QUEUE_BYTES:
            self.output += frame
            self.watch()

    def watch(self):
        events = (0 if self.ended else READ) | (WRITE if self.output else 0)
        if not events:
            self.close()
        elif events != self.events:
            self.events = events
            selector.modify(self.sock, events, self)

    def close(self):
        clients.discard(self)
        selector.unregister(self.sock)
        self.sock.close()

    def read(self):
        try:
            data = self.sock.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, self.broken = b"", True
            self.output.clear()
        if not data:
            self.ended = True
            clients.discard(self)
            self.watch()
            return
        self.input += data
        while self.input and len(self.input) > self.input[0]:
            size = 1 + self.input[0]
            frame = bytes(self.input[:size])
            del self.input[:size]
            broadcast(frame)

    def write(self):
        try:
            sent = self.sock.send(self.output)
            del self.output[:sent]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.broken = True
            self.output.clear()
        self.watch()


def broadcast(frame):
    for client in clients:
        client.queue(frame)


def main(listener, address):
    listener.setblocking(False)
    selector.register(listener, READ, None)
    accept_again = None  # when to, after descriptors ran out
    print("listening on", address, flush=True)
    while True:
        for key, events in selector.select(0.1 if accept_again else None):
            if key.data is None:
                try:
                    Client(listener.accept()[0])
                except (BlockingIOError, ConnectionError):
                    pass
                except OSError:
                    selector.unregister(listener)
                    accept_again = time.monotonic() + 0.1
                continue
            if events & WRITE:
                key.data.write()
            if events & READ and not key.data.ended:
                key.data.read()
        if accept_again and time.monotonic() >= accept_again:
            accept_again = None
            selector.register(listener, READ, None)


def give_up():
    print("the name server does not answer", file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: py_selectors.py HOST:PORT")
    watchdog = threading.Timer(4, give_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        listener = listening_socket(sys.argv[1])
    except (OSError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    watchdog.cancel()
    main(*listener)
