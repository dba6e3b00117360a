"""Callbacks on Twisted: a protocol per client, and producers that are told to pause.

    dataReceived -> turn -- post --> transport.write of each client
                                     <- pauseProducing, resumeProducing

The reactor owns the loop. It calls a method of a client's `Chatter` whenever something
has happened to its connection; the method does its work, without waiting, and returns.

How a message flows. `dataReceived` is given what the client has sent, and `turn` takes
a share of it. `post` writes the complete frames to every client's transport, including
the sender's. One callback runs at a time, so the order of these calls is the order of
the messages: `post` is the sequencing point. A transport keeps what it is given, and
sends all of it when the reactor finds the socket writable.

Back-pressure has an interface of its own. What writes without being asked is a
*producer*, and its consumer may pause and resume it. It occurs here in both directions:

- A `Chatter` produces the chat for its client. When the transport's buffer is full, it
  pauses the `Chatter`, and the client misses the frames until the buffer is empty.
- The transport produces what the client sends. The `Chatter` pauses it until the last
  share has been posted, and the reactor writes in between.

Shortcuts: the frames of one share are delivered, or dropped, together. When a write
fails, Twisted gives up the connection in both directions, and with it anything that the
client sent before it disconnected but that has not been read yet.
"""

import re
import signal
import socket
import sys

from twisted.internet import reactor
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

BUFFER_BYTES = 64 * 1024  # a transport that holds more is full; also the size of a read
FRAME_BYTES_MAX = 1 + 255  # a length and a body
LISTEN_BACKLOG = 1024  # connections queued in the kernel


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C needs no traceback
    try:
        listener = listen(sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(f"server: {error}")
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    with listener:
        reactor.adoptStreamPort(listener.fileno(), listener.family, Chat())
    print(f"listening on {host}:{port}", flush=True)
    reactor.run(installSignalHandlers=False)  # SIGTERM ends the process at once


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


@implementer(IHalfCloseableProtocol, IPushProducer)
class Chatter(Protocol):
    def connectionMade(self):
        self.received = b""
        self.paused = False
        self.transport.bufferSize = BUFFER_BYTES
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, streaming=True)
        self.factory.chatters.add(self)

    def dataReceived(self, data):
        self.received += data
        if end_of_frames(self.received):
            self.turn()
        else:
            # Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            self.transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def turn(self):
        """Posts a share. If that was not all, nothing is read before the next turn."""
        end = end_of_frames(self.received[: self.factory.share()])
        frames, self.received = self.received[:end], self.received[end:]
        if frames:
            self.factory.post(frames)
        if frames and self.received:
            self.transport.pauseProducing()
            reactor.callLater(0, self.turn)
        else:
            self.transport.resumeProducing()

    def readConnectionLost(self):
        """The client sends no more; what is in the buffer is still sent to it."""
        self.factory.chatters.discard(self)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass  # this side closes both directions together

    def connectionLost(self, reason):
        self.factory.chatters.discard(self)

    def pauseProducing(self):
        self.paused = True

    def resumeProducing(self):
        self.paused = False

    def stopProducing(self):
        pass  # `connectionLost` follows


class Chat(Factory):
    protocol = Chatter

    def __init__(self):
        self.chatters = set()

    def post(self, frames):
        """The sequencing point."""
        for chatter in self.chatters:
            if not chatter.paused:
                chatter.transport.write(frames)

    def share(self):
        """So many bytes that a share of every client fits into a buffer."""
        return max(FRAME_BYTES_MAX, BUFFER_BYTES // max(1, len(self.chatters)))


def end_of_frames(received):
    """The length of the complete frames at the start."""
    end = 0
    while end < len(received):
        following = end + 1 + received[end]
        if following > len(received):
            break
        end = following
    return end


if __name__ == "__main__":
    main()
