package peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.stream.Collectors;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;

/**
 * Writes records of Kafka Connect with the sink under test: JsonConverter serialises them into topics, and `run --until-end`
 * writes what is there, with the configuration that `import-connect` makes of the connector's properties.
 *
 * <p>From the environment: SINK_BIN, BOOTSTRAP_SERVERS, and PEER_WORK for its files.
 */
public final class SinkProcess {
  private static final ObjectMapper JSON = new ObjectMapper();

  private static int runs;

  private final String name;
  private final Path directory;
  private final Set<String> begun = new HashSet<>();
  private final Map<Boolean, JsonConverter> keyConverters = Map.of(true, converter(true, true), false, converter(true, false));
  private final Map<Boolean, JsonConverter> valueConverters = Map.of(true, converter(false, true), false, converter(false, false));

  /** With a name of its own: no positions of other tests. */
  public SinkProcess() {
    this("peer-" + UUID.randomUUID());
  }

  /** The sink in place of the connector of this name. */
  public SinkProcess(String name) {
    this.name = name;
    directory = Path.of(System.getenv("PEER_WORK"), name);
  }

  /** How often the sink has run in this process. */
  public static int runs() {
    return runs;
  }

  private static JsonConverter converter(boolean key, boolean defaults) {
    JsonConverter converter = new JsonConverter();
    converter.configure(Map.of("schemas.enable", "true", "replace.null.with.default", String.valueOf(defaults)), key);
    return converter;
  }

  /** Writes the records, in their order. */
  public void write(String connector, Map<String, String> properties, Collection<SinkRecord> records, Map<String, Mapping> mappings) {
    Map<String, Integer> partitions = new HashMap<>();
    records.forEach(record -> partitions.merge(record.topic(), partition(record) + 1, Math::max));
    partitions.forEach(Broker::createTopic);
    for (SinkRecord record : records) {
      if (begun.add(record.topic())) {
        Broker.beginAt(record.topic(), partition(record), record.kafkaOffset(), "connect-" + name);
      }
      byte[] key = json(keyConverters, record.topic(), record.keySchema(), record.key());
      byte[] value = json(valueConverters, record.topic(), record.valueSchema(), record.value());
      Broker.send(record.topic(), partition(record), record.timestamp(), key, value);
    }
    run(connector, properties, mappings);
  }

  private static int partition(SinkRecord record) {
    return record.kafkaPartition() == null ? 0 : record.kafkaPartition();
  }

  /** The JSON of a value. A required field that is left to its default cannot be written without that default. */
  private static byte[] json(Map<Boolean, JsonConverter> converters, String topic, Schema schema, Object value) {
    if (value == null) {
      return null;
    }
    Schema relaxed = relaxed(schema);
    Object copy = copied(value, relaxed);
    try {
      return converters.get(false).fromConnectData(topic, relaxed, copy);
    } catch (DataException e) {
      return converters.get(true).fromConnectData(topic, relaxed, copy);
    }
  }

  /** The schema with optional structs: tests leave out `before` or `after` of an event although their schema requires them. */
  private static Schema relaxed(Schema schema) {
    if (schema == null || schema.type() != Schema.Type.STRUCT) {
      return schema;
    }
    SchemaBuilder builder = SchemaBuilder.struct().name(schema.name()).version(schema.version()).optional();
    schema.fields().forEach(field -> builder.field(field.name(), relaxed(field.schema())));
    return builder.build();
  }

  private static Object copied(Object value, Schema schema) {
    if (!(value instanceof Struct struct)) {
      return value;
    }
    Struct copy = new Struct(schema);
    schema.fields().stream()
        .filter(field -> struct.getWithoutDefault(field.name()) != null)
        .forEach(field -> copy.put(field, copied(struct.getWithoutDefault(field.name()), field.schema())));
    return copy;
  }

  /** Writes what the topics hold. */
  public void run(String connector, Map<String, String> properties, Map<String, Mapping> mappings) {
    List<String> arguments = configure(connector, properties, mappings);
    arguments.addAll(List.of("run", "--until-end", "--deadline", "15s"));
    runs++;
    call(Set.of(0), arguments);
  }

