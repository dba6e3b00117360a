#!/usr/bin/php
<?php
// Chat server in PHP with a process per client.
//
// The parent accepts and is the sequencing point: it holds one end of a socket
// pair for each client. The child at the other end relays whole frames from its
// client to the parent, and what the parent sends to its client. All writes are
// non-blocking. When a client does not read, its child stops reading from the
// parent, and the parent drops messages for it once 64 KiB are waiting.
// select() cannot watch descriptors over 1023, so the limit is lowered to that.
ini_set('display_errors', 'stderr');
ini_set('memory_limit', '512M');
const QUEUE_BYTES = 65536;
const CHUNK = 4096;

class Peer
{
    public string $in = '';
    public string $out = '';
    public bool $ended = false;  // nothing more comes from it
    public bool $broken = false; // nothing can be sent to it

    public function __construct(public Socket $sock)
    {
    }

    public function read(): void
    {
        $got = @socket_recv($this->sock, $data, CHUNK, MSG_DONTWAIT);
        if ($got === false) {
            if (in_array(socket_last_error($this->sock), [SOCKET_EAGAIN, SOCKET_EINTR])) {
                return;
            }
            $this->fail();
        }
        if ($got > 0) {
            $this->in .= $data;
        } else {
            $this->ended = true;
        }
    }

    public function write(): void
    {
        $sent = @socket_send($this->sock, $this->out, strlen($this->out), MSG_DONTWAIT);
        if ($sent !== false) {
            $this->out = substr($this->out, $sent);
        } elseif (!in_array(socket_last_error($this->sock), [SOCKET_EAGAIN, SOCKET_EINTR])) {
            $this->fail();
        }
    }

    private function fail(): void
    {
        $this->broken = true;
        $this->out = '';
    }

    /** Takes the whole frames off the input. */
    public function frames(): array
    {
        $frames = [];
        $start = 0;
        while ($start < strlen($this->in) && $start + ord($this->in[$start]) < strlen($this->in)) {
            $size = 1 + ord($this->in[$start]);
            $frames[] = substr($this->in, $start, $size);
            $start += $size;
        }
        $this->in = substr($this->in, $start);
        return $frames;
    }
}

function fail(string $reason): never
{
    fwrite(STDERR, "$reason\n");
    exit(1);
}

