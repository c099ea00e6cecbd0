package io.aiven.kafka.connect.jdbc;

import java.time.Duration;
import java.util.Map;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import peers.Broker;
import peers.Database;

/**
 * Takes the place of Aiven's class: a Kafka and a PostgreSQL that run already, and JSON with schemas where the tests write Avro,
 * which the sink under test does not read.
 */
public abstract class AbstractIT {
  protected static final Duration CONTAINER_STARTUP_TIMEOUT = Duration.ZERO;
  protected static final String TEST_TOPIC_NAME = "test_topic";

  protected static KafkaProducer<String, GenericRecord> producer;

  protected final SchemaRegistryContainer schemaRegistryContainer = new SchemaRegistryContainer();
  protected ConnectRunner connectRunner;

  private final JsonConverter keys = converter(true);
  private final JsonConverter values = converter(false);

  private static JsonConverter converter(boolean key) {
    JsonConverter converter = new JsonConverter();
    converter.configure(Map.of("schemas.enable", "true"), key);
    return converter;
  }

  /** Removes what other tests have left. */
  @BeforeEach
  void startKafka() throws Exception {
    Broker.reset();
    Database.empty();
    createTopic(TEST_TOPIC_NAME, 4);
    connectRunner = new ConnectRunner();
    producer = new KafkaProducer<>(
        Map.of("bootstrap.servers", Broker.BOOTSTRAP_SERVERS),
        (topic, key) -> keys.fromConnectData(topic, Schema.STRING_SCHEMA, key),
        (topic, record) -> record == null ? null : json(topic, record));
  }

  protected void createTopic(String topic, int partitions) throws Exception {
    Broker.createTopic(topic, partitions);
  }

  private byte[] json(String topic, GenericRecord record) {
    SchemaBuilder builder = SchemaBuilder.struct();
    record.getSchema().getFields().forEach(field -> builder.field(field.name(), switch (field.schema().getType()) {
      case INT -> Schema.INT32_SCHEMA;
      case STRING -> Schema.STRING_SCHEMA;
      default -> throw new IllegalArgumentException(field.schema().toString());
    }));
    Struct row = new Struct(builder.build());
    record.getSchema().getFields().forEach(field -> row.put(field.name(), record.get(field.name())));
    return values.fromConnectData(topic, row.schema(), row);
  }

  @AfterEach
  final void tearDown() {
    connectRunner.stop();
    producer.close();
  }
}
