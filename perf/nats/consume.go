package main

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// endToEnd is the mode: sends, and reads at the same time, with one consumer per stream.
func endToEnd(o options) (result, error) {
	if err := makeStreams(o); err != nil {
		return result{}, err
	}
	defer dropStreams(o)
	found := newMeasures()
	since := now() + int64(o.warmup) + int64(200*time.Millisecond)
	stop, err := follow(o, o.streams, func(message jetstream.Msg) {
		at, data := now(), message.Data()
		due := int64(binary.LittleEndian.Uint64(data))
		found.lock.Lock()
		defer found.lock.Unlock()
		if due >= since && due < since+int64(o.duration) {
			found.record("e2e", at-due)
			found.received++
		}
	})
	if err != nil {
		return result{}, err
	}
	defer stop()
	return send(o, found)
}

// consume is the mode: reads all that is there, once.
func consume(o options) (result, error) {
	total, err := stored(o)
	if err != nil {
		return result{}, err
	}
	var received, last atomic.Int64
	done := make(chan struct{})
	start := now()
	watch := watched(o.pid, span{start, start})
	stop, err := follow(o, o.streams, func(jetstream.Msg) {
		if received.Add(1) == total {
			last.Store(now())
			close(done)
		}
	})
	if err != nil {
		return result{}, err
	}
	defer stop()
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		return result{}, errors.New("not everything came within five minutes")
	}
	found := newMeasures()
	found.received = total
	seconds := float64(last.Load()-start) / 1e9
	return newResult(o, found, seconds, watch()), nil
}

// idle is the mode: so many consumers, spread over the streams, wait for messages that don't come.
func idle(o options) (result, error) {
	if err := makeStreams(o); err != nil {
		return result{}, err
	}
	defer dropStreams(o)
	stop, err := follow(o, o.connections, func(jetstream.Msg) {})
	if err != nil {
		return result{}, err
	}
	defer stop()
	time.Sleep(o.warmup)
	watch := watched(o.pid, span{now(), now()})
	time.Sleep(o.duration)
	return newResult(o, newMeasures(), o.duration.Seconds(), watch()), nil
}

// stored is how many messages the streams hold.
func stored(o options) (int64, error) {
	conn, err := connect(o)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for nth := range o.streams {
		stream, err := js.Stream(context.Background(), o.stream(nth))
		if err != nil {
			return 0, err
		}
		total += int64(stream.CachedInfo().State.Msgs)
	}
	if total == 0 {
		return 0, errors.New("nothing is stored there")
	}
	return total, nil
}

// follow starts so many ordered consumers, each on a connection of its own; the function ends them.
func follow(o options, consumers int, take func(jetstream.Msg)) (func(), error) {
	var ends []func()
	stop := func() {
		for _, end := range ends {
			end()
		}
	}
	for nth := range consumers {
		conn, err := connect(o)
		if err != nil {
			return stop, err
		}
		ends = append(ends, conn.Close)
		js, err := jetstream.New(conn)
		if err != nil {
			return stop, err
		}
		name := o.stream(nth % o.streams)
		consumer, err := js.OrderedConsumer(context.Background(), name, jetstream.OrderedConsumerConfig{})
		if err != nil {
			return stop, err
		}
		consuming, err := consumer.Consume(take)
		if err != nil {
			return stop, err
		}
		ends = append(ends, consuming.Stop)
	}
	return stop, nil
}
