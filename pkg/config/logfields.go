package config

import (
	"fmt"
	"slices"
	"strings"
)

// LogFields are what lines of the access log have by choice, as it is written:
// query, user, user-agent, referer, request:NAME and response:NAME, with commas
// between them.
type LogFields string

// LogField is one of them.
type LogField struct {
	Key  string // in the line
	Of   string // query, user, request or response
	Name string // of the header, in lower case
}

// maxLogFields bounds what a line may have.
const maxLogFields = 16

// Parse returns the fields, each once.
func (l LogFields) Parse() (all []LogField, err error) {
	for part := range strings.SplitSeq(string(l), ",") {
		part = strings.TrimSpace(part)
		of, name, named := strings.Cut(part, ":")
		name = strings.ToLower(name)
		f := LogField{Key: of + "." + name, Of: of, Name: name}
		switch {
		case part == "":
			continue
		case part == "query", part == "user":
			f.Key = part
		case part == "user-agent", part == "referer":
			f = LogField{Key: strings.ReplaceAll(part, "-", "_"), Of: "request", Name: part}
		case named && isToken(name) && (of == "request" || of == "response"):
		default:
			return nil, fmt.Errorf("%q is none of query, user, user-agent, referer, request:NAME and response:NAME", part)
		}
		if slices.ContainsFunc(all, func(x LogField) bool { return x.Key == f.Key }) {
			return nil, fmt.Errorf("%q comes twice", part)
		}
		all = append(all, f)
	}
	if len(all) > maxLogFields {
		return nil, fmt.Errorf("%d fields are more than %d", len(all), maxLogFields)
	}
	return all, nil
}
