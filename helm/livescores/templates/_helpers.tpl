{{/* Names and labels are always quoted, because YAML reads 2025, 1e3, on or null as something else than text. */}}

{{- define "livescores.name" -}}
{{- $name := .Values.nameOverride | default .Chart.Name | trunc 40 -}}
{{- if not (regexMatch "^[A-Za-z0-9]" $name) }}
{{- fail (printf "nameOverride: %q becomes the value of a label: it must begin with a letter or a digit" .Values.nameOverride) }}
{{- end }}
{{- if regexMatch "[^-A-Za-z0-9_.]" $name }}
{{- fail (printf "nameOverride: %q becomes the value of a label: it may contain only letters, digits, -, _ and ." .Values.nameOverride) }}
{{- end }}
{{- regexReplaceAll "[-_.]+$" $name "" -}}
{{- end }}

{{/*
Prefix of every object's name. It is cut so that the longest name fits into the 63 characters of a label: the prefix, a connector's
id of at most 20 characters, "-check", and the suffix of a Job's pod.
*/}}
{{- define "livescores.fullname" -}}
{{- $name := include "livescores.name" . -}}
{{- $full := .Values.fullnameOverride | default (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) -}}
{{- /* The name of a release may contain dots; that of a Service may not. */ -}}
{{- $full = regexReplaceAll "-+$" ($full | replace "." "-" | trunc 30) "" -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $full) }}
{{- fail (printf "%q, made from %s, would be the prefix of all object names, which may contain only a-z, 0-9 and - and must begin with a letter; set fullnameOverride" $full (.Values.fullnameOverride | empty | ternary "the release's name and nameOverride" "fullnameOverride")) }}
{{- end }}
{{- $full -}}
{{- end }}

{{/* Labels for selectors; they never change. Takes (dict "root" $ "component" "sink" "connector" "ipl"). */}}
{{- define "livescores.selectorLabels" -}}
app.kubernetes.io/name: {{ include "livescores.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . | quote }}
{{- end }}
{{- with .connector }}
livescores/connector: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Labels of every object. Takes the arguments of selectorLabels and "labels", the object's own. */}}
{{- define "livescores.labels" -}}
{{- $labels := include "livescores.selectorLabels" . | fromYaml }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $_ := set $labels "app.kubernetes.io/version" .root.Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- toYaml (merge $labels (.labels | default dict) (.root.Values.labels | default dict)) -}}
{{- end }}

{{/* Labels of pods, without the chart's version: a new version that changes nothing else must not restart pods. Takes the
arguments of selectorLabels and "pod". */}}
{{- define "livescores.podLabels" -}}
{{- $labels := include "livescores.selectorLabels" . | fromYaml }}
{{- toYaml (merge $labels (.pod.podLabels | default dict) (.root.Values.labels | default dict)) -}}
{{- end }}

{{/*
metadata of an object. Takes (dict "root" $ "name" "x" "namespace" … "component" … "connector" … "labels" (dict …)
"annotations" (dict …)). The object's own labels and annotations override those of every object; the chart's labels override both.
*/}}
{{- define "livescores.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .namespace | default .root.Release.Namespace | quote }}
labels:
  {{- include "livescores.labels" . | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) (.root.Values.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "livescores.serviceAccountName" -}}
{{- .Values.serviceAccount.create | ternary (include "livescores.fullname" .) "default" | default "default" | coalesce .Values.serviceAccount.name -}}
{{- end }}

{{/* An image reference. Takes (dict "root" $ "image" .Values.sink.image "ours" true). */}}
{{- define "livescores.image" -}}
{{- $repository := .image.repository -}}
{{- if and .ours .root.Values.image.registry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .root.Values.image.registry) $repository -}}
{{- end -}}
{{- $ours := printf "%s%s" .root.Chart.AppVersion .root.Values.image.tagSuffix -}}
{{- $tag := .image.tag | default (.ours | ternary $ours "") -}}
{{- $repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{/* Values. */}}

{{/*
Merges map .over into map .base in place: maps are merged key by key, other values replaced, and null removes a key. Helm's
mergeOverwrite would not let false, 0 and "" override a value.
*/}}
{{- define "livescores.merge" -}}
{{- range $key, $value := .over }}
{{- if kindIs "invalid" $value }}
{{- $_ := unset $.base $key }}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $.base $key)) }}
{{- include "livescores.merge" (dict "base" (get $.base $key) "over" $value) }}
{{- else }}
{{- $_ := set $.base $key (deepCopy $value) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
A table as TOML. JSON's strings, numbers, booleans and lists are also valid TOML. toToml would write every number of
values.yaml as a float. Takes (dict "table" … "path" "").
*/}}
{{- define "livescores.toml" -}}
{{- range $key, $value := .table }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{- include "livescores.tomlKey" $key }} = {{ toRawJson $value }}
{{ end }}
{{- end }}
{{- range $key, $value := .table }}
{{- if and (kindIs "map" $value) $value }}
{{- $path := printf "%s%s%s" $.path (empty $.path | ternary "" ".") (include "livescores.tomlKey" $key) }}
{{- $scalars := false }}
{{- range $value }}{{ if not (kindIs "map" .) }}{{ $scalars = true }}{{ end }}{{ end }}
{{- if $scalars }}
[{{ $path }}]
{{ end }}
{{- include "livescores.toml" (dict "table" $value "path" $path) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "livescores.tomlKey" -}}
{{- regexMatch "^[A-Za-z0-9_-]+$" . | ternary . (toRawJson .) -}}
{{- end }}

