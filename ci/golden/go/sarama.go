package main

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

var saramaCodecs = map[string]sarama.CompressionCodec{
	"":       sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

// reader reads a few records of a group and leaves it.
type reader struct{ done context.CancelFunc }

func (reader) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (reader) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (r reader) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	read := 0
	for message := range claim.Messages() {
		session.MarkMessage(message, "")
		if read++; read == records {
			session.Commit()
			r.done()
		}
	}
	return nil
}

func saramaClient(address, codec string) {
	topic := "sarama-topic" + codec
	config := sarama.NewConfig()
	config.ClientID = "golden"
	config.Producer.Return.Successes = true
	config.Producer.Compression = saramaCodecs[codec]
	config.Producer.Flush.Messages = records
	config.Producer.Flush.Frequency = 500 * time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	producer, err := sarama.NewSyncProducer([]string{address}, config)
	must(err)
	var batch []*sarama.ProducerMessage
	for nth := range records {
		value := fmt.Sprintf("value %d, value %d, value %d", nth, nth, nth)
		batch = append(batch, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)})
	}
	must(producer.SendMessages(batch))
	must(producer.Close())
	group, err := sarama.NewConsumerGroup([]string{address}, topic, config)
	must(err)
	ctx, done := context.WithTimeout(context.Background(), 20*time.Second)
	attempt("consume", group.Consume(ctx, []string{topic}, reader{done}))
	must(group.Close())
	if codec == "" {
		saramaAdminister(address, topic, config)
	}
}

func saramaAdminister(address, topic string, config *sarama.Config) {
	admin, err := sarama.NewClusterAdmin([]string{address}, config)
	must(err)
	value := "86400000"
	attempt("create", admin.CreateTopic("golden-made", &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false))
	attempt("grow", admin.CreatePartitions("golden-made", 2, nil, false))
	attempt("alter", admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &value}, false))
	set := map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {Value: &value}}
	attempt("incrementally", admin.IncrementalAlterConfig(sarama.TopicResource, topic, set, false))
	_, err = admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	attempt("configs", err)
	_, err = admin.DescribeTopics([]string{topic})
	attempt("topics", err)
	_, err = admin.ListConsumerGroups()
	attempt("groups", err)
	_, err = admin.DescribeConsumerGroups([]string{topic})
	attempt("group", err)
	_, err = admin.ListConsumerGroupOffsets(topic, nil)
	attempt("group offsets", err)
	_, err = admin.DescribeLogDirs([]int32{1})
	attempt("log dirs", err)
	attempt("records", admin.DeleteRecords(topic, map[int32]int64{0: 1}))
	attempt("delete group", admin.DeleteConsumerGroup(topic))
	attempt("delete", admin.DeleteTopic("golden-made"))
	must(admin.Close())
}
