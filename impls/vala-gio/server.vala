/*
 * async/await compiled to callbacks, on the main loop of a desktop.
 *
 * The idea: in Vala a method is `async`, and `yield` in it waits for another. The compiler cuts it
 * into a C function with a switch over the places where it may wait, and a struct for its
 * variables; GIO calls the function again when an operation is complete. `yield` alone waits for
 * nothing that is known: the method goes on when somebody calls its `callback`, here `news`.
 *
 *     serve -> attend -> hear -> post -> backlog of each client -> speak
 *
 * How a message flows. Each client has two asynchronous methods. `hear` receives what the client
 * has sent and calls `post`, which adds the complete frames to every client's backlog, the
 * sender's included. `post` is not asynchronous, so nothing else runs until it returns: it is the
 * sequencing point. `speak` sends everything that has gathered with one call.
 *
 * What is already there is read without waiting. So `hear` lets the loop go round after each read.
 *
 * Shortcut: the frames of one read are delivered, or dropped, together.
 */

const int BACKLOG_BYTES_MAX = 64 * 1024; // queued for a client that reads slowly
const int READ_BYTES_MAX = 16 * 1024; // per turn of one client
const int FRAME_BYTES_MAX = 1 + 255; // a length and a body
const int LISTEN_BACKLOG = 1024; // connections queued in the kernel
const int ACCEPT_PAUSE_MS = 100; // when descriptors have run out
const int IPPROTO_IPV6 = 41;
const int IPV6_V6ONLY = 26;
const int IPPROTO_TCP = 6;
const int TCP_NODELAY = 1;
const int TCP_QUICKACK = 12;

class Room {
    private GenericArray<Client> clients = new GenericArray<Client> ();

    public void enter (Client client) {
        clients.add (client);
    }

    public void leave (Client client) {
        clients.remove_fast (client);
    }

    /* The sequencing point. */
    public void post (uint8[] frames) {
        foreach (var client in clients)
            client.offer (frames);
    }

    /* So many bytes that what each client sends in one turn fits into a backlog. */
    public int share () {
        return (BACKLOG_BYTES_MAX / clients.length).clamp (FRAME_BYTES_MAX, READ_BYTES_MAX);
    }
}

class Client {
    private SocketConnection connection;
    private ByteArray backlog = new ByteArray ();
    private SourceFunc? news = null; // resumes `speak`
    private bool left = false;

    public Client (SocketConnection connection) throws Error {
        this.connection = connection;
        connection.socket.set_option (IPPROTO_TCP, TCP_NODELAY, 1);
    }

    public void offer (uint8[] frames) {
        if (backlog.len + frames.length > BACKLOG_BYTES_MAX)
            return;
        backlog.append (frames);
        tell ();
    }

    /* `speak` sends what is in the backlog, and returns. */
    public void finish () {
        left = true;
        tell ();
    }

    /* Posts the client's frames until its stream ends. */
    public async void hear (Room room) throws Error {
        var received = new ByteArray ();
        while (true) {
            var bytes = yield connection.input_stream.read_bytes_async (room.share ());
            if (bytes.length == 0)
                return;
            received.append (bytes.get_data ());
            var whole = whole_frames (received.data);
            if (whole > 0) {
                room.post (received.data[0:whole]);
                received.remove_range (0, whole);
            } else {
                /* At once: Nagle's algorithm may hold the rest of a frame back until then. */
                connection.socket.set_option (IPPROTO_TCP, TCP_QUICKACK, 1);
            }
            Idle.add (hear.callback, Priority.DEFAULT);
            yield;
        }
    }

    public async void speak () throws Error {
        while (backlog.len > 0 || !left) {
            if (backlog.len == 0) {
                news = speak.callback;
                yield;
            } else {
                var frames = (owned) backlog;
                backlog = new ByteArray ();
                yield connection.output_stream.write_all_async (frames.data, Priority.DEFAULT, null, null);
            }
        }
    }

    public void close () {
        try {
            connection.close ();
        } catch (Error e) {
            // It was reset: it is closed.
        }
    }

    private void tell () {
        if (news == null)
            return;
        Idle.add ((owned) news, Priority.DEFAULT);
        news = null;
    }

    /* The length of the complete frames at the start. */
    private static int whole_frames (uint8[] bytes) {
        var whole = 0;
        while (whole < bytes.length && whole + bytes[whole] < bytes.length)
            whole += 1 + bytes[whole];
        return whole;
    }
}

async void attend (Client client, Room room) {
    room.enter (client);
    hear_to_the_end.begin (client, room);
    try {
        yield client.speak ();
    } catch (Error e) {
        // A reset: `hear` fails, too, and ends.
    }
    client.close ();
}

async void hear_to_the_end (Client client, Room room) {
    try {
        yield client.hear (room);
    } catch (Error e) {
        // A reset is an end of the stream, too.
    }
    room.leave (client);
    client.finish ();
}

async void serve (SocketListener listener) {
    var room = new Room ();
    var failures = 0; // since the last success
    while (true) {
        try {
            attend.begin (new Client (yield listener.accept_async ()), room);
            failures = 0;
        } catch (Error e) {
            if (failures++ == 0)
                stderr.printf ("server: cannot accept a client: %s\n", e.message);
            Timeout.add (ACCEPT_PAUSE_MS, serve.callback);
            yield;
        }
    }
}

SocketListener listen_on (string address) throws Error {
    var colon = address.last_index_of_char (':');
    var port = 0;
    if (colon < 1 || !int.try_parse (address.substring (colon + 1), out port) || port < 0 || port > 65535)
        throw new IOError.INVALID_ARGUMENT ("not HOST:PORT");
    var host = address.substring (0, colon).replace ("[", "").replace ("]", "");
    var ip = new InetAddress.from_string (host);
    if (ip == null)
        throw new IOError.INVALID_ARGUMENT ("not an IP address");
    var socket = new Socket (ip.family, SocketType.STREAM, SocketProtocol.TCP);
    if (ip.family == SocketFamily.IPV6)
        socket.set_option (IPPROTO_IPV6, IPV6_V6ONLY, 1);
    socket.bind (new InetSocketAddress (ip, (uint16) port), true);
    socket.listen_backlog = LISTEN_BACKLOG;
    socket.listen ();
    var listener = new SocketListener ();
    listener.add_socket (socket, null);
    return listener;
}

int main (string[] arguments) {
    if (arguments.length != 2) {
        stderr.puts ("usage: server HOST:PORT\n");
        return 1;
    }
    try {
        var listener = listen_on (arguments[1]);
        stdout.printf ("listening on %s\n", arguments[1]);
        stdout.flush ();
        serve.begin (listener);
    } catch (Error e) {
        stderr.printf ("server: cannot listen on %s: %s\n", arguments[1], e.message);
        return 1;
    }
    new MainLoop ().run ();
    return 0;
}
