package io.zonky.test.db.postgres.junit;

/** Takes the place of the library: a PostgreSQL that runs already. */
public final class EmbeddedPostgresRules {
  private EmbeddedPostgresRules() {}

  public static SingleInstancePostgresRule singleInstance() {
    return new SingleInstancePostgresRule();
  }
}
