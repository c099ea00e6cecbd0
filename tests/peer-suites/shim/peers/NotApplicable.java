package peers;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * Leaves out the cases that say nothing about the sink. The file that PEER_CASES names has a line for each kind: a regular expression
 * for `Class.method invocation`, and the reason after a tab. A reason that begins with `differs: ` explains a case that is run.
 */
public final class NotApplicable implements ExecutionCondition {
  private record Rule(Pattern pattern, String reason) {}

  private static final Pattern TEMPLATE = Pattern.compile("\\[test-template:[^]]*]$");
  private static final List<Rule> RULES = rules();

  private static List<Rule> rules() {
    List<Rule> rules = new ArrayList<>();
    try {
      for (String line : Files.readAllLines(Path.of(System.getenv("PEER_CASES")))) {
        String[] parts = line.split("\t", 2);
        if (!line.startsWith("#") && parts.length == 2 && !parts[1].startsWith("differs: ")) {
          rules.add(new Rule(Pattern.compile(parts[0]), parts[1].strip()));
        }
      }
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    return rules;
  }

  @Override
  public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
    if (context.getTestMethod().isEmpty() || TEMPLATE.matcher(context.getUniqueId()).find()) {
      return ConditionEvaluationResult.enabled("its cases are decided one by one");
    }
    String name = context.getRequiredTestClass().getSimpleName() + "." + context.getRequiredTestMethod().getName();
    String invocation = name + " " + context.getDisplayName();
    for (Rule rule : RULES) {
      if (rule.pattern().matcher(invocation).find()) {
        return ConditionEvaluationResult.disabled("not applicable: " + rule.reason());
      }
    }
    return ConditionEvaluationResult.enabled("applicable");
  }
}
