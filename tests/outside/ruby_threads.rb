#!/usr/bin/ruby
# frozen_string_literal: true

# Chat server in Ruby: per client a thread that reads and a thread that writes,
# with a queue of 256 messages between the world and the writer. The mutex around
# the loop over the queues is the sequencing point; a message is dropped for a
# client whose queue is full. A client whose output failed is read to its end.
require 'socket'

QUEUE_MESSAGES = 256
MUTEX = Mutex.new
QUEUES = {} # queue => true, of those who receive; guarded by MUTEX

def fail_with(reason)
  warn reason
  exit! 1
end

# A listening socket on the one address that text means, and that address as text.
def listen_on(text)
  match = /\A(?:\[([^\[\]]*:[^\[\]]*)\]|([^\[\]:\s]+)):([0-9]{1,5})\z/.match(text)
  fail_with "#{text}: not an address HOST:PORT" unless match && match[3].to_i <= 65_535
  host = match[1] || match[2]
  port = match[3].to_i
  numeric = match[1] || host.match?(/\A[0-9.]+\z/)
  family = match[1] ? Socket::AF_INET6 : nil
  flags = numeric ? Socket::AI_NUMERICHOST : 0
  info = Addrinfo.getaddrinfo(host, port, family, :STREAM, nil, flags).first
  sock = Socket.new(info.pfamily, Socket::SOCK_STREAM, 0)
  sock.setsockopt(:SOCKET, :REUSEADDR, true)
  sock.ipv6only! if info.ipv6?
  sock.bind(info)
  sock.listen(4096)
  address = numeric && port != 0 ? text : sock.local_address.inspect_sockaddr
  [sock, address]
rescue SocketError, SystemCallError, ArgumentError => e
  fail_with "#{text}: #{e.message}"
end

def broadcast(frame)
  MUTEX.synchronize do
    QUEUES.each_key { |queue| queue << frame if queue.size < QUEUE_MESSAGES }
  end
end

def read_client(sock)
  while (header = sock.read(1))
    size = header.getbyte(0)
    body = size.zero? ? '' : sock.read(size)
    return if body.nil? || body.bytesize < size

    broadcast((header + body).freeze)
  end
rescue SystemCallError, IOError
  nil # it is gone
end

def write_client(sock, queue)
  broken = false
  while (frame = queue.pop) # nil: closed and empty
    begin
      sock.write(frame) unless broken
    rescue SystemCallError, IOError
      broken = true
    end
  end
end

def start_client(sock)
  sock.binmode
  sock.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
  queue = Queue.new
  MUTEX.synchronize { QUEUES[queue] = true }
  Thread.new do
    writer = Thread.new { write_client(sock, queue) }
    read_client(sock)
  ensure
    MUTEX.synchronize { QUEUES.delete(queue) }
    queue.close
    writer&.join
    sock.close
  end
rescue ThreadError => e # no more threads
  warn e.message
  MUTEX.synchronize { QUEUES.delete(queue) }
  sock.close
end

fail_with 'usage: ruby_threads.rb HOST:PORT' unless ARGV.size == 1
trap('TERM') { exit!(0) }
watchdog = Thread.new do
  sleep 4
  fail_with 'the name server does not answer'
end
listener, address = listen_on(ARGV[0])
watchdog.kill
$stdout.write("listening on #{address}\n")
$stdout.flush
loop do
  start_client(listener.accept.first)
rescue SystemCallError, IOError # out of descriptors, or the client left already
  sleep 0.05
end
