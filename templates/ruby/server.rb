# frozen_string_literal: true

# __NAME__: two threads per client and one lock.
#
# How a message flows. Each client has a thread that reads (`Room#read`) and one that writes
# (`Client#write`). `read` splits off the complete frames, and `post` puts them into the queue
# of every client, including the sender's, while it holds the lock: the order in which threads
# take it is the order of the messages. A queue is bounded: a client that reads too slowly
# misses the frames that do not fit.

require 'socket'

QUEUE_BYTES_MAX = 64 * 1024 # queued for one client
READ_BYTES_MAX = 4 * 1024 # per read
LISTEN_BACKLOG = 1024 # connections queued in the kernel
ACCEPT_PAUSE_SECONDS = 0.1 # when descriptors have run out

def main
  %w[INT TERM].each { |signal| trap(signal, 'SYSTEM_DEFAULT') }
  listener = listen(ARGV)
  puts "listening on #{listener.local_address.inspect_sockaddr}"
  $stdout.flush
  room = Room.new
  loop { accept(listener, room) }
end

def listen(arguments)
  host, port = parse(arguments)
  Addrinfo.tcp(host, port).listen(LISTEN_BACKLOG)
rescue SocketError, SystemCallError => e
  abort "server: cannot listen on #{arguments.first}: #{e.message}"
end

def parse(arguments)
  abort 'usage: server.rb HOST:PORT' unless arguments.size == 1
  match = /\A(?:\[(?<ipv6>.+)\]|(?<host>[^:]+)):(?<port>\d{1,5})\z/.match(arguments.first)
  abort "server: invalid address #{arguments.first}" unless match && match[:port].to_i < 65_536
  [match[:ipv6] || match[:host], match[:port]]
end

def accept(listener, room)
  socket, = listener.accept
  socket.setsockopt(:TCP, :NODELAY, 1)
  client = Client.new(socket)
  room.enter(client)
  Thread.new { room.attend(client) }
rescue SystemCallError => e
  warn "server: cannot accept a client: #{e.message}"
  sleep ACCEPT_PAUSE_SECONDS
end

# All clients, and the lock that orders their messages.
class Room
  def initialize
    @lock = Mutex.new
    @clients = []
  end

  def enter(client)
    @lock.synchronize { @clients << client }
  end

  def attend(client)
    writing = Thread.new { client.write }
    read(client)
    @lock.synchronize { @clients.delete(client) }
    client.finish
    writing.join
    client.socket.close
  end

  private

  def read(client)
    received = String.new
    loop do
      received << client.socket.readpartial(READ_BYTES_MAX)
      frames = received.slice!(0, end_of_frames(received))
      frames.empty? ? client.acknowledge : post(frames)
    end
  rescue EOFError, SystemCallError
    # The end of the stream, or a reset.
  end

  def post(frames)
    @lock.synchronize { @clients.each { |client| client.offer(frames) } }
  end

  # The length of the complete frames at the start.
  def end_of_frames(received)
    length = 0
    while length < received.bytesize
      following = length + 1 + received.getbyte(length)
      break if following > received.bytesize

      length = following
    end
    length
  end
end

# A connection, and what is to be sent to it.
class Client
  attr_reader :socket

  def initialize(socket)
    @socket = socket
    @queue = Thread::Queue.new
    @lock = Mutex.new
    @queued_bytes = 0
  end

  def offer(frames)
    @lock.synchronize do
      return if @queued_bytes + frames.bytesize > QUEUE_BYTES_MAX

      @queued_bytes += frames.bytesize
    end
    @queue << frames
  end

  # Sends what is in the queue; returns when it has ended, or the connection has.
  def write
    while (frames = @queue.pop)
      batch = [frames]
      batch << @queue.pop until @queue.empty?
      bytes = batch.join
      @lock.synchronize { @queued_bytes -= bytes.bytesize }
      @socket.write(bytes)
    end
  rescue SystemCallError
    # A reset: the reader takes what the client has sent before.
  end

  # Nothing follows in the queue.
  def finish
    @queue.close
  end

  # At once: Nagle's algorithm may hold the rest of a frame back until then.
  def acknowledge
    @socket.setsockopt(:TCP, :QUICKACK, 1)
  end
end

main
