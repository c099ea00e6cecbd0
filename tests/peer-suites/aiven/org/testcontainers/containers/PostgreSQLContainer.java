package org.testcontainers.containers;

import java.time.Duration;
import org.testcontainers.utility.DockerImageName;
import peers.Database;

/** Takes the place of the library's class. */
public class PostgreSQLContainer<T> implements Database {
  public PostgreSQLContainer(DockerImageName image) {}

  public PostgreSQLContainer<T> withStartupTimeout(Duration timeout) {
    return this;
  }

  public String getHost() {
    return ADDRESS.getHost();
  }

  public Integer getMappedPort(int port) {
    return ADDRESS.getPort();
  }

  public String getDatabaseName() {
    return ADDRESS.getPath().substring(1);
  }
}
