// Members of groups as Go's clients have them: members franz-go|franz-go-848|sarama ADDRESS TOPIC GROUP
// What they print and how they are ended is told in ci/clients/member.py.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

const (
	session = 6 * time.Second
	beat    = time.Second
	maxWait = 200 * time.Millisecond
)

func own(partitions []int32) {
	line := "own"
	slices.Sort(partitions)
	for _, partition := range partitions {
		line += fmt.Sprint(" ", partition)
	}
	fmt.Println(line)
}

func read(partition int32, offset int64, value []byte) {
	fmt.Printf("read %d %d %s\n", partition, offset, value)
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	address, topic, group := os.Args[2], os.Args[3], os.Args[4]
	switch os.Args[1] {
	case "franz-go":
		franz(ctx, address, topic, group, false)
	case "franz-go-848":
		franz(ctx, address, topic, group, true)
	case "sarama":
		saramaMember(ctx, address, topic, group)
	default:
		must(fmt.Errorf("no client is called %s", os.Args[1]))
	}
}
