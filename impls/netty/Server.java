// Callbacks on Netty: one event loop, and a pipeline of handlers for each client.
//
// The idea: nobody waits. The event loop calls a handler when something has happened to
// a connection; the handler does what it can do at once, and returns.
//
//     Framing.decode --> Chat.channelRead --> backlog of each client --> Chat.flush
//
// How a message flows. Framing cuts the stream into complete frames. Chat.channelRead
// appends each frame to the backlog of every client, the sender included; the order of
// these appends is the order of the messages. When the loop has handled every socket that
// was readable, Chat.flush writes the backlogs, many frames with one system call.
//
// Back-pressure is a callback, too. Netty counts the bytes in a client's backlog. Above
// the high-water mark it calls channelWritabilityChanged, which writes what the socket
// accepts. If that is not enough, the client is not writable: it misses messages until it
// has read enough for its backlog to fall below the low-water mark.
//
// There is one event loop, and it is the sequencing point. With several loops a write to
// a client of the same loop takes effect at once, and a write to any other waits in that
// loop's task queue: even under a lock, two clients could see two orders.
//
// Shortcut: on addresses like [::] the kernel's default decides whether IPv4 clients are
// served, too; Java cannot set that option.

import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandler.Sharable;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.FixedRecvByteBufAllocator;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.group.ChannelGroup;
import io.netty.channel.group.DefaultChannelGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.channel.socket.SocketProtocolFamily;
import io.netty.channel.socket.nio.NioChannelOption;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.ByteToMessageDecoder;
import java.net.Inet4Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.nio.channels.spi.SelectorProvider;
import java.util.List;
import java.util.concurrent.TimeUnit;
import jdk.net.ExtendedSocketOptions;

final class Server {
    /** Above this a client misses messages; Netty counts 96 bytes more for each frame. */
    private static final int BACKLOG_BYTES_MAX = 64 * 1024;
    /** Below this it receives messages again. */
    private static final int BACKLOG_BYTES_LOW = 32 * 1024;
    /** Read from one client before the next one has its turn. */
    private static final int READ_BYTES_MAX = 16 * 1024;
    /** Connections that wait in the kernel to be accepted. */
    private static final int LISTEN_BACKLOG = 1024;

    public static void main(String[] arguments) {
        try {
            var address = address(arguments);
            var loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory()).next();
            server(loop, address).bind(address).sync();
            System.out.println("listening on " + arguments[0]);
        } catch (Exception problem) {
            System.err.println("server: " + problem.getMessage());
            System.exit(1);
        }
    }

    /** The address HOST:PORT; an IPv6 host stands in brackets, as in a URI. */
    private static InetSocketAddress address(String[] arguments) throws UnknownHostException {
        if (arguments.length != 1) {
            throw new IllegalArgumentException("usage: server HOST:PORT");
        }
        var uri = URI.create("tcp://" + arguments[0]);
        if (!arguments[0].equals(uri.getHost() + ":" + uri.getPort())) {
            throw new IllegalArgumentException("invalid address \"" + arguments[0] + "\": expected HOST:PORT");
        }
        return new InetSocketAddress(InetAddress.getByName(uri.getHost()), uri.getPort());
    }

    private static ServerBootstrap server(EventLoop loop, InetSocketAddress address) {
        // Without a family, 0.0.0.0 would listen on IPv6, too.
        var ipv4 = address.getAddress() instanceof Inet4Address;
        var family = ipv4 ? SocketProtocolFamily.INET : SocketProtocolFamily.INET6;
        var chat = new Chat(loop);
        return new ServerBootstrap()
                .group(loop)
                .channelFactory(() -> new NioServerSocketChannel(SelectorProvider.provider(), family))
                .option(ChannelOption.SO_BACKLOG, LISTEN_BACKLOG)
                .handler(new AcceptPause())
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childOption(ChannelOption.ALLOW_HALF_CLOSURE, true)
                .childOption(ChannelOption.RECVBUF_ALLOCATOR,
                        new FixedRecvByteBufAllocator(READ_BYTES_MAX).maxMessagesPerRead(1))
                .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK,
                        new WriteBufferWaterMark(BACKLOG_BYTES_LOW, BACKLOG_BYTES_MAX))
                .childHandler(new ChannelInitializer<>() {
                    @Override protected void initChannel(Channel client) {
                        client.pipeline().addLast(new Framing(), chat);
                    }
                });
    }
}

/** When an accept has failed, descriptors have probably run out; some will be freed. */
final class AcceptPause extends ChannelInboundHandlerAdapter {
    private static final int ACCEPT_RETRY_MILLISECONDS = 50;

    @Override public void exceptionCaught(ChannelHandlerContext context, Throwable problem) {
        System.err.println("server: cannot accept a client: " + problem.getMessage());
        var listening = context.channel().config().setAutoRead(false);
        context.executor().schedule(
                () -> listening.setAutoRead(true), ACCEPT_RETRY_MILLISECONDS, TimeUnit.MILLISECONDS);
    }
}

/** Cuts a client's stream into frames: a length byte and a body. */
final class Framing extends ByteToMessageDecoder {
    private boolean anyWhole; // since the last read

    @Override protected void decode(ChannelHandlerContext context, ByteBuf received, List<Object> frames) {
        int length = 1 + received.getUnsignedByte(received.readerIndex());
        if (received.readableBytes() >= length) {
            // A copy: in a slow client's backlog, a slice would keep all of the buffer alive.
            frames.add(received.readBytes(length));
            anyWhole = true;
        }
    }

    @Override public void channelReadComplete(ChannelHandlerContext context) throws Exception {
        if (!anyWhole && actualReadableBytes() > 0) {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            context.channel().config().setOption(NioChannelOption.of(ExtendedSocketOptions.TCP_QUICKACK), true);
        }
        anyWhole = false;
        super.channelReadComplete(context);
    }
}

/** What all clients share. It runs in one event loop, so it needs no lock. */
@Sharable
final class Chat extends ChannelInboundHandlerAdapter {
    private final EventLoop loop;
    private final ChannelGroup clients;
    private boolean flushing; // a flush is scheduled

    Chat(EventLoop loop) {
        this.loop = loop;
        clients = new DefaultChannelGroup(loop); // a closed channel leaves it by itself
    }

    @Override public void channelActive(ChannelHandlerContext context) {
        clients.add(context.channel());
    }

    /** The sequencing point. The group releases the frame. */
    @Override public void channelRead(ChannelHandlerContext context, Object frame) {
        clients.write(frame, Channel::isWritable, true);
        if (!flushing) {
            flushing = true;
            loop.execute(this::flush); // after all sockets that are readable now
        }
    }

    private void flush() {
        flushing = false;
        clients.flush();
    }

    @Override public void channelWritabilityChanged(ChannelHandlerContext context) {
        if (!context.channel().isWritable()) {
            context.flush();
        }
    }

    /** With ALLOW_HALF_CLOSURE, the end of a client's stream is an event: send the rest, then close. */
    @Override public void userEventTriggered(ChannelHandlerContext context, Object event) {
        if (event instanceof ChannelInputShutdownEvent) {
            clients.remove(context.channel());
            context.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(ChannelFutureListener.CLOSE);
        }
    }

    /** A reset, or a write that failed. */
    @Override public void exceptionCaught(ChannelHandlerContext context, Throwable problem) {
        context.close();
    }
}
