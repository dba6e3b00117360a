// __NAME__: two goroutines per client and one lock.
//
// How a message flows. The client's readFrames goroutine reads a frame from the
// byte stream and calls broadcast, which locks the room and puts the frame into
// every client's queue, including the sender's. Only one goroutine holds the lock
// at a time: this is the sequencing point. Each client's writeFrames goroutine
// writes its queue to the connection. A queue is bounded; a client whose queue is
// full misses the message. No goroutine waits for a client while holding the lock.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	queueLimit  = 64                     // messages queued for one client
	acceptPause = 100 * time.Millisecond // when descriptors have run out
)

// room holds the queue of every client. A frame is a length byte and a body.
type room struct {
	sync.Mutex
	queues map[net.Conn]chan []byte
}

func main() {
	listener, err := listen(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "server: error:", err)
		os.Exit(1)
	}
	fmt.Println("listening on", listener.Addr())
	r := &room{queues: make(map[net.Conn]chan []byte)}
	for {
		conn, err := listener.AcceptTCP()
		if err != nil { // descriptors have probably run out: some will be freed
			fmt.Fprintln(os.Stderr, "server: cannot accept a client:", err)
			time.Sleep(acceptPause)
			continue
		}
		queue := make(chan []byte, queueLimit)
		r.Lock()
		r.queues[conn] = queue
		r.Unlock()
		go r.readFrames(conn)
		go writeFrames(conn, queue)
	}
}

// listen binds the given address and no other: with "tcp" alone, 0.0.0.0 would
// listen on IPv6 as well.
func listen(arguments []string) (*net.TCPListener, error) {
	if len(arguments) != 1 {
		return nil, errors.New("expected one argument, HOST:PORT")
	}
	host, port, err := net.SplitHostPort(arguments[0])
	if err != nil {
		return nil, err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" {
		return nil, fmt.Errorf("cannot listen on %q: expected HOST:PORT", arguments[0])
	}
	address, err := net.ResolveTCPAddr("tcp", arguments[0])
	if err != nil {
		return nil, err
	}
	if address.IP.To4() != nil {
		return net.ListenTCP("tcp4", address)
	}
	return net.ListenTCP("tcp6", address)
}

func (r *room) readFrames(conn *net.TCPConn) {
	input := bufio.NewReader(conn)
	for {
		length, err := input.ReadByte()
		if err != nil {
			break
		}
		frame := make([]byte, 1+int(length))
		frame[0] = length
		if input.Buffered() < int(length) {
			acknowledge(conn)
		}
		if _, err := io.ReadFull(input, frame[1:]); err != nil {
			break
		}
		r.broadcast(frame)
		runtime.Gosched() // lets the writers run, or a flood runs far ahead of them
	}
	r.Lock()
	close(r.queues[conn]) // writeFrames still sends the rest of it
	delete(r.queues, conn)
	r.Unlock()
}

// acknowledge makes the kernel acknowledge the start of a frame at once: its sender
// may wait for that before it sends the rest. The kernel delays it by 40 ms unless told
// otherwise each time.
func acknowledge(conn *net.TCPConn) {
	if raw, err := conn.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
		})
	}
}

func (r *room) broadcast(frame []byte) {
	r.Lock()
	defer r.Unlock()
	for _, queue := range r.queues {
		select {
		case queue <- frame:
		default: // full: this client misses the message
		}
	}
}

func writeFrames(conn net.Conn, queue chan []byte) {
	defer conn.Close() // ends readFrames, too, if it is still running
	output := bufio.NewWriter(conn)
	for frame := range queue {
		output.Write(frame) // Flush reports the error
		if len(queue) == 0 && output.Flush() != nil {
			return
		}
	}
}
