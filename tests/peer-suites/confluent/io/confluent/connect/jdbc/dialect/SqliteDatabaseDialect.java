package io.confluent.connect.jdbc.dialect;

import org.apache.kafka.common.config.AbstractConfig;

/** Takes the place of Confluent's class: its tests on SQLite use PostgreSQL. */
public final class SqliteDatabaseDialect extends PostgreSqlDatabaseDialect {
  public SqliteDatabaseDialect(AbstractConfig config) {
    super(config);
  }
}
