// A staged event-driven architecture: the program is a few stages, each a bounded queue and a pool
// of threads.
//
// The idea: a thread belongs to a stage and not to a client. A stage takes events from its queue
// and puts others into the queues of the next. How much waits in front of it, and how many threads
// work on it, can be seen and limited there, stage by stage.
//
//     Sockets --> hearing --> room --> outbox of each client, speaking --> Sockets
//
// How a message flows. Sockets, one thread with a selector, tells the stage hearing that a client
// is readable. hear reads once, takes the complete frames (a portion), and puts them into the queue
// of the room. The room has one thread, so its queue is the order of all messages: this is the
// sequencing point. say offers the portion to each client's outbox. If the client is not being
// written to, it becomes an event of the stage speaking. speak writes what the outbox holds with
// one call and never waits: if the kernel takes no more, Sockets tells when it does.
//
// A stage whose queue is full makes those wait who put events into it. They only wait for stages
// further on, and the last waits for nobody, so each wait ends. A client is in each queue once
// at most: Sockets watches it again when hear or speak is done with it.
//
// When a stream ends, hear lets the room know, behind all that the client has said. The room
// forgets the client, and speak writes the rest of its outbox and closes the connection. A failed
// write only empties the outbox, as the failed read that comes with it does the rest.
//
// Shortcuts: portions are shared between all outboxes and left to the garbage collector. The
// controllers of the original also change the size of batches; here the number of threads changes.

import java.io.*;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import jdk.net.ExtendedSocketOptions;

final class Server {
    private static final int THREADS_MAX = 4; // of a stage that may have several

    final Stage<Client> hearing = new Stage<>("hearing", THREADS_MAX, Client::hear);
    final Stage<Client> speaking = new Stage<>("speaking", THREADS_MAX, Client::speak);
    final Stage<Runnable> room = new Stage<>("room", 1, Runnable::run);
    final Set<Client> clients = new HashSet<>(); // the room's

