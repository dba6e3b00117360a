// A ring buffer between two threads: one reads all sockets, the other writes them all.
//
// The idea: there are no queues and no locks. Everything that happens (a client joins,
// says something, leaves) is written into the next slot of a preallocated ring, and the
// only thing the two threads share is how far each of them is: two counters. The
// Disruptor keeps the counters.
//
//     Reader.read --> ring --> Writer.onEvent --> backlog of each client --> Outbox.write
//
// How a message flows. The reader waits for its sockets, cuts what it receives into
// frames, and publishes each in a slot: the sequence number of the slot is the place of the
// message in the order. This is the sequencing point. The writer follows. onEvent copies
// the frame into every client's backlog, and at the end of a batch (all that has been
// published meanwhile) it writes the backlogs, many frames with one system call. The
// slower the writer, the larger its batches.
//
// The writer waits for the ring and for its sockets in one place: its wait strategy is a
// selector. It never waits for a client. When a backlog is full, that client misses the
// frame. When the ring is full, the reader waits for the writer, and TCP slows the senders
// down.
//
// The reader closes no connection. It publishes that the client has left, and the writer
// sends the rest of its backlog and closes it.
//
// Shortcut: each client has a backlog of full size, even when idle.

import com.lmax.disruptor.*;
import com.lmax.disruptor.dsl.*;
import java.io.*;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicBoolean;
import jdk.net.ExtendedSocketOptions;

final class Server {
    private static final int RING_EVENTS = 1024; // a power of two

    public static void main(String[] arguments) {
        try {
            var writer = new Writer();
            var disruptor = new Disruptor<>(Event::new, RING_EVENTS, Thread::new, ProducerType.SINGLE, writer);
            disruptor.handleEventsWith(writer);
            var reader = new Reader(address(arguments), disruptor.start());
            System.out.println("listening on " + arguments[0]);
            reader.run();
        } catch (IOException | IllegalArgumentException problem) {
            System.err.println("server: " + problem.getMessage());
            System.exit(1);
        }
    }

    /** The address HOST:PORT; an IPv6 host stands in brackets, as in a URI. */
    private static InetSocketAddress address(String[] arguments) throws UnknownHostException {
        if (arguments.length != 1) {
            throw new IllegalArgumentException("usage: server HOST:PORT");
        }
        var uri = URI.create("tcp://" + arguments[0]);
        if (!arguments[0].equals(uri.getHost() + ":" + uri.getPort())) {
            throw new IllegalArgumentException("invalid address \"" + arguments[0] + "\": expected HOST:PORT");
        }
        return new InetSocketAddress(InetAddress.getByName(uri.getHost()), uri.getPort());
    }
}

/** A slot of the ring, used again and again. */
final class Event {
    enum Kind { JOIN, SAY, LEAVE }

    static final int FRAME_BYTES_MAX = 1 + 255; // a length byte and a body

    Kind kind;
    SocketChannel client;
    final byte[] frame = new byte[FRAME_BYTES_MAX];

    static int frameBytes(ByteBuffer bytes) {
        return 1 + Byte.toUnsignedInt(bytes.get(bytes.position()));
    }
}

/** The producer: accepts and reads. */
final class Reader {
    private static final int LISTEN_BACKLOG = 1024; // connections that wait in the kernel
    private static final int ACCEPT_RETRY_MILLISECONDS = 50; // pause after a failed accept
    private static final int READ_BYTES_MAX = 16 * 1024; // from one client, then the next one has its turn

    private final Selector selector = Selector.open();
    private final ServerSocketChannel listener;
    private final ByteBuffer received = ByteBuffer.allocate(Event.FRAME_BYTES_MAX + READ_BYTES_MAX);
    private final RingBuffer<Event> ring;

    Reader(InetSocketAddress address, RingBuffer<Event> ring) throws IOException {
        this.ring = ring;
        // Without a family, 0.0.0.0 would listen on IPv6, too.
        var ipv4 = address.getAddress() instanceof Inet4Address;
        listener = ServerSocketChannel.open(ipv4 ? StandardProtocolFamily.INET : StandardProtocolFamily.INET6);
        listener.bind(address, LISTEN_BACKLOG).configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
    }

    void run() throws IOException {
        while (true) {
            selector.select(key -> {
                if (key.isAcceptable()) {
                    accept(key);
                } else {
                    read(key);
                }
            });
        }
    }

