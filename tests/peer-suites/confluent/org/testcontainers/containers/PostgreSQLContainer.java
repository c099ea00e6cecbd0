package org.testcontainers.containers;

import org.junit.rules.ExternalResource;
import peers.Database;

/** Takes the place of the library's class. */
public class PostgreSQLContainer<T> extends ExternalResource implements Database {
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
}
