#!/usr/bin/env python3
"""A peer for `make bench-peers`: consume batches, COPY BINARY with psycopg, positions in the same transaction.

Usage: copy_loop.py BOOTSTRAP TOPIC URL. Reads the topic to its end. Plain COPY: a key that exists would be an error.
"""

import json
import sys

import confluent_kafka as kafka
import psycopg

TABLE = "ipl_livescores"
BATCH = 5000


def columns(connection):
    described = connection.execute(f"SELECT * FROM {TABLE} LIMIT 0").description
    return [column.name for column in described], [column.type_code for column in described]


def consumer(bootstrap, topic):
    found = kafka.Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "peer",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "fetch.queue.backoff.ms": 10,
    })
    partitions = found.list_topics(topic, timeout=10).topics[topic].partitions
    found.assign([kafka.TopicPartition(topic, number, kafka.OFFSET_BEGINNING) for number in partitions])
    return found, set(partitions)


def write(connection, statement, types, rows, positions):
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        cursor.executemany(
            "INSERT INTO peer_offsets VALUES (%s, %s)"
            " ON CONFLICT (partition) DO UPDATE SET next_offset = excluded.next_offset",
            list(positions.items()),
        )


def main(bootstrap, topic, url):
    connection = psycopg.connect(url, autocommit=True)
    names, types = columns(connection)
    statement = f"COPY {TABLE} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)"
    floats = {name for name, oid in zip(names, types) if oid == 701}
    source, unfinished = consumer(bootstrap, topic)
    while unfinished:
        rows, positions = [], {}
        for message in source.consume(BATCH, timeout=0.2):
            error = message.error()
            if error is None:
                record = json.loads(message.value())
                rows.append([
                    float(value) if value is not None and name in floats else value
                    for name, value in ((name, record.get(name)) for name in names)
                ])
                positions[message.partition()] = message.offset() + 1
            elif error.code() == kafka.KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition())
            else:
                raise kafka.KafkaException(error)
        if rows:
            write(connection, statement, types, rows, positions)
    source.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
