#!/usr/bin/python3
"""Chat server with threads.

Each client has a thread that reads and a thread that writes, with a queue of
256 messages between the world and the writer. The lock around the loop over
the queues is the sequencing point; a full queue loses the new message.
"""
import os
import queue
import re
import socket
import sys
import threading
import time

QUEUE_MESSAGES = 256
lock = threading.Lock()
queues = set()  # those of the clients that receive; guarded by lock


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
    with lock:
        for out in queues:
            try:
                out.put_nowait(frame)
            except queue.Full:
                pass


def read_client(sock, out, writer):
    try:
        with sock.makefile("rb") as stream:
            while header := stream.read(1):
                body = stream.read(header[0])
                if len(body) < header[0]:
                    break
                broadcast(header + body)
    except OSError:
        pass
    with lock:
        queues.discard(out)
    out.put(None)  # may wait for room: only this client's threads do
    writer.join()
    sock.close()


def write_client(sock, out):
    broken = False
    while (frame := out.get()) is not None:
        if broken:
            continue  # what the client sent before it left is still being read
        try:
            sock.sendall(frame)
        except OSError:
            broken = True


def start_client(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    out = queue.Queue(QUEUE_MESSAGES)
    writer = threading.Thread(target=write_client, args=(sock, out), daemon=True)
    reader = threading.Thread(target=read_client, args=(sock, out, writer), daemon=True)
    with lock:
        queues.add(out)
    try:
        writer.start()
        reader.start()
    except RuntimeError as error:  # no more threads
        print(error, file=sys.stderr)
        with lock:
            queues.discard(out)
        try:
            out.get_nowait()  # make room for the end mark
        except queue.Empty:
            pass
        out.put(None)
        sock.close()


def main(sock, address):
    threading.stack_size(256 * 1024)
    print("listening on", address, flush=True)
    while True:
        try:
            client, _ = sock.accept()
            start_client(client)
        except OSError:  # out of descriptors, or the client left already
            time.sleep(0.05)


def give_up():
    print("the name server does not answer", file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: py_threads.py HOST:PORT")
    watchdog = threading.Timer(4, give_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        listener = listening_socket(sys.argv[1])
    except (OSError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    watchdog.cancel()
    main(*listener)
