package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// franz is a member of the classic protocol, or of the consumer protocol (KIP-848): there the broker shares out.
func franz(ctx context.Context, address, topic, group string, brokerShares bool) {
	share := map[int32]bool{}
	assigned := func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
		for _, partition := range parts[topic] {
			share[partition] = true
		}
		own(slices.Collect(maps.Keys(share)))
	}
	revoked := func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
		for _, partition := range parts[topic] {
			delete(share, partition)
		}
		own(slices.Collect(maps.Keys(share)))
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(address), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(maxWait), kgo.SessionTimeout(session),
		kgo.HeartbeatInterval(beat), kgo.BlockRebalanceOnPoll(), kgo.OnPartitionsAssigned(assigned),
		kgo.OnPartitionsRevoked(revoked), kgo.OnPartitionsLost(revoked),
	}
	if brokerShares {
		options = append(options, kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer())
	} else {
		options = append(options, kgo.Balancers(kgo.RoundRobinBalancer()))
	}
	client, err := kgo.NewClient(options...)
	must(err)
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		fetches.EachRecord(func(record *kgo.Record) { read(record.Partition, record.Offset, record.Value) })
		if fetches.NumRecords() > 0 {
			// The group may be rebalancing: whoever gets the share reads again.
			if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
				fmt.Println("commit", err)
			}
		}
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
}