  /** Starts the sink, which writes what comes until it is stopped. */
  public Process start(String connector, Map<String, String> properties, Map<String, Mapping> mappings) {
    List<String> arguments = configure(connector, properties, mappings);
    arguments.add("run");
    runs++;
    try {
      return process(arguments).redirectOutput(Redirect.DISCARD).start();
    } catch (IOException e) {
      throw new ConnectException(e);
    }
  }

  /** Writes the configuration; returns the arguments that name it. */
  private List<String> configure(String connector, Map<String, String> properties, Map<String, Mapping> mappings) {
    Map<String, String> config = new TreeMap<>(properties);
    config.put("connector.class", connector);
    config.put("topics", String.join(",", mappings.keySet()));
    config.putIfAbsent("value.converter", "org.apache.kafka.connect.json.JsonConverter");
    config.putIfAbsent("key.converter", "org.apache.kafka.connect.json.JsonConverter");
    try {
      Files.createDirectories(directory);
      Path input = directory.resolve("connector.json");
      JSON.writeValue(input.toFile(), Map.of("name", name, "config", config));
      // Exit code 3: not every key has a translation. What is missing here is in `own`.
      List<String> translate = List.of("import-connect", input.toString(), "--bootstrap-servers", Broker.BOOTSTRAP_SERVERS);
      Path taken = Files.writeString(directory.resolve("imported.toml"), call(Set.of(0, 3), translate));
      Path own = Files.writeString(directory.resolve("own.toml"), own(properties, mappings));
      return new ArrayList<>(List.of("--config", taken.toString(), "--config", own.toString()));
    } catch (IOException e) {
      throw new ConnectException(e);
    }
  }

  /** What a user has to write by hand, as the comments of `import-connect` say: keys and columns that only the schema names. */
  private static String own(Map<String, String> properties, Map<String, Mapping> mappings) {
    StringBuilder toml = new StringBuilder("[kafka]\nauto_offset_reset = \"earliest\"\n[http]\nlisten = \"off\"\n");
    mappings.forEach((topic, mapping) -> {
      toml.append("[topics.").append(quoted(topic)).append("]\n");
      toml.append("table = ").append(quoted(mapping.table())).append('\n');
      if (!mapping.event()) {
        toml.append("value_format = \"json_schema\"\n");
        String pkMode = properties.getOrDefault("primary.key.mode", properties.getOrDefault("pk.mode", "none")).toLowerCase();
        String insertMode = properties.getOrDefault("insert.mode", "insert").toLowerCase().replace("multi", "insert");
        boolean inserts = insertMode.equals("insert");
        toml.append("insert_mode = ").append(quoted(insertMode)).append('\n');
        // Inserted rows have their key in the value already; the peers do not look for an index on it.
        toml.append("pk_mode = ").append(quoted(inserts && pkMode.equals("record_value") ? "none" : pkMode)).append('\n');
        if (pkMode.equals("none")) {
          toml.append("delete_enabled = false\n");
        }
      }
      if (!mapping.key().isEmpty()) {
        toml.append("pk_fields = [").append(mapping.key().stream().map(SinkProcess::quoted).collect(Collectors.joining(", "))).append("]\n");
      }
      List<String> renames = new ArrayList<>();
      mapping.columns().forEach((field, column) -> {
        if (!field.equals(column)) {
          renames.add(quoted(field) + " = " + quoted(column));
        }
      });
      if (!renames.isEmpty()) {
        toml.append("rename = { ").append(String.join(", ", renames)).append(" }\n");
      }
    });
    return toml.toString();
  }

  private static String quoted(String text) {
    return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }

  private ProcessBuilder process(List<String> arguments) {
    List<String> command = new ArrayList<>(List.of(System.getenv("SINK_BIN")));
    command.addAll(arguments);
    return new ProcessBuilder(command).redirectError(Redirect.appendTo(directory.resolve("stderr").toFile()));
  }

  /** Runs the binary, and returns what it wrote to its standard output. */
  private String call(Set<Integer> codes, List<String> arguments) {
    try {
      Files.deleteIfExists(directory.resolve("stderr"));
      Process process = process(arguments).start();
      String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      int code = process.waitFor();
      if (!codes.contains(code)) {
        String errors = Files.readString(directory.resolve("stderr"));
        throw new ConnectException("exit code " + code + " of " + arguments + "\n" + output + errors);
      }
      return output;
    } catch (IOException e) {
      throw new ConnectException(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new ConnectException(e);
    }
  }
}
