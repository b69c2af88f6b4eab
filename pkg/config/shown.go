package config

import "regexp"

const credential = `(?:set:|add:)?[\w-]*(?:authorization|cookie|api-?key|token|secret|password|credential)[\w-]*:[ \t]*`

// credentials are headers that carry one, within quotes and without.
var credentials = [...]*regexp.Regexp{
	regexp.MustCompile(`(?i)(header="` + credential + `)(?:\\.|[^\\"])+`),
	regexp.MustCompile(`(?i)(header=` + credential + `)(?:\\.|[^\\,])+`),
}

// Shown returns a setting's value, as its String writes it, as it may be shown:
// what is set in, or expected of, headers that carry credentials is masked.
func Shown(value string) string {
	for _, form := range credentials {
		value = form.ReplaceAllString(value, "${1}"+masked)
	}
	return value
}

// shown is Shown of all there is in a tree of maps and lists.
func shown(tree any) any {
	switch v := tree.(type) {
	case string:
		return Shown(v)
	case []any:
		for i := range v {
			v[i] = shown(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = shown(v[k])
		}
	}
	return tree
}
