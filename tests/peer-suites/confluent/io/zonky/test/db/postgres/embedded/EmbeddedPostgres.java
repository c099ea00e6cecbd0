package io.zonky.test.db.postgres.embedded;

import javax.sql.DataSource;
import org.postgresql.ds.PGSimpleDataSource;
import peers.Database;

/** Takes the place of the library's class. */
public final class EmbeddedPostgres {
  public int getPort() {
    return Database.ADDRESS.getPort();
  }

  public DataSource getPostgresDatabase() {
    PGSimpleDataSource source = new PGSimpleDataSource();
    source.setURL(Database.JDBC_URL);
    return source;
  }
}
