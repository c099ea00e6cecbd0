package io.debezium.connector.jdbc;

import io.debezium.connector.common.DebeziumTaskState;
import io.debezium.connector.common.UUIDUtils;
import io.debezium.connector.jdbc.dialect.DatabaseDialect;
import io.debezium.connector.jdbc.dialect.DatabaseDialectResolver;
import io.debezium.openlineage.ConnectorContext;
import io.debezium.openlineage.DebeziumOpenLineageEmitter;
import io.debezium.sink.SinkConnectorConfig.PrimaryKeyMode;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;
import org.hibernate.SessionFactory;
import org.hibernate.StatelessSession;
import peers.Database;
import peers.Mapping;
import peers.SinkProcess;

/**
 * Takes the place of Debezium's task in its tests. Debezium's own code creates and alters the tables, as the sink under test does
 * not; the sink under test writes the rows.
 */
public class JdbcSinkConnectorTask extends SinkTask {
  private final SinkProcess sink = new SinkProcess();
  private Map<String, String> properties;
  private JdbcSinkConnectorConfig config;
  private SessionFactory sessions;
  private DatabaseDialect dialect;
  private JdbcChangeEventSink tables;
  private Throwable failure;

  @Override
  public String version() {
    return Module.version();
  }

  @Override
  public void start(Map<String, String> props) {
    properties = props;
    config = new JdbcSinkConnectorConfig(props);
    config.validate();
    sessions = config.getHibernateConfiguration().buildSessionFactory();
    StatelessSession session = sessions.openStatelessSession();
    dialect = DatabaseDialectResolver.resolve(config, sessions);
    ConnectorContext context = new ConnectorContext("peer", Module.name(), "0", Module.version(), UUIDUtils.generateNewUUID(), props);
    DebeziumOpenLineageEmitter.emit(context, DebeziumTaskState.INITIAL);
    tables = new JdbcChangeEventSink(config, session, dialect, (records, statement) -> {}, context);
  }

  /** As Debezium's: a failure is thrown by the next call; or else by `stop`. */
  @Override
  public void put(Collection<SinkRecord> records) {
    throwFailure();
    try {
      tables.execute(records);
      sink.write("io.debezium.connector.jdbc.JdbcSinkConnector", properties, records, mappings(records));
    } catch (Throwable throwable) {
      failure = throwable;
    }
  }

  private void throwFailure() {
    Throwable thrown = failure;
    failure = null;
    if (thrown != null) {
      throw new ConnectException("JDBC sink connector failure", thrown);
    }
  }

  /** What the configuration must say beside the properties, by topic. */
  private Map<String, Mapping> mappings(Collection<SinkRecord> records) {
    Map<String, Mapping> mappings = new HashMap<>();
    for (SinkRecord record : records) {
      JdbcKafkaSinkRecord parsed = new JdbcKafkaSinkRecord(record, config.getPrimaryKeyMode(), config.getPrimaryKeyFields(),
          config.getFieldFilter(), config.cloudEventsSchemaNamePattern(), dialect);
      Map<String, String> columns = new LinkedHashMap<>();
      if (!parsed.isTombstone() && !parsed.isTruncate()) {
        parsed.keyFieldNames();
        parsed.nonKeyFieldNames();
        parsed.jdbcFields().forEach((name, field) -> columns.put(name, column(field.getColumnName())));
      }
      List<String> key = new ArrayList<>();
      if (config.getPrimaryKeyMode() != PrimaryKeyMode.KAFKA) {
        parsed.keyFieldNames().forEach(name -> key.add(columns.getOrDefault(name, column(name))));
      }
      boolean event = record.valueSchema() != null && parsed.isDebeziumMessage();
      String table = config.getCollectionNamingStrategy().resolveCollectionName(parsed, config.getCollectionNameFormat());
      if (event && config.getPrimaryKeyMode() == PrimaryKeyMode.NONE && record.keySchema() != null) {
        record.keySchema().fields().forEach(field -> key.add(column(field.name())));
        index(table, key);
      }
      mappings.merge(record.topic(), new Mapping(event, table, key, columns), Mapping::and);
    }
    return mappings;
  }

  /** Events are always upserted, by a key: where Debezium inserts without one, the index that `check` asks the user for. */
  private static void index(String table, List<String> key) {
    try (Connection connection = Database.connect(); Statement statement = connection.createStatement()) {
      String columns = String.join("\", \"", key);
      statement.execute("CREATE UNIQUE INDEX IF NOT EXISTS %s_key ON %s (\"%s\")".formatted(table.replace('.', '_'), table, columns));
    } catch (SQLException e) {
      throw new ConnectException(e);
    }
  }

  private String column(String name) {
    String column = config.getColumnNamingStrategy().resolveColumnName(name);
    return config.isQuoteIdentifiers() ? column : column.toLowerCase();
  }

  public Throwable getLastProcessingException() {
    return failure;
  }

  @Override
  public void stop() {
    tables.close();
    sessions.close();
    throwFailure();
  }
}
