#pike 8.0

/* Callbacks in Pike, which grew up as the language of multi-user dungeons: servers of one thread,
 * whose players are objects with a socket.
 *
 * The idea: the protocol is in the buffers. A socket in buffer mode reads into one Stdio.Buffer
 * and writes from another. Such a buffer reads and adds values: numbers, strings with their length
 * in front, lines. What is not complete is not there, and stays in the buffer. So there is no
 * parser here: a frame is a string whose length is in one byte.
 *
 *     enter -> Client -> hear -> say -> tell of each client -> outbox -> backend
 *
 * How a message flows. Pike's backend, a loop over epoll, calls hear when it has read something
 * into a client's buffer. say tells each frame to all clients; no other callback runs meanwhile, so
 * it is the sequencing point. tell adds the frame to the client's outbox, which notifies the
 * backend; it writes all that an outbox holds when the socket accepts it.
 *
 * Shortcut: Pike 8.0 sets no option of TCP, so a client that waits for an acknowledgement in the
 * middle of a frame waits as long as the kernel delays it.
 */

constant OUTBOX_BYTES_MAX = 64 * 1024;  // For a client that reads slowly.
constant LENGTH_BYTES = 1;              // In front of each message.
constant BODY_BYTES_MAX = 255;
constant LOOK_SECONDS = 0.1;            // Between looks at a client that has ended.
constant LINGER_LOOKS_MAX = 20;         // In so many of them it must take some of the rest.

multiset(Client) clients = (<>);

int main(int argc, array(string) argv)
{
    if (argc != 2) {
        werror("usage: server.pike HOST:PORT\n");
        return 64;
    }
    [string host, int port] = parse_address(argv[1]);
    Stdio.Port listener = Stdio.Port();
    if (!host || !listener->bind(port, enter, host)) {
        string reason = host ? strerror(listener->errno()) : "not HOST:PORT";
        werror("server: cannot listen on %s: %s\n", argv[1], reason);
        return 1;
    }
    listener->set_id(listener);
    write("listening on %s\n", argv[1]);
    return -1; // Run the backend.
}

array parse_address(string address)
{
    string host, digits;
    if (sscanf(address, "[%[0-9a-fA-F:.]]:%[0-9]%*c", host, digits) != 2
        && sscanf(address, "%[^:]:%[0-9]%*c", host, digits) != 2) {
        return ({ 0, 0 });
    }
    int port = (int)digits;
    return sizeof(host) && sizeof(digits) && port < 65536 ? ({ host, port }) : ({ 0, 0 });
}

// Kept open to be given up when descriptors run out: then there is one to refuse a client with.
Stdio.File spare = Stdio.File("/dev/null");

void enter(Stdio.Port listener)
{
    if (Stdio.File socket = listener->accept()) {
        clients[Client(socket)] = 1;
        return;
    }
    werror("server: cannot accept a client: %s\n", strerror(listener->errno()));
    spare->close();
    if (Stdio.File refused = listener->accept()) {
        refused->close();
    }
    spare->open("/dev/null", "r");
}

// The sequencing point.
void say(string message)
{
    indices(clients)->tell(message);
}

class Client
{
    protected Stdio.File socket;
    protected Stdio.Buffer outbox = Stdio.Buffer();

    protected void create(Stdio.File socket)
    {
        this::socket = socket;
        socket->set_buffer_mode(Stdio.Buffer(), outbox);
        socket->set_nonblocking(hear, written, leave);
    }

    protected void hear(mixed id, Stdio.Buffer heard)
    {
        while (string message = heard->read_hstring(LENGTH_BYTES)) {
            say(message);
        }
    }

    void tell(string message)
    {
        if (sizeof(outbox) + LENGTH_BYTES + BODY_BYTES_MAX <= OUTBOX_BYTES_MAX) {
            outbox->add_hstring(message, LENGTH_BYTES);
        }
    }

    // The outbox is empty. Without this callback nothing would be written.
    protected void written()
    {
        if (!clients[this]) {
            close();
        }
    }

    // After the end of the stream, or an error.
    protected void leave()
    {
        clients[this] = 0;
        linger(sizeof(outbox), 1);
    }

    // Pike reports no error to a writer, so from time to time it is looked for.
    protected void linger(int before, int looks)
    {
        int now = sizeof(outbox);
        if (!now || socket->errno() || looks > LINGER_LOOKS_MAX) {
            close();
        } else {
            call_out(linger, LOOK_SECONDS, now, now < before ? 1 : looks + 1);
        }
    }

    protected void close()
    {
        remove_call_out(linger);
        // Both refer to each other, and would wait for the garbage collector.
        destruct(socket);
        destruct(this);
    }
}
