{{/* The connectors of the values, with that of the demo, as JSON. */}}
{{- define "livescores.declared" -}}
{{- $declared := dict }}
{{- if .Values.demo }}
{{- $declared = (.Files.Get "files/demo.yaml" | fromYaml).connectors }}
{{- end }}
{{- include "livescores.merge" (dict "base" $declared "over" (.Values.connectors | default dict)) }}
{{- toJson $declared -}}
{{- end }}

{{/* "true" if the producer is installed, else nothing. */}}
{{- define "livescores.produces" -}}
{{- if or .Values.producer.enabled .Values.demo }}true{{ end }}
{{- end }}

{{/*
Every enabled connector with all values that its templates need, as JSON {"<id>": {…}}: the values of .Values.sink, overridden
by the connector's own, and these:

  config          the effective configuration, as a table
  toml            the same as TOML
  fullname        name of its objects
  labels          its selector labels
  kafkaSecret     name of the Secret mounted at /run/secrets/kafka, if any
  postgresSecret  name of the Secret mounted at /run/secrets/postgres, if any
  port            port of /metrics and the probes

Rejects values that Kubernetes would accept but that cannot work, and says how to fix them.
*/}}
{{- define "livescores.connectors" -}}
{{- $root := . }}
{{- $all := dict }}
{{- $names := dict }}
{{- $groups := dict }}
{{- range $id, $own := include "livescores.declared" . | fromJson }}
{{- $own = $own | default dict }}
{{- if dig "enabled" true $own }}
{{- $where := printf "connectors.%s" $id }}
{{- if or (not (regexMatch "^[a-z]([-a-z0-9]{0,18}[a-z0-9])?$" $id)) (regexMatch "^(producer|kafka|postgres|jobs|migration)$|(^|-)(check|test|keda)$" $id) }}
{{- fail (printf "%s: %q becomes part of object names: it must begin with a letter, have at most 20 characters of a-z, 0-9 and -, and be neither a name that the chart uses itself (producer, kafka, postgres, jobs, migration) nor end in check, test or keda" $where $id) }}
{{- end }}
{{- $c := deepCopy $root.Values.sink }}
{{- include "livescores.merge" (dict "base" $c "over" $own) }}
{{- $context := dict "root" $root "own" $own "id" $id "where" $where }}
{{- $_ := set $c "kafkaSecret" (include "livescores.secretName" (merge (dict "kind" "kafka") $context)) }}
{{- $_ := set $c "postgresSecret" (include "livescores.secretName" (merge (dict "kind" "postgres") $context)) }}
{{- $_ := set $c "fullname" (printf "%s-%s" (include "livescores.fullname" $root) $id) }}
{{- $_ := set $c "labels" (include "livescores.selectorLabels" (dict "root" $root "component" "sink" "connector" $id)) }}
{{- $config := include "livescores.sinkConfig" (merge (dict "connector" $c) $context) | fromJson }}
{{- $listen := dig "http" "listen" "0.0.0.0:9464" $config }}
{{- include "livescores.merge" (dict "base" $config "over" (dict "http" (dict "listen" $listen))) }}
{{- $_ := set $c "env" (include "livescores.listenEnv" (dict "pod" $c "variable" "SINK__HTTP__LISTEN" "listen" $listen) | fromJsonArray) }}
{{- $_ := set $c "config" $config }}
{{- $_ := set $c "toml" (include "livescores.toml" (dict "table" $config "path" "")) }}
{{- $_ := set $c "port" (include "livescores.listenPort" (dict "listen" $listen "where" $where "default" 9464) | int) }}
{{- include "livescores.refuse" (dict "connector" $c "where" $where) }}
{{- $group := printf "%s at %s" $config.kafka.group_id $config.kafka.bootstrap_servers }}
{{- if hasKey $names $config.name }}
{{- fail (printf "%s and %s have the same config.name %q, which is the key of their positions; give each its own" (get $names $config.name) $where $config.name) }}
{{- end }}
{{- if hasKey $groups $group }}
{{- fail (printf "%s and %s share the consumer group %s; give each its own config.kafka.group_id" (get $groups $group) $where $group) }}
{{- end }}
{{- $_ := set $names $config.name $where }}
{{- $_ := set $groups $group $where }}
{{- $_ := set $all $id $c }}
{{- end }}
{{- end }}
{{- toJson $all -}}
{{- end }}

