package io.zonky.test.db.postgres.embedded;

import java.net.URI;
import javax.sql.DataSource;
import org.postgresql.ds.PGSimpleDataSource;

/** The PostgreSQL at JDBC_URL. */
public final class EmbeddedPostgres {
  public int getPort() {
    return URI.create(System.getenv("JDBC_URL").substring("jdbc:".length())).getPort();
  }

  public DataSource getPostgresDatabase() {
    PGSimpleDataSource source = new PGSimpleDataSource();
    source.setURL(System.getenv("JDBC_URL"));
    return source;
  }
}
