#!/usr/bin/env python3
"""Step 2: echo to all. A lock guards the list of clients."""

import contextlib
import socket
import sys
import threading

clients = []
lock = threading.Lock()


def main():
    host, _, port = sys.argv[1].rpartition(":")
    listener = socket.create_server((host, int(port)))
    print(f"listening on {host}:{port}", flush=True)
    while True:
        stream, _ = listener.accept()
        with lock:
            clients.append(stream)
        threading.Thread(target=serve, args=[stream], daemon=True).start()


def serve(stream):
    while data := stream.recv(1024):
        stream.sendall(data)
        with lock:
            for other in clients:
                if other is not stream:
                    with contextlib.suppress(OSError):  # This client may be gone.
                        other.sendall(data)


main()