{{/* The effective configuration of a connector as JSON: the shared connections, overridden by its config. */}}
{{- define "livescores.sinkConfig" -}}
{{- $c := .connector }}
{{- $kafka := deepCopy .root.Values.kafka }}
{{- include "livescores.merge" (dict "base" $kafka "over" ($c.kafka | default dict)) }}
{{- $postgres := deepCopy .root.Values.postgres }}
{{- include "livescores.merge" (dict "base" $postgres "over" ($c.postgres | default dict)) }}
{{- $properties := include "livescores.properties" $kafka.properties | fromJson }}
{{- if $c.kafkaSecret }}
{{- range $property, $file := $kafka.secretProperties }}
{{- $_ := set $properties (printf "%s_file" $property) (printf "/run/secrets/kafka/%s" $file) }}
{{- end }}
{{- else if $kafka.secretProperties }}
{{- fail (printf "%s: kafka.secretProperties needs kafka.existingSecret or kafka.secretData" .where) }}
{{- end }}
{{- $config := dict "name" .id "kafka" (dict "bootstrap_servers" $kafka.bootstrapServers "properties" $properties) "postgres" (dict "url" $postgres.url) }}
{{- if $postgres.passwordCommand }}
{{- $_ := set $config.postgres "password_command" $postgres.passwordCommand }}
{{- else if and $c.postgresSecret $postgres.passwordKey (not (dig "postgres" "password_command" "" ($c.config | default dict))) }}
{{- $_ := set $config.postgres "password_file" (printf "/run/secrets/postgres/%s" $postgres.passwordKey) }}
{{- end }}
{{- include "livescores.merge" (dict "base" $config "over" ($c.config | default dict)) }}
{{- $_ := set $config.kafka "properties" (include "livescores.properties" $config.kafka.properties | fromJson) }}
{{- if not $config.kafka.group_id }}
{{- $_ := set $config.kafka "group_id" $config.name }}
{{- end }}
{{- toJson $config -}}
{{- end }}

{{/* Fails for a URL that contains a password. Takes (dict "url" … "where" …). */}}
{{- define "livescores.refusePassword" -}}
{{- if or (regexMatch "^[a-z]+://[^@/?:]*:([^@/?]*|[0-9]*[^@/?0-9,][^@]*)@" .url) (regexMatch "(?i)(^|[?&\\s])(ssl)?password\\s*=" .url) }}
{{- fail (printf "%s.url contains a password, which would be readable in the cluster; put it in a Secret: existingSecret or secretData" .where) }}
{{- end }}
{{- end }}

{{/* Fails for a librdkafka property whose name says that it holds a secret; the binaries use the same names. Takes
(dict "properties" … "where" …). */}}
{{- define "livescores.refuseSecrets" -}}
{{- range $property, $_ := .properties }}
{{- if and (regexMatch "password|passphrase|secret|key\\.pem|jaas|oauthbearer\\.config" (lower $property)) (not (hasSuffix "_file" $property)) }}
{{- fail (printf "%s: kafka.properties contains %s, which would be readable in a ConfigMap; put it in a Secret and name it in kafka.secretProperties" $.where $property) }}
{{- end }}
{{- end }}
{{- end }}

{{/* librdkafka properties as JSON. YAML values may be numbers or booleans; librdkafka takes only strings. */}}
{{- define "livescores.properties" -}}
{{- $properties := dict }}
{{- range $property, $value := . }}
{{- $_ := set $properties $property (kindIs "string" $value | ternary $value (toRawJson $value)) }}
{{- end }}
{{- toJson $properties -}}
{{- end }}

