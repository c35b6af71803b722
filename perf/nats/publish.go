package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

// begun is the zero of all times in messages: one monotonic clock for both ends.
var begun = time.Now()

func now() int64 { return int64(time.Since(begun)) }

// sharpTimers lets the calling goroutine have a thread whose sleeps end on time.
func sharpTimers() {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}

// sleepUntil sleeps in the kernel: Go's own timers are up to a millisecond late when nothing else happens.
func sleepUntil(due int64) {
	if wait := due - now(); wait > 0 {
		left := unix.NsecToTimespec(wait)
		_ = unix.Nanosleep(&left, nil)
	}
}

// drainMax is how long answers are waited for at the end.
const drainMax = 10 * time.Second

// span is the part of a run that is measured, in ns.
type span struct{ from, to int64 }

func (s span) has(at int64) bool { return at >= s.from && at < s.to }

// client is one connection that publishes.
type client struct {
	o        options
	nth      int
	conn     *nats.Conn
	inbox    string
	measured span
	places   chan int
	due      []int64
	sent     []int64
	own      measures
	lock     sync.Mutex
	failed   atomic.Pointer[error]
	acked    atomic.Int64
}

func newClient(o options, nth int, measured span) (*client, error) {
	conn, err := connect(o)
	if err != nil {
		return nil, err
	}
	c := &client{o: o, nth: nth, conn: conn, inbox: nats.NewInbox() + ".", measured: measured, own: newMeasures()}
	c.places, c.due, c.sent = make(chan int, o.window), make([]int64, o.window), make([]int64, o.window)
	for place := range o.window {
		c.places <- place
	}
	if _, err = conn.Subscribe(c.inbox+"*", c.answered); err != nil {
		return nil, err
	}
	return c, conn.Flush()
}

// answered enters an acknowledgement, and makes room for the next message.
func (c *client) answered(answer *nats.Msg) {
	at := now()
	place, err := strconv.Atoi(strings.TrimPrefix(answer.Subject, c.inbox))
	if err == nil && bytes.Contains(answer.Data, []byte(`"error"`)) {
		err = refused(answer.Data)
	}
	if err == nil && len(answer.Data) == 0 {
		err = errors.New("nobody stores what is published: is JetStream on?")
	}
	if err != nil {
		c.failed.CompareAndSwap(nil, &err)
		return
	}
	c.lock.Lock()
	due, sent := c.due[place], c.sent[place]
	if c.measured.has(due) {
		c.own.record("service", at-sent)
		c.own.record("ack", at-due)
	}
	if c.measured.has(at) {
		c.own.acked++
	}
	c.lock.Unlock()
	c.acked.Add(1)
	c.places <- place
}

// run publishes until the end, or until so many messages were sent.
func (c *client) run(start, end int64, bound int64) error {
	payload := make([]byte, max(c.o.size, 8))
	fill := rand.New(rand.NewPCG(1, uint64(c.nth)))
	for at := 8; at < len(payload); at++ {
		payload[at] = byte(fill.Uint32())
	}
	pause := 0.0
	if c.o.rate > 0 {
		pause = 1e9 / c.o.rate
		sharpTimers()
	}
	for number := int64(0); bound == 0 || number < bound; number++ {
		due := start + int64(pause*float64(number*int64(c.o.connections)+int64(c.nth)))
		if pause > 0 && due >= end || now() >= end {
			break
		}
		if pause > 0 {
			sleepUntil(due)
		}
		ready := now()
		place, err := c.place(end)
		if err != nil {
			return err
		}
		if place < 0 {
			break
		}
		if pause == 0 {
			due = now()
		}
		binary.LittleEndian.PutUint64(payload, uint64(due))
		c.lock.Lock()
		c.due[place], c.sent[place] = due, now()
		if pause > 0 && c.measured.has(due) {
			c.own.record("lag", max(ready-due, 0))
		}
		c.lock.Unlock()
		subject := c.o.stream(int(number*int64(c.o.connections)+int64(c.nth)) % c.o.streams)
		if err := c.conn.PublishRequest(subject, c.inbox+strconv.Itoa(place), payload); err != nil {
			return err
		}
	}
	return c.drain()
}

// place waits for room in the window; -1 if the end came first.
func (c *client) place(end int64) (int, error) {
	select {
	case place := <-c.places:
		return place, nil
	default:
	}
	if failed := c.failed.Load(); failed != nil {
		return 0, *failed
	}
	select {
	case place := <-c.places:
		return place, nil
	case <-time.After(time.Duration(max(end-now(), 0)) + drainMax):
		if failed := c.failed.Load(); failed != nil {
			return 0, *failed
		}
		return -1, nil
	}
}

// drain waits for what is still under way.
func (c *client) drain() error {
	until := time.Now().Add(drainMax)
	for len(c.places) < c.o.window && time.Now().Before(until) && c.failed.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	if failed := c.failed.Load(); failed != nil {
		return *failed
	}
	return nil
}

// publish is the mode: sends, and waits for acknowledgements.
func publish(o options) (result, error) {
	if err := makeStreams(o); err != nil {
		return result{}, err
	}
	defer dropStreams(o)
	return send(o, newMeasures())
}

// send runs all clients; `more` is what somebody else has measured meanwhile.
func send(o options, more measures) (result, error) {
	start := now() + int64(200*time.Millisecond)
	measured := span{start + int64(o.warmup), start + int64(o.warmup+o.duration)}
	clients := make([]*client, o.connections)
	for nth := range clients {
		client, err := newClient(o, nth, measured)
		if err != nil {
			return result{}, err
		}
		defer client.conn.Close()
		clients[nth] = client
	}
	// 200 connections take a while: nothing is due before all are there.
	if late := now() - start; late > 0 {
		start += late
		measured.from, measured.to = measured.from+late, measured.to+late
		for _, client := range clients {
			client.measured = measured
		}
	}
	watch := watched(o.pid, measured)
	bound := int64(0)
	if o.bytes > 0 {
		bound = max(o.bytes/int64(o.size)/int64(o.connections), 1)
	}
	ends := make(chan error, len(clients))
	for _, client := range clients {
		go func() { ends <- client.run(start, measured.to, bound) }()
	}
	for range clients {
		if err := <-ends; err != nil {
			return result{}, fmt.Errorf("publishing: %w", err)
		}
	}
	ended := min(now(), measured.to)
	all := newMeasures()
	for _, client := range clients {
		client.lock.Lock()
		all.add(client.own)
		client.lock.Unlock()
	}
	more.lock.Lock()
	all.add(more)
	more.lock.Unlock()
	seconds := float64(ended-measured.from) / 1e9
	return newResult(o, all, seconds, watch()), nil
}
