package peers;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.errors.ConnectException;

/** The broker at BOOTSTRAP_SERVERS. */
public final class Broker {
  public static final String BOOTSTRAP_SERVERS = System.getenv("BOOTSTRAP_SERVERS");
  private static final Map<String, Object> CLIENT = Map.of("bootstrap.servers", BOOTSTRAP_SERVERS);
  private static final Admin ADMIN = Admin.create(CLIENT);
  private static final KafkaProducer<byte[], byte[]> PRODUCER =
      new KafkaProducer<>(CLIENT, new ByteArraySerializer(), new ByteArraySerializer());

  private Broker() {}

  public static Admin newAdmin() {
    return Admin.create(CLIENT);
  }

  /** Creates a topic; one that exists keeps its records. */
  public static void createTopic(String name, int partitions) {
    if (!topics().contains(name)) {
      done(ADMIN.createTopics(List.of(new NewTopic(name, partitions, (short) 1))).all());
    }
  }

  /** Deletes all topics and groups that are not the broker's own, and waits until they are gone. */
  public static void reset() {
    List<String> groups = new ArrayList<>();
    done(ADMIN.listConsumerGroups().all()).forEach(group -> groups.add(group.groupId()));
    done(ADMIN.deleteConsumerGroups(groups).all());
    done(ADMIN.deleteTopics(topics()).all());
    while (!topics().isEmpty()) {
      Thread.onSpinWait();
    }
  }

  /** Has the next record of a partition at this offset, where the group goes on, as tests make up offsets. */
  public static void beginAt(String topic, int partition, long offset, String group) {
    if (offset > 0) {
      for (long filler = 0; filler < offset; filler++) {
        send(topic, partition, null, null, null);
      }
      TopicPartition position = new TopicPartition(topic, partition);
      done(ADMIN.alterConsumerGroupOffsets(group, Map.of(position, new OffsetAndMetadata(offset))).all());
    }
  }

  private static Set<String> topics() {
    return done(ADMIN.listTopics().names());
  }

  /** Writes a record, and returns when the broker has it. */
  public static void send(String topic, int partition, Long timestamp, byte[] key, byte[] value) {
    try {
      PRODUCER.send(new ProducerRecord<>(topic, partition, timestamp, key, value)).get();
    } catch (InterruptedException | ExecutionException e) {
      throw new ConnectException(e);
    }
  }

  /** At least so many records of the topics, from their beginning, within the time. */
  public static ConsumerRecords<byte[], byte[]> consume(int count, long maxMs, String... topics) {
    Map<TopicPartition, List<ConsumerRecord<byte[], byte[]>>> found = new HashMap<>();
    Map<String, Object> settings = new HashMap<>(CLIENT);
    settings.put("auto.offset.reset", "earliest");
    long end = System.currentTimeMillis() + maxMs;
    try (KafkaConsumer<byte[], byte[]> consumer =
        new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      List<TopicPartition> partitions = new ArrayList<>();
      for (String topic : List.of(topics).stream().filter(topics()::contains).toList()) {
        consumer.partitionsFor(topic).forEach(each -> partitions.add(new TopicPartition(topic, each.partition())));
      }
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      int have = 0;
      while (!partitions.isEmpty() && have < count && System.currentTimeMillis() < end) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
          found.computeIfAbsent(new TopicPartition(record.topic(), record.partition()), any -> new ArrayList<>()).add(record);
          have++;
        }
      }
    }
    return new ConsumerRecords<>(found);
  }

  private static <T> T done(KafkaFuture<T> future) {
    try {
      return future.get();
    } catch (InterruptedException | ExecutionException e) {
      throw new ConnectException(e);
    }
  }
}
