// Reactive streams with java.util.concurrent.Flow: demand travels upstream, messages downstream.
//
// The idea: a subscriber says how much it can take (request), and a publisher sends it no
// more than that. Nobody blocks, and nobody is sent what he has no room for.
//
//     Voice --> Seat --> all seats --> Ear
//
// How a message flows. A client's Voice publishes what the client sends, in portions: the
// complete frames of one read. It reads only when its Seat has requested a portion. The
// Seat is a processor: it subscribes to the Voice and publishes what its client is to
// receive. Seat.onNext passes a portion to Room.say, which offers it to every Seat under
// one lock: this is the sequencing point. Then the Seat requests the next portion. A Seat
// queues portions for its only subscriber, the Ear, which requests as many as it has
// written to its socket.
//
// A queue is bounded. When it is full, that client misses the portion: offer never waits.
// When a Voice completes, its Seat leaves the room and closes; the Ear still receives what
// is queued, then onComplete, and closes the connection.
//
// Shortcuts: portions are shared between all queues and left to the garbage collector.

import java.io.IOException;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicLong;
import jdk.net.ExtendedSocketOptions;

final class Server {
    private static final int LISTEN_BACKLOG = 1024; // connections that wait in the kernel
    private static final int ACCEPT_RETRY_MILLISECONDS = 50; // pause after a failed accept
    // Of the pool, they wait for events and never return. The JDK has one of its own, but that
    // may wait for the next events while some are in its queue; see README.md.
    private static final int EVENT_THREADS = 2;

    public static void main(String[] arguments) throws InterruptedException {
        try {
            var address = address(arguments);
            int processors = Runtime.getRuntime().availableProcessors();
            var pool = Executors.newFixedThreadPool(EVENT_THREADS + processors);
            var group = AsynchronousChannelGroup.withCachedThreadPool(pool, EVENT_THREADS);
            var listener = AsynchronousServerSocketChannel.open(group).bind(address, LISTEN_BACKLOG);
            System.out.println("listening on " + arguments[0]);
            serve(listener, pool);
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
        // Asynchronous channels have no choice of family: else 0.0.0.0 would be IPv6, too.
        System.setProperty("java.net.preferIPv4Stack", "" + (uri.getHost().charAt(0) != '['));
        return new InetSocketAddress(InetAddress.getByName(uri.getHost()), uri.getPort());
    }

    private static void serve(AsynchronousServerSocketChannel listener, Executor pool) throws InterruptedException {
        var room = new Room();
        while (true) {
            try {
                var client = listener.accept().get();
                enable(client, StandardSocketOptions.TCP_NODELAY);
                var seat = new Seat(room, pool);
                seat.subscribe(new Ear(client));
                new Voice(client).subscribe(seat);
            } catch (ExecutionException problem) {
                // Descriptors have probably run out; some will be freed.
                System.err.println("server: cannot accept a client: " + problem.getCause().getMessage());
                Thread.sleep(ACCEPT_RETRY_MILLISECONDS);
            }
        }
    }

    static void enable(AsynchronousSocketChannel client, SocketOption<Boolean> option) {
        try {
            client.setOption(option, true);
        } catch (IOException problem) {
            // The connection is broken, and the next read fails.
        }
    }
}

/** Who is here. */
final class Room {
    private final Set<Seat> seats = new HashSet<>();

    synchronized void enter(Seat seat) {
        seats.add(seat);
    }

    synchronized void leave(Seat seat) {
        seats.remove(seat);
    }

    /** The sequencing point. With no handler for a full queue, its client misses the portion. */
    synchronized void say(byte[] portion) {
        seats.forEach(seat -> seat.offer(portion, null));
    }
}

/** Subscribes to what its client sends, and publishes what its client is to receive. */
final class Seat extends SubmissionPublisher<byte[]> implements Flow.Processor<byte[], byte[]> {
    private static final int QUEUE_PORTIONS = 64; // for a client that reads slowly

    private final Room room;
    private Flow.Subscription voice;

    Seat(Room room, Executor pool) {
        super(pool, QUEUE_PORTIONS);
        this.room = room;
    }

    @Override public void onSubscribe(Flow.Subscription subscription) {
        voice = subscription;
        room.enter(this);
        voice.request(1);
    }

