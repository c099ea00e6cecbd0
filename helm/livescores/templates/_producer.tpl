{{/* The pod template of the producer's CronJob or Deployment. Takes (dict "root" $ "producer" …). */}}
{{- define "livescores.producerPod" -}}
{{- $p := .producer }}
{{- $deployment := eq $p.mode "deployment" }}
metadata:
  labels:
    {{- include "livescores.podLabels" (dict "root" .root "component" "producer" "pod" $p) | nindent 4 }}
  annotations:
    {{- $checksums := dict "checksum/config" ($p.toml | sha256sum) "checksum/secrets" (list .root.Values.kafka.secretData $p.kafka | toJson | sha256sum) }}
    {{- toYaml (merge $checksums ($p.podAnnotations | default dict)) | nindent 4 }}
spec:
  {{- include "livescores.pod" (dict "root" .root "pod" $p "labels" ($deployment | ternary $p.labels "")) | trim | nindent 2 }}
  terminationGracePeriodSeconds: {{ $p.terminationGracePeriodSeconds }}
  {{- if not $deployment }}
  # Each attempt, up to backoffLimit, gets a new pod, so that the failed one keeps its log.
  restartPolicy: Never
  {{- end }}
  {{- with $p.initContainers }}
  initContainers:
    {{- tpl (toYaml .) $.root | nindent 4 }}
  {{- end }}
  containers:
    - name: producer
      {{- include "livescores.producerContainer" (dict "root" .root "producer" $p "command" ($deployment | ternary "run" "once")) | nindent 6 }}
      {{- if $deployment }}
      ports:
        - name: http
          containerPort: {{ $p.port }}
          protocol: TCP
      {{- with include "livescores.probes" $p.probes | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- end }}
    {{- with $p.extraContainers }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "livescores.volumes" (dict "configMap" $p.fullname "kafkaSecret" $p.kafkaSecret "pod" $p) | trim | nindent 4 }}
{{- end }}

{{/* The producer's container, except for its name, ports and probes. Takes (dict "root" $ "producer" … "command" "once" "args" (list)). */}}
{{- define "livescores.producerContainer" -}}
{{- $p := .producer -}}
image: {{ include "livescores.image" (dict "root" .root "image" $p.image "ours" true) | quote }}
imagePullPolicy: {{ $p.image.pullPolicy | default .root.Values.image.pullPolicy }}
args:
  - --config
  - /etc/livescores/producer.toml
  - {{ .command }}
  {{- with .args | default $p.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- include "livescores.env" (dict "pod" $p) }}
resources:
  {{- toYaml $p.resources | nindent 2 }}
securityContext:
  {{- toYaml .root.Values.containerSecurityContext | nindent 2 }}
volumeMounts:
  {{- include "livescores.volumeMounts" (dict "kafkaSecret" $p.kafkaSecret "pod" $p) | trim | nindent 2 }}
{{- end }}
