// __NAME__: two threads per client and one lock.
//
// How a message flows. The client's readFrames thread reads a frame from the byte
// stream and calls broadcast, which locks the room and puts the frame into every
// client's queue, including the sender's. Only one thread holds the lock at a time:
// this is the sequencing point. Each client's writeFrames thread writes its queue to
// the connection. A queue is bounded; a client whose queue is full misses the message.
// No thread waits for a client while holding the lock.

import jdk.net.ExtendedSocketOptions
import java.io.IOException
import java.net.Inet4Address
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.Socket
import java.net.StandardProtocolFamily
import java.net.URI
import java.nio.channels.ServerSocketChannel
import java.util.concurrent.ArrayBlockingQueue
import kotlin.concurrent.thread
import kotlin.system.exitProcess

const val QUEUE_LIMIT = 64 // messages queued for one client
const val READ_BYTES_MAX = 4 * 1024 // per call
const val WRITE_BYTES_MAX = 16 * 1024 // per call
const val LISTEN_BACKLOG = 1024 // connections that wait in the kernel
const val ACCEPT_PAUSE_MILLISECONDS = 100L // when descriptors have run out
val END = ByteArray(0) // after it, nothing is queued

fun main(arguments: Array<String>) {
    val listener = try {
        listen(address(arguments))
    } catch (problem: IOException) {
        fail(problem)
    } catch (problem: IllegalArgumentException) {
        fail(problem)
    }
    println("listening on ${arguments.single()}")
    val room = Room()
    while (true) {
        try {
            val client = Client(listener.accept().socket(), room)
            room.enter(client)
            thread { client.readFrames() }
            thread { client.writeFrames() }
        } catch (problem: IOException) {
            // Descriptors have probably run out: some will be freed.
            System.err.println("server: cannot accept a client: ${problem.message}")
            Thread.sleep(ACCEPT_PAUSE_MILLISECONDS)
        }
    }
}

fun fail(problem: Exception): Nothing {
    System.err.println("server: error: ${problem.message}")
    exitProcess(1)
}

/** The address HOST:PORT; an IPv6 host is in brackets, as in a URI. */
fun address(arguments: Array<String>): InetSocketAddress {
    val address = requireNotNull(arguments.singleOrNull()) { "expected one argument, HOST:PORT" }
    val uri = URI.create("tcp://$address")
    require(address == "${uri.host}:${uri.port}") { "cannot listen on \"$address\": expected HOST:PORT" }
    return InetSocketAddress(InetAddress.getByName(uri.host), uri.port)
}

/** Binds the given address and no other: without a family, 0.0.0.0 would listen on IPv6 as well. */
fun listen(address: InetSocketAddress): ServerSocketChannel {
    val family = if (address.address is Inet4Address) StandardProtocolFamily.INET else StandardProtocolFamily.INET6
    return ServerSocketChannel.open(family).bind(address, LISTEN_BACKLOG)
}

/** The clients that are connected. */
class Room {
    private val clients = mutableSetOf<Client>()

    fun enter(client: Client) = synchronized(clients) { clients += client }

    fun leave(client: Client) = synchronized(clients) { clients -= client }

    fun broadcast(frame: ByteArray) = synchronized(clients) { clients.forEach { it.offer(frame) } }
}

/** A frame is a length byte and a body. */
class Client(private val socket: Socket, private val room: Room) {
    private val queue = ArrayBlockingQueue<ByteArray>(QUEUE_LIMIT)

    fun offer(frame: ByteArray) {
        queue.offer(frame) // if the queue is full, this client misses the message
    }

    fun readFrames() {
        try {
            socket.tcpNoDelay = true
            val input = socket.getInputStream()
            val buffer = ByteArray(READ_BYTES_MAX)
            var held = 0
            while (true) {
                val count = input.read(buffer, held, buffer.size - held)
                if (count < 0) break
                held += count
                val rest = broadcastFrames(buffer, held)
                if (rest == 0) acknowledge()
                buffer.copyInto(buffer, 0, rest, held)
                held -= rest
            }
        } catch (_: IOException) {
            // A reset: the stream ends here.
        }
        room.leave(this)
        queue.put(END) // writeFrames still sends what is queued before it
    }

    /** Broadcasts the complete frames; returns where the rest begins. */
    private fun broadcastFrames(buffer: ByteArray, held: Int): Int {
        var start = 0
        while (start < held) {
            val end = start + 1 + buffer[start].toUByte().toInt()
            if (end > held) break
            room.broadcast(buffer.copyOfRange(start, end))
            start = end
        }
        return start
    }

    /**
     * Makes the kernel acknowledge the start of a frame at once: its sender may wait for that
     * before it sends the rest. The kernel delays it by 40 ms unless told otherwise each time.
     */
    private fun acknowledge() {
        socket.setOption(ExtendedSocketOptions.TCP_QUICKACK, true)
    }

    fun writeFrames() {
        try {
            // Closing the socket ends readFrames, too, if it is still running.
            socket.use {
                val output = it.getOutputStream().buffered(WRITE_BYTES_MAX)
                for (frame in generateSequence { queue.take() }.takeWhile { frame -> frame !== END }) {
                    output.write(frame)
                    if (queue.isEmpty()) output.flush()
                }
                output.flush()
            }
        } catch (_: IOException) {
            // The client has disconnected: discard what is queued.
            while (queue.take() !== END) continue
        }
    }
}
