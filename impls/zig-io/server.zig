//! Structured concurrency where input and output are a parameter: what may wait is passed an `Io`.
//!
//! The idea: a function that reads, locks, sleeps or starts another gets the means to do so from its
//! caller, as it gets an allocator. What they are is decided once, in main(): here `Io.Threaded`, in
//! which every wait is a system call of a thread. The same functions would run on another one.
//!
//!     converse (of each client):  hear -- say --> queue of each client --> speak
//!
//! How a message flows. converse() is the scope of a client: it starts speak() beside itself, and does
//! not end before that has. hear() takes complete frames off the stream, a portion at a time. say() holds
//! the room's lock, which makes it the sequencing point, and offers the portion to each queue.
//! speak() writes what its queue holds, until the queue is closed and empty.
//!
//! A queue that is full makes its client miss the portion: say() puts at least zero of one.
//!
//! Shortcut: std.Io listens with SO_REUSEPORT or without SO_REUSEADDR; this needs neither, so listen()
//! asks Linux itself.

const std = @import("std");
const Io = std.Io;
const linux = std.os.linux;

const queue_portions = 64; // of a client that reads slowly
const portion_bytes_max = 16 * 1024; // received at once
const stack_bytes = 256 * 1024; // of a thread
const accept_retry: Io.Duration = .fromMilliseconds(50);

/// Complete frames of one client, each a length byte and a body, shared by all queues that hold them.
const Portion = struct {
    frames: []u8,
    holders: std.atomic.Value(usize) = .init(1),

    fn release(portion: *Portion, room: *Room) void {
        if (portion.holders.fetchSub(1, .acq_rel) > 1) return;
        room.allocator.free(portion.frames);
        room.allocator.destroy(portion);
    }
};

const Client = struct {
    stream: Io.net.Stream,
    queue: Io.Queue(*Portion),
    node: std.DoublyLinkedList.Node = .{},
};

const Room = struct {
    allocator: std.mem.Allocator,
    mutex: Io.Mutex = .init,
    clients: std.DoublyLinkedList = .{},

    fn join(room: *Room, io: Io, client: *Client) void {
        room.mutex.lockUncancelable(io);
        defer room.mutex.unlock(io);
        room.clients.append(&client.node);
    }

    fn leave(room: *Room, io: Io, client: *Client) void {
        room.mutex.lockUncancelable(io);
        defer room.mutex.unlock(io);
        room.clients.remove(&client.node);
    }

    /// The sequencing point.
    fn say(room: *Room, io: Io, frames: []const u8) !void {
        const copy = try room.allocator.dupe(u8, frames);
        errdefer room.allocator.free(copy);
        const portion = try room.allocator.create(Portion);
        portion.* = .{ .frames = copy };
        defer portion.release(room);
        room.mutex.lockUncancelable(io);
        defer room.mutex.unlock(io);
        var next = room.clients.first;
        while (next) |node| : (next = node.next) {
            const client: *Client = @fieldParentPtr("node", node);
            _ = portion.holders.fetchAdd(1, .monotonic);
            const taken = client.queue.putUncancelable(io, &.{portion}, 0) catch 0;
            if (taken == 0) portion.release(room); // full: this client misses it
        }
    }
};

pub fn main(init: std.process.Init) !void {
    var threaded: Io.Threaded = .init(std.heap.smp_allocator, .{ .stack_size = stack_bytes });
    defer threaded.deinit();
    const io = threaded.io();
    const arguments = try init.minimal.args.toSlice(init.arena.allocator());
    if (arguments.len != 2) fail("usage: server HOST:PORT", .{});
    var server = listen(arguments[1]) catch |err|
        fail("cannot listen on '{s}': {s}", .{ arguments[1], @errorName(err) });
    var buffer: [128]u8 = undefined;
    var output = Io.File.stdout().writer(io, &buffer);
    try output.interface.print("listening on {s}\n", .{arguments[1]});
    try output.interface.flush();

    var room: Room = .{ .allocator = std.heap.smp_allocator };
    var conversations: Io.Group = .init;
    defer conversations.cancel(io);
    while (true) {
        const stream = server.accept(io) catch |err| {
            std.log.err("cannot accept a client: {s}", .{@errorName(err)});
            try io.sleep(accept_retry, .awake); // what has run out may be free again
            continue;
        };
        conversations.concurrent(io, converse, .{ io, &room, stream }) catch stream.close(io);
    }
}

fn fail(comptime format: []const u8, arguments: anytype) noreturn {
    std.debug.print("server: " ++ format ++ "\n", arguments);
    std.process.exit(1);
}

