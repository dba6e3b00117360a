<?php

// Processes: one for each client, and the room is a directory.
//
// The idea: PHP's own. A request has a process that ends with it, nothing is shared, and what has
// to be is left to the system. Each client's process has a mailbox, a datagram socket of the kernel
// with a name in the room's directory. What is in the directory is in the room: `ls` shows it.
//
//     main -- fork --> attend: hear -- post --> mailbox of each client --> attend: speak
//
// How a message flows. attend() waits, with select, for its client and its mailbox. hear() receives
// what the client has sent, and post() puts the complete frames into every mailbox, while it holds
// a lock on a file in that directory: this is the sequencing point. speak() writes what the next
// datagram holds. A datagram arrives whole or not at all, so no frame is ever cut.
//
// The kernel bounds a mailbox. If it is full, its client misses the frames.
//
// Shortcut: post() reads the directory each time; it is the only list of clients there is.

declare(strict_types=1);

const BATCH_BYTES_MAX = 16 * 1024; // received at once: the size of a datagram, but for one frame
const LISTEN_BACKLOG = 1024; // connections queued in the kernel
const RETRY_PAUSE_US = 100_000; // when processes or memory have run out
const TCP_QUICKACK = 12; // PHP has no name for it before 8.3

function main(array $arguments): never
{
    ini_set('display_errors', 'stderr'); // nothing but one line belongs on standard output
    if (count($arguments) !== 2) {
        fail('usage: server.php HOST:PORT');
    }
    $listener = listen($arguments[1]);
    $room = sys_get_temp_dir() . '/php-processes-' . bin2hex(random_bytes(8));
    mkdir($room, 0700) || fail("cannot make $room");
    end_together($room);
    echo "listening on $arguments[1]\n";
    while (true) {
        $client = @socket_accept($listener);
        $child = $client ? @pcntl_fork() : -1;
        if ($child === 0) {
            socket_close($listener);
            attend($client, $room);
            exit(0);
        }
        if ($child < 0) {
            fwrite(STDERR, "server: cannot serve a client\n");
            usleep(RETRY_PAUSE_US);
        }
        $client = null; // closed here: it is the child's
    }
}

function fail(string $why): never
{
    fwrite(STDERR, "server: $why\n");
    exit(1);
}

/** HOST is an IPv4 address, or an IPv6 address in brackets. */
function listen(string $address): Socket
{
    if (!preg_match('/^(?:\[(.+)\]|([^:]+)):(\d{1,5})$/D', $address, $part) || $part[3] > 65535) {
        fail("invalid address \"$address\": expected HOST:PORT");
    }
    $family = $part[1] !== '' ? AF_INET6 : AF_INET;
    $listener = socket_create($family, SOCK_STREAM, SOL_TCP);
    socket_set_option($listener, SOL_SOCKET, SO_REUSEADDR, 1);
    if ($family === AF_INET6) {
        socket_set_option($listener, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    if (!filter_var($part[1] . $part[2], FILTER_VALIDATE_IP)) {
        fail("invalid address \"$address\": the host is not an IP address");
    }
    if (
        !@socket_bind($listener, $part[1] . $part[2], (int) $part[3])
        || !@socket_listen($listener, LISTEN_BACKLOG)
    ) {
        fail("cannot listen on $address: " . socket_strerror(socket_last_error($listener)));
    }
    return $listener;
}

/** On SIGTERM and SIGINT, all processes end, and the room with them. */
function end_together(string $room): void
{
    posix_setpgid(0, 0);
    pcntl_async_signals(true);
    pcntl_signal(SIGCHLD, SIG_IGN); // nobody waits for those that have ended
    $server = posix_getpid();
    $end = function (int $signal) use ($room, $server): never {
        if (posix_getpid() === $server) {
            pcntl_signal($signal, SIG_IGN);
            posix_kill(0, $signal);
            array_map(unlink(...), glob("$room/*"));
            rmdir($room);
        }
        exit(128 + $signal);
    };
    // A call that waits has to end, for the handler to be called.
    pcntl_signal(SIGTERM, $end, restart_syscalls: false);
    pcntl_signal(SIGINT, $end, restart_syscalls: false);
}

/** The life of a client. */
function attend(Socket $client, string $room): void
{
    socket_set_option($client, SOL_TCP, TCP_NODELAY, 1);
    socket_set_nonblock($client);
    $name = "$room/" . posix_getpid() . '.mailbox';
    $mailbox = socket_create(AF_UNIX, SOCK_DGRAM, 0);
    socket_bind($mailbox, $name);
    socket_set_nonblock($mailbox);
    $turn = fopen("$room/turn", 'c'); // its own: a lock belongs to an open file
    $received = ''; // an incomplete frame
    $sending = ''; // of one datagram
    $hearing = true;
    do {
        $readable = $hearing ? [$client] : [];
        $writable = $sending !== '' ? [$client] : [];
        if ($sending === '') {
            $readable[] = $mailbox;
        }
        $other = null;
        // At the end of the client's stream only what is there already is waited for.
        if (!@socket_select($readable, $writable, $other, $hearing || $writable ? null : 0)) {
            break;
        }
        if (in_array($client, $readable, true)) {
            $hearing = hear($client, $received, $room, $turn);
            if (!$hearing) {
                unlink($name);
            }
        }
    } while (speak($client, $mailbox, $sending));
    @unlink($name);
}

/** Receives once; false: it is the end of the stream, or a reset. */
function hear(Socket $client, string &$received, string $room, $turn): bool
{
    $count = @socket_recv($client, $bytes, BATCH_BYTES_MAX, 0);
    if (!$count) {
        return $count === false && socket_last_error($client) === SOCKET_EAGAIN;
    }
    $received .= $bytes;
    $end = end_of_frames($received);
    if ($end > 0) {
        post(substr($received, 0, $end), $room, $turn);
        $received = substr($received, $end);
    } else {
        // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
        @socket_set_option($client, SOL_TCP, TCP_QUICKACK, 1);
    }
    return true;
}

/** The length of the complete frames at the start. A frame is a length byte and a body. */
function end_of_frames(string $bytes): int
{
    $end = 0;
    $length = strlen($bytes);
    while ($end < $length && $end + ord($bytes[$end]) < $length) {
        $end += 1 + ord($bytes[$end]);
    }
    return $end;
}

/** The sequencing point. The kernel takes the lock back from a process that is killed. */
function post(string $frames, string $room, $turn): void
{
    flock($turn, LOCK_EX);
    foreach (glob("$room/*.mailbox") as $mailbox) {
        // What has not been received yet is charged to the socket that has sent it. So each
        // datagram has one of its own: else a few slow clients would use up what all may have.
        $sender = socket_create(AF_UNIX, SOCK_DGRAM, 0);
        $sent = @socket_sendto($sender, $frames, strlen($frames), MSG_DONTWAIT, $mailbox);
        if ($sent === false && socket_last_error($sender) === SOCKET_ECONNREFUSED) {
            @unlink($mailbox); // its process has been killed
        }
    }
    flock($turn, LOCK_UN);
}

/** Writes what it can; false: the client has gone. */
function speak(Socket $client, Socket $mailbox, string &$sending): bool
{
    if ($sending === '' && !@socket_recv($mailbox, $sending, 2 * BATCH_BYTES_MAX, 0)) {
        $sending = '';
        return true;
    }
    $sent = @socket_write($client, $sending);
    $sending = substr($sending, (int) $sent);
    return $sent !== false || socket_last_error($client) === SOCKET_EAGAIN;
}

main($argv);