{{/* Fails for a connector that Kubernetes would accept but that cannot work. */}}
{{- define "livescores.refuse" -}}
{{- $c := .connector }}
{{- $config := $c.config }}
{{- if not (or $config.kafka.topics $config.kafka.topics_regex) }}
{{- fail (printf "%s: set config.kafka.topics or config.kafka.topics_regex" .where) }}
{{- end }}
{{- if not (dig "sink" "table" "" $config) }}
{{- if $config.kafka.topics_regex }}
{{- fail (printf "%s: set config.sink.table" .where) }}
{{- end }}
{{- range $topic := $config.kafka.topics }}
{{- if not (dig $topic "table" "" ($config.topics | default dict)) }}
{{- fail (printf "%s: set config.sink.table, or config.topics.%s.table" $.where $topic) }}
{{- end }}
{{- end }}
{{- end }}
{{- include "livescores.refusePassword" (dict "url" $config.postgres.url "where" (printf "%s: postgres" .where)) }}
{{- include "livescores.refuseSecrets" (dict "properties" $config.kafka.properties "where" .where) }}
{{- include "livescores.refuseVolumes" (dict "pod" $c "where" .where) }}
{{- $shutdown := dig "shutdown_timeout_ms" 25000 $config | int }}
{{- if le (mul (int $c.terminationGracePeriodSeconds) 1000) $shutdown }}
{{- fail (printf "%s: terminationGracePeriodSeconds (%d) must be longer than config.shutdown_timeout_ms (%d); otherwise kubelet kills the sink before it has finished" .where (int $c.terminationGracePeriodSeconds) $shutdown) }}
{{- end }}
{{- if and $c.hpa.enabled $c.keda.enabled }}
{{- fail (printf "%s: hpa and keda are both enabled and would work against each other; enable only one" .where) }}
{{- end }}
{{- if and (hasKey $config.kafka.properties "group.instance.id") (or $c.hpa.enabled $c.keda.enabled (gt (int $c.replicas) 1) (ne $c.strategy.type "Recreate")) }}
{{- fail (printf "%s: kafka.properties sets group.instance.id, but two pods with the same id fence each other; remove it, or use one replica and strategy.type Recreate" .where) }}
{{- end }}
{{- if $c.podDisruptionBudget.enabled }}
{{- $available := toString (get $c.podDisruptionBudget "minAvailable") }}
{{- $unavailable := toString (get $c.podDisruptionBudget "maxUnavailable") }}
{{- if and $available $unavailable }}
{{- fail (printf "%s: podDisruptionBudget takes minAvailable or maxUnavailable, not both; set one of them to null" .where) }}
{{- else if not (or $available $unavailable) }}
{{- fail (printf "%s: podDisruptionBudget needs minAvailable or maxUnavailable; set one of them, or set podDisruptionBudget.enabled to false" .where) }}
{{- end }}
{{- end }}
{{- if hasKey ($c.files | default dict) "sink-connector.toml" }}
{{- fail (printf "%s.files: sink-connector.toml is generated from config; set its keys there, or use another file name" .where) }}
{{- end }}
{{- end }}

{{/*
The producer's values, and, as for a connector, "config", "toml", "fullname", "labels", "kafkaSecret" and "port".
*/}}
{{- define "livescores.producer" -}}
{{- $p := deepCopy .Values.producer }}
{{- $kafka := deepCopy .Values.kafka }}
{{- include "livescores.merge" (dict "base" $kafka "over" ($p.kafka | default dict)) }}
{{- $_ := set $p "kafkaSecret" (include "livescores.secretName" (dict "root" . "kind" "kafka" "own" $p "id" "producer" "where" "producer")) }}
{{- $_ := set $p "fullname" (printf "%s-producer" (include "livescores.fullname" .)) }}
{{- $_ := set $p "labels" (include "livescores.selectorLabels" (dict "root" . "component" "producer")) }}
{{- $config := dict "kafka" (dict "bootstrap_servers" $kafka.bootstrapServers "properties" $kafka.properties) }}
{{- include "livescores.merge" (dict "base" $config "over" ($p.config | default dict)) }}
{{- $_ := set $config.kafka "properties" (include "livescores.properties" $config.kafka.properties | fromJson) }}
{{- include "livescores.refuseSecrets" (dict "properties" $config.kafka.properties "where" "producer") }}
{{- include "livescores.refuseVolumes" (dict "pod" $p "where" "producer") }}
{{- if $p.kafkaSecret }}
{{- range $property, $file := $kafka.secretProperties }}
{{- $_ := set $config.kafka.properties (printf "%s_file" $property) (printf "/run/secrets/kafka/%s" $file) }}
{{- end }}
{{- else if $kafka.secretProperties }}
{{- fail "producer: kafka.secretProperties needs kafka.existingSecret or kafka.secretData" }}
{{- end }}
{{- $listen := dig "http" "listen" "0.0.0.0:9465" $config }}
{{- include "livescores.merge" (dict "base" $config "over" (dict "http" (dict "listen" $listen))) }}
{{- if eq $p.mode "deployment" }}
{{- $_ := set $p "env" (include "livescores.listenEnv" (dict "pod" $p "variable" "PRODUCER__HTTP__LISTEN" "listen" $listen) | fromJsonArray) }}
{{- end }}
{{- $_ := set $p "config" $config }}
{{- $_ := set $p "toml" (include "livescores.toml" (dict "table" $config "path" "")) }}
{{- $_ := set $p "port" (include "livescores.listenPort" (dict "listen" $listen "where" "producer" "default" 9465) | int) }}
{{- toJson $p -}}
{{- end }}
