package org.testcontainers.containers;

import java.net.URI;
import java.time.Duration;
import org.testcontainers.utility.DockerImageName;

/** Takes the place of the library's class: the PostgreSQL at JDBC_URL, which runs already. */
public class PostgreSQLContainer<T> {
  private static final URI URL = URI.create(System.getenv("JDBC_URL").substring("jdbc:".length()));

  public PostgreSQLContainer(DockerImageName image) {}

  public PostgreSQLContainer<T> withStartupTimeout(Duration timeout) {
    return this;
  }

  public String getHost() {
    return URL.getHost();
  }

  public Integer getMappedPort(int port) {
    return URL.getPort();
  }

  public String getDatabaseName() {
    return URL.getPath().substring(1);
  }

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
