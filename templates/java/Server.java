// __NAME__: two threads per client and one lock.
//
// How a message flows. The client's readFrames thread reads a frame from the byte
// stream and calls broadcast, which locks the room and puts the frame into every
// client's queue, including the sender's. Only one thread holds the lock at a time:
// this is the sequencing point. Each client's writeFrames thread writes its queue to
// the connection. A queue is bounded; a client whose queue is full misses the message.
// No thread waits for a client while holding the lock.

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
import jdk.net.ExtendedSocketOptions;

final class Server {
    private static final int LISTEN_BACKLOG = 1024; // connections that wait in the kernel
    private static final int ACCEPT_PAUSE_MILLISECONDS = 100; // when descriptors have run out

    public static void main(String[] arguments) throws InterruptedException {
        try {
            var listener = listen(address(arguments));
            System.out.println("listening on " + arguments[0]);
            serve(listener);
        } catch (IOException | IllegalArgumentException problem) {
            System.err.println("server: error: " + problem.getMessage());
            System.exit(1);
        }
    }

    /** The address HOST:PORT; an IPv6 host is in brackets, as in a URI. */
    private static InetSocketAddress address(String[] arguments) throws UnknownHostException {
        if (arguments.length != 1) {
            throw new IllegalArgumentException("expected one argument, HOST:PORT");
        }
        var uri = URI.create("tcp://" + arguments[0]);
        if (!arguments[0].equals(uri.getHost() + ":" + uri.getPort())) {
            throw new IllegalArgumentException("cannot listen on \"" + arguments[0] + "\": expected HOST:PORT");
        }
        return new InetSocketAddress(InetAddress.getByName(uri.getHost()), uri.getPort());
    }

    /** Binds the given address and no other: without a family, 0.0.0.0 would listen on IPv6 as well. */
    private static ServerSocketChannel listen(InetSocketAddress address) throws IOException {
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
                new Thread(client::readFrames).start();
                new Thread(client::writeFrames).start();
            } catch (IOException problem) {
                // Descriptors have probably run out: some will be freed.
                System.err.println("server: cannot accept a client: " + problem.getMessage());
                Thread.sleep(ACCEPT_PAUSE_MILLISECONDS);
            }
        }
    }
}

/** The clients that are connected. */
final class Room {
    private final Set<Client> clients = new HashSet<>();

    synchronized void enter(Client client) {
        clients.add(client);
    }

    synchronized void leave(Client client) {
        clients.remove(client);
    }

    synchronized void broadcast(byte[] frame) {
        for (var client : clients) {
            client.offer(frame);
        }
    }
}

/** A frame is a length byte and a body. */
final class Client {
    private static final int QUEUE_LIMIT = 64; // messages queued for one client
    private static final int READ_BYTES_MAX = 4 * 1024; // per call
    private static final int WRITE_BYTES_MAX = 16 * 1024; // per call
    private static final byte[] END = {}; // after it, nothing is queued

    private final Socket socket;
    private final Room room;
    private final BlockingQueue<byte[]> queue = new ArrayBlockingQueue<>(QUEUE_LIMIT);

    Client(Socket socket, Room room) {
        this.socket = socket;
        this.room = room;
    }

    void offer(byte[] frame) {
        queue.offer(frame); // if the queue is full, this client misses the message
    }

    void readFrames() {
        try {
            socket.setTcpNoDelay(true);
            var input = socket.getInputStream();
            var buffer = new byte[READ_BYTES_MAX];
            int held = 0;
            for (int count; (count = input.read(buffer, held, buffer.length - held)) >= 0; ) {
                held += count;
                int start = 0;
                for (int end; start < held && (end = frameEnd(buffer, start)) <= held; start = end) {
                    room.broadcast(Arrays.copyOfRange(buffer, start, end));
                }
                if (start == 0) {
                    acknowledge();
                }
                held -= start;
                System.arraycopy(buffer, start, buffer, 0, held);
            }
        } catch (IOException problem) {
            // A reset: the stream ends here.
        }
        room.leave(this);
        try {
            queue.put(END); // writeFrames still sends what is queued before it
        } catch (InterruptedException problem) {
            throw new AssertionError("nobody interrupts a thread", problem);
        }
    }

    private static int frameEnd(byte[] buffer, int start) {
        return start + 1 + Byte.toUnsignedInt(buffer[start]);
    }

    /**
     * Makes the kernel acknowledge the start of a frame at once: its sender may wait for that
     * before it sends the rest. The kernel delays it by 40 ms unless told otherwise each time.
     */
    private void acknowledge() throws IOException {
        socket.setOption(ExtendedSocketOptions.TCP_QUICKACK, true);
    }

    void writeFrames() {
        try {
            try (socket) { // closing it ends readFrames, too, if it is still running
                var output = new BufferedOutputStream(socket.getOutputStream(), WRITE_BYTES_MAX);
                for (var frame = queue.take(); frame != END; frame = queue.take()) {
                    output.write(frame);
                    if (queue.isEmpty()) {
                        output.flush();
                    }
                }
                output.flush();
            } catch (IOException problem) {
                while (queue.take() != END) {
                    // The client has disconnected: discard what is queued.
                }
            }
        } catch (InterruptedException problem) {
            throw new AssertionError("nobody interrupts a thread", problem);
        }
    }
}
