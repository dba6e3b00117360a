// Communicating sequential processes: goroutines own the state, channels carry
// the messages, and nothing is locked.
//
// The hub goroutine alone knows who is connected. Every client has a goroutine
// that reads and one that writes.
//
//	reader -- frames --> hub -- queue of each client --> writer
//
// A reader takes complete frames off its connection and hands each to the hub. The
// hub takes one frame at a time (it is the sequencing point) and offers it to every
// client's queue. When a queue is full, the hub yields to the writers once; if the
// queue is still full, that client misses the frame. The hub never blocks on a
// client. A writer sends everything in its queue.
//
// The channels into the hub are unbuffered. A reader blocks until the hub has taken
// its frame, so TCP slows a flooding sender down, and a client's leave cannot
// overtake its last frame.
//
// Shortcuts: the hub copies nothing, so all clients share one slice per message,
// which the garbage collector frees. A client that reads slowly gets no notice of
// the frames it has missed.
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
	"syscall"
	"time"
)

const (
	queueFrames = 64                    // queued for a client that reads slowly
	frameBytes  = 1 + 255               // the longest frame: a length and a body
	acceptRetry = 50 * time.Millisecond // pause after a failed accept
)

// A frame is a message as it travels: the length byte, then the body.
type frame []byte

type client struct {
	conn  *net.TCPConn
	queue chan frame // filled and closed by the hub, emptied by the writer
}

// The hub's three inputs.
var (
	joins  = make(chan *client)
	frames = make(chan frame)
	leaves = make(chan *client)
)

func main() {
	listener, err := listen(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
	fmt.Println("listening on", listener.Addr())
	go hub()
	for {
		conn, err := listener.AcceptTCP()
		if err != nil { // descriptors have probably run out: some will be freed
			fmt.Fprintln(os.Stderr, "server:", err)
			time.Sleep(acceptRetry)
			continue
		}
		c := &client{conn: conn, queue: make(chan frame, queueFrames)}
		joins <- c
		go c.read()
		go c.write()
	}
}

// listen binds the address given on the command line, for its own IP version only:
// a plain "tcp" would make 0.0.0.0 listen on IPv6, too.
func listen(args []string) (*net.TCPListener, error) {
	if len(args) != 1 {
		return nil, errors.New("usage: server HOST:PORT")
	}
	host, port, err := net.SplitHostPort(args[0])
	if err != nil {
		return nil, err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" {
		return nil, fmt.Errorf("%q is not HOST:PORT", args[0])
	}
	addr, err := net.ResolveTCPAddr("tcp", args[0])
	if err != nil {
		return nil, err
	}
	network := "tcp6"
	if addr.IP.To4() != nil {
		network = "tcp4"
	}
	return net.ListenTCP(network, addr)
}

// hub is the sequencing point. It never blocks on a client.
func hub() {
	clients := make(map[*client]struct{})
	var full []*client // clients whose queue was full at the first offer
	for {
		select {
		case c := <-joins:
			clients[c] = struct{}{}
		case c := <-leaves:
			delete(clients, c)
			close(c.queue)
		case f := <-frames:
			full = full[:0]
			for c := range clients {
				if !c.offer(f) {
					full = append(full, c)
				}
			}
			if len(full) > 0 {
				runtime.Gosched() // lets the writers run, or a flood would starve them
			}
			for _, c := range full {
				c.offer(f) // still full: this client misses the frame
			}
		}
	}
}

// offer puts the frame into the client's queue if there is room.
func (c *client) offer(f frame) bool {
	select {
	case c.queue <- f:
		return true
	default:
		return false
	}
}

// read passes the client's frames to the hub until the end of the stream or an error;
// it drops an incomplete last frame.
func (c *client) read() {
	in := bufio.NewReader(c.conn)
	for {
		length, err := in.ReadByte()
		if err != nil {
			break
		}
		f := make(frame, 1+int(length))
		f[0] = length
		if in.Buffered() < int(length) {
			// Acknowledge at once: Nagle's algorithm may hold the rest back until then.
			c.acknowledge()
		}
		if _, err := io.ReadFull(in, f[1:]); err != nil {
			break
		}
		frames <- f
	}
	leaves <- c
}

func (c *client) acknowledge() {
	if raw, err := c.conn.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
		})
	}
}

// write sends the queue, and closes the connection once the hub has closed the queue
// and everything is sent. If the client has disconnected, it closes at once, which
// wakes the reader, which leaves.
func (c *client) write() {
	defer c.conn.Close()
	out := bufio.NewWriterSize(c.conn, queueFrames*frameBytes)
	for f := range c.queue {
		out.Write(f) // an error stays in the writer until Flush reports it
		if len(c.queue) > 0 {
			continue // gathers more frames for one system call
		}
		if out.Flush() != nil {
			return
		}
	}
}
