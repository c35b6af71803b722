package main

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// member reads one topic.
type member struct{ topic string }

func (m member) Setup(session sarama.ConsumerGroupSession) error {
	own(session.Claims()[m.topic])
	return nil
}

func (member) Cleanup(sarama.ConsumerGroupSession) error {
	own(nil)
	return nil
}

// ConsumeClaim reads a partition, and commits whenever no more of it has come yet.
func (member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				session.Commit()
				return nil
			}
			read(message.Partition, message.Offset, message.Value)
			session.MarkMessage(message, "")
			if len(claim.Messages()) == 0 {
				session.Commit()
			}
		case <-session.Context().Done():
			session.Commit()
			return nil
		}
	}
}

func saramaMember(ctx context.Context, address, topic, group string) {
	config := sarama.NewConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.MaxWaitTime = maxWait
	config.Consumer.Group.Session.Timeout = session
	config.Consumer.Group.Heartbeat.Interval = beat
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRoundRobin()}
	client, err := sarama.NewConsumerGroup([]string{address}, group, config)
	must(err)
	for ctx.Err() == nil {
		// It returns when the group rebalances, and is to be called again.
		if err := client.Consume(ctx, []string{topic}, member{topic}); err != nil {
			fmt.Println("consume", err)
			time.Sleep(maxWait)
		}
	}
	must(client.Close())
}
