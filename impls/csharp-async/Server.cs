// async/await on sockets: methods that read as if they blocked, on threads that do not.
//
// Every client is one Attend: it reads, and runs a second method that writes. Where they
// await, the thread returns to the pool and serves another client.
//
//     Read -- one lock --> queue of each client --> Write
//
// Read splits the stream into complete frames and passes each to the room. The room
// copies it into every client's queue under one lock: this is the sequencing point.
// Nothing is awaited there, since a client with a full queue just misses the frame.
// Write awaits a filled queue, swaps it for an empty one, and sends it in one call.
//
// When a stream ends, its client leaves the room, which ends its queue. Attend awaits
// the sending of the rest and closes the socket. After a reset, reading and writing both
// fail, and the same happens.
//
// Shortcuts: a queue is bounded in bytes, so it holds more short frames than long ones.
// Each client keeps its two buffers even when idle; in return, queueing a message
// allocates nothing.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;

static class Server
{
    const int Backlog = 1024; // connections queued in the kernel
    const int ChunkBytes = 4 * 1024; // per read
    const int AcceptRetryMilliseconds = 50; // pause after a failed accept

    static int Main(string[] args)
    {
        try
        {
            var listener = Listen(args);
            Console.WriteLine("listening on " + listener.LocalEndpoint);
            Serve(listener).Wait();
            return 0;
        }
        catch (Exception problem) when (problem is SocketException || problem is FormatException)
        {
            Console.Error.WriteLine("server: " + problem.Message);
            return 1;
        }
    }

    static async Task Serve(TcpListener listener)
    {
        var room = new Room();
        while (true)
        {
            try
            {
                var client = new Client(await listener.AcceptSocketAsync());
                room.Enter(client);
                _ = Attend(client, room); // runs on its own
            }
            catch (SocketException problem)
            {
                // Descriptors have probably run out; some will be freed.
                Console.Error.WriteLine("server: " + problem.Message);
                await Task.Delay(AcceptRetryMilliseconds);
            }
        }
    }

    static async Task Attend(Client client, Room room)
    {
        using (var stream = new NetworkStream(client.Socket, ownsSocket: true))
        {
            var writing = Write(stream, client);
            try
            {
                client.Socket.NoDelay = true;
                await Read(stream, client, room);
            }
            catch (Exception problem) when (problem is IOException || problem is SocketException)
            {
                // A reset: the stream ends here.
            }
            room.Leave(client);
            await writing;
        }
    }

    static async Task Read(Stream stream, Client client, Room room)
    {
        var buffer = new byte[ChunkBytes];
        int held = 0, received;
        while ((received = await stream.ReadAsync(buffer, held, buffer.Length - held)) > 0)
        {
            held += received;
            int start = 0;
            while (start < held && start + 1 + buffer[start] <= held)
            {
                if (start > 0)
                    await Task.Yield(); // lets the writers run, so that a flood does not outrun them
                var frame = new ArraySegment<byte>(buffer, start, 1 + buffer[start]);
                room.Send(frame); // its length byte and its body
                start += frame.Count;
            }
            held -= start;
            Array.Copy(buffer, start, buffer, 0, held);
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            if (held > 0)
                client.Acknowledge();
        }
    }

    static async Task Write(Stream stream, Client client)
    {
        try
        {
            ArraySegment<byte> frames;
            while ((frames = await client.Take()).Count > 0)
                await stream.WriteAsync(frames.Array, frames.Offset, frames.Count);
        }
        catch (IOException)
        {
            // The client has disconnected; reading fails, too.
        }
    }

    static TcpListener Listen(string[] args)
    {
        if (args.Length != 1)
            throw new FormatException("usage: server HOST:PORT");
        var colon = args[0].LastIndexOf(':');
        var host = args[0].Substring(0, Math.Max(colon, 0));
        var ipv6 = host.StartsWith("[") && host.EndsWith("]");
        ushort port;
        IPAddress address;
        if (!ushort.TryParse(args[0].Substring(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port)
            || !IPAddress.TryParse(ipv6 ? host.Substring(1, host.Length - 2) : host, out address)
            || ipv6 != (address.AddressFamily == AddressFamily.InterNetworkV6))
            throw new FormatException("\"" + args[0] + "\" is not HOST:PORT with an IP address");
        var listener = new TcpListener(address, port);
        listener.Start(Backlog);
        return listener;
    }
}

sealed class Room
{
    readonly HashSet<Client> clients = new HashSet<Client>();

    public void Enter(Client client)
    {
        lock (clients)
            clients.Add(client);
    }

    public void Leave(Client client)
    {
        lock (clients)
            clients.Remove(client);
        client.End();
    }

    // The sequencing point.
    public void Send(ArraySegment<byte> frame)
    {
        lock (clients)
            foreach (var client in clients)
                client.Offer(frame);
    }
}

sealed class Client
{
    const int QueueBytes = 16 * 1024; // queued for a client that reads slowly

    public readonly Socket Socket;
    readonly SemaphoreSlim changed = new SemaphoreSlim(0);
    byte[] queue = new byte[QueueBytes]; // complete frames
    byte[] taken = new byte[QueueBytes]; // the buffer that Write is sending
    int queued; // bytes
    bool ended;

    public Client(Socket socket)
    {
        Socket = socket;
    }

    // TCP_QUICKACK, as Linux numbers it: SetSocketOption does not know it.
    public void Acknowledge()
    {
        int on = 1;
        setsockopt((int)Socket.Handle, (int)SocketOptionLevel.Tcp, 12, ref on, sizeof(int));
    }

    [DllImport("libc")]
    static extern int setsockopt(int socket, int level, int option, ref int value, int length);

    public void Offer(ArraySegment<byte> frame)
    {
        lock (changed)
        {
            if (queued + frame.Count > QueueBytes)
                return; // this client misses the frame
            Array.Copy(frame.Array, frame.Offset, queue, queued, frame.Count);
            queued += frame.Count;
            Wake();
        }
    }

    public void End()
    {
        lock (changed)
        {
            ended = true;
            Wake();
        }
    }

    void Wake()
    {
        if (changed.CurrentCount == 0)
            changed.Release();
    }

    // Awaits frames and takes all of them; empty when no more will follow.
    public async Task<ArraySegment<byte>> Take()
    {
        while (true)
        {
            lock (changed)
            {
                if (queued > 0 || ended)
                {
                    var frames = new ArraySegment<byte>(queue, 0, queued);
                    queue = taken;
                    taken = frames.Array;
                    queued = 0;
                    return frames;
                }
            }
            await changed.WaitAsync();
        }
    }
}
