{{- define "portcullis.name" -}}
{{ .Release.Name }}-session
{{- end }}

{{- define "portcullis.selector" -}}
app.kubernetes.io/name: portcullis-session
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "portcullis.labels" -}}
{{ include "portcullis.selector" . }}
app.kubernetes.io/part-of: portcullis
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "portcullis.metadata" -}}
metadata:
  name: {{ include "portcullis.name" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "portcullis.labels" . | nindent 4 }}
{{- end }}

{{- define "portcullis.credentials" -}}
{{- with .Values.credentials -}}
{{- if .existingSecret }}{{ .existingSecret }}
{{- else if and .filter (or .admin (not $.Values.session.admin_credential)) }}{{ include "portcullis.name" $ }}
{{- else }}{{ fail "credentials: name an `existingSecret` with the keys `filter` and `admin` (without `session.admin_credential`, `filter` is enough), or give values for them" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "portcullis.image" -}}
{{- with .Values.image -}}
{{- $repository := required "image.repository: name the image of the session service" .repository -}}
{{- if .digest }}{{ $repository }}@{{ .digest }}{{ else }}{{ $repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* The ConfigMap of the conditions, if there are any. */}}
{{- define "portcullis.conditions" -}}
{{- with .Values.conditions -}}
{{- if and .files .existingConfigMap }}{{ fail "conditions: give `files`, or the name of an `existingConfigMap`, not both" }}
{{- else if .existingConfigMap }}{{ .existingConfigMap }}
{{- else if .files }}{{ include "portcullis.name" $ }}-conditions
{{- end }}
{{- end }}
{{- end }}

{{/* The store if it is one that several replicas can share, else empty. */}}
{{- define "portcullis.shared" -}}
{{- if .Values.session.store.postgres }}postgres{{ else if .Values.session.store.redis }}redis{{ end -}}
{{- end }}

{{/* session.yaml: the values, with the files of the Secrets that are mounted. Helm merges maps, so `embedded` is still there. */}}
{{- define "portcullis.session" -}}
{{- $session := deepCopy .Values.session -}}
{{- if include "portcullis.shared" . }}{{ $_ := unset $session.store "embedded" }}{{ end -}}
{{- with $session.store.redis -}}
{{- $_ := set . "replicas" (int $.Values.replicas) -}}
{{- $_ := set . "journal" "/var/lib/portcullis/journal" -}}
{{- end -}}
{{- with .Values.tls -}}
{{- if .secretName -}}
{{- $tls := dict "cert" "/run/secrets/portcullis/tls/tls.crt" "key" "/run/secrets/portcullis/tls/tls.key" -}}
{{- if .clientCa }}{{ $_ := set $tls "client_ca" "/run/secrets/portcullis/tls/ca.crt" }}{{ end -}}
{{- $_ := set $session "tls" $tls -}}
{{- end -}}
{{- end -}}
{{- if .Values.adminTls.secretName -}}
{{- $_ := set $session "admin_tls" (dict "cert" "/run/secrets/portcullis/admin-tls/tls.crt" "key" "/run/secrets/portcullis/admin-tls/tls.key") -}}
{{- end -}}
{{- if .Values.signalsTls.secretName -}}
{{- $_ := set $session "signals_tls" (dict "cert" "/run/secrets/portcullis/signals-tls/tls.crt" "key" "/run/secrets/portcullis/signals-tls/tls.key") -}}
{{- end -}}
{{- if include "portcullis.conditions" . -}}
{{- $directory := "/run/portcullis/conditions" -}}
{{- if kindIs "slice" $session.conditions -}}
{{- range $session.conditions }}{{ if hasKey . "cedar" }}{{ $_ := set . "cedar" $directory }}{{ end }}{{ end -}}
{{- else -}}
{{- $_ := set $session "conditions" (set (default dict $session.conditions) "cedar" $directory) -}}
{{- end -}}
{{- end -}}
{{- toYaml $session -}}
{{- end }}

{{/* The port at the end of an address. */}}
{{- define "portcullis.port" -}}
{{ regexFind "[0-9]+$" . }}
{{- end }}
