// __NAME__: callbacks on one thread.
//
// How a message flows. A socket emits 'data' (`attend`), and `hear` splits off the complete
// frames. `post` writes them to every client, including the sender's. It runs to its end
// before any other callback, so the order of its calls is the order of the messages. A
// stream's buffer is bounded: a client that reads too slowly misses the frames that do not
// fit.
//
// Shortcut: Node.js has no function that sets TCP_QUICKACK, so a client that sends a frame in
// two segments waits 40 ms for the acknowledgement of the first one.

import net from "node:net";

/** Bytes queued for one client. */
const BACKLOG_BYTES_MAX = 64 * 1024;
/** Connections queued in the kernel. */
const LISTEN_BACKLOG = 1024;
/** Between brackets an IPv6 address, otherwise an IPv4 address or a name; then the port. */
const ADDRESS = /^(?:\[(.+)\]|([^:[\]]+)):(\d{1,5})$/;

const clients = new Set();

function main() {
  const [, ipv6, host = ipv6, port] = ADDRESS.exec(process.argv[2]) ?? [];
  if (process.argv.length !== 3 || !host || port > 65535) {
    fail(new Error("usage: server.mjs HOST:PORT"));
  }
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, attend);
  server.once("error", fail);
  server.listen({ host, port, backlog: LISTEN_BACKLOG, ipv6Only: true }, () => {
    const { address, family, port } = server.address();
    console.log(`listening on ${family === "IPv6" ? `[${address}]` : address}:${port}`);
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
    if (client.writableLength + frames.length <= BACKLOG_BYTES_MAX) {
      client.write(frames);
    }
  }
}

main();
