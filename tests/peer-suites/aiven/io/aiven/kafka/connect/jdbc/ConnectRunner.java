package io.aiven.kafka.connect.jdbc;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import peers.Mapping;
import peers.SinkProcess;

/** Takes the place of Aiven's class: the sink under test instead of a Connect worker. It runs until the test ends. */
public final class ConnectRunner {
  private Process sink;

  public void createConnector(Map<String, String> config) {
    Map<String, String> properties = new HashMap<>(config);
    properties.keySet().removeIf(key -> key.startsWith("key.converter") || key.startsWith("value.converter"));
    String topic = config.get("topics");
    List<String> key = new ArrayList<>();
    if (config.containsKey("pk.fields")) {
      key.addAll(List.of(config.get("pk.fields").split(",")));
    }
    Mapping mapping = new Mapping(false, topic, key, Map.of());
    sink = new SinkProcess(config.get("name")).start(config.get("connector.class"), properties, Map.of(topic, mapping));
  }

  void stop() {
    if (sink != null) {
      sink.destroy();
      try {
        sink.waitFor();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
