package admin

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/pkg/control"
	"sluice/pkg/copilot"
)

// document is an OpenAPI 3.1 description of the control plane, made of the same
// operations as the mux.
type document map[string]any

// newDocument describes operations.
func newDocument(version string, operations []operation) document {
	paths := make(map[string]map[string]any)
	add := func(path, method string, what map[string]any) {
		if paths[path] == nil {
			paths[path] = make(map[string]any)
		}
		paths[path][strings.ToLower(method)] = what
	}
	for _, o := range operations {
		add(o.path, o.method, o.describe())
	}
	plain := func(summary, kind string) map[string]any {
		return map[string]any{"summary": summary, "responses": map[string]any{
			"200": map[string]any{"description": "the answer", "content": map[string]any{kind: map[string]any{"schema": map[string]any{}}}},
		}}
	}
	add("/", "get", plain("what there is, as text", "text/plain"))
	add("/admin", "get", plain("the same", "text/plain"))
	add("/admin/", "get", plain("the same", "text/plain"))
	for path, summary := range map[string]string{
		"": "Go's profiles, as a page", "profile": "where CPU time goes, over seconds=", "trace": "what the runtime does, over seconds=", "symbol": "names of addresses", "cmdline": "the name of the program",
	} {
		x := plain(summary, "application/octet-stream")
		if path == "profile" || path == "trace" {
			x["parameters"] = []any{map[string]any{"name": "seconds", "in": "query", "schema": map[string]any{"type": "number"}, "description": fmt.Sprintf("up to %d", maxProfileSeconds)}}
		}
		add("/debug/pprof/"+path, "get", x)
	}
	add("/metrics", "get", plain("metrics in Prometheus' text format", "text/plain"))
	add("/admin/openapi.json", "get", plain("this", "application/json"))
	healthz := plain("200 while the process answers", "text/plain")
	healthz["security"] = []any{}
	add("/healthz", "get", healthz)
	readyz := plain("whether new clients should come here", "application/json")
	readyz["security"] = []any{}
	readyz["responses"].(map[string]any)["503"] = map[string]any{"description": "they should not, with the reasons"}
	add("/readyz", "get", readyz)
	return document{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": "sluice", "version": version, "description": "The control plane. Durations are Go's, such as 10m; names of fields say their units.", "license": map[string]any{"name": "Apache 2.0", "identifier": "Apache-2.0"}},
		"paths":   paths,
		"components": map[string]any{
			"schemas":         schemas(),
			"securitySchemes": map[string]any{"token": map[string]any{"type": "http", "scheme": "bearer"}},
			"responses": map[string]any{"Problem": map[string]any{"description": "what is wrong (RFC 9457)", "content": map[string]any{
				"application/problem+json": map[string]any{"schema": ref("Problem")},
			}}},
		},
		"security": []any{map[string]any{}, map[string]any{"token": []any{}}},
	}
}

