import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.sql.ResultSet;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;

/** A column for values of a schema: its type, how it is read back, and what must be read for a value. */
record Column(String name, String type, String select, Schema schema, Read read, Expect expect) {
  private static final ObjectMapper JSON = new ObjectMapper()
      .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS);

  /** A value of a result set in a form that can be compared. */
  interface Read {
    Object read(ResultSet rows, int index) throws Exception;
  }

  /** What is read for a value that is not null. */
  interface Expect {
    Object expect(Object value);
  }

  /** What must be read for a value of a record; `defaults`: whether the converter replaces null by the default. */
  Object expected(Object value, boolean defaults) {
    Object effective = effective(schema, value, defaults);
    return effective == null ? null : expect.expect(effective);
  }

  private static Object effective(Schema schema, Object value, boolean defaults) {
    return value == null && defaults ? schema.defaultValue() : value;
  }

  /** A column that can hold every value of the schema; where several types can, one of them. */
  static Column of(String name, Schema schema, Random random, boolean defaults) {
    Expect json = value -> json(schema, value, defaults);
    if (random.nextInt(6) == 0) {
      return new Column(name, "jsonb", quoted(name), schema, Column::tree, json);
    }
    return switch (schema.type()) {
      case MAP, STRUCT -> new Column(name, random.nextBoolean() ? "jsonb" : "json", quoted(name), schema, Column::tree, json);
      case ARRAY -> array(name, schema, defaults);
      default -> scalar(name, schema, random);
    };
  }

  private static Column scalar(String name, Schema schema, Random random) {
    Read date = (rows, i) -> rows.getObject(i, LocalDate.class);
    Read time = (rows, i) -> rows.getObject(i, LocalTime.class);
    Read local = (rows, i) -> rows.getObject(i, LocalDateTime.class);
    Read instant = (rows, i) -> rows.getObject(i) == null ? null : rows.getObject(i, OffsetDateTime.class).toInstant();
    Read number = (rows, i) -> number(rows.getBigDecimal(i));
    Expect toNumber = value -> number(new BigDecimal(value.toString()));
    Expect millis = value -> number(BigDecimal.valueOf(((Date) value).getTime()));
    if (Decimal.LOGICAL_NAME.equals(schema.name())) {
      return random.nextInt(3) == 0
          ? column(name, "text", schema, (rows, i) -> rows.getString(i) == null ? null : number(new BigDecimal(rows.getString(i))), toNumber)
          : column(name, "numeric", schema, number, toNumber);
    }
    if (org.apache.kafka.connect.data.Date.LOGICAL_NAME.equals(schema.name())) {
      return random.nextInt(3) == 0
          ? column(name, pick(random, "integer", "bigint", "numeric"), schema, number,
              value -> number(BigDecimal.valueOf(((Date) value).getTime() / 86_400_000L)))
          : column(name, "date", schema, date, value -> utc(value).toLocalDate());
    }
    if (Time.LOGICAL_NAME.equals(schema.name())) {
      return random.nextInt(3) == 0
          ? column(name, pick(random, "integer", "bigint"), schema, number, millis)
          : column(name, "time", schema, time, value -> utc(value).toLocalTime());
    }
    if (Timestamp.LOGICAL_NAME.equals(schema.name())) {
      return switch (random.nextInt(4)) {
        case 0 -> column(name, pick(random, "bigint", "numeric"), schema, number, millis);
        case 1 -> column(name, "timestamp", schema, local, Column::utc);
        default -> column(name, "timestamptz", schema, instant, value -> ((Date) value).toInstant());
      };
    }
    return switch (schema.type()) {
      case INT8, INT16 -> column(name, pick(random, "smallint", "integer", "bigint", "numeric"), schema, number, toNumber);
      case INT32 -> column(name, pick(random, "integer", "bigint", "numeric"), schema, number, toNumber);
      case INT64 -> column(name, pick(random, "bigint", "numeric"), schema, number, toNumber);
      case FLOAT32 -> column(name, "real", schema, (rows, i) -> rows.getObject(i), value -> value);
      case FLOAT64 -> column(name, "double precision", schema, (rows, i) -> rows.getObject(i), value -> value);
      case BOOLEAN -> column(name, "boolean", schema, (rows, i) -> rows.getObject(i), value -> value);
      case STRING -> column(name, pick(random, "text", "varchar"), schema, ResultSet::getString, value -> value);
      case BYTES -> column(name, "bytea", schema,
          (rows, i) -> rows.getBytes(i) == null ? null : ByteBuffer.wrap(rows.getBytes(i)), Column::buffer);
      default -> throw new IllegalArgumentException(schema.type().toString());
    };
  }

  /** A column of PostgreSQL's arrays where the elements are of a type that `to_jsonb` shows exactly; otherwise of JSON. */
  private static Column array(String name, Schema schema, boolean defaults) {
    Schema element = schema.valueSchema();
    String type = elementType(element);
    Expect json = value -> json(schema, value, defaults);
    if (element.name() == null && (element.type() == Schema.Type.FLOAT32 || element.type() == Schema.Type.FLOAT64)) {
      // As numbers: Java and PostgreSQL do not print every one with the same digits.
      return new Column(name, type + "[]", quoted(name), schema,
          (rows, i) -> rows.getArray(i) == null ? null : Arrays.asList((Object[]) rows.getArray(i).getArray()),
          value -> ((Collection<?>) value).stream().map(each -> effective(element, each, defaults)).collect(ArrayList::new, List::add, List::addAll));
    }
    return type == null
        ? new Column(name, "jsonb", quoted(name), schema, Column::tree, json)
        : new Column(name, type + "[]", "to_jsonb(" + quoted(name) + ")", schema, Column::tree, json);
  }

  private static String elementType(Schema element) {
    if (element.name() != null) {
      return switch (element.name()) {
        case Decimal.LOGICAL_NAME -> "numeric";
        case org.apache.kafka.connect.data.Date.LOGICAL_NAME -> "date";
        default -> null;
      };
    }
    return switch (element.type()) {
      case INT8, INT16 -> "smallint";
      case INT32 -> "integer";
      case INT64 -> "bigint";
      case FLOAT32 -> "real";
      case FLOAT64 -> "double precision";
      case BOOLEAN -> "boolean";
      case STRING -> "text";
      default -> null;
    };
  }

  private static Column column(String name, String type, Schema schema, Read read, Expect expect) {
    return new Column(name, type, quoted(name), schema, read, expect);
  }

  static String quoted(String name) {
    return '"' + name.replace("\"", "\"\"") + '"';
  }

  private static Object tree(ResultSet rows, int index) throws Exception {
    String text = rows.getString(index);
    return text == null ? null : plain(JSON.readTree(text));
  }

  private static Object plain(JsonNode node) {
    if (node.isObject()) {
      Map<String, Object> members = new HashMap<>();
      node.fieldNames().forEachRemaining(name -> members.put(name, plain(node.get(name))));
      return members;
    }
    if (node.isArray()) {
      List<Object> elements = new ArrayList<>();
      node.forEach(element -> elements.add(plain(element)));
      return elements;
    }
    if (node.isNull()) {
      return null;
    }
    return node.isNumber() ? number(node.decimalValue()) : node.isBoolean() ? node.booleanValue() : node.textValue();
  }

  /** The JSON that a value is in a `jsonb` column: dates and times in ISO 8601, decimals as numbers, bytes in base64. */
  private static Object json(Schema schema, Object value, boolean defaults) {
    Object effective = effective(schema, value, defaults);
    if (effective == null) {
      return null;
    }
    if (schema.name() != null) {
      return switch (schema.name()) {
        case Decimal.LOGICAL_NAME -> number((BigDecimal) effective);
        case org.apache.kafka.connect.data.Date.LOGICAL_NAME -> inEra(effective, day(effective));
        case Time.LOGICAL_NAME -> time(effective);
        default -> inEra(effective, day(effective) + "T" + time(effective) + "Z");
      };
    }
    return switch (schema.type()) {
      case ARRAY -> {
        List<Object> elements = new ArrayList<>();
        ((Collection<?>) effective).forEach(element -> elements.add(json(schema.valueSchema(), element, defaults)));
        yield elements;
      }
      case MAP -> {
        Map<String, Object> members = new HashMap<>();
        List<Object> pairs = new ArrayList<>();
        ((Map<?, ?>) effective).forEach((key, member) -> {
          Object json = json(schema.valueSchema(), member, defaults);
          members.put(String.valueOf(key), json);
          List<Object> pair = new ArrayList<>();
          pair.add(json(schema.keySchema(), key, defaults));
          pair.add(json);
          pairs.add(pair);
        });
        // A map whose keys are no strings is an array of pairs, as JsonConverter writes it.
        yield schema.keySchema().type() == Schema.Type.STRING ? members : pairs;
      }
      case STRUCT -> {
        Map<String, Object> members = new HashMap<>();
        for (Field field : schema.fields()) {
          members.put(field.name(), json(field.schema(), ((Struct) effective).getWithoutDefault(field.name()), defaults));
        }
        yield members;
      }
      case BYTES -> Base64.getEncoder().encodeToString((byte[]) effective);
      case FLOAT32 -> Float.isFinite((Float) effective) ? number(new BigDecimal(effective.toString())) : effective.toString();
      case FLOAT64 -> Double.isFinite((Double) effective) ? number(new BigDecimal(effective.toString())) : effective.toString();
      case INT8, INT16, INT32, INT64 -> number(new BigDecimal(effective.toString()));
      default -> effective;
    };
  }

  private static LocalDateTime utc(Object date) {
    return LocalDateTime.ofInstant(((Date) date).toInstant(), ZoneOffset.UTC);
  }

  private static String day(Object date) {
    return DateTimeFormatter.ofPattern("yyyy-MM-dd").format(utc(date)).replace("+", "");
  }

  private static String time(Object date) {
    return DateTimeFormatter.ofPattern("HH:mm:ss.SSS").format(utc(date));
  }

  /** With BC, as PostgreSQL writes and reads it, for years before 1. */
  private static String inEra(Object date, String text) {
    return utc(date).getYear() > 0 ? text : text + " BC";
  }

  /** A number whose equality is that of its value. */
  private static BigDecimal number(BigDecimal number) {
    return number == null || number.signum() == 0 ? (number == null ? null : BigDecimal.ZERO) : number.stripTrailingZeros();
  }

  private static ByteBuffer buffer(Object value) {
    return ByteBuffer.wrap((byte[]) value);
  }

  private static String pick(Random random, String... types) {
    return types[random.nextInt(types.length)];
  }
}
