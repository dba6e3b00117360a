#!/usr/bin/env python3
"""Step 1: an echo server. Each client gets back what it sends."""

import socket
import sys
import threading


def main():
    host, _, port = sys.argv[1].rpartition(":")
    listener = socket.create_server((host, int(port)))
    print(f"listening on {host}:{port}", flush=True)
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=serve, args=[stream], daemon=True).start()


def serve(stream):
    while data := stream.recv(1024):
        stream.sendall(data)


main()
