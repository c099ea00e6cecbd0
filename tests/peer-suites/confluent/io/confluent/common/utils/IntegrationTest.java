package io.confluent.common.utils;

/** A category of Confluent's tests. */
public interface IntegrationTest {}
