{{- define "approvals.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* 52 characters leave room for -migrate, -agents and what Kubernetes appends. */}}
{{- define "approvals.fullname" -}}
{{- $name := include "approvals.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* All pods of the release, the migration's too. */}}
{{- define "approvals.release" -}}
app.kubernetes.io/name: {{ include "approvals.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The pods that serve, and no others. */}}
{{- define "approvals.selector" -}}
{{ include "approvals.release" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "approvals.labels" -}}
{{ include "approvals.release" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "approvals.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "approvals.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "approvals.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}
