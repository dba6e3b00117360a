// Virtual threads: blocking calls, a thread for everything that waits, and the runtime
// makes it cheap.
//
// Each client has a thread that reads and a thread that writes.
//
//     read --> Room.say --> queue of each client --> write
//
// How a message flows. Client.read takes complete frames out of the stream and passes each
// to Room.say, which offers it to every client's queue under one lock: this is the
// sequencing point. A client whose queue is full misses the frame, so nobody waits for a
// client while holding the lock. Client.write sends everything in its queue with one call.
//
// A virtual thread that blocks leaves its carrier, an ordinary thread, to the others; the
// runtime has one carrier per core. It is not preempted, so a reader with many frames
// yields after each of them. Otherwise a flood would outrun the writers.
//
// When a stream ends, its reader leaves the room and puts END into the queue. The writer
// sends everything before END and closes the connection. After a reset the writer fails
// and closes it, which wakes the reader; then it discards what is queued up to END.
//
// Shortcut: a frame is one array, shared between all queues and left to the garbage
// collector.

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.net.Inet4Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.StandardProtocolFamily;
import java.net.URI;
import java.net.UnknownHostException;
import java.nio.channels.ServerSocketChannel;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantLock;
import jdk.net.ExtendedSocketOptions;

final class Server {
    private static final int LISTEN_BACKLOG = 1024; // connections that wait in the kernel
    private static final int ACCEPT_RETRY_MILLISECONDS = 50; // pause after a failed accept

    public static void main(String[] arguments) throws InterruptedException {
        try {
            var listener = listen(address(arguments));
            System.out.println("listening on " + arguments[0]);
            serve(listener);
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

    private static ServerSocketChannel listen(InetSocketAddress address) throws IOException {
        // Without a family, 0.0.0.0 would listen on IPv6, too.
        var ipv4 = address.getAddress() instanceof Inet4Address;
        var family = ipv4 ? StandardProtocolFamily.INET : StandardProtocolFamily.INET6;
        return ServerSocketChannel.open(family).bind(address, LISTEN_BACKLOG);
    }

    private static void serve(ServerSocketChannel listener) throws InterruptedException {
        var room = new Room();
        while (true) {
            try {
                var client = new Client(listener.accept().socket(), room);
                room.enter(client);
                Thread.startVirtualThread(client::read);
                Thread.startVirtualThread(client::write);
            } catch (IOException problem) {
                // Descriptors have probably run out; some will be freed.
                System.err.println("server: cannot accept a client: " + problem.getMessage());
                Thread.sleep(ACCEPT_RETRY_MILLISECONDS);
            }
        }
    }
}

/** Who is here. */
final class Room {
    private final Lock lock = new ReentrantLock(); // before JDK 24, a monitor would hold on to the carrier
    private final Set<Client> clients = new HashSet<>();

    void enter(Client client) {
        lock.lock();
        try {
            clients.add(client);
        } finally {
            lock.unlock();
        }
    }

    void leave(Client client) {
        lock.lock();
        try {
            clients.remove(client);
        } finally {
            lock.unlock();
        }
    }

    /** The sequencing point. */
    void say(byte[] frame) {
        lock.lock();
        try {
            for (var client : clients) {
                client.offer(frame);
            }
        } finally {
            lock.unlock();
        }
    }
}

final class Client {
    private static final int QUEUE_FRAMES = 64; // for a client that reads slowly
    private static final int READ_BYTES_MAX = 4 * 1024; // per call
    private static final int WRITE_BYTES_MAX = 16 * 1024; // per call
    private static final byte[] END = {}; // nothing follows (a frame has at least its length byte)

    private final Socket socket;
    private final Room room;
    private final BlockingQueue<byte[]> queue = new ArrayBlockingQueue<>(QUEUE_FRAMES);

    Client(Socket socket, Room room) {
        this.socket = socket;
        this.room = room;
    }

    /** If the queue is full, this client misses the frame. */
    void offer(byte[] frame) {
        queue.offer(frame);
    }

    void read() {
        try {
            readFrames();
        } catch (IOException problem) {
            // A reset: the stream ends here.
        }
        room.leave(this);
        try {
            queue.put(END);
        } catch (InterruptedException problem) {
            throw new AssertionError("nobody interrupts a reader", problem);
        }
    }

    /** Returns at the end of the stream, and discards an incomplete last frame. */
    private void readFrames() throws IOException {
        socket.setTcpNoDelay(true);
        var input = socket.getInputStream();
        var buffer = new byte[READ_BYTES_MAX];
        int held = 0;
        for (int count; (count = input.read(buffer, held, buffer.length - held)) >= 0; ) {
            held += count;
            int start = 0;
            for (int end; start < held && (end = start + 1 + Byte.toUnsignedInt(buffer[start])) <= held; start = end) {
                room.say(Arrays.copyOfRange(buffer, start, end)); // the length byte and the body
                Thread.yield();
            }
            if (start == 0) {
                // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
                socket.setOption(ExtendedSocketOptions.TCP_QUICKACK, true);
            }
            held -= start;
            System.arraycopy(buffer, start, buffer, 0, held);
        }
    }

    void write() {
        try {
            try (socket) {
                writeFrames();
            } catch (IOException problem) {
                while (queue.take() != END) {
                    // The client has disconnected, and its reader is about to notice.
                }
            }
        } catch (InterruptedException problem) {
            throw new AssertionError("nobody interrupts a writer", problem);
        }
    }

    private void writeFrames() throws IOException, InterruptedException {
        var output = new BufferedOutputStream(socket.getOutputStream(), WRITE_BYTES_MAX);
        for (var frame = queue.take(); frame != END; frame = queue.take()) {
            output.write(frame);
            if (queue.isEmpty()) {
                output.flush(); // many frames with one system call
            }
        }
        output.flush();
    }
}
