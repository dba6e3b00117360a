# async/await added to a language by a module, over futures that are ordinary objects.
#
# The idea: Future::AsyncAwait teaches Perl two keywords. `await` suspends the subroutine that it
# is in, local variables and all, until a future is done; the subroutine's caller has a future
# already. Future::IO makes such futures of system calls, and whichever event loop is loaded
# completes them: here IO::Async's, with epoll.
#
#     serve -> attend -> hear -> post -> backlog of each client -> speak
#
# How a message flows. `attend` runs two asynchronous subroutines for each client. `hear`
# receives what the client has sent and calls `post`, which adds the complete frames to every
# client's backlog, the sender's included. `post` is no asynchronous subroutine, so nothing else
# runs until it returns: it is the sequencing point. `speak` sends what has gathered.
#
# A failed future is an exception where it is awaited. `else_done` makes it a result like any
# other: for a client, a reset is an end.
#
# Shortcut: the frames of one read are delivered, or dropped, together.

use v5.36;

use Future;
use Future::AsyncAwait;
use Future::IO;
use Future::IO::Impl::IOAsync;
use IO::Async::Loop;
use IO::Async::Loop::Epoll;
use IO::Handle;
use IO::Socket::IP;
use List::Util qw(max min);
use Socket     qw(AI_NUMERICHOST IPPROTO_TCP TCP_NODELAY TCP_QUICKACK);

use constant {
    BACKLOG_BYTES_MAX    => 64 * 1024,    # queued for a client that reads slowly
    READ_BYTES_MAX       => 16 * 1024,    # per turn of one client
    FRAME_BYTES_MAX      => 1 + 255,      # a length and a body
    LISTEN_BACKLOG       => 1024,         # connections queued in the kernel
    ACCEPT_PAUSE_SECONDS => 0.1,          # when descriptors have run out
};

my %clients;                              # by their addresses in memory

main(@ARGV);

sub main (@arguments) {
    @arguments == 1 or fail('usage: server.pl HOST:PORT');
    local $SIG{PIPE} = 'IGNORE';
    my $listener = listen_on( $arguments[0] );
    STDOUT->autoflush;
    say "listening on $arguments[0]";
    serve($listener)->get;
    return;
}

sub fail ($why) {
    say STDERR "server: $why";
    exit 1;
}

sub listen_on ($address) {
    my ( $host, $port ) = $address =~ /\A \[? ( .+? ) \]? : ( \d{1,5} ) \z/x;
    fail("$address: not HOST:PORT") if !defined $host || $port > 65_535;
    my $listener = IO::Socket::IP->new(
        LocalHost        => $host,
        LocalPort        => $port,
        GetAddrInfoFlags => AI_NUMERICHOST,
        Listen           => LISTEN_BACKLOG,
        ReuseAddr        => 1,
        V6Only           => 1,
    ) or fail("cannot listen on $address: $@");
    $listener->blocking(0);
    return $listener;
}

async sub serve ($listener) {
    await Future::IO->sleep(0);    # loads what a pause needs, while there are descriptors
    while (1) {
        my $socket = await Future::IO->accept($listener)->else( \&cannot_accept );
        attend($socket)->retain if $socket;
    }
}

# Descriptors have run out: some will be freed.
sub cannot_accept ( $problem, @ ) {
    state $told = say STDERR "server: cannot accept a client: $problem";    # once
    return Future::IO->sleep(ACCEPT_PAUSE_SECONDS)->then_done(undef);
}

async sub attend ($socket) {
    $socket->blocking(0);
    $socket->setsockopt( IPPROTO_TCP, TCP_NODELAY, 1 );
    my $client = { socket => $socket, backlog => '', news => Future->done, left => 0 };
    $clients{$client} = $client;
    my $speaking = speak($client)->else_done;
    await hear($client)->else_done;
    delete $clients{$client};
    $client->{left} = 1;
    tell_news($client);
    await $speaking;
    await Future::IO->sleep(0);    # the loop forgets a handle only after it has resumed us
    $socket->close;
}

async sub hear ($client) {
    my $received = '';
    while ( defined( my $bytes = await Future::IO->sysread( $client->{socket}, share() ) ) ) {
        $received .= $bytes;
        my $whole = whole_frames($received);
        if ( $whole > 0 ) {
            post( substr $received, 0, $whole, '' );
        }
        else {    # acknowledge at once: Nagle's algorithm may hold the rest back until then
            $client->{socket}->setsockopt( IPPROTO_TCP, TCP_QUICKACK, 1 );
        }
    }
}

# So many bytes that what each client sends in one turn fits into a backlog.
sub share {
    return max( FRAME_BYTES_MAX, min( READ_BYTES_MAX, int( BACKLOG_BYTES_MAX / keys %clients ) ) );
}

# The length of the complete frames at the start.
sub whole_frames ($bytes) {
    my $whole = 0;
    while ( $whole < length $bytes ) {
        my $following = $whole + 1 + ord substr $bytes, $whole, 1;
        last if $following > length $bytes;
        $whole = $following;
    }
    return $whole;
}

# The sequencing point.
sub post ($frames) {
    for my $client ( values %clients ) {
        if ( length( $client->{backlog} ) + length $frames <= BACKLOG_BYTES_MAX ) {
            $client->{backlog} .= $frames;
            tell_news($client);
        }
    }
    return;
}

sub tell_news ($client) {
    $client->{news}->done if !$client->{news}->is_ready;
    return;
}

async sub speak ($client) {
    until ( $client->{left} && $client->{backlog} eq '' ) {
        if ( $client->{backlog} eq '' ) {
            await( $client->{news} = Future->new );
        }
        else {
            my $sent = await Future::IO->syswrite( $client->{socket}, $client->{backlog} );
            substr $client->{backlog}, 0, $sent, '';
        }
    }
}
