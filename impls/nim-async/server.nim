## async/await as a library: in Nim the keyword is a macro, and the loop is a module.
##
## The idea: `{.async.}` is not built into the compiler. It is a macro of the standard library that
## turns a procedure into an iterator, and each `await` into a `yield` of a future; asyncdispatch,
## a loop over epoll, resumes the iterator when the future is complete. So what waits is a value
## that any code can make: a client's mouth waits for a future that say() completes, or the loop.
##
## How a message flows. attend() runs the two halves of a client. hear() awaits a read and hands its
## complete frames to say(), an ordinary procedure that appends them to every client's outbox, the
## sender's included. It awaits nothing, and there is one thread, so the order of its calls is the
## order of the messages: it is the sequencing point. speak() sends what the outbox holds.
##
##     client --> hear --> say --> outboxes --> speak --> client
##
## An outbox is bounded: a client that reads too slowly misses the frames that do not fit.
##
## Shortcuts: each client has its own copy of every message, in its outbox. A client that has closed
## its sending side is written to by a timer, as the loop forgets such a client (see speak).
import std/[asyncdispatch, asyncnet, nativesockets, net, os, parseutils, strutils]
from std/posix import nil

const
  OutboxBytesMax = 64 * 1024 # queued for one client; the first frame may be partly sent
  ReadBytesMax = 4 * 1024    # per turn of one client
  ListenBacklog = 1024       # connections queued in the kernel
  AcceptPauseMs = 100        # when descriptors have run out
  LeavingPauseMs = 10        # between two attempts to write to a client that is leaving
  Ipv6Only = 26.cint         # Linux's IPV6_V6ONLY and
  QuickAck = 12.cint         # TCP_QUICKACK, which the standard library does not name

type Client = ref object
  socket: AsyncSocket
  outbox: string     # complete frames, but for the first one
  leaving: bool      # it sends no more, and only its outbox is still sent
  blocked: bool      # its mouth waits for the socket rather than for something to send
  news: Future[void] # that its mouth waits for

var clients: seq[Client] # those that are not leaving

proc listenOn(address: string): AsyncSocket
proc attend(client: Client) {.async.}

proc fail(what, why: string) {.noreturn.} =
  stderr.writeLine "server: " & what & ": " & why
  quit 1

proc main() {.async.} =
  if paramCount() != 1:
    fail("usage", "server HOST:PORT")
  let listener = listenOn(paramStr(1))
  stdout.writeLine "listening on " & paramStr(1)
  stdout.flushFile()
  var failed = false # since the last success
  while true:
    try:
      asyncCheck attend(Client(socket: await listener.accept()))
      failed = false
    except CatchableError as error: # the system's or the loop's; some descriptors will be freed
      if not failed:
        stderr.writeLine "server: cannot accept a client: " & error.msg.splitLines[0]
      failed = true
      await sleepAsync(AcceptPauseMs)

proc tell(client: Client) =
  if client.news != nil and not client.news.finished:
    client.news.complete()

## The length of the complete frames at the start of `bytes` up to `limit`.
proc wholeFrames(bytes: string, limit = int.high): int =
  let last = min(bytes.len, limit)
  while result < last and result + ord(bytes[result]) < last:
    result += 1 + ord(bytes[result])

## The sequencing point: it awaits nothing.
proc say(frames: string) =
  for client in clients:
    let room = OutboxBytesMax - client.outbox.len
    if frames.len <= room:
      client.outbox.add frames
    else:
      client.outbox.add frames[0 ..< wholeFrames(frames, room)]
    if not client.blocked:
      client.tell()

proc hear(client: Client) {.async.} =
  var partial = "" # an incomplete frame
  while true:
    let received = await client.socket.recv(ReadBytesMax)
    if received.len == 0:
      return
    partial.add received
    let whole = wholeFrames(partial)
    if whole > 0:
      say(partial[0 ..< whole])
      partial = partial[whole .. ^1]
    else: # acknowledge at once: Nagle's algorithm may hold the rest back until then
      client.socket.getFd.setSockOptInt(IPPROTO_TCP.toInt, QuickAck, 1)

## Once a client has closed its sending side, epoll reports just that, again and again. The loop
## finds that the event is for no callback, and drops the one that waits for room to write.
proc room(client: Client) {.async.} =
  if client.leaving:
    await sleepAsync(LeavingPauseMs)
    return
  client.blocked = true
  client.news = newFuture[void]("room")
  client.socket.getFd.AsyncFD.addWrite proc (_: AsyncFD): bool =
    client.tell()
    true
  await client.news
  client.blocked = false

proc speak(client: Client) {.async.} =
  while true:
    if client.outbox.len > 0:
      let (first, length) = (addr client.outbox[0], client.outbox.len)
      let sent = posix.send(client.socket.getFd, first, length, posix.MSG_NOSIGNAL)
      if sent >= 0:
        client.outbox = client.outbox[sent .. ^1]
      elif posix.errno == posix.EAGAIN:
        await client.room()
      else:
        client.outbox = "" # the connection is broken, and its ear hears of it
    elif client.leaving:
      return
    else:
      client.news = newFuture[void]("speak")
      await client.news

proc attend(client: Client) {.async.} =
  clients.add client
  let mouth = client.speak()
  try:
    client.socket.setSockOpt(OptNoDelay, true, level = IPPROTO_TCP.toInt)
    await client.hear()
  except OSError: # the connection is broken: nothing can be sent
    client.outbox = ""
  clients.del clients.find(client)
  client.leaving = true
  client.tell()
  await mouth
  client.socket.close()

## HOST is an IPv4 address, or an IPv6 address in brackets.
proc listenOn(address: string): AsyncSocket =
  let colon = address.rfind(':')
  let ipv6 = colon > 1 and address[0] == '[' and address[colon - 1] == ']'
  let host = if ipv6: address[1 ..< colon - 1] else: address[0 ..< max(colon, 0)]
  let digits = address[colon + 1 .. ^1]
  var port: int
  if colon < 0 or digits.len notin 1 .. 5 or not digits.allCharsInSet(Digits) or
      parseInt(digits, port) == 0 or port > 65535:
    fail(address, "not HOST:PORT")
  if not host.isIpAddress or (':' in host) != ipv6:
    fail(address, "not an IP address and a port")
  try:
    result = newAsyncSocket(if ipv6: AF_INET6 else: AF_INET, buffered = false)
    result.setSockOpt(OptReuseAddr, true)
    if ipv6:
      result.getFd.setSockOptInt(IPPROTO_IPV6.toInt, Ipv6Only, 1)
    result.bindAddr(Port(port), host)
    result.listen(ListenBacklog)
  except OSError as error:
    fail(address, error.msg.splitLines[0])

waitFor main()