    @Override public void onNext(byte[] portion) {
        room.say(portion);
        voice.request(1);
    }

    @Override public void onError(Throwable problem) {
        onComplete(); // a reset is the end of a stream, too
    }

    @Override public void onComplete() {
        room.leave(this);
        close(); // behind everything that is queued
    }
}

/** Publishes what a client sends, to one subscriber. It is its own subscription. */
final class Voice implements Flow.Publisher<byte[]>, Flow.Subscription, CompletionHandler<Integer, Void> {
    private static final int PORTION_BYTES_MAX = 2 * 1024; // per read

    private final AsynchronousSocketChannel client;
    private final ByteBuffer received = ByteBuffer.allocate(PORTION_BYTES_MAX);
    private final AtomicLong demand = new AtomicLong(); // portions
    private Flow.Subscriber<? super byte[]> subscriber;

    Voice(AsynchronousSocketChannel client) {
        this.client = client;
    }

    @Override public void subscribe(Flow.Subscriber<? super byte[]> subscriber) {
        this.subscriber = subscriber;
        subscriber.onSubscribe(this);
    }

    @Override public void request(long portions) {
        if (demand.getAndAdd(portions) == 0) {
            client.read(received, null, this); // otherwise, completed does it
        }
    }

    @Override public void cancel() {
        demand.set(0);
    }

    @Override public void completed(Integer count, Void nothing) {
        if (count < 0) {
            subscriber.onComplete(); // an incomplete last frame is discarded
            return;
        }
        var portion = completeFrames();
        if (portion.length == 0) {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            Server.enable(client, ExtendedSocketOptions.TCP_QUICKACK);
            client.read(received, null, this);
            return;
        }
        subscriber.onNext(portion);
        if (demand.decrementAndGet() > 0) {
            client.read(received, null, this);
        }
    }

    @Override public void failed(Throwable problem, Void nothing) {
        subscriber.onError(problem);
    }

    /** Takes them out of what has been received. A frame is a length byte and a body. */
    private byte[] completeFrames() {
        int end = 0;
        while (end < received.position() && frameEnd(end) <= received.position()) {
            end = frameEnd(end);
        }
        var frames = new byte[end];
        received.flip().get(frames).compact();
        return frames;
    }

    private int frameEnd(int start) {
        return start + 1 + Byte.toUnsignedInt(received.get(start));
    }
}

/** Subscribes to what a client is to receive, and writes it. */
final class Ear implements Flow.Subscriber<byte[]>, CompletionHandler<Long, Void> {
    private static final int BATCH_PORTIONS_MAX = 16; // requested and not yet written

    private final AsynchronousSocketChannel client;
    private final List<ByteBuffer> unwritten = new ArrayList<>(); // if there are any, a write is in progress
    private Flow.Subscription subscription;
    private boolean complete;

    Ear(AsynchronousSocketChannel client) {
        this.client = client;
    }

    @Override public void onSubscribe(Flow.Subscription subscription) {
        this.subscription = subscription;
        subscription.request(BATCH_PORTIONS_MAX);
    }

    @Override public synchronized void onNext(byte[] portion) {
        unwritten.add(ByteBuffer.wrap(portion));
        if (unwritten.size() == 1) {
            write();
        }
    }

    @Override public void onError(Throwable problem) {
        onComplete(); // a seat closes without an error
    }

    @Override public synchronized void onComplete() {
        complete = true;
        if (unwritten.isEmpty()) {
            close();
        }
    }

    private void write() {
        var batch = unwritten.toArray(new ByteBuffer[0]);
        client.write(batch, 0, batch.length, 0, TimeUnit.SECONDS, null, this);
    }

    @Override public synchronized void completed(Long bytes, Void nothing) {
        while (!unwritten.isEmpty() && !unwritten.get(0).hasRemaining()) {
            unwritten.remove(0);
            subscription.request(1);
        }
        if (!unwritten.isEmpty()) {
            write();
        } else if (complete) {
            close();
        }
    }

    @Override public void failed(Throwable problem, Void nothing) {
        subscription.cancel();
        close(); // reading fails, too
    }

    private void close() {
        try {
            client.close();
        } catch (IOException problem) {
            // It is closed all the same.
        }
    }
}
