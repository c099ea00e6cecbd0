package org.apache.kafka.connect.util.clusters;

import java.nio.charset.StandardCharsets;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import peers.Broker;

/** Takes the place of Connect's class: the broker that runs already. */
public final class EmbeddedKafkaCluster {
  private final EmbeddedConnectCluster connect;

  EmbeddedKafkaCluster(EmbeddedConnectCluster connect) {
    this.connect = connect;
  }

  public String bootstrapServers() {
    return Broker.BOOTSTRAP_SERVERS;
  }

  public Admin createAdminClient() {
    return Broker.newAdmin();
  }

  public void createTopic(String topic, int partitions) {
    Broker.createTopic(topic, partitions);
  }

  /** Writes a record; the connector of its topic is run. */
  public void produce(String topic, String key, String value) {
    byte[] keyBytes = key == null ? null : key.getBytes(StandardCharsets.UTF_8);
    byte[] valueBytes = value == null ? null : value.getBytes(StandardCharsets.UTF_8);
    Broker.send(topic, 0, null, keyBytes, valueBytes);
    connect.produced(topic, keyBytes, valueBytes);
  }

  public ConsumerRecords<byte[], byte[]> consume(int count, long maxMs, String... topics) {
    return Broker.consume(count, maxMs, topics);
  }
}