func ref(name string) map[string]any {
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// describe returns what the document says of an operation.
func (o operation) describe() map[string]any {
	params := []any{}
	for _, m := range pathParameter.FindAllStringSubmatch(o.path, -1) {
		params = append(params, map[string]any{"name": m[1], "in": "path", "required": true, "schema": map[string]any{"type": "string"}})
	}
	fields := make(map[string]any)
	var seen []string
	for _, p := range o.params {
		if slices.Contains(seen, p.name) {
			continue
		}
		seen = append(seen, p.name)
		schema := p.schema()
		params = append(params, map[string]any{"name": p.name, "in": "query", "description": p.about, "schema": schema, "required": false})
		fields[p.name] = p.bodySchema()
	}
	d := map[string]any{
		"summary": o.summary, "operationId": operationID(o), "parameters": params,
		"responses": map[string]any{
			"200":     map[string]any{"description": "the answer", "content": o.content()},
			"default": map[string]any{"$ref": "#/components/responses/Problem"},
		},
	}
	if o.method != "GET" && len(fields) > 0 {
		object := map[string]any{"schema": map[string]any{"type": "object", "properties": fields, "additionalProperties": false}}
		d["requestBody"] = map[string]any{"required": false, "content": map[string]any{
			"application/json": object, "application/x-www-form-urlencoded": object,
		}, "description": "the parameters, instead of in the query"}
	}
	return d
}

func (o operation) content() map[string]any {
	c := map[string]any{"application/json": map[string]any{"schema": ref(o.answer)}}
	if o.path == "/admin/events" {
		c["text/event-stream"] = map[string]any{"schema": map[string]any{"type": "string"}}
	}
	return c
}

func (p parameter) schema() map[string]any {
	s := map[string]any{"type": "string"}
	if p.kind != "" {
		s["type"] = p.kind
	}
	if p.kind == "array" {
		s["items"] = map[string]any{"type": "string"}
	}
	if len(p.enum) > 0 {
		s["enum"] = p.enum
	}
	return s
}

// bodySchema is schema for a field of JSON, where a number may be one.
func (p parameter) bodySchema() map[string]any {
	s := p.schema()
	switch s["type"] {
	case "array":
		s["items"] = map[string]any{}
	case "string":
		if len(p.enum) == 0 {
			s["type"] = []string{"string", "number", "boolean"}
		}
	case "integer", "boolean":
		s["type"] = []string{p.kind, "string"}
	}
	return s
}

// operationID names an operation.
func operationID(o operation) string {
	words := strings.FieldsFunc(o.path, func(r rune) bool { return strings.ContainsRune("/{}-.", r) })
	id := strings.ToLower(o.method)
	for _, w := range words {
		id += strings.ToUpper(w[:1]) + w[1:]
	}
	return id
}

// schemas describes what is answered, by the types that are.
func schemas() map[string]any {
	list := func(of string, entry any, more ...string) map[string]any {
		s := map[string]any{"type": "object", "properties": map[string]any{
			of:      map[string]any{"type": "array", "items": schemaOf(reflect.TypeOf(entry))},
			"total": map[string]any{"type": "integer"}, "offset": map[string]any{"type": "integer"}, "limit": map[string]any{"type": "integer"},
			"next_offset": map[string]any{"type": []string{"integer", "null"}},
		}, "required": append([]string{of, "total", "offset", "limit", "next_offset"}, more...)}
		for _, m := range more {
			s["properties"].(map[string]any)[m] = map[string]any{}
		}
		return s
	}
	object := func(required ...string) map[string]any {
		properties := make(map[string]any)
		for _, r := range required {
			properties[r] = map[string]any{}
		}
		return map[string]any{"type": "object", "properties": properties, "required": required}
	}
	of := func(v any) map[string]any { return schemaOf(reflect.TypeOf(v)) }
	return map[string]any{
		"Problem": of(problem{}), "Outcome": of(outcomeView{}), "Reloaded": of(Reloaded{}), "Ended": object("ended"),
		"Services": list("services", serviceView{}), "ServiceList": list("services", serviceSummary{}), "Service": of(serviceView{}),
		"Backends": list("backends", backendView{}), "BackendList": map[string]any{"type": "array", "items": of(listView{})},
		"Outliers":   list("outliers", outlierView{}),
		"Strategies": list("services", strategyView{}, "strategy", "available"),
		"Cost":       object("estimated_cost", "currency", "items", "formula", "prices"),
		"Metrics":    list("metrics", series{}, "totals"),
		"LBMetrics":  object("uptime_seconds", "total_requests", "success_requests", "failed_requests", "retry_attempts", "avg_latency_ms", "healthy_backends", "total_backends", "backends"),
		"Copilot":    of(copilot.About{}), "Answer": object("provider", "url", "model"),
		"Config":   map[string]any{"type": "object"},
		"Page":     map[string]any{},
		"Changes":  list("changes", changeView{}, "version", "kept", "trouble"),
		"Events":   object("events", "total", "limit", "lost", "next_after", "last_event_id"),
		"Canaries": list("canaries", canaryView{}, "active"),
		"Routes":   list("routes", RouteView{}), "Listeners": list("listeners", ListenerView{}), "Connections": list("connections", ConnectionView{}),
		"Limits":      list("limits", LimitView{}),
		"Explanation": of(Explanation{}), "Selftest": of(Selftest{}), "LogLevel": object("level", "allowed"),
		"Fleet": list("tasks", taskView{}, "fleet", "version", "applied", "ready", "trouble"),
	}
}

// schemaOf describes a type as encoding/json writes it.
func schemaOf(t reflect.Type) map[string]any {
	switch t {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case reflect.TypeFor[control.Change]():
		return map[string]any{"type": "object"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := schemaOf(t.Elem())
		if kind, ok := s["type"].(string); ok {
			s["type"] = []string{kind, "null"}
		}
		return s
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer"}
	case reflect.Slice:
		return map[string]any{"type": []string{"array", "null"}, "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": []string{"object", "null"}, "additionalProperties": schemaOf(t.Elem())}
	case reflect.Struct:
		properties := make(map[string]any)
		required := []string{}
		structFields(t, properties, &required)
		s := map[string]any{"type": "object", "properties": properties}
		if len(required) > 0 {
			s["required"] = required
		}
		return s
	}
	return map[string]any{}
}

// structFields describes the fields of a struct, those of embedded ones among
// them.
func structFields(t reflect.Type, properties map[string]any, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "":
			structFields(f.Type, properties, required)
		case f.IsExported() && name != "":
			properties[name] = schemaOf(f.Type)
			if !strings.Contains(options, "omitempty") {
				*required = append(*required, name)
			}
		}
	}
}
