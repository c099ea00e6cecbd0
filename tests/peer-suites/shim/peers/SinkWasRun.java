package peers;

import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/** A case counts only if the sink under test has run: otherwise the peer's own code may have done the work. */
public final class SinkWasRun implements BeforeEachCallback, AfterEachCallback {
  private int before;

  @Override
  public void beforeEach(ExtensionContext context) {
    before = SinkProcess.runs();
  }

  @Override
  public void afterEach(ExtensionContext context) {
    if (SinkProcess.runs() == before && context.getExecutionException().isEmpty()) {
      throw new AssertionError("the sink has not run");
    }
  }
}
