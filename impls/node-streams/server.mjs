// Callbacks on Node's streams: `write` says that a client is slow, and `drain` that it no
// longer is.
//
//     'connection' -> attend:  'data' -> hear -> post -> write of each client
//                                                  <- false, until 'drain'
//
// How a message flows. A socket emits 'data' with a chunk, and `hear` splits off the
// complete frames. `post` writes them to every client, including the sender's. It runs to
// its end before any other callback, so the order of its calls is the order of the
// messages: it is the sequencing point.
//
// A stream has a buffer of its own, and `write` never waits: it returns false once the
// buffer holds more than the high-water mark. From then on `post` skips the client, which
// misses the frames, until the stream emits 'drain'. The stream keeps that state itself, as
// `writableNeedDrain`. Chunks are shared: every buffer refers to the same bytes.
//
// To write to a corked stream only buffers. The first frames of a turn cork it, and
// `setImmediate` uncorks it when all sockets that were readable have had their turn: one
// system call then sends everything.
//
// Shortcuts: the frames of one chunk are delivered, or dropped, together. When a write
// fails, Node gives up the socket in both directions, and with it anything that the client
// sent before it disconnected but that has not been read yet. Node cannot set TCP_QUICKACK.

import net from "node:net";

/** A client that has this many bytes before it is skipped; the last chunk may exceed it. */
const HIGH_WATER_MARK_BYTES = 64 * 1024;
/** Connections queued in the kernel. */
const LISTEN_BACKLOG = 1024;
/** Between brackets an IPv6 address, otherwise an IPv4 address or a name; then the port. */
const ADDRESS = /^(?:\[(.+)\]|([^:[\]]+)):(\d{1,5})$/;

const clients = new Set();
let flushing = false;

function main() {
  const [, ipv6, host = ipv6, port] = ADDRESS.exec(process.argv[2]) ?? [];
  if (process.argv.length !== 3 || !host || port > 65535) {
    fail(new Error("usage: server.mjs HOST:PORT"));
  }
  const server = net.createServer({
    allowHalfOpen: true,
    highWaterMark: HIGH_WATER_MARK_BYTES,
    noDelay: true,
  });
  server.on("connection", attend);
  server.once("error", fail);
  server.listen({ host, port, backlog: LISTEN_BACKLOG, ipv6Only: true }, () => {
    const { address, family, port } = server.address();
    console.log(`listening on ${family === "IPv6" ? `[${address}]` : address}:${port}`);
    // When descriptors run out, Node closes the connections that it cannot accept. An error
    // that it reports does not end the server.
    server.off("error", fail).on("error", report);
  });
}

function fail(error) {
  report(error);
  process.exit(1);
}

function report(error) {
  console.error(`server: ${error.message}`);
}

function attend(socket) {
  let received = Buffer.alloc(0);
  clients.add(socket);
  socket.on("data", (chunk) => {
    received = hear(Buffer.concat([received, chunk]));
  });
  socket.on("end", () => {
    clients.delete(socket);
    socket.end(); // sends what is buffered, then closes
  });
  socket.on("error", () => {}); // a reset: 'close' follows
  socket.on("close", () => clients.delete(socket));
}

/** Posts the complete frames and returns the rest. */
function hear(received) {
  let end = 0;
  while (end < received.length && end + received[end] < received.length) {
    end += 1 + received[end];
  }
  if (end > 0) {
    post(received.subarray(0, end));
  }
  return Buffer.from(received.subarray(end)); // a copy: the rest need not keep the chunk
}

/** The sequencing point. */
function post(frames) {
  for (const client of clients) {
    if (client.writableNeedDrain) {
      continue;
    }
    if (client.writableCorked === 0) {
      client.cork();
    }
    if (!client.write(frames)) {
      client.uncork(); // It may only look slow because it is corked.
    }
  }
  if (!flushing) {
    flushing = true;
    setImmediate(flush);
  }
}

function flush() {
  flushing = false;
  for (const client of clients) {
    client.uncork();
  }
}

main();
