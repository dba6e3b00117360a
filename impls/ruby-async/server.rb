# frozen_string_literal: true

# Green threads on Ruby's fiber scheduler: ordinary sockets and queues that do not block.
#
# The idea: when a call such as `accept`, `readpartial` or `pop` would block, Ruby asks
# whether the current fiber has a scheduler. If so, the scheduler suspends that fiber and
# resumes others. Async is such a scheduler, on an event loop. It occurs in this file only
# where a fiber is started; everything else is Ruby's own.
#
#     serve -> Client#read -> Room#post -> Client#offer -> queue -> Client#write
#
# How a message flows. Each client has a fiber that reads and one that writes. `read`
# receives what the client has sent, and `post` offers the complete frames to all clients,
# including the sender. Fibers switch only where one has to wait, and in `post` none has to:
# it is the sequencing point. `offer` puts the frames into the client's queue; if they do
# not fit, the client misses them. `write` sends everything in the queue with one call.
#
# To receive what is already there does not wait. So `read` sleeps for no time after each
# read, which lets all others run.
#
# Shortcuts: the frames of one read are delivered, or dropped, together. In Async 1 only one
# fiber can wait for a socket, so the writing half has a duplicate of it.

require 'async'
require 'socket'

QUEUE_BYTES_MAX = 64 * 1024 # queued for a client that reads slowly
FRAME_BYTES_MAX = 1 + 255 # a length and a body
LISTEN_BACKLOG = 1024 # connections queued in the kernel
ACCEPT_RETRY_SECONDS = 0.2 # pause after a failed accept
ADDRESS = /\A(?:\[(?<ipv6>.+)\]|(?<host>[^:]+)):(?<port>\d{1,5})\z/

def main
  %w[INT TERM].each { |signal| trap(signal, 'SYSTEM_DEFAULT') }
  listener = listen(ARGV)
  puts "listening on #{listener.local_address.inspect_sockaddr}"
  $stdout.flush
  Async { serve(listener) }
end

def listen(arguments)
  host, port = parse(arguments)
  Addrinfo.tcp(host, port).listen(LISTEN_BACKLOG)
rescue SocketError, SystemCallError => e
  abort "server: cannot listen on #{arguments.first}: #{e.message}"
end

def parse(arguments)
  abort 'usage: server.rb HOST:PORT' unless arguments.size == 1
  match = ADDRESS.match(arguments.first)
  abort "server: invalid address #{arguments.first}" unless match && match[:port].to_i < 65_536
  [match[:ipv6] || match[:host], match[:port]]
end

def serve(listener)
  room = Room.new
  loop do
    socket, = listener.accept
    client = Client.new(socket)
    Async { |task| attend(client, room, task) }
  rescue SystemCallError => e # descriptors have probably run out
    socket&.close
    warn "server: cannot accept a client: #{e.message}"
    sleep ACCEPT_RETRY_SECONDS
  end
end

def attend(client, room, task)
  room.enter(client)
  writing = task.async { client.write }
  client.read(room)
  room.leave(client)
  writing.wait
ensure
  client.close
end

# All clients.
class Room
  def initialize
    @clients = []
  end

  def enter(client)
    @clients << client
  end

  def leave(client)
    @clients.delete(client)
    client.finish
  end

  # The sequencing point.
  def post(frames)
    @clients.each { |client| client.offer(frames) }
  end

  # So many bytes that a share of every client fits into a queue.
  def share
    [FRAME_BYTES_MAX, QUEUE_BYTES_MAX / @clients.size].max
  end
end

# A connection, and what is to be sent to it.
class Client
  def initialize(socket)
    socket.setsockopt(:TCP, :NODELAY, 1)
    @socket = socket
    @outlet = socket.dup
    @queue = Thread::Queue.new
    @queued_bytes = 0
  end

  def offer(frames)
    return if @queued_bytes + frames.bytesize > QUEUE_BYTES_MAX

    @queued_bytes += frames.bytesize
    @queue << frames
  end

  # `write` sends what is in the queue, and returns.
  def finish
    @queue.close
  end

  def close
    @outlet.close
    @socket.close
  end

  def read(room)
    received = String.new
    loop do
      received << @socket.readpartial(room.share)
      frames = received.slice!(0, end_of_frames(received))
      frames.empty? ? acknowledge : room.post(frames)
      sleep 0
    end
  rescue EOFError, SystemCallError
    # The end of the stream, or a reset.
  end

  def write
    while (frames = @queue.pop)
      batch = [frames]
      batch << @queue.pop until @queue.empty?
      bytes = batch.join
      @queued_bytes -= bytes.bytesize
      @outlet.write(bytes)
    end
  rescue SystemCallError
    # A reset: `read` takes what the client has sent before.
  end

  private

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

  # At once: Nagle's algorithm may hold the rest of a frame back until then.
  def acknowledge
    @socket.setsockopt(:TCP, :QUICKACK, 1)
  end
end

main
