#!/usr/bin/env python3
"""Step 3: whole frames. A frame is read to its end before anybody gets it."""

import contextlib
import queue
import socket
import sys
import threading
import time

TICK_SECONDS = 0.01  # how long what was sent is gathered for the other clients

clients = []
lock = threading.Lock()
inbox = queue.SimpleQueue()


def main():
    host, _, port = sys.argv[1].rpartition(":")
    listener = socket.create_server((host, int(port)))
    print(f"listening on {host}:{port}", flush=True)
    threading.Thread(target=deliver, daemon=True).start()
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
            stream.sendall(frame)
            inbox.put((stream, frame))


def deliver():
    while True:
        time.sleep(TICK_SECONDS)
        while not inbox.empty():
            sender, frame = inbox.get()
            with lock:
                for other in clients:
                    if other is not sender:
                        with contextlib.suppress(OSError):  # This client may be gone.
                            other.sendall(frame)


main()
