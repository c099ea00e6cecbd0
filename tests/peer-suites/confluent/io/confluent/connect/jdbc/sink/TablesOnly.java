package io.confluent.connect.jdbc.sink;

import io.confluent.connect.jdbc.dialect.DatabaseDialect;
import io.confluent.connect.jdbc.dialect.DatabaseDialects;
import io.confluent.connect.jdbc.sink.metadata.FieldsMetadata;
import io.confluent.connect.jdbc.util.TableId;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import peers.Mapping;

/** The part of Confluent's sink that creates and alters tables, which the sink under test does not do. */
public final class TablesOnly {
  private final JdbcSinkConfig config;
  private final DatabaseDialect dialect;
  private final boolean quoted;

  public TablesOnly(Map<String, String> properties) {
    config = new JdbcSinkConfig(properties);
    dialect = DatabaseDialects.findBestFor(config.connectionUrl, config);
    quoted = !"never".equalsIgnoreCase(properties.get(JdbcSinkConfig.QUOTE_SQL_IDENTIFIERS_CONFIG));
  }

  /** Makes the table fit a record of the topic if the connector is to do so; returns what the configuration must say. */
  public Mapping prepare(String topic, byte[] key, byte[] value) {
    return prepare(topic, data(true, topic, key), data(false, topic, value));
  }

  public Mapping prepare(SinkRecord record) {
    return prepare(record.topic(), new SchemaAndValue(record.keySchema(), record.key()),
        new SchemaAndValue(record.valueSchema(), record.value()));
  }

  private Mapping prepare(String topic, SchemaAndValue keyData, SchemaAndValue valueData) {
    String table = config.tableNameFormat.replace("${topic}", topic);
    Map<String, String> columns = new LinkedHashMap<>();
    List<String> fields = new ArrayList<>();
    if (valueData.schema() != null) {
      FieldsMetadata metadata = metadata(table, keyData, valueData);
      if (config.autoCreate || config.autoEvolve) {
        apply(topic, metadata);
      }
      metadata.allFields.keySet().forEach(field -> columns.put(field, quoted ? field : field.toLowerCase()));
      fields.addAll(metadata.keyFieldNames);
    }
    return new Mapping(false, quoted ? table : table.toLowerCase(), fields, columns);
  }

  private FieldsMetadata metadata(String table, SchemaAndValue key, SchemaAndValue value) {
    return FieldsMetadata.extract(table, config.pkMode, config.pkFields, config.fieldsWhitelist, config.stringOutputValueColumnName,
        key.schema(), value.schema());
  }

  private void apply(String topic, FieldsMetadata metadata) {
    DbStructure structure = new DbStructure(dialect);
    JdbcDbWriter writer = new JdbcDbWriter(config, dialect, structure);
    try (Connection connection = dialect.getConnection()) {
      TableId table = writer.destinationTable(topic, connection.getSchema(), connection.getCatalog());
      structure.createOrAmendIfNecessary(config, connection, table, metadata);
    } catch (TableAlterOrCreateException e) {
      // The sink under test has to cope with the table as it is.
    } catch (SQLException e) {
      throw new ConnectException(e);
    }
  }

  private static SchemaAndValue data(boolean key, String topic, byte[] json) {
    JsonConverter converter = new JsonConverter();
    converter.configure(Map.of(), key);
    try {
      return converter.toConnectData(topic, json);
    } catch (ConnectException e) {
      // A key that is no JSON.
      return SchemaAndValue.NULL;
    }
  }
}