{{/* Ports of "host:port,host:port" as JSON, with .default for a host without a port. Takes (dict "hosts" "…" "default" 9092). */}}
{{- define "livescores.ports" -}}
{{- $ports := list }}
{{- range splitList "," .hosts }}
{{- $port := regexFind ":[0-9]+$" (trim .) | trimPrefix ":" | default $.default | int }}
{{- if not (has $port $ports) }}{{ $ports = append $ports $port }}{{ end }}
{{- end }}
{{- dict "ports" $ports | toJson -}}
{{- end }}

{{/* The port of "address:port". */}}
{{- define "livescores.listenPort" -}}
{{- $port := regexFind "[0-9]+$" .listen | int }}
{{- if or (lt $port 1) (regexMatch "^(127\\.|localhost|\\[::1\\])" .listen) }}
{{- fail (printf "%s: http.listen is %q, which neither kubelet nor Prometheus can reach; use an address such as 0.0.0.0:%d" .where .listen .default) }}
{{- end }}
{{- $port -}}
{{- end }}

{{/*
Name of the Secret for "kafka" or "postgres", or nothing. The connector's own setting wins over the shared one.
Takes (dict "root" $ "kind" "kafka" "own" (settings of the connector or producer) "id" "ipl" "where" "connectors.ipl").
*/}}
{{- define "livescores.secretName" -}}
{{- $own := get .own .kind | default dict }}
{{- $shared := get .root.Values .kind }}
{{- $full := include "livescores.fullname" .root }}
{{- if and $own.existingSecret $own.secretData }}
{{- fail (printf "%s.%s: existingSecret and secretData are both set; remove one of them" .where .kind) }}
{{- else if and $shared.existingSecret $shared.secretData }}
{{- fail (printf "%s: existingSecret and secretData are both set; remove one of them" .kind) }}
{{- else if $own.existingSecret }}{{ $own.existingSecret }}
{{- else if $own.secretData }}{{ printf "%s-%s-%s%s" $full .id .kind (.suffix | default "") }}
{{- else if $shared.existingSecret }}{{ $shared.existingSecret }}
{{- else if $shared.secretData }}{{ printf "%s-%s%s" $full .kind (.suffix | default "") }}
{{- end }}
{{- end }}

{{/* Pods. */}}

