// Chat server in Java: per client a thread that reads and a thread that writes,
// with a queue of 256 messages between the world and the writer. The synchronized
// loop over the clients in broadcast() is the sequencing point. offer() drops a
// message for a client whose queue is full.
// (Java cannot set IPV6_V6ONLY: IPv4 connections to [::] are closed at once.)
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Inet4Address;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public final class JavaChat {
    static final int QUEUE_MESSAGES = 256;
    static final byte[] END = new byte[0]; // not a frame: those have a header
    static final Set<Client> clients = new HashSet<>(); // those who receive; its own lock

    static final class Client {
        final Socket socket;
        final ArrayBlockingQueue<byte[]> queue = new ArrayBlockingQueue<>(QUEUE_MESSAGES);

        Client(Socket socket) {
            this.socket = socket;
        }

        void read() {
            try {
                InputStream in = new BufferedInputStream(socket.getInputStream(), 4096);
                for (int length = in.read(); length >= 0; length = in.read()) {
                    byte[] frame = new byte[1 + length];
                    frame[0] = (byte) length;
                    if (in.readNBytes(frame, 1, length) < length) break;
                    broadcast(frame);
                }
            } catch (IOException reset) {
                // it is gone
            }
            synchronized (clients) {
                clients.remove(this);
            }
            try {
                queue.put(END); // waits for room; the writer closes the socket
            } catch (InterruptedException never) {
                throw new IllegalStateException(never);
            }
        }

        void write() {
            boolean broken = false;
            try {
                OutputStream out = socket.getOutputStream();
                for (byte[] frame = queue.take(); frame != END; frame = queue.take()) {
                    if (broken) continue; // what it sent before it left is still being read
                    try {
                        out.write(frame);
                    } catch (IOException gone) {
                        broken = true;
                    }
                }
            } catch (IOException | InterruptedException gone) {
                // close
            }
            close(socket);
        }

        void start() {
            synchronized (clients) {
                clients.add(this);
            }
            Thread writer = new Thread(null, this::write, "writer", 256 * 1024);
            Thread reader = new Thread(null, this::read, "reader", 256 * 1024);
            try {
                writer.start();
                reader.start();
            } catch (OutOfMemoryError noMoreThreads) {
                synchronized (clients) {
                    clients.remove(this);
                }
                queue.clear();
                queue.offer(END);
                close(socket);
            }
        }
    }

    static void broadcast(byte[] frame) {
        synchronized (clients) {
            for (Client client : clients) client.queue.offer(frame);
        }
    }

    static void close(Socket socket) {
        try {
            socket.close();
        } catch (IOException ignored) {
            // it is closed
        }
    }

    static void fail(String reason) {
        System.err.println(reason);
        Runtime.getRuntime().halt(1); // exit() could wait
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 1) fail("usage: JavaChat HOST:PORT");
        String text = args[0];
        Matcher m = Pattern.compile("(?:\\[([^\\[\\]]*:[^\\[\\]]*)\\]|([^\\[\\]:\\s]+)):([0-9]{1,5})")
            .matcher(text);
        if (!m.matches()) fail(text + ": not an address HOST:PORT");
        int port = Integer.parseInt(m.group(3));
        String host = m.group(1) != null ? m.group(1) : m.group(2);
        boolean digits = host.matches("[0-9.]+");
        String octet = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])";
        if (port > 65535) fail(text + ": the port is too large");
        if (digits && !host.matches("(" + octet + "\\.){3}" + octet)) fail(text + ": not an IPv4 address");

        Thread watchdog = new Thread(() -> {
            try {
                Thread.sleep(3500);
                fail(text + ": the name server does not answer");
            } catch (InterruptedException listening) {
                // in time
            }
        });
        watchdog.setDaemon(true);
        watchdog.start();
        ServerSocket server = new ServerSocket();
        InetAddress ip = null;
        try {
            ip = InetAddress.getByName(m.group(1) != null ? "[" + host + "]" : host);
            server.setReuseAddress(true);
            server.bind(new InetSocketAddress(ip, port), 4096);
        } catch (IOException error) {
            fail(text + ": " + error.getMessage());
        }
        watchdog.interrupt();
        String address = text;
        if (port == 0 || !(digits || m.group(1) != null)) {
            String name = ip.getHostAddress();
            address = (name.contains(":") ? "[" + name + "]" : name) + ":" + server.getLocalPort();
        }
        System.out.print("listening on " + address + "\n");
        System.out.flush();
        while (true) {
            try {
                Socket socket = server.accept();
                if (ip instanceof Inet6Address && socket.getInetAddress() instanceof Inet4Address) {
                    close(socket);
                    continue;
                }
                socket.setTcpNoDelay(true);
                new Client(socket).start();
            } catch (IOException outOfDescriptors) {
                Thread.sleep(50);
            }
        }
    }
}
