package peers;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What the configuration of a topic needs beside the properties of the connector.
 *
 * @param event whether the values are change events of Debezium, not rows
 * @param table where the peer writes to
 * @param key the columns of the key, which a peer may take from the schema
 * @param columns the columns of fields, where the peer derives their names from something else
 */
public record Mapping(boolean event, String table, List<String> key, Map<String, String> columns) {
  /** Both: a topic may hold records of several schemas. */
  public Mapping and(Mapping other) {
    Map<String, String> all = new LinkedHashMap<>(columns);
    all.putAll(other.columns);
    return new Mapping(event || other.event, table, key.isEmpty() ? other.key : key, all);
  }
}
