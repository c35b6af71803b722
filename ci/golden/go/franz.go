package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var franzCodecs = map[string]kgo.CompressionCodec{
	"":       kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func franz(address, codec string) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	topic := "franz-go-topic" + codec
	common := []kgo.Opt{kgo.SeedBrokers(address), kgo.ClientID("golden")}
	client, err := kgo.NewClient(append(common, kgo.ProducerBatchCompression(franzCodecs[codec]),
		kgo.ProducerLinger(100*time.Millisecond), kgo.AllowAutoTopicCreation())...)
	must(err)
	var batch []*kgo.Record
	for nth := range records {
		value := fmt.Sprintf("value %d, value %d, value %d", nth, nth, nth)
		header := kgo.RecordHeader{Key: "header", Value: []byte("x")}
		batch = append(batch, &kgo.Record{Topic: topic, Key: fmt.Append(nil, "key ", nth), Value: []byte(value),
			Headers: []kgo.RecordHeader{header}})
	}
	must(client.ProduceSync(ctx, batch...).FirstErr())
	client.Close()
	franzConsume(ctx, common, topic)
	if codec == "" {
		franzTransact(ctx, common, topic)
		franzAdminister(ctx, common, topic)
	}
}

func franzConsume(ctx context.Context, common []kgo.Opt, topic string) {
	client, err := kgo.NewClient(append(common, kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(time.Second))...)
	must(err)
	for read := 0; read < records && ctx.Err() == nil; {
		read += client.PollFetches(ctx).NumRecords()
	}
	attempt("commit", client.CommitUncommittedOffsets(ctx))
	client.Close()
}

func franzTransact(ctx context.Context, common []kgo.Opt, topic string) {
	client, err := kgo.NewClient(append(common, kgo.TransactionalID("golden-franz"))...)
	must(err)
	defer client.Close()
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		attempt("begin", client.BeginTransaction())
		record := &kgo.Record{Topic: topic, Value: []byte("in a transaction")}
		attempt("produce", client.ProduceSync(ctx, record).FirstErr())
		attempt("end", client.EndTransaction(ctx, end))
	}
}

func franzAdminister(ctx context.Context, common []kgo.Opt, topic string) {
	client, err := kgo.NewClient(common...)
	must(err)
	defer client.Close()
	admin := kadm.NewClient(client)
	value := "86400000"
	_, err = admin.CreateTopic(ctx, 1, 1, nil, "golden-made")
	attempt("create", err)
	_, err = admin.UpdatePartitions(ctx, 2, "golden-made")
	attempt("grow", err)
	_, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}},
		topic)
	attempt("alter", err)
	_, err = admin.DescribeTopicConfigs(ctx, topic)
	attempt("configs", err)
	_, err = admin.ListEndOffsets(ctx, topic)
	attempt("offsets", err)
	var epochs kadm.OffsetForLeaderEpochRequest
	epochs.Add(topic, 0, 0)
	_, err = admin.OffetForLeaderEpoch(ctx, epochs)
	attempt("epochs", err)
	_, err = admin.ListGroups(ctx)
	attempt("groups", err)
	_, err = admin.DescribeGroups(ctx, topic)
	attempt("group", err)
	_, err = admin.FetchOffsets(ctx, topic)
	attempt("group offsets", err)
	_, err = admin.DescribeAllLogDirs(ctx, nil)
	attempt("log dirs", err)
	_, err = admin.ListPartitionReassignments(ctx, nil)
	attempt("reassignments", err)
	_, err = admin.ListTransactions(ctx, nil, nil)
	attempt("transactions", err)
	_, err = admin.BrokerMetadata(ctx)
	attempt("cluster", err)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 1})
	_, err = admin.DeleteRecords(ctx, offsets)
	attempt("records", err)
	_, err = admin.DeleteGroups(ctx, topic)
	attempt("delete group", err)
	_, err = admin.DeleteTopics(ctx, "golden-made")
	attempt("delete", err)
}
