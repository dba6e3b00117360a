/*
 * Actors in D: threads that share nothing and send each other typed messages. A mailbox has a
 * size, and with it is set what a sender meets when it is full.
 *
 * The idea: std.concurrency gives each thread a mailbox. `receive` takes the first message for
 * which one of the given functions has a parameter of its type. `setMaxMailboxSize` bounds a
 * mailbox and decides for all its senders: `block` makes them wait, `ignore` loses the message.
 * Both are used here, and they are all the flow control of the program.
 *
 *     serve -> read -> Frames -> [mailbox of hub, blocks] -> hub
 *           -> Frames -> [mailbox of each write, ignores] -> write
 *
 * How a message flows. Each client has two actors. `read` receives what the client has sent and
 * sends its complete frames to `hub`. `hub` takes one message after the other and sends each to
 * every client's `write`, the sender's included: it is the sequencing point. `write` sends
 * everything that is in its mailbox with one call.
 *
 * A message with priority is not held up by a full mailbox. `Finish` is one, for it must not be
 * lost; `write` then sends what is still there.
 *
 * Shortcut: the frames of one read are one message, delivered or lost together.
 */
module server;

import core.sys.posix.pthread : pthread_detach, pthread_self;
import core.thread : Thread;
import core.time : Duration, msecs;
import std.algorithm : max, remove;
import std.concurrency;
import std.conv : ConvException, to;
import std.socket;
import std.stdio : stderr, stdout, writeln;
import std.string : lastIndexOf;
import std.variant : Variant;

enum hubMailboxMax = 64; // messages; then readers wait
enum writeMailboxMax = 64; // messages for one client; then it misses further ones
enum readBytesMax = 4096; // the longest message, but for a partial frame
enum batchBytesMax = 64 * 1024; // sent with one call, and one message more
enum frameBytesMax = 1 + 255; // a length and a body
enum acceptPause = 100.msecs; // when descriptors or threads have run out
enum listenBacklog = 1024; // connections queued in the kernel
enum quickAck = cast(SocketOption) 12; // TCP_QUICKACK of tcp(7)

alias Bytes = immutable(ubyte)[];

struct Frames { Bytes bytes; }
struct Joined { Tid writer; }
struct Left { Tid writer; }
struct Finish {}

int main(string[] arguments)
{
    if (arguments.length != 2)
    {
        stderr.writeln("usage: server HOST:PORT");
        return 1;
    }
    Socket listener;
    try
        listener = listen(arguments[1]);
    catch (Exception e)
    {
        stderr.writeln("server: cannot listen on ", arguments[1], ": ", e.msg);
        return 1;
    }
    writeln("listening on ", arguments[1]);
    stdout.flush();
    serve(listener);
    return 0;
}

Socket listen(string address)
{
    const colon = address.lastIndexOf(':');
    if (colon < 1)
        throw new ConvException("not HOST:PORT");
    auto host = address[0 .. colon];
    if (host[0] == '[' && host[$ - 1] == ']')
        host = host[1 .. $ - 1];
    auto parsed = parseAddress(host, address[colon + 1 .. $].to!ushort);
    auto listener = new Socket(parsed.addressFamily, SocketType.STREAM);
    listener.setOption(SocketOptionLevel.SOCKET, SocketOption.REUSEADDR, true);
    if (parsed.addressFamily == AddressFamily.INET6)
        listener.setOption(SocketOptionLevel.IPV6, SocketOption.IPV6_V6ONLY, true);
    listener.bind(parsed);
    listener.listen(listenBacklog);
    return listener;
}

void serve(Socket listener)
{
    auto hub = spawn(&hub);
    setMaxMailboxSize(hub, hubMailboxMax, OnCrowding.block);
    for (size_t failures;;)
    {
        Socket connection;
        try
        {
            connection = listener.accept();
            connection.setOption(SocketOptionLevel.TCP, SocketOption.TCP_NODELAY, true);
            auto writer = spawn(&write, cast(shared) connection);
            setMaxMailboxSize(writer, writeMailboxMax, OnCrowding.ignore);
            hub.send(Joined(writer));
            spawn(&read, cast(shared) connection, hub, writer);
            failures = 0;
            // An actor that ends tells the one that started it, in a message of its own kind
            // which stays in this mailbox until it is looked into.
            receiveTimeout(Duration.zero, (Variant _) {});
        }
        catch (Exception e)
        {
            if (failures++ == 0)
                stderr.writeln("server: cannot accept a client: ", e.msg);
            Thread.sleep(acceptPause);
        }
    }
}

/// The sequencing point.
void hub()
{
    Tid[] writers;
    for (;;)
        receive(
            (Frames frames) {
                foreach (writer; writers)
                    writer.send(frames);
            },
            (Joined joined) { writers ~= joined.writer; },
            (Left left) {
                writers = writers.remove!(writer => writer == left.writer);
                left.writer.prioritySend(Finish());
            });
}

/// Lets the system take back the stack of this thread when it ends: the runtime library does so
/// only for threads that somebody waits for.
void detach()
{
    pthread_detach(pthread_self());
}

void read(shared Socket connection, Tid hub, Tid writer)
{
    detach();
    auto socket = cast(Socket) connection;
    auto buffer = new ubyte[frameBytesMax + readBytesMax];
    size_t length; // of the partial frame at the start of the buffer
    for (;;)
    {
        const received = socket.receive(buffer[length .. length + readBytesMax]);
        if (received <= 0)
            break;
        length += received;
        const whole = wholeFrames(buffer[0 .. length]);
        if (whole > 0)
            hub.send(Frames(buffer[0 .. whole].idup));
        else // acknowledge at once: Nagle's algorithm may hold the rest back until then
            socket.setOption(SocketOptionLevel.TCP, quickAck, true);
        foreach (i; whole .. length)
            buffer[i - whole] = buffer[i];
        length -= whole;
    }
    hub.send(Left(writer));
}

/// The length of the complete frames at the start.
size_t wholeFrames(const ubyte[] bytes)
{
    size_t whole;
    while (whole < bytes.length && whole + bytes[whole] < bytes.length)
        whole += 1 + bytes[whole];
    return whole;
}

/// After a reset, which also ends `read`, sending fails, and what comes is thrown away.
void write(shared Socket connection)
{
    detach();
    auto socket = cast(Socket) connection;
    scope (exit)
        socket.close();
    ubyte[] batch;
    auto finishing = false;
    void add(Frames frames) { batch ~= frames.bytes; }
    void finish(Finish _) { finishing = true; }
    while (!finishing)
    {
        receive(&add, &finish);
        while ((finishing || batch.length < batchBytesMax)
            && receiveTimeout(Duration.zero, &add, &finish)) {}
        for (const(ubyte)[] rest = batch; rest.length > 0;)
        {
            const sent = socket.send(rest);
            rest = sent > 0 ? rest[sent .. $] : [];
        }
        batch.length = 0;
        batch.assumeSafeAppend();
    }
}
