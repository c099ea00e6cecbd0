package io.debezium.connector.jdbc.junit.jupiter;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import org.testcontainers.containers.JdbcDatabaseContainer;

/** Takes the place of Debezium's: a PostgreSQL that runs already instead of a container. */
public class PostgresSinkDatabaseContextProvider extends AbstractSinkDatabaseContextProvider {
  public PostgresSinkDatabaseContextProvider() {
    super(SinkType.POSTGRES, new RunningPostgres());
  }

  private static final class RunningPostgres extends JdbcDatabaseContainer<RunningPostgres> {
    RunningPostgres() {
      super("none");
    }

    @Override
    public void start() {}

    @Override
    public void stop() {}

    @Override
    public Connection createConnection(String query) throws SQLException {
      return DriverManager.getConnection(getJdbcUrl());
    }

    @Override
    public String getDriverClassName() {
      return "org.postgresql.Driver";
    }

    @Override
    public String getJdbcUrl() {
      return System.getenv("JDBC_URL");
    }

    @Override
    public String getUsername() {
      return "postgres";
    }

    @Override
    public String getPassword() {
      return "any";
    }

    @Override
    public String getTestQueryString() {
      return "SELECT 1";
    }
  }
}