function listen_on(string $text): array
{
    if (!preg_match('/^(?:\[([^\[\]]*:[^\[\]]*)\]|([^\[\]:\s]+)):([0-9]{1,5})$/D', $text, $m) || $m[3] > 65535) {
        fail("$text: not an address HOST:PORT");
    }
    $six = $m[1] !== '';
    $host = $six ? $m[1] : $m[2];
    $literal = filter_var($host, FILTER_VALIDATE_IP, $six ? FILTER_FLAG_IPV6 : FILTER_FLAG_IPV4) !== false;
    if (!$literal && ($six || preg_match('/^[0-9.]+$/', $host))) {
        fail("$text: not an IP address");
    }
    if (!$literal) {
        putenv('RES_OPTIONS=timeout:1 attempts:1');
        pcntl_alarm(4); // kills: no answer is a failure
        $host = gethostbyname($host);
        pcntl_alarm(0);
        if (!filter_var($host, FILTER_VALIDATE_IP)) {
            fail("$text: host not found");
        }
    }
    $sock = @socket_create($six ? AF_INET6 : AF_INET, SOCK_STREAM, SOL_TCP) ?: fail(socket_strerror(socket_last_error()));
    socket_set_option($sock, SOL_SOCKET, SO_REUSEADDR, 1);
    if ($six) {
        socket_set_option($sock, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    if (!@socket_bind($sock, $host, (int) $m[3]) || !@socket_listen($sock, 4096)) {
        fail("$text: " . socket_strerror(socket_last_error($sock)));
    }
    socket_set_nonblock($sock);
    socket_getsockname($sock, $name, $port);
    return [$sock, $literal && $m[3] > 0 ? $text : ($six ? "[$name]:$port" : "$name:$port")];
}

function child(Peer $client, Peer $parent): void
{
    $told = false; // the parent, that the client sends no more
    while (!($parent->ended && ($client->out === '' || !$client->ended))) {
        $r = $w = $e = [];
        if (!$client->ended && strlen($parent->out) < CHUNK) $r['client'] = $client->sock;
        if (!$parent->ended && strlen($client->out) < QUEUE_BYTES) $r['parent'] = $parent->sock;
        if ($client->out !== '') $w['client'] = $client->sock;
        if ($parent->out !== '') $w['parent'] = $parent->sock;
        if (@socket_select($r, $w, $e, null) === false) continue;
        if (isset($w['client'])) $client->write();
        if (isset($w['parent'])) $parent->write();
        if (isset($r['client'])) $client->read();
        if (isset($r['parent'])) $parent->read();
        $parent->out .= implode('', $client->frames());
        if (!$client->broken) $client->out .= $parent->in;
        $parent->in = '';
        if ($client->ended && $parent->out === '' && !$told) {
            $told = true;
            @socket_shutdown($parent->sock, 1);
        }
    }
}

if ($argc !== 2) {
    fail('usage: php_fork.php HOST:PORT');
}
[$listener, $address] = listen_on($argv[1]);
if (posix_getrlimit()['soft openfiles'] === 'unlimited' || posix_getrlimit()['soft openfiles'] > 1000) {
    posix_setrlimit(POSIX_RLIMIT_NOFILE, 1000, 1000);
}
$stop = false;
pcntl_async_signals(true);
pcntl_signal(SIGPIPE, SIG_IGN);
pcntl_signal(SIGTERM, function () use (&$stop) { $stop = true; });
fwrite(STDOUT, "listening on $address\n");
$peers = [];  // the children, by number
$pids = [];
$paused = false; // not accepting: out of descriptors or processes
while (!$stop) {
    $r = $paused ? [] : ['listener' => $listener];
    $w = $e = [];
    foreach ($peers as $id => $peer) {
        if (!$peer->ended) $r[$id] = $peer->sock;
        if ($peer->out !== '') $w[$id] = $peer->sock;
    }
    // The second is for a SIGTERM that comes just before the call.
    if ($r || $w) $n = @socket_select($r, $w, $e, $paused ? 0 : 1, $paused ? 100000 : 0);
    else { usleep(100000); $n = 0; }
    $paused = false;
    while (($pid = pcntl_waitpid(-1, $status, WNOHANG)) > 0) unset($pids[$pid]);
    if (!$n) continue;
    foreach (array_keys($w) as $id) $peers[$id]->write();
    $arrived = isset($r['listener']);
    unset($r['listener']);
    foreach (array_keys($r) as $id) {
        $peers[$id]->read();
        foreach ($peers[$id]->frames() as $frame) {
            foreach ($peers as $peer) {
                if (!$peer->ended && !$peer->broken && strlen($peer->out) + strlen($frame) <= QUEUE_BYTES) {
                    $peer->out .= $frame;
                }
            }
        }
    }
    foreach ($peers as $id => $peer) {
        if ($peer->ended && $peer->out === '') unset($peers[$id]); // closes the pair: the child ends
    }
    unset($peer, $r, $w); // a variable that is left would keep a socket open
    if (!$arrived) continue;
    if (!@socket_create_pair(AF_UNIX, SOCK_STREAM, 0, $pair) || !($sock = @socket_accept($listener))) {
        $paused = true;
        continue;
    }
    socket_set_option($sock, SOL_TCP, TCP_NODELAY, 1);
    $pid = pcntl_fork();
    if ($pid === 0) {
        pcntl_signal(SIGTERM, SIG_DFL);
        [$mine, $up] = $pair;
        unset($mine, $pair, $peers, $listener); // closes what is the parent's
        child(new Peer($sock), new Peer($up));
        exit(0);
    }
    if ($pid > 0) {
        $pids[$pid] = true;
        $peers[] = new Peer($pair[0]);
    }
    unset($pair, $sock);
}
foreach (array_keys($pids) as $pid) posix_kill($pid, SIGKILL);
while (pcntl_waitpid(-1, $status) > 0);
