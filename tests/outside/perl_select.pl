#!/usr/bin/perl
# Chat server in Perl: one process, one loop around IO::Select, core modules only.
#
# Each client has an input buffer (less than one frame stays in it) and an output
# buffer of at most 64 KiB; a message that does not fit is dropped for that client.
# broadcast() appends a frame to all output buffers: that is the order. A client
# whose output failed is still read to its end.
use strict;
use warnings;
use Errno qw(EAGAIN EWOULDBLOCK EINTR ECONNABORTED);
use IO::Select;
use IO::Socket::IP;
use POSIX ();
use Socket qw(IPPROTO_TCP TCP_NODELAY AI_NUMERICHOST AF_INET6);

use constant QUEUE_BYTES => 64 * 1024;
use constant CHUNK       => 4096;

my %client;                     # file number => { sock, in, out, ended, broken }
my $readers = IO::Select->new;
my $writers = IO::Select->new;

sub fail { print STDERR "@_\n"; exit 1 }

sub listen_on {
    my ($text) = @_;
    $text =~ /\A(?:\[([^\[\]]*:[^\[\]]*)\]|([^\[\]:\s]+)):([0-9]{1,5})\z/ && $3 <= 65535
        or fail("$text: not an address HOST:PORT");
    my ($host, $port, $six) = ($1 // $2, $3, defined $1);
    my $numeric = $six || $host =~ /\A[0-9.]+\z/;
    POSIX::sigaction(POSIX::SIGALRM, POSIX::SigAction->new(sub {
        POSIX::write(2, "the name server does not answer\n", 32);
        POSIX::_exit(1);
    }));
    alarm 4;
    my $sock = IO::Socket::IP->new(
        LocalHost => $host, LocalPort => $port, Proto => 'tcp', Listen => 4096,
        ReuseAddr => 1, V6Only => 1,
        ($six ? (Family => AF_INET6) : ()),
        ($numeric ? (GetAddrInfoFlags => AI_NUMERICHOST) : ()),
    ) or fail("$text: $@");
    alarm 0;
    $sock->blocking(0);
    return ($sock, $text) if $numeric && $port > 0;
    my $name = $sock->sockhost;
    return ($sock, ($name =~ /:/ ? "[$name]" : $name) . ':' . $sock->sockport);
}

# Waits for what the state of a client asks for; closes one that is done.
sub watch {
    my ($c) = @_;
    my $sock = $c->{sock};
    length $c->{out} ? $writers->add($sock) : $writers->remove($sock);
    return unless $c->{ended};
    delete $client{ fileno $sock };    # gets no more messages
    $readers->remove($sock);
    close $sock unless length $c->{out};
}

sub broadcast {
    my ($frame) = @_;
    for my $c (values %client) {
        next if $c->{broken} || length($c->{out}) + length($frame) > QUEUE_BYTES;
        $writers->add($c->{sock}) unless length $c->{out};
        $c->{out} .= $frame;
    }
}

sub read_client {
    my ($c) = @_;
    my $got = sysread $c->{sock}, $c->{in}, CHUNK, length $c->{in};
    if (!$got) {
        return if !defined $got && ($! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR);
        $c->{out} = '' unless defined $got;    # a reset
        $c->{ended} = 1;
        return watch($c);
    }
    while (length $c->{in} && length($c->{in}) > ord $c->{in}) {
        broadcast(substr $c->{in}, 0, 1 + ord($c->{in}), '');
    }
}

sub write_client {
    my ($c) = @_;
    my $sent = syswrite $c->{sock}, $c->{out};
    if (defined $sent) {
        substr($c->{out}, 0, $sent, '');
    } elsif ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR) {
        $c->{broken} = 1;
        $c->{out}    = '';
    }
    watch($c);
}

$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = 'DEFAULT';
@ARGV == 1 or fail("usage: perl_select.pl HOST:PORT");
my ($listener, $address) = listen_on($ARGV[0]);
my %by_sock;    # socket => client, for those that only write any more, too
$readers->add($listener);
$| = 1;
print "listening on $address\n";

while (1) {
    my $paused = !$readers->exists($listener);    # descriptors had run out
    my ($r, $w) = IO::Select::select($readers, $writers, undef, $paused ? 0.1 : undef);
    $readers->add($listener) if $paused;
    for my $sock (@{ $w // [] }) {
        my $c = $by_sock{$sock} or next;
        write_client($c);
        delete $by_sock{$sock} unless defined fileno $sock;
    }
    for my $sock (@{ $r // [] }) {
        if ($sock == $listener) {
            if (my $new = $listener->accept) {
                $new->blocking(0);
                setsockopt $new, IPPROTO_TCP, TCP_NODELAY, 1;
                my $c = { sock => $new, in => '', out => '', ended => 0, broken => 0 };
                $by_sock{$new} = $client{ fileno $new } = $c;
                $readers->add($new);
            } elsif ($! != EAGAIN && $! != EINTR && $! != ECONNABORTED) {
                $readers->remove($listener);
            }
            next;
        }
        my $c = $by_sock{$sock} or next;
        read_client($c) unless $c->{ended};
        delete $by_sock{$sock} unless defined fileno $sock;
    }
}
