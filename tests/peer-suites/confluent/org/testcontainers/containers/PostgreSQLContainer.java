package org.testcontainers.containers;

import org.junit.rules.ExternalResource;

/** Takes the place of the library's class: the PostgreSQL at JDBC_URL, which runs already. */
public class PostgreSQLContainer<T> extends ExternalResource {
  public PostgreSQLContainer(String image) {}

  public PostgreSQLContainer<T> withDatabaseName(String name) {
    return this;
  }

  public PostgreSQLContainer<T> withUsername(String name) {
    return this;
  }

  public PostgreSQLContainer<T> withPassword(String password) {
    return this;
  }

  public void start() {}

  public void stop() {}

  public String getJdbcUrl() {
    return System.getenv("JDBC_URL");
  }

  public String getUsername() {
    return "postgres";
  }

  public String getPassword() {
    return "any";
  }
}