{{/* Fields of the pod spec that all workloads have in common. Takes (dict "root" $ "pod" (settings) "labels" (selector labels) "hook" false). */}}
{{- define "livescores.pod" -}}
{{- $account := include "livescores.serviceAccountName" .root }}
{{- if and .hook .root.Values.serviceAccount.create }}
{{- /* It exists from the first install on, unless the release has not created it until now. Without a cluster, nothing is found. */}}
{{- $namespace := .root.Release.Namespace }}
{{- $missing := and (lookup "v1" "ServiceAccount" $namespace "default") (not (lookup "v1" "ServiceAccount" $namespace $account)) }}
{{- if or (not .root.Release.IsUpgrade) $missing }}
{{- $account = "" }}
{{- end }}
{{- end }}
{{- with $account }}
serviceAccountName: {{ . | quote }}
{{- end }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .labels }}
{{- with .pod.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $constraint := deepCopy . }}
  {{- if not $constraint.labelSelector }}
  {{- $_ := set $constraint "labelSelector" (dict "matchLabels" (fromYaml $.labels)) }}
  {{- end }}
  {{- toYaml (list $constraint) | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
{{- with .pod.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Probes of a container, without those that are null. Takes them by name. The fields of a probe are merged over the default HTTP
endpoint. Another handler replaces that endpoint, because Kubernetes allows one handler for each probe.
*/}}
{{- define "livescores.probes" -}}
{{- $probes := dict }}
{{- range $name, $own := . }}
{{- if kindIs "map" $own }}
{{- $probe := dict }}
{{- if not (or (hasKey $own "exec") (hasKey $own "grpc") (hasKey $own "tcpSocket")) }}
{{- $_ := set $probe "httpGet" (dict "path" (eq $name "readinessProbe" | ternary "/readyz" "/livez") "port" "http") }}
{{- end }}
{{- include "livescores.merge" (dict "base" $probe "over" $own) }}
{{- $_ := set $probes $name $probe }}
{{- end }}
{{- end }}
{{- with $probes }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Fails for a volume that has the name of one of the chart's volumes; Kubernetes would refuse the pod. Takes (dict "pod" (settings) "where" "…"). */}}
{{- define "livescores.refuseVolumes" -}}
{{- range .pod.extraVolumes }}
{{- if has .name (list "config" "kafka" "postgres" "livescores-script" "livescores-state") }}
{{- fail (printf "%s.extraVolumes: the chart itself has a volume %s; give yours another name" $.where .name) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Environment variables as JSON: those of the pod, then the address that its configuration says. The images set this variable, and
variables override files. Takes (dict "pod" (settings) "variable" "…" "listen" "…").
*/}}
{{- define "livescores.listenEnv" -}}
{{- $env := .pod.env | default list }}
{{- $given := false }}
{{- range $env }}
{{- if eq .name $.variable }}{{ $given = true }}{{ end }}
{{- end }}
{{- $given | ternary $env (append $env (dict "name" .variable "value" .listen)) | toJson -}}
{{- end }}

{{/* Environment of a container. Takes (dict "pod" (settings)). */}}
{{- define "livescores.env" -}}
{{- with .pod.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Mounts of configuration and Secrets. Takes (dict "kafkaSecret" "…" "postgresSecret" "…" "pod" (settings)). */}}
{{- define "livescores.volumeMounts" -}}
- name: config
  mountPath: /etc/livescores
  readOnly: true
{{- if .kafkaSecret }}
- name: kafka
  mountPath: /run/secrets/kafka
  readOnly: true
{{- end }}
{{- if .postgresSecret }}
- name: postgres
  mountPath: /run/secrets/postgres
  readOnly: true
{{- end }}
{{- with .pod.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The volumes that volumeMounts mounts. Takes the same arguments and "configMap". */}}
{{- define "livescores.volumes" -}}
- name: config
  configMap:
    name: {{ .configMap | quote }}
{{- if .kafkaSecret }}
- name: kafka
  secret:
    secretName: {{ .kafkaSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- if .postgresSecret }}
- name: postgres
  secret:
    secretName: {{ .postgresSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- with .pod.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata.annotations of a hook. Takes (dict "on" "pre-install,pre-upgrade" "weight" -5). */}}
{{- define "livescores.hook" -}}
helm.sh/hook: {{ .on }}
helm.sh/hook-weight: {{ .weight | quote }}
{{/* Successful hooks are deleted, so that uninstall leaves nothing behind; a failed one stays for its log. */ -}}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{/* `helm install` and `helm test` print the log of the Job or pod, so the reason of a failed check is visible at once. */ -}}
helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
{{- end }}
