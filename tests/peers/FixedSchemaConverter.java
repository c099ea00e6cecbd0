package tests.peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.storage.Converter;

/**
 * A peer's help in `make bench-peers`: JDBC sinks need values with a schema, and the records are plain JSON. The schema is given
 * once, as `columns` ("name type, name type, …" with Connect's types), so that no record has to carry or to look up one.
 */
public final class FixedSchemaConverter implements Converter {
    private final JsonFactory json = new JsonFactory();
    private final Map<String, Field> fields = new HashMap<>();
    private Schema schema;

    @Override
    public ConfigDef config() {
        return new ConfigDef().define(
                "columns", ConfigDef.Type.STRING, ConfigDef.Importance.HIGH, "Name and type of each column.");
    }

    @Override
    public void configure(Map<String, ?> configs, boolean isKey) {
        SchemaBuilder builder = SchemaBuilder.struct().name("row");
        for (String column : configs.get("columns").toString().split(",")) {
            String[] nameAndType = column.trim().split(" ");
            Schema.Type type = Schema.Type.valueOf(nameAndType[1].toUpperCase());
            builder.field(nameAndType[0], SchemaBuilder.type(type).optional().build());
        }
        schema = builder.build();
        schema.fields().forEach(field -> fields.put(field.name(), field));
    }

    @Override
    public SchemaAndValue toConnectData(String topic, byte[] value) {
        if (value == null) {
            return SchemaAndValue.NULL;
        }
        Struct row = new Struct(schema);
        try (JsonParser parser = json.createParser(value)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new DataException("not an object");
            }
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                JsonToken token = parser.nextToken();
                Field field = fields.get(name);
                if (field == null) {
                    parser.skipChildren();
                } else if (token != JsonToken.VALUE_NULL) {
                    row.put(field, read(parser, field.schema().type()));
                }
            }
        } catch (IOException error) {
            throw new DataException(error);
        }
        return new SchemaAndValue(schema, row);
    }

    private static Object read(JsonParser parser, Schema.Type type) throws IOException {
        switch (type) {
            case STRING:
                return parser.getText();
            case INT32:
                return parser.getIntValue();
            case INT64:
                return parser.getLongValue();
            case FLOAT64:
                return parser.getDoubleValue();
            default:
                throw new DataException("no column has the type " + type);
        }
    }

    @Override
    public byte[] fromConnectData(String topic, Schema ignored, Object value) {
        throw new UnsupportedOperationException("sinks only read");
    }
}
