"""Speaks to zillions-server over Python's websockets, which shares no code with it.

    python_websockets.py WS_URL WSS_URL CA_FILE TOKEN

Says "connected" once both of its clients are in the room, prints what each received, a line for
each message, and ends with 0 if everything was as RFC 6455 and the server's documentation say.
"""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

MESSAGES = 100
CLIENTS = 3
PATIENCE_SECONDS = 60


def frame(body):
    return bytes([len(body)]) + body


class Room:
    """What a client receives, cut into chat frames, however many a message holds."""

    def __init__(self, socket):
        self.socket = socket
        self.received = b""

    async def body(self):
        while not self.received or len(self.received) <= self.received[0]:
            message = await self.socket.recv()
            assert isinstance(message, bytes), f"a text message: {message!r}"
            self.received += message
        end = 1 + self.received[0]
        body, self.received = self.received[1:end], self.received[end:]
        return body


async def is_refused(url, tls):
    """Without the token there is no connection."""
    try:
        async with connect(url, ssl=tls):
            raise AssertionError("connected without the token")
    except InvalidStatus as refusal:
        assert refusal.response.status_code == 401, refusal


async def shapes(one, two):
    """Frames in fragments, several in one message, empty ones, and pings in between."""
    await one.socket.send([b"\x05fr", b"", b"agm", frame(b"second")])
    await (await one.socket.ping(b"are you there?"))
    await one.socket.send(frame(b"") + frame(b"x" * 255))
    for body in [b"fragm", b"second", b"", b"x" * 255]:
        for client in [one, two]:
            assert await client.body() == body


async def converse(number, client):
    """Sends its messages while it receives everybody's."""

    async def talk():
        for message in range(MESSAGES):
            await client.socket.send(frame(bytes([number, message])))

    talking = asyncio.create_task(talk())
    bodies = [await client.body() for _ in range(CLIENTS * MESSAGES)]
    await talking
    return bodies


async def closes_with(code, url, headers, message):
    """A message that breaks the rules ends the connection with their code."""
    async with connect(url, additional_headers=headers) as socket:
        await socket.send(message)
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd and closed.rcvd.code == code, (code, closed)


async def main(url, secure_url, authority, token):
    tls = ssl.create_default_context(cafile=authority)
    headers = {"Authorization": f"Bearer {token}"}
    await is_refused(url, None)
    await is_refused(secure_url, tls)
    async with (
        connect(url, additional_headers=headers) as one,
        connect(secure_url, additional_headers=headers, ssl=tls) as two,
    ):
        rooms = [Room(one), Room(two)]
        await shapes(*rooms)
        print("connected", flush=True)
        for client in rooms:
            assert await client.body() == b"now"
        streams = await asyncio.gather(
            *(converse(number, client) for number, client in enumerate(rooms))
        )
        for stream in streams:
            print(" ".join(body.hex() for body in stream), flush=True)
    assert one.close_code == two.close_code == 1000, (one.close_code, two.close_code)
    await closes_with(1003, url, headers, "text")
    await closes_with(1007, url, headers, b"\x05half")
    await closes_with(1009, url, headers, bytes(65_537))


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), PATIENCE_SECONDS))