    public static void main(String[] arguments) {
        try {
            var sockets = new Sockets(address(arguments), new Server());
            System.out.println("listening on " + arguments[0]);
            sockets.run();
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

    /** Called by the room. A portion is complete frames, each a length byte and a body. */
    void say(byte[] portion) {
        clients.forEach(client -> client.offer(portion));
    }
}

/** A bounded queue of events, a pool of threads, and the step that a thread takes for an event. */
final class Stage<E> {
    private static final int QUEUE_EVENTS = 64; // then another thread helps, or who puts an event waits
    private static final int IDLE_SECONDS = 1; // then a thread that helps ends

    private final Executor pool;
    private final Consumer<E> step;

    Stage(String name, int threadsMax, Consumer<E> step) {
        this.step = step;
        pool = new ThreadPoolExecutor(1, threadsMax, IDLE_SECONDS, TimeUnit.SECONDS,
                new ArrayBlockingQueue<>(QUEUE_EVENTS), task -> new Thread(task, name), Stage::whenFull);
    }

    void put(E event) {
        pool.execute(() -> step.accept(event));
    }

    private static void whenFull(Runnable task, ThreadPoolExecutor pool) {
        try {
            pool.getQueue().put(task);
        } catch (InterruptedException problem) {
            throw new RejectedExecutionException(problem);
        }
    }
}

/** One thread that waits for all sockets, and does nothing else with those of clients. */
final class Sockets {
    private static final int LISTEN_BACKLOG = 1024; // connections that wait in the kernel
    private static final int ACCEPT_RETRY_MILLISECONDS = 50; // pause after a failed accept

    private final Selector selector = Selector.open();
    private final ServerSocketChannel listener;
    private final Server server;

    Sockets(InetSocketAddress address, Server server) throws IOException {
        this.server = server;
        // Without a family, 0.0.0.0 would listen on IPv6, too.
        var ipv4 = address.getAddress() instanceof Inet4Address;
        listener = ServerSocketChannel.open(ipv4 ? StandardProtocolFamily.INET : StandardProtocolFamily.INET6);
        listener.bind(address, LISTEN_BACKLOG).configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
    }

    void run() throws IOException {
        while (true) {
            selector.select(this::dispatch);
        }
    }

    /** A client is not watched for what it is ready for, until a stage is done with it. */
    private void dispatch(SelectionKey key) {
        if (key.isAcceptable()) {
            accept(key);
            return;
        }
        var client = (Client) key.attachment();
        int ready = key.readyOps();
        key.interestOpsAnd(~ready);
        if ((ready & SelectionKey.OP_READ) != 0) {
            server.hearing.put(client);
        }
        if ((ready & SelectionKey.OP_WRITE) != 0) {
            server.speaking.put(client);
        }
    }

    private void accept(SelectionKey listening) {
        try {
            for (SocketChannel socket; (socket = listener.accept()) != null; ) {
                socket.setOption(StandardSocketOptions.TCP_NODELAY, true).configureBlocking(false);
                var client = new Client(socket, selector, server);
                server.room.put(() -> server.clients.add(client));
                client.await(SelectionKey.OP_READ);
            }
        } catch (IOException problem) {
            // Descriptors have probably run out; some will be freed.
            System.err.println("server: cannot accept a client: " + problem.getMessage());
            listening.interestOps(0);
            CompletableFuture.delayedExecutor(ACCEPT_RETRY_MILLISECONDS, TimeUnit.MILLISECONDS).execute(
                    () -> listening.interestOps(SelectionKey.OP_ACCEPT).selector().wakeup());
        }
    }
}

final class Client {
    private static final int READ_BYTES_MAX = 2 * 1024; // then another client has its turn
    private static final int OUTBOX_PORTIONS = 64; // for a client that reads slowly

    private final SocketChannel socket;
    private final SelectionKey key;
    private final Server server;
    private final ByteBuffer received = ByteBuffer.allocate(READ_BYTES_MAX);
    private final Queue<ByteBuffer> outbox = new ArrayBlockingQueue<>(OUTBOX_PORTIONS);
    private final AtomicBoolean busy = new AtomicBoolean(); // in the stage speaking, or waits to be writable
    private volatile boolean left;

    Client(SocketChannel socket, Selector selector, Server server) throws IOException {
        this.socket = socket;
        this.server = server;
        key = socket.register(selector, 0, this);
    }

    /** The step of the stage hearing; an incomplete last frame is discarded. */
    void hear() {
        try {
            if (socket.read(received) < 0) {
                throw new EOFException();
            }
            var portion = takeFrames();
            if (portion.length > 0) {
                server.room.put(() -> server.say(portion));
            } else {
                // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
                socket.setOption(ExtendedSocketOptions.TCP_QUICKACK, true);
            }
            await(SelectionKey.OP_READ);
        } catch (IOException problem) { // the end of the stream, or a reset
            server.room.put(this::leave);
        }
    }

    private byte[] takeFrames() {
        received.flip();
        int end = 0;
        while (end < received.limit()) {
            int next = end + 1 + Byte.toUnsignedInt(received.get(end));
            if (next > received.limit()) {
                break;
            }
            end = next;
        }
        var portion = new byte[end];
        received.get(portion).compact();
        return portion;
    }

    /** Called by the room. A client whose outbox is full misses the portion. */
    void offer(byte[] portion) {
        if (outbox.offer(ByteBuffer.wrap(portion))) {
            wake();
        }
    }

    /** Called by the room, the last time. */
    private void leave() {
        server.clients.remove(this);
        left = true;
        wake();
    }

    private void wake() {
        if (busy.compareAndSet(false, true)) {
            server.speaking.put(this);
        }
    }

    /** The step of the stage speaking: writes until the outbox is empty or the kernel takes no more. */
    void speak() {
        do {
            try {
                if (!write()) {
                    await(SelectionKey.OP_WRITE);
                    return;
                }
                if (left && outbox.isEmpty()) {
                    socket.close();
                    key.selector().wakeup(); // to give the descriptor back
                    return;
                }
            } catch (IOException problem) { // a reset, which hear will find, too
                outbox.clear();
            }
            busy.set(false);
        } while ((left || !outbox.isEmpty()) && busy.compareAndSet(false, true));
    }

    /** Writes with one call, and removes what is written; false if that is not all. */
    private boolean write() throws IOException {
        var portions = outbox.toArray(ByteBuffer[]::new);
        socket.write(portions);
        outbox.removeIf(portion -> !portion.hasRemaining());
        return portions.length == 0 || !portions[portions.length - 1].hasRemaining();
    }

    /** Lets Sockets watch the client. */
    void await(int operation) {
        key.interestOpsOr(operation);
        key.selector().wakeup();
    }
}
