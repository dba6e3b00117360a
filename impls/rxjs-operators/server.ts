// Dataflow in RxJS: the server is a graph of streams, wired once.
//
// The idea: an observable is a stream of values that are pushed, and operators make streams of
// streams. A client is a stream of what it does; the listener is a stream of such streams, and
// mergeMap makes one of them. That one is the program, and subscribing to it runs it.
//
//     connections -> mergeMap(attend):  hear -> said -> speak of each client
//
// How a message flows. hear is a client's 'data' events, each with what was left of the one
// before (scan), without the incomplete frame at its end (map). Its frames go into said, a
// subject, to which each client subscribes in speak. A subject calls its subscribers one after the
// other before it returns, so it is the sequencing point.
//
// Values are pushed: a subscriber cannot ask for fewer of them, as it can in reactive streams. So
// a bound is an operator: a filter leaves out what a socket has no room for.
//
// What a client is ends with takeUntil, and with it all that was subscribed to for it.
//
// Shortcuts: the frames of one chunk are delivered, or dropped, together. Node cannot set
// TCP_QUICKACK.

import net from "node:net";
import {
  Observable,
  Subject,
  filter,
  finalize,
  fromEvent,
  map,
  merge,
  mergeMap,
  scan,
  takeUntil,
  tap,
} from "rxjs";

/** A client that has this many bytes before it is skipped; the last chunk may exceed it. */
const HIGH_WATER_MARK_BYTES = 64 * 1024;
/** Connections queued in the kernel. */
const LISTEN_BACKLOG = 1024;
/** Between brackets an IPv6 address, otherwise an IPv4 address or a name; then the port. */
const ADDRESS = /^(?:\[(.+)\]|([^:[\]]+)):(\d{1,5})$/;

/** Bytes of a client: complete frames, and what is left. */
interface Stream {
  readonly frames: Buffer;
  readonly rest: Buffer;
}

const nothing = Buffer.alloc(0);

/** The sequencing point: what it is told, all its subscribers are told, one message at a time. */
const said = new Subject<Buffer>();

function main(): void {
  const [, ipv6, host = ipv6, port] = ADDRESS.exec(process.argv[2] ?? "") ?? [];
  if (process.argv.length !== 3 || !host || Number(port) > 65535) {
    report(new Error("usage: server HOST:PORT"));
    process.exit(1);
  }
  connections(host, Number(port)).pipe(mergeMap(attend)).subscribe({ error: fail });
}

function fail(error: Error): void {
  report(error);
  process.exit(1);
}

function report(error: Error): void {
  console.error(`server: ${error.message}`);
}

/** Listens once it is subscribed to; an error before that ends it. */
function connections(host: string, port: number): Observable<net.Socket> {
  return new Observable((subscriber) => {
    const server = net.createServer({
      allowHalfOpen: true,
      highWaterMark: HIGH_WATER_MARK_BYTES,
      noDelay: true,
    });
    const refuse = (error: Error) => subscriber.error(error);
    server.on("connection", (socket) => subscriber.next(socket));
    server.once("error", refuse);
    server.listen({ host, port, backlog: LISTEN_BACKLOG, ipv6Only: true }, () => {
      const { address, family, port } = server.address() as net.AddressInfo;
      console.log(`listening on ${family === "IPv6" ? `[${address}]` : address}:${port}`);
      // When descriptors run out, Node closes the connections that it cannot accept.
      server.off("error", refuse).on("error", report);
    });
  });
}

/** All that a client does; it has no values that matter to others. */
function attend(socket: net.Socket): Observable<Buffer> {
  const ends = merge(...["end", "error", "close"].map((event) => fromEvent(socket, event)));
  socket.on("error", () => {}); // also while the rest is sent
  return merge(hear(socket), speak(socket)).pipe(
    takeUntil(ends),
    finalize(() => socket.end()), // sends what is buffered, then closes
  );
}

/** What the client says, which is told to all. */
function hear(socket: net.Socket): Observable<Buffer> {
  return (fromEvent(socket, "data") as Observable<Buffer>).pipe(
    scan((stream, chunk) => split(Buffer.concat([stream.rest, chunk])), split(nothing)),
    map((stream) => stream.frames),
    filter((frames) => frames.length > 0),
    tap((frames) => said.next(frames)),
  );
}

/** What the client is told, unless it reads too slowly. */
function speak(socket: net.Socket): Observable<Buffer> {
  return said.pipe(
    filter(() => !socket.writableNeedDrain),
    tap((frames) => socket.write(frames)),
  );
}

function split(bytes: Buffer): Stream {
  let end = 0;
  for (let next = 0; next <= bytes.length; next += 1 + (bytes[next] ?? bytes.length)) {
    end = next;
  }
  return { frames: bytes.subarray(0, end), rest: Buffer.from(bytes.subarray(end)) };
}

main();
