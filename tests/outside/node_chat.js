#!/usr/bin/node
'use strict';
// Chat server in Node, module net only.
//
// 'data' events cut whole frames out of the stream; broadcast() puts each on
// the queue of every client: one thread, so one order. After all input of a turn
// of the loop has been read, each client's queue goes out as one write, and the
// next write waits for its callback. A full queue loses the new message.
// (Writing last also means: a client that sent and left has been read first.)
const net = require('net');

const QUEUE_BYTES = 64 * 1024;
const QUEUE_FRAMES = 2048;
const clients = new Set(); // those who receive
const dirty = new Set(); // those with something to write in this turn

class Client {
  constructor(socket) {
    this.socket = socket;
    this.input = Buffer.alloc(0);
    this.queue = [];
    this.queued = 0; // bytes in queue
    this.writing = false;
    this.ended = false;
    clients.add(this);
    socket.on('data', (data) => this.read(data));
    socket.on('end', () => {
      this.ended = true;
      clients.delete(this);
      schedule(this);
    });
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      clients.delete(this);
      dirty.delete(this);
      this.queue = [];
    });
  }

  read(data) {
    if (this.input.length > 0) data = Buffer.concat([this.input, data]);
    let start = 0;
    while (start < data.length && start + data[start] < data.length) {
      const end = start + 1 + data[start];
      // A copy with memory of its own: a view would keep the whole chunk alive.
      const frame = Buffer.allocUnsafeSlow(end - start);
      data.copy(frame, 0, start, end);
      broadcast(frame);
      start = end;
    }
    this.input = Buffer.from(data.subarray(start));
  }

  flush() {
    if (this.writing || this.socket.destroyed) return;
    if (this.queue.length > 0) {
      const output = Buffer.concat(this.queue);
      this.queue = [];
      this.queued = 0;
      this.writing = true;
      this.socket.write(output, () => {
        this.writing = false;
        if (this.queue.length > 0 || this.ended) schedule(this);
      });
    } else if (this.ended) {
      this.socket.end(); // both sides are done: the socket closes
    }
  }
}

function broadcast(frame) {
  for (const client of clients) {
    if (client.queue.length >= QUEUE_FRAMES) continue;
    if (client.queued + frame.length > QUEUE_BYTES) continue;
    client.queue.push(frame);
    client.queued += frame.length;
    if (!client.writing) schedule(client);
  }
}

function schedule(client) {
  if (dirty.size === 0) setImmediate(flushAll);
  dirty.add(client);
}

function flushAll() {
  const batch = [...dirty];
  dirty.clear();
  for (const client of batch) client.flush();
}

function fail(reason) {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
}

function main(args) {
  if (args.length !== 1) fail('usage: node_chat.js HOST:PORT');
  const text = args[0];
  const match = /^(?:\[([^\[\]]*:[^\[\]]*)\]|([^\[\]:\s]+)):([0-9]{1,5})$/.exec(text);
  if (!match || Number(match[3]) > 65535) fail(`${text}: not an address HOST:PORT`);
  const host = match[1] || match[2];
  const port = Number(match[3]);
  if (match[1] && !net.isIPv6(host)) fail(`${text}: not an IPv6 address`);
  if (/^[0-9.]+$/.test(host) && !net.isIPv4(host)) fail(`${text}: not an IPv4 address`);

  const server = net.createServer({ allowHalfOpen: true, noDelay: true });
  server.on('connection', (socket) => new Client(socket));
  const watchdog = setTimeout(() => fail(`${text}: the name server does not answer`), 4000);
  server.on('error', (error) => {
    if (!server.listening) fail(`${text}: ${error.message}`);
    process.stderr.write(`${error.message}\n`);
  });
  server.listen({ host, port, backlog: 4096, ipv6Only: true }, () => {
    clearTimeout(watchdog);
    const at = server.address();
    const real = at.family === 'IPv6' ? `[${at.address}]:${at.port}` : `${at.address}:${at.port}`;
    process.stdout.write(`listening on ${net.isIP(host) && port !== 0 ? text : real}\n`);
  });
}

main(process.argv.slice(2));