/// HOST is an IPv4 address, or an IPv6 address in brackets.
fn listen(text: []const u8) !Io.net.Server {
    const address: Io.net.IpAddress = try .parseLiteral(text);
    if (!std.mem.endsWith(u8, text, ":0") and address.getPort() == 0) return error.InvalidPort;
    const family: u32 = if (address == .ip4) linux.AF.INET else linux.AF.INET6;
    const socket: i32 = @intCast(try check(linux.socket(family, linux.SOCK.STREAM | linux.SOCK.CLOEXEC, 0)));
    try set(socket, linux.SOL.SOCKET, linux.SO.REUSEADDR);
    switch (address) {
        .ip4 => |ip4| _ = try check(linux.bind(socket, @ptrCast(&linux.sockaddr.in{
            .port = std.mem.nativeToBig(u16, ip4.port),
            .addr = @bitCast(ip4.bytes),
        }), @sizeOf(linux.sockaddr.in))),
        .ip6 => |ip6| {
            try set(socket, linux.IPPROTO.IPV6, linux.IPV6.V6ONLY);
            _ = try check(linux.bind(socket, @ptrCast(&linux.sockaddr.in6{
                .port = std.mem.nativeToBig(u16, ip6.port),
                .flowinfo = 0,
                .addr = ip6.bytes,
                .scope_id = 0,
            }), @sizeOf(linux.sockaddr.in6)));
        },
    }
    _ = try check(linux.listen(socket, 1024));
    return .{ .socket = .{ .handle = socket, .address = address }, .options = {} };
}

fn check(result: usize) !usize {
    return switch (linux.errno(result)) {
        .SUCCESS => result,
        .ADDRINUSE => error.AddressInUse,
        .ADDRNOTAVAIL => error.AddressNotAvailable,
        .ACCES => error.AccessDenied,
        else => error.Refused,
    };
}

fn set(socket: i32, level: i32, option: u32) !void {
    try std.posix.setsockopt(socket, level, option, &std.mem.toBytes(@as(c_int, 1)));
}

/// The scope of a client: nothing of it is left when this returns.
fn converse(io: Io, room: *Room, stream: Io.net.Stream) Io.Cancelable!void {
    defer stream.close(io);
    set(stream.socket.handle, linux.IPPROTO.TCP, linux.TCP.NODELAY) catch return;
    var slots: [queue_portions]*Portion = undefined;
    var client: Client = .{ .stream = stream, .queue = .init(&slots) };
    var speaking = io.concurrent(speak, .{ io, room, &client }) catch return;
    defer speaking.await(io);
    defer client.queue.close(io);
    room.join(io, &client);
    defer room.leave(io, &client);
    hear(io, room, stream) catch {};
}

/// Passes on what the client says, until it stops or is gone.
fn hear(io: Io, room: *Room, stream: Io.net.Stream) !void {
    var received: [portion_bytes_max]u8 = undefined;
    var held: usize = 0; // of a frame that is not complete
    while (true) {
        var space = [_][]u8{received[held..]};
        const count = try stream.read(io, &space);
        if (count == 0) return;
        const bytes = received[0 .. held + count];
        const end = endOfFrames(bytes);
        if (end > 0) try room.say(io, bytes[0..end]);
        held = bytes.len - end;
        std.mem.copyForwards(u8, received[0..held], bytes[end..]);
        // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
        if (held > 0) try set(stream.socket.handle, linux.IPPROTO.TCP, linux.TCP.QUICKACK);
    }
}

/// Where the complete frames at the start end.
fn endOfFrames(bytes: []const u8) usize {
    var end: usize = 0;
    while (end < bytes.len and end + bytes[end] < bytes.len) end += 1 + @as(usize, bytes[end]);
    return end;
}

/// Writes the queue until it is closed and empty. A client that has gone wakes hear(), too.
fn speak(io: Io, room: *Room, client: *Client) void {
    var portions: [queue_portions]*Portion = undefined;
    var gathered: [portion_bytes_max]u8 = undefined;
    var writer = client.stream.writer(io, &gathered);
    var is_gone = false;
    while (client.queue.getUncancelable(io, &portions, 1)) |count| {
        for (portions[0..count]) |portion| {
            defer portion.release(room);
            if (!is_gone) writer.interface.writeAll(portion.frames) catch {
                is_gone = true;
            };
        }
        if (!is_gone) writer.interface.flush() catch {
            is_gone = true;
        };
        if (is_gone) client.stream.shutdown(io, .both) catch {};
    } else |_| {}
}
