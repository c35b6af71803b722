import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A member of a group as Java's client has it: {@code Member classic|consumer ADDRESS TOPIC GROUP}.
 * What it prints and how it is ended is told in ci/clients/member.py.
 */
public final class Member implements ConsumerRebalanceListener {
    private static volatile boolean stopping;
    private final TreeSet<Integer> share = new TreeSet<>();

    public static void main(String[] arguments) {
        var left = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            try {
                left.await();
            } catch (InterruptedException error) {
                throw new IllegalStateException(error);
            }
        }));
        try (var consumer = new KafkaConsumer<String, String>(config(arguments[0], arguments[1], arguments[3]))) {
            consumer.subscribe(List.of(arguments[2]), new Member());
            while (!stopping) {
                read(consumer);
            }
        } finally {
            left.countDown();
        }
    }

    private static Map<String, Object> config(String protocol, String address, String group) {
        var config = new java.util.HashMap<String, Object>(Map.of(
            "bootstrap.servers", address,
            "group.id", group,
            "group.protocol", protocol,
            "auto.offset.reset", "earliest",
            "enable.auto.commit", false,
            "fetch.max.wait.ms", 200,
            "key.deserializer", StringDeserializer.class,
            "value.deserializer", StringDeserializer.class));
        if (protocol.equals("classic")) {
            // Those of the consumer protocol leave this to the broker.
            config.put("partition.assignment.strategy", RoundRobinAssignor.class.getName());
            config.put("session.timeout.ms", 6000);
            config.put("heartbeat.interval.ms", 1000);
        }
        return config;
    }

    private static void read(KafkaConsumer<String, String> consumer) {
        var records = consumer.poll(Duration.ofMillis(200));
        records.forEach(record -> say("read %d %d %s", record.partition(), record.offset(), record.value()));
        if (!records.isEmpty()) {
            try {
                consumer.commitSync();
            } catch (KafkaException error) {
                // The group may be rebalancing: whoever gets the share reads again.
                say("commit %s", error);
            }
        }
    }

    private static void say(String line, Object... values) {
        System.out.println(String.format(line, values));
    }

    private void own() {
        say("own %s", share.stream().map(String::valueOf).collect(Collectors.joining(" ")));
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        partitions.forEach(partition -> share.add(partition.partition()));
        own();
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        partitions.forEach(partition -> share.remove(partition.partition()));
        own();
    }
}
