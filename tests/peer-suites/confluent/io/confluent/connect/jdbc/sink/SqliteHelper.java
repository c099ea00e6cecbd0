package io.confluent.connect.jdbc.sink;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import peers.Broker;
import peers.Database;
import peers.SinkProcess;

/** Takes the place of Confluent's class: its tests on SQLite use PostgreSQL. */
public final class SqliteHelper {
  public interface ResultSetReadCallback {
    void read(ResultSet rs) throws SQLException;
  }

  public Connection connection;

  private int runsBefore;

  public SqliteHelper(String testId) {}

  public String sqliteUri() {
    return Database.JDBC_URL;
  }

  /** Removes what other tests have left. */
  public void setUp() throws SQLException {
    runsBefore = SinkProcess.runs();
    Broker.reset();
    Database.empty();
    connection = Database.connect();
  }

  /** A test counts only if the sink under test has run. */
  public void tearDown() throws SQLException {
    connection.close();
    if (SinkProcess.runs() == runsBefore) {
      throw new AssertionError("the sink has not run");
    }
  }

  public void createTable(String sql) throws SQLException {
    execute(sql);
  }

  public void deleteTable(String table) throws SQLException {
    execute("DROP TABLE IF EXISTS " + table);
  }

  public void execute(String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  public int select(String query, ResultSetReadCallback callback) throws SQLException {
    int count = 0;
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(query)) {
      while (rows.next()) {
        callback.read(rows);
        count++;
      }
    }
    return count;
  }
}
