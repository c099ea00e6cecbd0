package peers;

import java.net.URI;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;

/** The PostgreSQL at JDBC_URL. */
public interface Database {
  String JDBC_URL = System.getenv("JDBC_URL");
  URI ADDRESS = URI.create(JDBC_URL.substring("jdbc:".length()));

  static Connection connect() throws SQLException {
    return DriverManager.getConnection(JDBC_URL);
  }

  /** Removes all tables. */
  static void empty() throws SQLException {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      statement.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    }
  }

  default String getJdbcUrl() {
    return JDBC_URL;
  }

  default String getUsername() {
    return "postgres";
  }

  default String getPassword() {
    return "any";
  }
}
