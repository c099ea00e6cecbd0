package org.apache.kafka.connect.util.clusters;

import io.confluent.connect.jdbc.sink.TablesOnly;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.runtime.rest.entities.ConnectorStateInfo;
import org.apache.kafka.connect.runtime.rest.entities.ConnectorType;
import peers.Broker;
import peers.Database;
import peers.Mapping;
import peers.SinkProcess;

/**
 * Takes the place of Connect's class in Confluent's tests: the sink under test instead of a worker with the connector. It runs
 * whenever the topic of the connector has something new. Confluent's own code creates and alters the tables.
 */
public class EmbeddedConnectCluster {
  private record Produced(String topic, byte[] key, byte[] value) {}

  private final EmbeddedKafkaCluster kafka = new EmbeddedKafkaCluster(this);
  private final List<Produced> waiting = new ArrayList<>();
  private String name;
  private Map<String, String> properties;
  private String failure;
  private int runsBefore;

  public static final class Builder {
    public Builder name(String name) {
      return this;
    }

    public Builder workerProps(Map<String, String> properties) {
      return this;
    }

    public EmbeddedConnectCluster build() {
      return new EmbeddedConnectCluster();
    }
  }

  /** Removes what other tests have left. */
  public void start() {
    runsBefore = SinkProcess.runs();
    Broker.reset();
    try {
      Database.empty();
    } catch (SQLException e) {
      throw new ConnectException(e);
    }
  }

  /** A test counts only if the sink under test has run. */
  public void stop() {
    if (SinkProcess.runs() == runsBefore) {
      throw new AssertionError("the sink has not run");
    }
  }

  public EmbeddedKafkaCluster kafka() {
    return kafka;
  }

  public String configureConnector(String connector, Map<String, String> config) {
    name = connector;
    properties = config;
    failure = null;
    run();
    return connector;
  }

  public void deleteConnector(String connector) {
    properties = null;
  }

  public ConnectorStateInfo connectorStatus(String connector) {
    String state = failure == null ? "RUNNING" : "FAILED";
    return new ConnectorStateInfo(connector, new ConnectorStateInfo.ConnectorState("RUNNING", "worker", null),
        List.of(new ConnectorStateInfo.TaskState(0, state, "worker", failure)), ConnectorType.SINK);
  }

  void produced(String topic, byte[] key, byte[] value) {
    waiting.add(new Produced(topic, key, value));
    if (properties != null) {
      run();
    }
  }

  private void run() {
    TablesOnly tables = new TablesOnly(properties);
    List<String> topics = Arrays.asList(properties.get("topics").split(","));
    Mapping mapping = null;
    String topic = topics.get(0);
    for (Produced record : waiting) {
      if (record.topic().equals(topic)) {
        Mapping next = tables.prepare(topic, record.key(), record.value());
        mapping = mapping == null ? next : mapping.and(next);
      }
    }
    waiting.removeIf(record -> record.topic().equals(topic));
    if (mapping == null) {
      return;
    }
    try {
      new SinkProcess(name).run("io.confluent.connect.jdbc.JdbcSinkConnector", properties, Map.of(topic, mapping));
    } catch (ConnectException e) {
      failure = e.getMessage();
    }
  }
}
