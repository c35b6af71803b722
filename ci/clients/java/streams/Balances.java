// Money that moves between accounts, by Kafka Streams with exactly_once_v2. `feed` writes transfers, `app` books each
// of them on two accounts, `judge` reads what is committed of the accounts and compares it with what the transfers come
// to: the sums are right, and each account was booked exactly as often as it has transfers.
// usage: java -cp JARS Balances.java feed|app|judge BOOTSTRAP TRANSFERS [STATE_DIR]

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

public class Balances {
    static final int ACCOUNTS = 50;

    // The same transfers in every process: from, to, amount.
    static List<int[]> transfers(int count) {
        Random random = new Random(42);
        return IntStream.range(0, count)
                .mapToObj(i -> new int[] {random.nextInt(ACCOUNTS), random.nextInt(ACCOUNTS), 1 + random.nextInt(100)})
                .toList();
    }

    // An account's value is its balance, then how often it was booked.
    static String booked(String value, String amount) {
        String[] parts = value.split(":");
        return Long.parseLong(parts[0]) + Long.parseLong(amount) + ":" + (Long.parseLong(parts[1]) + 1);
    }

    static void feed(String bootstrap, int count) throws Exception {
        Map<String, Object> config = Map.of(
                "bootstrap.servers", bootstrap, "acks", "all", "enable.idempotence", true, "linger.ms", 2,
                "delivery.timeout.ms", 600000);
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            int number = 0;
            for (int[] transfer : transfers(count)) {
                String value = transfer[0] + "," + transfer[1] + "," + transfer[2];
                producer.send(new ProducerRecord<>("transfers", "t" + number++, value), (metadata, error) -> {
                    if (error != null) {
                        System.err.println("a transfer is lost: " + error);
                        System.exit(1);
                    }
                });
                if (number % 100 == 0) {
                    Thread.sleep(40);
                }
            }
        }
    }

    static void app(String bootstrap, String stateDir) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream("transfers", Consumed.with(Serdes.String(), Serdes.String()))
                .flatMap((id, value) -> {
                    String[] parts = value.split(",");
                    return List.of(
                            KeyValue.pair("account-" + parts[0], "-" + parts[2]),
                            KeyValue.pair("account-" + parts[1], parts[2]));
                })
                .groupByKey(Grouped.with(Serdes.String(), Serdes.String()))
                .aggregate(() -> "0:0", (account, amount, value) -> booked(value, amount),
                        Materialized.with(Serdes.String(), Serdes.String()))
                .toStream()
                .to("balances", Produced.with(Serdes.String(), Serdes.String()));
        Properties config = new Properties();
        config.put("application.id", "bank");
        config.put("bootstrap.servers", bootstrap);
        config.put("state.dir", stateDir);
        config.put("processing.guarantee", "exactly_once_v2");
        config.put("commit.interval.ms", 100);
        config.put("num.stream.threads", 2);
        config.put("producer.transaction.timeout.ms", 10000);
        config.put("consumer.session.timeout.ms", 6000);
        KafkaStreams streams = new KafkaStreams(builder.build(), config);
        streams.setUncaughtExceptionHandler(error -> StreamThreadExceptionResponse.REPLACE_THREAD);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    static void book(Map<String, String> all, String account, String amount) {
        all.put(account, booked(all.getOrDefault(account, "0:0"), amount));
    }

    static Map<String, String> expected(int count) {
        Map<String, String> all = new HashMap<>();
        for (int[] transfer : transfers(count)) {
            book(all, "account-" + transfer[0], "-" + transfer[2]);
            book(all, "account-" + transfer[1], "" + transfer[2]);
        }
        return all;
    }

    static int judge(String bootstrap, int count) {
        Map<String, String> expected = expected(count);
        Map<String, String> found = new HashMap<>();
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed");
        long until = System.currentTimeMillis() + 240_000;
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor("balances").stream()
                    .map((PartitionInfo one) -> new TopicPartition(one.topic(), one.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            while (!found.equals(expected) && System.currentTimeMillis() < until) {
                for (var record : consumer.poll(Duration.ofMillis(500))) {
                    String before = found.put(record.key(), record.value());
                    long times = Long.parseLong(record.value().split(":")[1]);
                    if (before != null && times <= Long.parseLong(before.split(":")[1])) {
                        System.err.println(record.key() + " went back from " + before + " to " + record.value());
                        return 1;
                    }
                }
            }
        }
        long sum = found.values().stream().mapToLong(value -> Long.parseLong(value.split(":")[0])).sum();
        long times = found.values().stream().mapToLong(value -> Long.parseLong(value.split(":")[1])).sum();
        System.out.println(found.size() + " accounts, sum " + sum + ", booked " + times + " of " + 2L * count);
        return found.equals(expected) && sum == 0 ? 0 : 1;
    }

    public static void main(String[] args) throws Exception {
        int count = Integer.parseInt(args[2]);
        switch (args[0]) {
            case "feed" -> feed(args[1], count);
            case "app" -> app(args[1], args[3]);
            case "judge" -> System.exit(judge(args[1], count));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }
}
