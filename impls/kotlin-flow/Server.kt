// Structured concurrency with Kotlin's coroutines: each client is a scope, and the room is a flow.
//
// Each client has a coroutine that reads, one that writes, and one that collects for it.
//
//     hear --> room (a shared flow) --> inbox of each client --> speak
//
// How a message flows. hear reads from the client and emits what it has received into the
// room, in portions: the complete frames of one read. The room is a shared flow, and all
// collectors see its values in the order of emission: this is the sequencing point. When its
// buffer is full, emit suspends until the slowest collector has caught up. What a client does
// with a portion is declared, not programmed: its inbox is the room with a bounded buffer that
// drops the oldest portion. So no collector is ever slow, and nobody waits for a client. speak
// writes everything in the inbox with one call.
//
// The coroutines of a client live in one scope, attend. If one of them fails, after a reset,
// the others are cancelled, and when the scope has ended, the connection is closed. When a
// client closes its sending side, hear emits its farewell. There its inbox ends; speak sends
// the rest of it, and the scope ends, too.
//
// The room needs a buffer, however small. Without one a shared flow is a rendezvous, and a
// collector that subscribes meanwhile takes part in it: it would receive a portion that others
// have received before.
//
// Shortcuts: portions are shared between all inboxes and left to the garbage collector.

import jdk.net.ExtendedSocketOptions
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.channels.ReceiveChannel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.filter
import kotlinx.coroutines.flow.onSubscription
import kotlinx.coroutines.flow.produceIn
import kotlinx.coroutines.flow.takeWhile
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.supervisorScope
import kotlinx.coroutines.suspendCancellableCoroutine
import java.io.IOException
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.StandardSocketOptions
import java.net.URI
import java.nio.ByteBuffer
import java.nio.channels.AsynchronousServerSocketChannel
import java.nio.channels.AsynchronousSocketChannel
import java.nio.channels.Channel
import java.nio.channels.CompletionHandler
import java.util.concurrent.TimeUnit
import kotlin.coroutines.resume
import kotlin.coroutines.resumeWithException
import kotlin.system.exitProcess
import kotlin.time.Duration.Companion.milliseconds

const val ROOM_PORTIONS = 16 // emitted, and not yet in all inboxes
const val INBOX_PORTIONS = 64 // for a client that reads slowly
const val PORTION_BYTES_MAX = 2 * 1024 // per read
const val LISTEN_BACKLOG = 1024 // connections that wait in the kernel
val ACCEPT_RETRY = 50.milliseconds // pause after a failed accept

/** Complete frames, each a length byte and a body. */
typealias Portion = ByteArray

fun main(arguments: Array<String>) {
    val listener = try {
        val address = address(arguments)
        AsynchronousServerSocketChannel.open().bind(address, LISTEN_BACKLOG)
    } catch (problem: IOException) {
        fail(problem)
    } catch (problem: IllegalArgumentException) {
        fail(problem)
    }
    println("listening on ${arguments.single()}")
    runBlocking(Dispatchers.Default) { serve(listener) }
}

fun fail(problem: Exception): Nothing {
    System.err.println("server: ${problem.message}")
    exitProcess(1)
}

/** The address HOST:PORT; an IPv6 host stands in brackets, as in a URI. */
fun address(arguments: Array<String>): InetSocketAddress {
    val address = requireNotNull(arguments.singleOrNull()) { "usage: server HOST:PORT" }
    val uri = URI.create("tcp://$address")
    require(address == "${uri.host}:${uri.port}") { "invalid address \"$address\": expected HOST:PORT" }
    // Asynchronous channels have no choice of family: else 0.0.0.0 would be IPv6, too.
    System.setProperty("java.net.preferIPv4Stack", (!uri.host.startsWith("[")).toString())
    return InetSocketAddress(InetAddress.getByName(uri.host), uri.port)
}

suspend fun serve(listener: AsynchronousServerSocketChannel) = supervisorScope {
    val room = MutableSharedFlow<Portion>(extraBufferCapacity = ROOM_PORTIONS)
    while (true) {
        try {
            val client = listener.awaitClient()
            launch { attend(client, room) }
        } catch (problem: IOException) {
            // Descriptors have probably run out; some will be freed.
            System.err.println("server: cannot accept a client: ${problem.message}")
            delay(ACCEPT_RETRY)
        }
    }
}

suspend fun attend(client: AsynchronousSocketChannel, room: MutableSharedFlow<Portion>) {
    try {
        client.use {
            client.setOption(StandardSocketOptions.TCP_NODELAY, true)
            coroutineScope {
                val farewell = Portion(0)
                val hearing = launch(start = CoroutineStart.LAZY) {
                    hear(client, room)
                    room.emit(farewell)
                }
                val inbox = room
                    .onSubscription { hearing.start() }
                    .takeWhile { it !== farewell }
                    .filter { it.isNotEmpty() } // the farewells of others
                    .buffer(INBOX_PORTIONS, BufferOverflow.DROP_OLDEST)
                    .produceIn(this)
                speak(client, inbox)
            }
        }
    } catch (_: IOException) {
        // The client has disconnected.
    }
}

/** Returns at the end of the client's stream, and discards an incomplete last frame. */
suspend fun hear(client: AsynchronousSocketChannel, room: MutableSharedFlow<Portion>) {
    val received = ByteBuffer.allocate(PORTION_BYTES_MAX)
    while (client.awaitRead(received) >= 0) {
        val portion = takeFrames(received)
        if (portion.isNotEmpty()) {
            room.emit(portion)
        } else {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            client.setOption(ExtendedSocketOptions.TCP_QUICKACK, true)
        }
    }
}

fun takeFrames(received: ByteBuffer): Portion {
    received.flip()
    var end = 0
    while (end < received.limit()) {
        val next = end + 1 + received[end].toUByte().toInt()
        if (next > received.limit()) break
        end = next
    }
    val portion = Portion(end)
    received.get(portion).compact()
    return portion
}

/** Returns when the inbox has ended and everything is sent. */
suspend fun speak(client: AsynchronousSocketChannel, inbox: ReceiveChannel<Portion>) {
    for (first in inbox) {
        val others = generateSequence { inbox.tryReceive().getOrNull() }
        val batch = (sequenceOf(first) + others).map(ByteBuffer::wrap).toList().toTypedArray()
        while (batch.last().hasRemaining()) {
            client.awaitWrite(batch)
        }
    }
}

// What a callback is for the JDK's channels, suspension is for a coroutine.

suspend fun AsynchronousServerSocketChannel.awaitClient(): AsynchronousSocketChannel =
    awaitCompletion { accept(null, it) }

suspend fun AsynchronousSocketChannel.awaitRead(buffer: ByteBuffer): Int = awaitCompletion { read(buffer, null, it) }

suspend fun AsynchronousSocketChannel.awaitWrite(buffers: Array<ByteBuffer>): Long =
    awaitCompletion { write(buffers, 0, buffers.size, 0, TimeUnit.SECONDS, null, it) }

/** If the coroutine is cancelled, closes the channel, which ends the operation. */
suspend inline fun <T> Channel.awaitCompletion(crossinline start: (CompletionHandler<T, Nothing?>) -> Unit): T =
    suspendCancellableCoroutine { continuation ->
        continuation.invokeOnCancellation { close() }
        start(
            object : CompletionHandler<T, Nothing?> {
                override fun completed(result: T, attachment: Nothing?) = continuation.resume(result)

                override fun failed(problem: Throwable, attachment: Nothing?) =
                    continuation.resumeWithException(problem)
            },
        )
    }
