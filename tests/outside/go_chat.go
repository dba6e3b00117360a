// Chat server in Go: per client one goroutine that reads and one that writes, and
// a channel of 256 messages between them and the world. One mutex guards the set
// of clients; the loop over it in broadcast is the sequencing point. A message is
// dropped for a client whose channel is full.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"
)

const queueMessages = 256

var (
	mutex   sync.Mutex
	clients = map[*client]bool{} // those who receive
)

type client struct {
	conn net.Conn
	out  chan []byte
}

func broadcast(frame []byte) {
	mutex.Lock()
	defer mutex.Unlock()
	for c := range clients {
		select {
		case c.out <- frame:
		default: // it is slow: drop
		}
	}
}

func (c *client) read() {
	in := bufio.NewReaderSize(c.conn, 4096)
	for {
		length, err := in.ReadByte()
		if err != nil {
			break
		}
		frame := make([]byte, 1+int(length))
		frame[0] = length
		if _, err := io.ReadFull(in, frame[1:]); err != nil {
			break
		}
		broadcast(frame)
	}
	mutex.Lock()
	delete(clients, c)
	mutex.Unlock()
	close(c.out) // nobody sends to it any more; write empties it and closes
}

func (c *client) write() {
	broken := false
	for frame := range c.out {
		if broken {
			continue // read goes on with what the client sent before it left
		}
		if _, err := c.conn.Write(frame); err != nil {
			broken = true
		}
	}
	c.conn.Close()
}

var addressForm = regexp.MustCompile(`^(?:\[([^\[\]]*:[^\[\]]*)\]|([^\[\]:\s]+)):([0-9]{1,5})$`)

// listen returns a listener on the one address that text means, and its name.
func listen(text string) (net.Listener, string, error) {
	parts := addressForm.FindStringSubmatch(text)
	if parts == nil {
		return nil, "", fmt.Errorf("not an address HOST:PORT")
	}
	port, _ := strconv.Atoi(parts[3])
	if port > 65535 {
		return nil, "", fmt.Errorf("port %d is too large", port)
	}
	ip, err := netip.ParseAddr(parts[1] + parts[2])
	literal := err == nil
	if !literal {
		if parts[1] != "" {
			return nil, "", err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", parts[2])
		if err != nil {
			return nil, "", err
		}
		ip = found[0].Unmap()
	}
	network := "tcp4"
	if ip.Is6() {
		network = "tcp6" // and IPv6 only, for [::] too
	}
	listener, err := net.Listen(network, netip.AddrPortFrom(ip, uint16(port)).String())
	if err != nil {
		return nil, "", err
	}
	if literal && port != 0 {
		return listener, text, nil
	}
	return listener, listener.Addr().String(), nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go_chat HOST:PORT")
		os.Exit(2)
	}
	listener, address, err := listen(os.Args[1])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	fmt.Println("listening on", address)
	for {
		conn, err := listener.Accept()
		if err != nil { // out of descriptors, mostly
			time.Sleep(50 * time.Millisecond)
			continue
		}
		c := &client{conn, make(chan []byte, queueMessages)}
		mutex.Lock()
		clients[c] = true
		mutex.Unlock()
		go c.read()
		go c.write()
	}
}
