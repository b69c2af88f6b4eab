package copilot

import (
	"bytes"
	"encoding/json"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// leftOut stands where a secret or the value of a header was, and someone where
// an address was that may be a client's.
const (
	leftOut = "[left out]"
	someone = "[an address]"
)

// scrubber takes out of texts what must not leave this process.
type scrubber struct {
	known   map[netip.Addr]bool
	secrets []string // the longest first
	left    int      // how many things were taken out
}

// leastSecret is how long a secret must be: a shorter one is in every other word.
const leastSecret = 4

func newScrubber(f Facts) *scrubber {
	s := &scrubber{known: make(map[netip.Addr]bool)}
	for _, a := range f.Known {
		host := a
		if h, _, err := net.SplitHostPort(a); err == nil {
			host = h
		}
		if addr, err := netip.ParseAddr(host); err == nil {
			s.known[addr.Unmap().WithZone("")] = true
		}
	}
	for _, v := range f.Secrets {
		s.secret(v)
	}
	return s
}

// secret adds a value that is a secret.
func (s *scrubber) secret(v string) {
	if len(v) < leastSecret {
		return
	}
	s.secrets = append(s.secrets, v)
	slices.SortFunc(s.secrets, func(a, b string) int { return len(b) - len(a) })
}

// json is text for every string in a JSON document, names of fields among them.
func (s *scrubber) json(document []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s.tree(tree)); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

func (s *scrubber) tree(tree any) any {
	switch v := tree.(type) {
	case string:
		return s.text(v)
	case []any:
		for i := range v {
			v[i] = s.tree(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[s.text(k)] = s.tree(x)
		}
		return out
	}
	return tree
}

// credentials are forms that give a secret away: what a header or a parameter
// with such a name has, what follows a scheme of authentication, keys of a known
// form, and a password in a URL. Of the last group of each, the first is kept.
var credentials = []*regexp.Regexp{
	regexp.MustCompile(`(?i)(\b[\w-]*(?:authorization|cookie|api[-_]?key|token|secret|passwd|password|passphrase|credential|session[-_]?id)[\w-]*["']?\s*[:=]\s*)(?:"(?:\\.|[^"\\])*"|'[^']*'|(?:bearer|basic|digest|negotiate)\s+[^\s"',;]+|[^\s"',;&]+(?:;\s*[\w-]+=[^\s"',;&]+)*)`),
	regexp.MustCompile(`(?i)(\b(?:bearer|basic|negotiate)\s+)[A-Za-z0-9+/=._~-]{8,}`),
	regexp.MustCompile(`(?s)()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`),
	regexp.MustCompile(`()\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?`),
	regexp.MustCompile(`()\b(?:sk|pk|rk|ghp|gho|ghs|github_pat|glpat|xox[abprs]|hvs|hvb)[-_][A-Za-z0-9_-]{8,}`),
	regexp.MustCompile(`()\b(?:AKIA|ASIA)[A-Z0-9]{12,}`),
	regexp.MustCompile(`(://)[^/\s:@]+:[^/\s@]+(?:@)`),
}

// headers are the values of headers, where something is written as one: its name
// has a dash and capitals, or the word header is in front of it.
var headers = []*regexp.Regexp{
	regexp.MustCompile(`(\b[A-Z][A-Za-z0-9]*(?:-[A-Z][A-Za-z0-9]*)+["']?:[ \t]*)(?:"[^"]*"|'[^']*'|[^\r\n"',;]+)`),
	regexp.MustCompile(`(?i)(\bheader[\s=:"']+(?:set:|add:)?[\w-]+["']?\s*[:=]\s*)(?:"[^"]*"|'[^']*'|[^\s"',;]+)`),
}

// ipv6 and ipv4 are what may be addresses; parsing decides.
var (
	ipv6 = regexp.MustCompile(`[0-9A-Fa-f]*(?::[0-9A-Fa-f]*){2,}(?:(?:\.\d{1,3}){3})?`)
	ipv4 = regexp.MustCompile(`\d{1,3}(?:\.\d{1,3}){3}`)
)

// text returns a text without secrets, values of headers, and addresses that are
// not known.
func (s *scrubber) text(t string) string {
	for _, v := range s.secrets {
		if n := strings.Count(t, v); n > 0 {
			s.left += n
			t = strings.ReplaceAll(t, v, leftOut)
		}
	}
	for _, forms := range [][]*regexp.Regexp{credentials, headers} {
		for _, re := range forms {
			t = re.ReplaceAllStringFunc(t, func(m string) string {
				kept := re.FindStringSubmatch(m)[1]
				if strings.TrimSpace(m[len(kept):]) == leftOut {
					return m
				}
				s.left++
				return kept + leftOut
			})
		}
	}
	t = ipv6.ReplaceAllStringFunc(t, func(m string) string {
		if s.tells(m) {
			return m
		}
		if _, err := netip.ParseAddr(m); err == nil {
			s.left++
			return someone
		}
		// The last of its colons may be that of a sentence.
		i := strings.LastIndexByte(m, ':')
		if _, err := netip.ParseAddr(m[:i]); err != nil || s.tells(m[:i]) {
			return m
		}
		s.left++
		return someone + m[i:]
	})
	return ipv4.ReplaceAllStringFunc(t, func(m string) string {
		if _, err := netip.ParseAddr(m); err != nil || s.tells(m) {
			return m
		}
		s.left++
		return someone
	})
}

// tells reports whether a text is an address that may be told.
func (s *scrubber) tells(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && (s.known[a.Unmap()] || a.IsUnspecified())
}
