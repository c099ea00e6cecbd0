import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;

/** Random schemas of Kafka Connect, and random values of a schema. */
final class Schemas {
  private static final long DAY_MS = 86_400_000L;
  /** The ends of what a PostgreSQL timestamp can hold, in milliseconds since 1970: 4713 BC and 294276 AD. */
  private static final long FIRST_MS = -210_866_803_200_000L;
  private static final long LAST_MS = 9_224_318_015_999_999L;
  /** The years 1 and 9999, the usual form of ISO 8601. */
  private static final long YEAR_1_MS = -62_135_596_800_000L;
  private static final long YEAR_9999_MS = 253_402_300_799_999L;
  private static final String[] TEXTS = {
    "", " ", "John Doe", "null", "\"quoted\" 'text'", "back\\slash", "tab\tand\nnewline", "\u007f\u0001", "Zürich", "日本語", "🏏🏏",
    "{\"a\": 1}", "[1]", "NaN", "\\N", "true", "1e400",
  };

  private final Random random;

  Schemas(Random random) {
    this.random = random;
  }

  /** A schema that fits into one column: a scalar, an array, a map or a struct. */
  Schema any(int depth) {
    int kind = random.nextInt(depth > 0 ? 10 : 7);
    return switch (kind) {
      case 7 -> optional(SchemaBuilder.array(any(depth - 1)));
      case 8 -> optional(SchemaBuilder.map(mapKey(), any(depth - 1)));
      case 9 -> optional(struct(1 + random.nextInt(4), depth - 1));
      default -> scalar();
    };
  }

  /** A schema of a primitive or a logical type, perhaps optional, perhaps with a default. */
  Schema scalar() {
    SchemaBuilder builder = switch (random.nextInt(13)) {
      case 0 -> SchemaBuilder.int8();
      case 1 -> SchemaBuilder.int16();
      case 2 -> SchemaBuilder.int32();
      case 3 -> SchemaBuilder.int64();
      case 4 -> SchemaBuilder.float32();
      case 5 -> SchemaBuilder.float64();
      case 6 -> SchemaBuilder.bool();
      case 7 -> SchemaBuilder.string();
      case 8 -> SchemaBuilder.bytes();
      case 9 -> Decimal.builder(random.nextInt(12) - 2);
      case 10 -> org.apache.kafka.connect.data.Date.builder();
      case 11 -> Time.builder();
      default -> Timestamp.builder();
    };
    optional(builder);
    if (random.nextInt(4) == 0) {
      builder.defaultValue(plain(builder, false));
    }
    return builder.build();
  }

  SchemaBuilder struct(int fields, int depth) {
    SchemaBuilder builder = SchemaBuilder.struct();
    for (int i = 0; i < fields; i++) {
      builder.field(name(i), any(depth));
    }
    return builder;
  }

  /** A name of a field that is also a column, with what needs quotes in SQL or escapes in JSON. */
  String name(int index) {
    String[] shapes = {"f%d", "Field%d", "with space %d", "q\"uote%d", "back\\slash%d", "ünï-%d", "select%d", "🏏%d", "dollar$%d"};
    return shapes[random.nextInt(shapes.length)].formatted(index);
  }

  private Schema mapKey() {
    return random.nextInt(3) > 0 ? Schema.STRING_SCHEMA : Schema.INT32_SCHEMA;
  }

  private SchemaBuilder optional(SchemaBuilder builder) {
    return random.nextBoolean() ? builder.optional() : builder;
  }

  /** A value; null where the schema allows it. `wide`: all that a column can hold; `defaults`: fields may be left to them. */
  Object value(Schema schema, boolean wide, boolean defaults) {
    if (schema.isOptional() && random.nextInt(4) == 0) {
      return null;
    }
    return switch (schema.type()) {
      case ARRAY -> {
        List<Object> list = new ArrayList<>();
        for (int n = random.nextInt(5); n > 0; n--) {
          list.add(value(schema.valueSchema(), false, defaults));
        }
        yield list;
      }
      case MAP -> {
        Map<Object, Object> map = new LinkedHashMap<>();
        for (int n = random.nextInt(5); n > 0; n--) {
          map.put(value(schema.keySchema(), false, defaults), value(schema.valueSchema(), false, defaults));
        }
        yield map;
      }
      case STRUCT -> {
        Struct struct = new Struct(schema);
        for (Field field : schema.fields()) {
          boolean left = defaults && field.schema().defaultValue() != null && random.nextInt(4) == 0;
          if (!left) {
            struct.put(field, value(field.schema(), wide, defaults));
          }
        }
        yield struct;
      }
      default -> plain(schema, wide);
    };
  }

  private Object plain(Schema schema, boolean wide) {
    if (Decimal.LOGICAL_NAME.equals(schema.name())) {
      int scale = Integer.parseInt(schema.parameters().get(Decimal.SCALE_FIELD));
      return new BigDecimal(new BigInteger(random.nextInt(130), random).subtract(BigInteger.valueOf(random.nextInt(300))), scale);
    }
    if (org.apache.kafka.connect.data.Date.LOGICAL_NAME.equals(schema.name())) {
      return new Date(Math.floorDiv(moment(wide), DAY_MS) * DAY_MS);
    }
    if (Time.LOGICAL_NAME.equals(schema.name())) {
      return new Date(Math.floorMod(random.nextLong(), DAY_MS));
    }
    if (Timestamp.LOGICAL_NAME.equals(schema.name())) {
      return new Date(moment(wide));
    }
    return switch (schema.type()) {
      case INT8 -> (byte) integer(Byte.MIN_VALUE, Byte.MAX_VALUE);
      case INT16 -> (short) integer(Short.MIN_VALUE, Short.MAX_VALUE);
      case INT32 -> (int) integer(Integer.MIN_VALUE, Integer.MAX_VALUE);
      case INT64 -> integer(Long.MIN_VALUE, Long.MAX_VALUE);
      case FLOAT32 -> random.nextInt(4) > 0
          ? (Float) Float.intBitsToFloat(random.nextInt())
          : pick(0f, -0f, 3.14f, Float.MAX_VALUE, Float.MIN_VALUE, Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY);
      case FLOAT64 -> random.nextInt(4) > 0
          ? (Double) Double.longBitsToDouble(random.nextLong())
          : pick(0d, -0d, 3.14, Double.MAX_VALUE, Double.MIN_VALUE, Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY);
      case BOOLEAN -> random.nextBoolean();
      case STRING -> random.nextInt(20) == 0 ? "long ".repeat(2_000) : pick(TEXTS);
      case BYTES -> {
        byte[] bytes = new byte[random.nextInt(20)];
        random.nextBytes(bytes);
        yield bytes;
      }
      default -> throw new IllegalArgumentException(schema.type().toString());
    };
  }

  private long integer(long min, long max) {
    return switch (random.nextInt(5)) {
      case 0 -> min;
      case 1 -> max;
      case 2 -> 0;
      default -> random.nextLong(min, max);
    };
  }

  private long moment(boolean wide) {
    long first = wide ? FIRST_MS : YEAR_1_MS;
    long last = wide ? LAST_MS : YEAR_9999_MS;
    return switch (random.nextInt(8)) {
      case 0 -> first;
      case 1 -> last;
      case 2 -> 0;
      case 3 -> -1;
      case 4 -> Math.floorMod(random.nextLong(), 2_000_000_000_000L);
      default -> first + Math.floorMod(random.nextLong(), last - first);
    };
  }

  @SafeVarargs
  private <T> T pick(T... values) {
    return values[random.nextInt(values.length)];
  }
}
