package io.zonky.test.db.postgres.junit;

import io.zonky.test.db.postgres.embedded.EmbeddedPostgres;
import org.junit.rules.ExternalResource;

/** A rule without effect: PostgreSQL runs already. */
public final class SingleInstancePostgresRule extends ExternalResource {
  public EmbeddedPostgres getEmbeddedPostgres() {
    return new EmbeddedPostgres();
  }
}
