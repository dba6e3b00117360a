#!/bin/sh
# Chat server in Tcl 8.6: the event loop, and Tcl's own non-blocking channels.
#
# A readable event appends to the client's input and cuts whole frames off it;
# broadcast writes each to all channels: one thread, one order. Tcl queues what a
# socket does not take; over 64 KiB of that, the client misses the message.
# Tcl waits in select(), so at most 1000 descriptors are used; and it cannot stop
# accepting, so a connection over the limit is closed (it would spin otherwise).
# The next line is for sh only, which thus becomes tclsh \
[ "$(ulimit -n)" -le 1000 ] 2>/dev/null || ulimit -n 1000; export DESCRIPTORS=$(ulimit -n) RES_OPTIONS="timeout:1 attempts:1"; exec tclsh "$0" "$@"

set queueBytes 65536
set spare 12        ;# descriptors that are not connections
set connections 0
# input(CHANNEL): the incomplete frame; the channels that receive are its keys.
# broken(CHANNEL): output failed. failed(CHANNEL): the last read failed.

proc fail {reason} {
    puts stderr $reason
    exit 1
}

proc arrive {ch host port} {
    global input connections spare env
    if {$connections >= $env(DESCRIPTORS) - $spare} {
        close $ch
        return
    }
    incr connections
    chan configure $ch -blocking 0 -translation binary -buffering none
    set input($ch) ""
    chan event $ch readable [list receive $ch]
}

proc broadcast {frame} {
    global input broken queueBytes
    foreach ch [array names input] {
        if {[info exists broken($ch)] || [chan pending output $ch] > $queueBytes} continue
        if {[catch {puts -nonewline $ch $frame}]} {
            set broken($ch) 1 ;# but go on reading what it sent before it left
        }
    }
}

proc receive {ch} {
    global input failed
    if {[catch {read $ch 4096} data]} {
        # The error may be that of an earlier write: believe only the second.
        if {[info exists failed($ch)]} { leave $ch } else { set failed($ch) 1 }
        return
    }
    unset -nocomplain failed($ch)
    append input($ch) $data
    set in $input($ch)
    set start 0
    set end [string length $in]
    while {$start < $end} {
        binary scan $in @${start}cu size
        if {$start + $size >= $end} break
        broadcast [string range $in $start $start+$size]
        incr start [expr {$size + 1}]
    }
    set input($ch) [string range $in $start end]
    if {[eof $ch]} { leave $ch }
}

# It sends no more: close it when all that is queued for it is written.
proc leave {ch} {
    global input broken failed
    unset -nocomplain input($ch) broken($ch) failed($ch)
    chan event $ch readable {}
    if {[chan pending output $ch] > 0} {
        chan event $ch writable [list finish $ch] ;# comes when the queue is empty
    } else {
        finish $ch
    }
}

proc finish {ch} {
    global connections
    incr connections -1
    catch {close $ch}
}

# Listens on the one address that text means; returns that address.
proc listen {text} {
    if {![regexp {^(?:\[([^\[\]]*:[^\[\]]*)\]|([^\[\]:\s]+)):([0-9]{1,5})$} $text -> six name port]} {
        fail "$text: not an address HOST:PORT"
    }
    scan $port %d port
    if {$port > 65535} { fail "$text: the port is too large" }
    set host $six$name
    set octet {(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])}
    set four [regexp "^($octet\\.){3}$octet\$" $host]
    if {!$four && [regexp {^[0-9.]+$} $host]} { fail "$text: not an IPv4 address" }
    if {[catch {socket -server arrive -myaddr $host $port} server]} { fail "$text: $server" }
    if {($four || $six ne "") && $port != 0} { return $text }
    set ::tcl::unsupported::noReverseDNS 1
    lassign [chan configure $server -sockname] ip - port
    if {!$four && $six eq ""} { ;# a name may have several addresses: keep the first
        close $server
        if {[catch {socket -server arrive -myaddr $ip $port} server]} { fail "$text: $server" }
    }
    return [expr {[string first : $ip] >= 0 ? "\[$ip\]:$port" : "$ip:$port"}]
}

if {[llength $argv] != 1} { fail "usage: tcl_events.tcl HOST:PORT" }
set address [listen [lindex $argv 0]]
puts "listening on $address"
flush stdout
vwait forever
