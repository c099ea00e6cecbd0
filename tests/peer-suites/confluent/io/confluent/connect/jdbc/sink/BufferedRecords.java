package io.confluent.connect.jdbc.sink;

import io.confluent.connect.jdbc.dialect.DatabaseDialect;
import io.confluent.connect.jdbc.util.TableId;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.sink.SinkRecord;
import peers.Mapping;
import peers.SinkProcess;

/**
 * Takes the place of Confluent's class, to which its writer gives the records of a table: the sink under test writes them. Confluent's
 * own code creates and alters the table.
 */
public class BufferedRecords {
  /** What lasts from one batch of a writer to the next. */
  private static final class Sink {
    final SinkProcess process = new SinkProcess();
    final Map<String, Mapping> mappings = new HashMap<>();
  }

  private static final Map<JdbcSinkConfig, Sink> SINKS = new IdentityHashMap<>();

  private final Sink sink;
  private final Map<String, String> properties;
  private final List<SinkRecord> records = new ArrayList<>();

  public BufferedRecords(JdbcSinkConfig config, TableId table, DatabaseDialect dialect, DbStructure structure, Connection connection) {
    sink = SINKS.computeIfAbsent(config, any -> new Sink());
    properties = config.originalsStrings();
  }

  public List<SinkRecord> add(SinkRecord record) {
    records.add(record);
    return List.of();
  }

  /** A record that the sink under test rejects is what the peer's statement fails on. */
  public List<SinkRecord> flush() throws SQLException {
    TablesOnly tables = new TablesOnly(properties);
    records.forEach(record -> sink.mappings.merge(record.topic(), tables.prepare(record), Mapping::and));
    try {
      sink.process.write("io.confluent.connect.jdbc.JdbcSinkConnector", properties, records, sink.mappings);
    } catch (ConnectException e) {
      throw new SQLException(e);
    }
    return List.copyOf(records);
  }

  public void close() {}
}
