// Load for NATS JetStream, of the kind that ringlog-load makes for the Kafka protocol, with a result in the same form.
// A partition becomes a stream of its own with file storage and one replica; a record becomes a message, since JetStream
// has no batches; a request in flight becomes a message that isn't acknowledged yet.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/nats-io/nats.go"
)

// processorsMin is how many goroutines may run or sleep in the kernel at a time.
const processorsMin = 8

// options are what a run is told.
type options struct {
	url         string
	name        string
	streams     int
	size        int
	connections int
	window      int
	rate        float64
	bytes       int64
	warmup      time.Duration
	duration    time.Duration
	pid         int
	out         string
	keep        bool
}

func parse(words []string) options {
	var o options
	flags := flag.NewFlagSet("load MODE", flag.ExitOnError)
	flags.StringVar(&o.url, "url", "nats://127.0.0.1:4222", "server")
	flags.StringVar(&o.name, "name", "load", "beginning of the streams' names")
	flags.IntVar(&o.streams, "streams", 1, "streams, each with one subject")
	flags.IntVar(&o.size, "size", 1024, "bytes of a message")
	flags.IntVar(&o.connections, "connections", 1, "connections that publish, or idle consumers")
	flags.IntVar(&o.window, "window", 1, "messages of one connection that aren't acknowledged yet, at most")
	flags.Float64Var(&o.rate, "rate", 0, "messages a second over all connections; 0: as fast as they are taken")
	flags.Int64Var(&o.bytes, "bytes", 0, "end after so many bytes; 0: no bound")
	flags.DurationVar(&o.warmup, "warmup", 0, "what is left out of the results")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "how long is measured")
	flags.IntVar(&o.pid, "broker-pid", 0, "the server's process")
	flags.StringVar(&o.out, "out", "", "write OUT.json and OUT.NAME.hgrm")
	flags.BoolVar(&o.keep, "keep", false, "leave the streams there")
	_ = flags.Parse(words)
	return o
}

func main() {
	modes := map[string]func(options) (result, error){
		"publish": publish, "e2e": endToEnd, "consume": consume, "idle": idle,
	}
	if len(os.Args) < 2 || modes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: load publish|e2e|consume|idle [FLAGS]")
		os.Exit(2)
	}
	o := parse(os.Args[2:])
	// Pinned to one processor Go would run one goroutine at a time, and those that sleep in the kernel would hold it.
	runtime.GOMAXPROCS(processorsMin)
	found, err := modes[os.Args[1]](o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	if err := found.write(o.out); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func connect(o options) (*nats.Conn, error) {
	return nats.Connect(o.url, nats.MaxReconnects(0), nats.Timeout(10*time.Second))
}

// stream is the name of the nth stream, which is its subject, too.
func (o options) stream(nth int) string {
	return fmt.Sprintf("%s-%d", o.name, nth)
}

// makeStreams makes those that aren't there yet.
func makeStreams(o options) error {
	conn, err := connect(o)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := conn.JetStream(nats.MaxWait(30 * time.Second))
	if err != nil {
		return err
	}
	for nth := range o.streams {
		name := o.stream(nth)
		config := &nats.StreamConfig{Name: name, Subjects: []string{name}, Storage: nats.FileStorage, Replicas: 1}
		if _, err := js.AddStream(config); err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
	}
	return nil
}

func dropStreams(o options) {
	if o.keep {
		return
	}
	conn, err := connect(o)
	if err != nil {
		return
	}
	defer conn.Close()
	if js, err := conn.JetStream(nats.MaxWait(30 * time.Second)); err == nil {
		for nth := range o.streams {
			_ = js.DeleteStream(o.stream(nth))
		}
	}
}

// refused says what a server answered instead of an acknowledgement, if it did.
func refused(answer []byte) error {
	var ack struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer, &ack); err != nil {
		return fmt.Errorf("not an acknowledgement: %q", answer)
	}
	if ack.Error != nil {
		return fmt.Errorf("refused: %s", ack.Error.Description)
	}
	return nil
}
