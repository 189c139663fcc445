{{/* What the pods that serve and the migration's pod have in common. */}}

{{- define "approvals.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "approvals.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "approvals.tmp" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end -}}

{{/* enableServiceLinks: a Service named approvals would otherwise set APPROVALS_PORT. */}}
{{- define "approvals.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "approvals.podSecurity" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A variable from an existing Secret: (dict "name" … "from" (dict "name" … "key" …)). */}}
{{- define "approvals.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .from.name | quote }}
      key: {{ .from.key | quote }}
{{- end -}}

{{/* The secrets that every process needs. */}}
{{- define "approvals.secretVariables" -}}
{{- if eq .Values.database.kind "postgresql" -}}
{{ include "approvals.secretVariable" (dict "name" "APPROVALS_DATABASE_URL" "from" .Values.database.existingSecret) }}
{{- else -}}
- name: APPROVALS_DATABASE_URL
  value: sqlite:////var/lib/approvals/approvals.db
{{- end }}
{{ include "approvals.secretVariable" (dict "name" "APPROVALS_SECRET_KEY" "from" .Values.secretKey.existingSecret) }}
{{- end -}}

{{/* Seconds: the upstream's, 10 for open requests, 5 to close, and those before SIGTERM. */}}
{{- define "approvals.leastGrace" -}}
{{- add (ceil .Values.upstreamTimeout | int) 15 (include "approvals.preStop" . | int) -}}
{{- end -}}

{{/* With Recreate no other pod could answer meanwhile. */}}
{{- define "approvals.preStop" -}}
{{- ternary 0 (.Values.preStopSeconds | int) (eq (include "approvals.strategy" .) "Recreate") -}}
{{- end -}}

{{- define "approvals.strategy" -}}
{{- ternary "Recreate" "RollingUpdate" (or .Values.maintenance (eq .Values.database.kind "sqlite")) -}}
{{- end -}}

{{/* The ConfigMap or Secret mounted at /etc/approvals; empty when there is none. */}}
{{- define "approvals.configName" -}}
{{- if .Values.existingConfig.name -}}
{{ .Values.existingConfig.name }}
{{- else if .Values.config -}}
{{ include "approvals.fullname" . }}-config
{{- end -}}
{{- end -}}
