{{/* What no schema can say. All problems are told at once. */}}
{{- define "approvals.check" -}}
{{- $found := list -}}
{{- $v := .Values -}}
{{- $postgresql := eq $v.database.kind "postgresql" -}}
{{- if not $v.image.repository -}}
{{- $found = append $found "image.repository has to name the image built from the Dockerfile" -}}
{{- end -}}
{{- if not $v.secretKey.existingSecret.name -}}
{{- $found = append $found "secretKey.existingSecret.name has to name a Secret with at least 32 characters" -}}
{{- end -}}
{{- if and $postgresql (not $v.database.existingSecret.name) -}}
{{- $found = append $found "database.existingSecret.name has to name a Secret with the URL of the database" -}}
{{- end -}}
{{- if and (not $postgresql) (or $v.autoscaling.enabled (gt (int $v.replicas) 1)) -}}
{{- $found = append $found "SQLite serves one replica: set replicas to 1 and autoscaling.enabled to false, or database.kind to postgresql" -}}
{{- end -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" (include "approvals.fullname" .)) -}}
{{- $found = append $found "names of Services begin with a letter and have no dot, unlike this release's: give fullnameOverride" -}}
{{- end -}}
{{- if and $v.config $v.existingConfig.name -}}
{{- $found = append $found "give config or existingConfig.name, not both" -}}
{{- end -}}
{{- if and $v.policyFiles (not $v.config) -}}
{{- $found = append $found "policyFiles stand beside config; with existingConfig they belong into it" -}}
{{- end -}}
{{- $least := include "approvals.leastGrace" . | int -}}
{{- if not (kindIs "invalid" $v.terminationGracePeriodSeconds) -}}
{{- if lt (int $v.terminationGracePeriodSeconds) $least -}}
{{- $found = append $found (printf "terminationGracePeriodSeconds has to be at least %d (upstreamTimeout + 15 + preStopSeconds): a call that is being sent would be cut off, with an unknown outcome" $least) -}}
{{- end -}}
{{- end -}}
{{- range $name, $ingress := $v.ingress -}}
{{- if and $ingress.enabled (not $ingress.host) -}}
{{- $found = append $found (printf "ingress.%s.host has to name a host" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.ingress.agents.enabled $v.ingress.admin.enabled (eq $v.ingress.agents.host $v.ingress.admin.host) -}}
{{- $found = append $found "ingress.agents.host and ingress.admin.host have to differ, or agents reach the routes of people" -}}
{{- end -}}
{{- if $v.autoscaling.enabled -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- $found = append $found "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if not (dig "requests" "cpu" "" $v.resources) -}}
{{- $found = append $found "autoscaling needs resources.requests.cpu, of which it takes its percents" -}}
{{- end -}}
{{- end -}}
{{- $own := list "APPROVALS_DATABASE_URL" "APPROVALS_REDIS_URL" "APPROVALS_SECRET_KEY" "APPROVALS_HOST" "APPROVALS_PORT" "APPROVALS_PUBLIC_URL" "APPROVALS_CONFIG" "APPROVALS_LOG_LEVEL" "APPROVALS_LOG_FORMAT" "APPROVALS_UPSTREAM_TIMEOUT" -}}
{{- range $v.extraEnv -}}
{{- if has .name $own -}}
{{- $found = append $found (printf "extraEnv cannot set %s: it has a value of its own" .name) -}}
{{- end -}}
{{- end -}}
{{- $found = concat $found (include "approvals.plainSecrets" . | splitList "\n" | compact) -}}
{{- if $found -}}
{{- fail (printf "\n- %s\n" (join "\n- " $found)) -}}
{{- end -}}
{{- end -}}

{{/* Headers, variables and secrets of channels that would stand in the ConfigMap for all to read. */}}
{{- define "approvals.plainSecrets" -}}
{{- $config := .Values.config | default dict -}}
{{- if kindIs "string" $config -}}
{{- $config = fromYaml $config -}}
{{- end -}}
{{- range $server, $entry := kindIs "map" $config.servers | ternary $config.servers dict -}}
{{- range $kind := list "headers" "env" -}}
{{- $given := get (kindIs "map" $entry | ternary $entry dict) $kind -}}
{{- range $name, $value := kindIs "map" $given | ternary $given dict -}}
{{- if and (regexMatch "(?i)authorization|cookie|token|key|secret|password" $name) (not (contains "${" (toString $value))) }}
config: {{ $name }} in the {{ $kind }} of {{ $server }} stands there in plain: write ${VARIABLE} and give VARIABLE in extraEnv
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $channel, $entry := kindIs "map" $config.channels | ternary $config.channels dict -}}
{{- $secret := (kindIs "map" $entry | ternary $entry dict).secret -}}
{{- if and $secret (not (contains "${" (toString $secret))) }}
config: the secret of {{ $channel }} stands there in plain: write ${VARIABLE} and give VARIABLE in extraEnv
{{- end -}}
{{- end -}}
{{- end -}}
