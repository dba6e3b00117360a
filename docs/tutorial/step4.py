#!/usr/bin/env python3
"""Step 4: one order. A frame is written to all clients, its sender included, under one lock."""

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
    with stream.makefile("rb") as file:
        while header := file.read(1):
            body = file.read(header[0])
            if len(body) < header[0]:
                break  # The stream has ended inside a frame, which is discarded.
            frame = header + body
            with lock:
                for client in clients:
                    with contextlib.suppress(OSError):  # This client may be gone.
                        client.sendall(frame)


main()