    private void accept(SelectionKey listening) {
        try {
            for (SocketChannel client; (client = listener.accept()) != null; ) {
                client.setOption(StandardSocketOptions.TCP_NODELAY, true).configureBlocking(false);
                client.register(selector, SelectionKey.OP_READ, ByteBuffer.allocate(0));
                publish(Event.Kind.JOIN, client);
            }
        } catch (IOException problem) {
            // Descriptors have probably run out; some will be freed.
            System.err.println("server: cannot accept a client: " + problem.getMessage());
            listening.interestOps(0);
            CompletableFuture.delayedExecutor(ACCEPT_RETRY_MILLISECONDS, TimeUnit.MILLISECONDS).execute(
                    () -> listening.interestOps(SelectionKey.OP_ACCEPT).selector().wakeup());
        }
    }

    /** Publishes the complete frames; the attachment of the key holds the rest. */
    private void read(SelectionKey key) {
        var client = (SocketChannel) key.channel();
        try {
            received.clear().put((ByteBuffer) key.attachment());
            if (client.read(received) < 0) {
                throw new EOFException();
            }
            received.flip();
            while (received.hasRemaining() && Event.frameBytes(received) <= received.remaining()) {
                publish(Event.Kind.SAY, client);
            }
            if (received.position() == 0) {
                // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
                client.setOption(ExtendedSocketOptions.TCP_QUICKACK, true);
            }
            key.attach(ByteBuffer.allocate(received.remaining()).put(received).flip());
        } catch (IOException problem) { // the end of the stream, or a reset
            key.cancel();
            publish(Event.Kind.LEAVE, client);
        }
    }

    /** The sequencing point. Waits while the ring is full. */
    private void publish(Event.Kind kind, SocketChannel client) {
        ring.publishEvent((event, sequence) -> {
            event.kind = kind;
            event.client = client;
            if (kind == Event.Kind.SAY) {
                received.get(event.frame, 0, Event.frameBytes(received));
            }
        });
    }
}

/** The consumer: writes and closes. */
final class Writer implements EventHandler<Event>, WaitStrategy {
    private final Selector selector = Selector.open();
    private final AtomicBoolean asleep = new AtomicBoolean();
    private final Map<SocketChannel, Outbox> outboxes = new HashMap<>();

    Writer() throws IOException {}

    @Override public void onEvent(Event event, long sequence, boolean endOfBatch) throws IOException {
        switch (event.kind) {
            case JOIN -> outboxes.put(event.client, new Outbox(event.client, selector));
            case SAY -> outboxes.values().forEach(outbox -> outbox.append(event));
            case LEAVE -> outboxes.remove(event.client).leave();
        }
        if (endOfBatch) {
            outboxes.values().forEach(Outbox::write);
        }
    }

    /** Waits until the event has been published, and meanwhile writes to sockets that become writable. */
    @Override public long waitFor(long sequence, Sequence cursor, Sequence published, SequenceBarrier barrier)
            throws AlertException {
        try {
            selector.selectNow(Outbox::writable);
            while (published.get() < sequence) {
                barrier.checkAlert();
                asleep.set(true);
                if (published.get() < sequence) {
                    selector.select(Outbox::writable);
                }
            }
        } catch (IOException problem) {
            throw new UncheckedIOException(problem);
        }
        return published.get();
    }

    /** Called by the reader, after it has published. */
    @Override public void signalAllWhenBlocking() {
        if (asleep.getAndSet(false)) {
            selector.wakeup();
        }
    }
}

/** What one client has yet to be sent. */
final class Outbox {
    private static final int BACKLOG_BYTES_MAX = 16 * 1024; // for a client that reads slowly

    private final SocketChannel client;
    private final SelectionKey key;
    private final ByteBuffer backlog = ByteBuffer.allocate(BACKLOG_BYTES_MAX);
    private boolean full; // the socket accepts no more for now
    private boolean leaving;

    Outbox(SocketChannel client, Selector selector) throws IOException {
        this.client = client;
        key = client.register(selector, 0, this);
    }

    void append(Event event) {
        int bytes = 1 + Byte.toUnsignedInt(event.frame[0]);
        if (bytes > backlog.remaining()) {
            write();
        }
        if (bytes <= backlog.remaining()) {
            backlog.put(event.frame, 0, bytes);
        }
    }

    void write() {
        try {
            if (!full && backlog.position() > 0) {
                client.write(backlog.flip());
                backlog.compact();
                full = backlog.position() > 0;
                key.interestOps(full ? SelectionKey.OP_WRITE : 0);
            }
            if (leaving && !full) {
                client.close();
            }
        } catch (IOException problem) { // a reset, which the reader notices, too
            backlog.clear();
            full = false;
            write();
        }
    }

    static void writable(SelectionKey key) {
        var outbox = (Outbox) key.attachment();
        outbox.full = false;
        outbox.write();
    }

    void leave() {
        leaving = true;
        write();
    }
}
