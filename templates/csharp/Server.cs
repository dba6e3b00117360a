// __NAME__: two async methods per client and one lock.
//
// How a message flows. The client's ReadFrames reads bytes, splits off the complete frames,
// and passes each to Broadcast, which puts it into every client's queue, including the
// sender's, under the lock. Only one thread holds the lock at a time: this is the
// sequencing point. Each client's WriteFrames awaits a filled queue and sends everything in
// it. A queue is bounded; a client whose queue is full misses the message. Nothing is
// awaited while the lock is held.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;

static class Server
{
    const int QueueLimit = 64; // messages queued for one client
    const int ReadBytesMax = 4096; // from one client at once
    const int ListenBacklog = 1024; // connections queued in the kernel
    const int AcceptPauseMilliseconds = 100; // when descriptors have run out

    sealed class Client
    {
        public Socket Socket;
        public readonly Queue<byte[]> Queue = new Queue<byte[]>(); // null: no more will follow
        public readonly SemaphoreSlim Filled = new SemaphoreSlim(0); // released when Queue was empty
    }

    // The room. The lock protects the clients' queues, too.
    static readonly HashSet<Client> clients = new HashSet<Client>();

    static int Main(string[] args)
    {
        try
        {
            var listener = Listen(args);
            Console.WriteLine("listening on " + listener.LocalEndpoint);
            AcceptClients(listener).Wait();
            return 0;
        }
        catch (Exception problem) when (problem is SocketException || problem is FormatException)
        {
            Console.Error.WriteLine("server: error: " + problem.Message);
            return 1;
        }
    }

    static TcpListener Listen(string[] args)
    {
        if (args.Length != 1)
            throw new FormatException("expected one argument, HOST:PORT");
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
        listener.Start(ListenBacklog);
        return listener;
    }

    static async Task AcceptClients(TcpListener listener)
    {
        while (true)
        {
            try
            {
                var client = new Client { Socket = await listener.AcceptSocketAsync() };
                lock (clients)
                    clients.Add(client);
                _ = Serve(client); // runs on its own
            }
            catch (SocketException problem)
            {
                Console.Error.WriteLine("server: cannot accept a client: " + problem.Message);
                await Task.Delay(AcceptPauseMilliseconds);
            }
        }
    }

    static async Task Serve(Client client)
    {
        using (var stream = new NetworkStream(client.Socket, ownsSocket: true))
        {
            var writing = WriteFrames(client, stream);
            try
            {
                client.Socket.NoDelay = true;
                await ReadFrames(client, stream);
            }
            catch (Exception problem) when (problem is IOException || problem is SocketException)
            {
                // A reset: the stream ends here.
            }
            lock (clients)
            {
                clients.Remove(client);
                Enqueue(client, null);
            }
            await writing;
        }
    }

    // Until the end of the stream; an incomplete last frame is dropped.
    static async Task ReadFrames(Client client, Stream stream)
    {
        var buffer = new byte[ReadBytesMax];
        int held = 0, received;
        while ((received = await stream.ReadAsync(buffer, held, buffer.Length - held)) > 0)
        {
            held += received;
            int start = 0;
            while (start < held && start + 1 + buffer[start] <= held)
            {
                var frame = new byte[1 + buffer[start]]; // its length byte and its body
                Array.Copy(buffer, start, frame, 0, frame.Length);
                start += frame.Length;
                Broadcast(frame);
                await Task.Yield(); // lets the writers run, or a flood runs far ahead of them
            }
            held -= start;
            Array.Copy(buffer, start, buffer, 0, held);
            if (start == 0)
                Acknowledge(client.Socket);
        }
    }

    // A sender may wait for the acknowledgement of a frame's start before it sends the rest, and
    // the kernel delays that by 40 ms unless told otherwise each time. SetSocketOption does not
    // know TCP_QUICKACK, which is 12 on Linux.
    static void Acknowledge(Socket socket)
    {
        int on = 1;
        setsockopt((int)socket.Handle, (int)SocketOptionLevel.Tcp, 12, ref on, sizeof(int));
    }

    [DllImport("libc")]
    static extern int setsockopt(int socket, int level, int option, ref int value, int length);

    static void Broadcast(byte[] frame)
    {
        lock (clients)
            foreach (var client in clients)
                if (client.Queue.Count < QueueLimit)
                    Enqueue(client, frame);
    }

    static void Enqueue(Client client, byte[] frame)
    {
        client.Queue.Enqueue(frame);
        if (client.Queue.Count == 1)
            client.Filled.Release();
    }

    static async Task WriteFrames(Client client, Stream stream)
    {
        try
        {
            byte[][] frames;
            do
            {
                await client.Filled.WaitAsync();
                lock (clients)
                {
                    frames = client.Queue.ToArray();
                    client.Queue.Clear();
                }
                var batch = new MemoryStream();
                foreach (var frame in frames.Where(frame => frame != null))
                    batch.Write(frame, 0, frame.Length);
                await stream.WriteAsync(batch.GetBuffer(), 0, (int)batch.Length);
            } while (frames.Last() != null);
        }
        catch (IOException)
        {
            // The client has disconnected; reading fails, too.
        }
    }
}
