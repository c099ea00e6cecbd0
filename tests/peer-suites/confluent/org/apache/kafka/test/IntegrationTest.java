package org.apache.kafka.test;

/** A category of Confluent's tests. */
public interface IntegrationTest {}
