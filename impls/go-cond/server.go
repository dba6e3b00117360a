// Goroutines that share memory: one ring, one lock, one condition variable.
//
// The idea: what channels do elsewhere is spelled out here. All messages are in one
// ring, which all clients share; a client is a position in it. A lock guards the ring,
// and a condition variable wakes those who wait at its end.
//
//	receive -- write lock --> ring -- read lock --> send, for each client
//
// How a message flows. A client's receive goroutine reads complete frames off its
// connection and appends each to the ring, under the write lock: this is the
// sequencing point. Broadcast wakes the clients' send goroutines, and each copies
// everything between its position and the end of the ring, under the read lock, and
// writes it to its connection after it has released the lock. The condition variable is
// made from the read lock, so all that wake up can copy at the same time.
//
// Nobody waits for a client while holding the lock. Senders never wait for room either:
// the ring overwrites its oldest frame, and a client that is so far behind misses it.
//
// Shortcut: a client that leaves wakes all others, as they share the condition variable.
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
	ringFrames  = 4096                  // in the ring, for all clients together
	frameBytes  = 1 + 255               // the longest frame: a length byte and a body
	batchBytes  = 16 * 1024             // copied from the ring for one write
	acceptRetry = 50 * time.Millisecond // pause after a failed accept
)

// A room is the ring and those who use it.
type room struct {
	lock sync.RWMutex
	grew *sync.Cond // end or some client's until has changed; its L is the read lock
	ring [ringFrames][frameBytes]byte
	end  uint64 // of the ring: the number of frames that there have ever been
}

type client struct {
	conn  *net.TCPConn
	next  uint64 // its position: the number of the next frame; only send uses it
	until uint64 // it leaves after the frame before this one
}

const forever = ^uint64(0)

func main() {
	listener, err := listen(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
	fmt.Println("listening on", listener.Addr())
	r := new(room)
	r.grew = sync.NewCond(r.lock.RLocker())
	for {
		conn, err := listener.AcceptTCP()
		if err != nil { // descriptors have probably run out: some will be freed
			fmt.Fprintln(os.Stderr, "server:", err)
			time.Sleep(acceptRetry)
			continue
		}
		c := r.join(conn)
		go r.receive(c)
		go r.send(c)
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

// join makes a client that receives from now on.
func (r *room) join(conn *net.TCPConn) *client {
	r.lock.RLock()
	defer r.lock.RUnlock()
	return &client{conn: conn, next: r.end, until: forever}
}

// receive appends the client's frames to the ring until the end of the stream or an
// error; it drops an incomplete last frame.
func (r *room) receive(c *client) {
	in := bufio.NewReader(c.conn)
	var frame [frameBytes]byte
	for {
		length, err := in.ReadByte()
		if err != nil {
			break
		}
		frame[0] = length
		if in.Buffered() < int(length) {
			// Acknowledge at once: Nagle's algorithm may hold the rest back until then.
			c.acknowledge()
		}
		if _, err := io.ReadFull(in, frame[1:1+int(length)]); err != nil {
			break
		}
		r.append(frame[:1+int(length)])
		runtime.Gosched() // lets the others run, or a flood would overrun them
	}
	r.leave(c)
}

func (c *client) acknowledge() {
	if raw, err := c.conn.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
		})
	}
}

// append is the sequencing point: the holder of the write lock comes next.
func (r *room) append(frame []byte) {
	r.lock.Lock()
	copy(r.ring[r.end%ringFrames][:], frame)
	r.end++
	r.lock.Unlock()
	r.grew.Broadcast()
}

// leave lets the client's send goroutine finish with what is in the ring now.
func (r *room) leave(c *client) {
	r.lock.Lock()
	c.until = r.end
	r.lock.Unlock()
	r.grew.Broadcast()
}

// send writes what is new in the ring, until the client has left and has been sent
// everything. If the client has disconnected, it closes at once, which wakes receive.
func (r *room) send(c *client) {
	defer c.conn.Close()
	batch := make([]byte, 0, batchBytes)
	for {
		batch = r.await(c, batch[:0])
		if len(batch) == 0 {
			return
		}
		if _, err := c.conn.Write(batch); err != nil {
			return
		}
	}
}

// await waits for frames that are new for the client and copies them into the batch, as
// many as fit. The batch remains empty if there will be none.
func (r *room) await(c *client, batch []byte) []byte {
	r.grew.L.Lock()
	defer r.grew.L.Unlock()
	for c.next == r.end && c.until == forever {
		r.grew.Wait()
	}
	if r.end > ringFrames && c.next < r.end-ringFrames {
		c.next = r.end - ringFrames // overrun: it misses the oldest
	}
	for c.next < r.end && c.next < c.until && len(batch) <= cap(batch)-frameBytes {
		frame := &r.ring[c.next%ringFrames]
		batch = append(batch, frame[:1+int(frame[0])]...)
		c.next++
	}
	return batch
}
