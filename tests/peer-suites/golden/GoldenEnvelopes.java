import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.Random;
import java.util.stream.Collectors;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;

/**
 * Random records go through the JsonConverter of Kafka Connect into topics, and by the sink into tables. What the tables then hold
 * is compared with the values that the converter was given.
 *
 * <p>Arguments: the sink's binary, a working directory, the broker, the JDBC URL, the PostgreSQL URL, a seed, the number of tables,
 * and of rows of each table.
 */
public final class GoldenEnvelopes {
  /** What a record must have become: the values of the columns of one row. */
  private record Row(long id, List<Object> values) {}

  /** A topic with random records and the table for it. */
  private record Table(String name, String decimals, boolean defaults, List<Column> columns, List<Row> rows) {}

  public static void main(String[] arguments) throws Exception {
    Path sink = Path.of(arguments[0]);
    Path directory = Path.of(arguments[1]);
    long seed = Long.parseLong(arguments[5]);
    int tables = Integer.parseInt(arguments[6]);
    int rows = Integer.parseInt(arguments[7]);
    System.out.println("seed " + seed);
    List<Table> made = new ArrayList<>();
    Properties properties = new Properties();
    properties.put("bootstrap.servers", arguments[2]);
    try (Connection database = DriverManager.getConnection(arguments[3]);
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
      for (int i = 0; i < tables; i++) {
        made.add(make("golden_%d_%d".formatted(seed, i), new Random(seed * 10_000 + i), rows, producer, database));
      }
      producer.flush();
      run(sink, directory, configuration(arguments[2], arguments[4], seed, made));
      System.exit(compare(made, database) ? 0 : 1);
    }
  }

  private static Table make(
      String name, Random random, int rows, KafkaProducer<byte[], byte[]> producer, Connection database) throws Exception {
    Schemas schemas = new Schemas(random);
    String decimals = random.nextBoolean() ? "BASE64" : "NUMERIC";
    boolean defaults = random.nextBoolean();
    Schema valueSchema = schemas.struct(1 + random.nextInt(12), 2).build();
    Schema keySchema = SchemaBuilder.struct().field("id", Schema.INT64_SCHEMA).field("k", required(schemas)).build();
    List<Column> columns = new ArrayList<>();
    columns.add(Column.of("k", keySchema.field("k").schema(), random, defaults));
    for (Field field : valueSchema.fields()) {
      columns.add(Column.of(field.name(), field.schema(), random, defaults));
    }
    String ddl = columns.stream().map(c -> Column.quoted(c.name()) + " " + c.type()).collect(Collectors.joining(", "));
    try (Statement statement = database.createStatement()) {
      statement.execute("CREATE TABLE " + name + " (id bigint, " + ddl + ", PRIMARY KEY (id, k))");
    }

    JsonConverter keys = converter(true, decimals, defaults);
    JsonConverter values = converter(false, decimals, defaults);
    List<Row> expected = new ArrayList<>();
    for (long id = 0; id < rows; id++) {
      Struct key = new Struct(keySchema).put("id", id).put("k", schemas.value(keySchema.field("k").schema(), true, false));
      Struct value = (Struct) schemas.value(valueSchema, true, defaults);
      producer.send(new ProducerRecord<>(name, keys.fromConnectData(name, keySchema, key), values.fromConnectData(name, valueSchema, value)));
      List<Object> row = new ArrayList<>();
      for (Column column : columns) {
        Object cell = column.name().equals("k") ? key.get("k") : value.getWithoutDefault(column.name());
        row.add(column.expected(cell, defaults));
      }
      expected.add(new Row(id, row));
    }
    return new Table(name, decimals, defaults, columns, expected);
  }

  /** A schema of a scalar that is neither optional nor has a default: a part of a key. */
  private static Schema required(Schemas schemas) {
    while (true) {
      Schema schema = schemas.scalar();
      if (!schema.isOptional() && schema.defaultValue() == null) {
        return schema;
      }
    }
  }

  private static JsonConverter converter(boolean key, String decimals, boolean defaults) {
    JsonConverter converter = new JsonConverter();
    converter.configure(
        Map.of("schemas.enable", "true", "decimal.format", decimals, "replace.null.with.default", String.valueOf(defaults)), key);
    return converter;
  }

  private static String configuration(String broker, String url, long seed, List<Table> tables) {
    String topics = tables.stream().map(table -> '"' + table.name() + '"').collect(Collectors.joining(", "));
    return """
        name = "golden-%d"
        [kafka]
        bootstrap_servers = "%s"
        topics = [%s]
        group_id = "golden-%d"
        [postgres]
        url = "%s"
        [sink]
        table = "${topic}"
        insert_mode = "upsert"
        pk_mode = "record_key"
        pk_fields = ["id", "k"]
        value_format = "json_schema"
        unknown_fields = "reject"
        [http]
        listen = "off"
        """.formatted(seed, broker, topics, seed, url);
  }

  private static void run(Path sink, Path directory, String configuration) throws Exception {
    Path file = directory.resolve("golden.toml");
    Files.writeString(file, configuration, StandardCharsets.UTF_8);
    Process process = new ProcessBuilder(sink.toString(), "--config", file.toString(), "run", "--until-end", "--deadline", "120s")
        .inheritIO().start();
    int code = process.waitFor();
    if (code != 0) {
      throw new IllegalStateException("the sink ended with exit code " + code);
    }
  }

  private static boolean compare(List<Table> tables, Connection database) throws Exception {
    long compared = 0;
    long different = 0;
    for (Table table : tables) {
      String columns = table.columns().stream().map(Column::select).collect(Collectors.joining(", "));
      try (Statement statement = database.createStatement();
          ResultSet rows = statement.executeQuery("SELECT " + columns + ", id FROM " + table.name() + " ORDER BY id")) {
        int n = table.columns().size();
        for (Row expected : table.rows()) {
          if (!rows.next() || rows.getLong(n + 1) != expected.id()) {
            System.out.printf("%s: no row for the record %d%n", table.name(), expected.id());
            different++;
            break;
          }
          for (int i = 0; i < n; i++) {
            Object found = table.columns().get(i).read().read(rows, i + 1);
            compared++;
            if (!Objects.equals(found, expected.values().get(i))) {
              different++;
              report(table, table.columns().get(i), expected, expected.values().get(i), found);
            }
          }
        }
      }
    }
    different += deadLetters(database);
    System.out.printf("%d tables, %d values compared, %d different%n", tables.size(), compared, different);
    return different == 0 && compared > 0;
  }

  private static void report(Table table, Column column, Row row, Object expected, Object found) {
    System.out.printf(
        "%s record %d, %s %s from %s (decimal.format %s): expected %s, found %s%n",
        table.name(), row.id(), column.name(), column.type(), column.schema().name() == null ? column.schema().type() : column.schema().name(),
        table.decimals(), expected, found);
  }

  private static long deadLetters(Connection database) throws Exception {
    long count = 0;
    try (Statement statement = database.createStatement();
        ResultSet rows = statement.executeQuery(
            "SELECT topic, \"offset\", reason, detail FROM sink_dead_letters WHERE topic LIKE 'golden_%' ORDER BY 1, 2")) {
      for (; rows.next(); count++) {
        System.out.printf("%s record %d is rejected: %s: %s%n", rows.getString(1), rows.getLong(2), rows.getString(3), rows.getString(4));
      }
    }
    return count;
  }
}
