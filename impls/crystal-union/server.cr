# Communicating sequential processes with types: one channel, and a union of all it may carry.
#
# The idea: fibers own the state, channels carry the messages. What several fibers tell the
# hub is of several kinds, and their order matters: a client must be in before its first
# frames, and out after its last. So there is one channel into the hub, of a union type, and
# `case ... in` takes it apart. The compiler refuses to compile a kind that was forgotten.
#
#     read -- Join, Frames, Leave --> hub -- queue of each client --> write
#
# How a message flows. Each client has a fiber in `read` and one in `write`. `read` receives
# what the client has sent and sends its complete frames to the hub. The hub takes one event
# after the other, which makes it the sequencing point, and offers frames to every client's
# queue, the sender's included. If a queue is full, that client misses them. `write` sends
# everything in its queue with one call.
#
# The channel into the hub holds nothing: a reader waits until the hub has taken what it
# says. Fibers share one thread and switch only where they wait.
#
# Shortcut: the frames of one read are delivered, or dropped, together.

require "socket"

QUEUE_EVENTS_MAX =   64             # queued for a client that reads slowly
READ_BYTES_MAX   = 4096             # the longest event, but for a partial frame
BATCH_BYTES_MAX  = 64 * 1024        # sent with one call, and one event more
FRAME_BYTES_MAX  = 1 + 255          # a length and a body
LISTEN_BACKLOG   = 1024             # connections queued in the kernel
ACCEPT_PAUSE     = 100.milliseconds # when descriptors have run out
TCP_QUICKACK     = 12               # tcp(7)

record Join, client : Client
record Frames, bytes : Bytes
record Leave, client : Client

alias Hub = Channel(Join | Frames | Leave)

class Client
  def initialize(@socket : TCPSocket)
    @queue = Channel(Bytes).new(QUEUE_EVENTS_MAX)
    @socket.sync = true
    @socket.read_buffering = false
    @socket.tcp_nodelay = true
  end

  def read(hub : Hub)
    buffer = Bytes.new(FRAME_BYTES_MAX + READ_BYTES_MAX)
    partial = 0 # bytes of an incomplete frame at the start of the buffer
    while (received = @socket.read(buffer[partial, READ_BYTES_MAX])) > 0
      bytes = buffer[0, partial + received]
      whole = whole_frames(bytes)
      whole > 0 ? hub.send(Frames.new(bytes[0, whole].dup)) : acknowledge
      bytes[whole..].move_to(buffer[0, bytes.size - whole])
      partial = bytes.size - whole
    end
  rescue IO::Error
    # A reset ends the stream, too.
  ensure
    hub.send(Leave.new(self))
  end

  # Does not wait.
  def offer(frames : Bytes)
    select
    when @queue.send(frames)
    else
      # Full: the client misses them.
    end
  end

  # `write` sends what is in the queue, and returns.
  def finish
    @queue.close
  end

  def write
    batch = IO::Memory.new
    while frames = @queue.receive?
      while frames
        batch.write(frames)
        frames = batch.size < BATCH_BYTES_MAX ? next_in_queue : nil
      end
      @socket.write(batch.to_slice)
      batch.clear
    end
  rescue IO::Error
    # A reset. `read` fails, too, if it has not yet.
  ensure
    @socket.close
  end

  private def next_in_queue : Bytes?
    select
    when frames = @queue.receive?
      frames
    else
      nil
    end
  end

  # The length of the complete frames at the start.
  private def whole_frames(bytes : Bytes) : Int32
    whole = 0
    while whole < bytes.size && whole + bytes[whole] < bytes.size
      whole += 1 + bytes[whole]
    end
    whole
  end

  # At once: Nagle's algorithm may hold the rest of a frame back until then.
  private def acknowledge
    on = 1
    LibC.setsockopt(@socket.fd, LibC::IPPROTO_TCP, TCP_QUICKACK, pointerof(on), sizeof(Int32))
  end
end

# The sequencing point.
def serve(hub : Hub)
  clients = Set(Client).new
  loop do
    case event = hub.receive
    in Join   then clients << event.client
    in Frames then clients.each &.offer(event.bytes)
    in Leave
      clients.delete(event.client)
      event.client.finish
    end
  end
end

def accept(listener : TCPServer, hub : Hub)
  failures = 0 # since the last success
  loop do
    client = Client.new(listener.accept)
    failures = 0
    hub.send(Join.new(client))
    spawn client.read(hub)
    spawn client.write
  rescue error : IO::Error
    STDERR.puts "server: cannot accept a client: #{error.message}" if failures == 0
    failures += 1
    sleep ACCEPT_PAUSE
  end
end

def listen(address : String) : TCPServer
  host, _, port = address.rpartition(':')
  number = port.to_u16? || raise ArgumentError.new("not HOST:PORT")
  # Of the form IP:PORT, for a name would be looked up.
  ip = Socket::IPAddress.new(host.lchop('[').rchop(']'), number.to_i)
  TCPServer.new(ip.address, ip.port, LISTEN_BACKLOG)
end

abort "usage: server HOST:PORT" unless ARGV.size == 1
begin
  listener = listen(ARGV[0])
rescue error
  abort "server: cannot listen on #{ARGV[0]}: #{error.message}"
end
puts "listening on #{ARGV[0]}"
STDOUT.flush
hub = Hub.new
spawn serve(hub)
accept(listener, hub)
