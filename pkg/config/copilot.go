package config

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Copilot is who answers questions at /admin/copilot, and how often.
type Copilot struct {
	// Provider is openai, for that API, or anthropic; Off or empty means nobody.
	Provider string `yaml:"copilot"`
	// Model is which of the provider's.
	Model string `yaml:"copilot-model"`
	// URL is the base URL of the API; empty means the provider's own.
	URL string `yaml:"copilot-url"`
	// KeyFile is a file with the key, read for each question.
	KeyFile string `yaml:"copilot-key-file"`
	// Timeout bounds an answer as a whole.
	Timeout time.Duration `yaml:"copilot-timeout"`
	// DailyCap is how many questions a day may be asked, by UTC.
	DailyCap int `yaml:"copilot-daily-cap"`
}

// DefaultCopilot returns the one that is off.
func DefaultCopilot() Copilot {
	return Copilot{Provider: Off, Timeout: time.Minute, DailyCap: 50}
}

// CopilotProviders are what --copilot takes beside Off.
func CopilotProviders() []string { return []string{"openai", "anthropic"} }

// On reports whether somebody answers.
func (c Copilot) On() bool { return c.Provider != "" && c.Provider != Off }

// copilot checks the settings of the copilot.
func (v *validation) copilot() {
	c := v.c.Copilot
	if !c.On() {
		for _, s := range []struct{ setting, value string }{{"copilot-model", c.Model}, {"copilot-url", c.URL}, {"copilot-key-file", c.KeyFile}} {
			if s.value != "" {
				v.idle(s.setting, "%q has no effect without --copilot", s.value)
			}
		}
		return
	}
	if !slices.Contains(CopilotProviders(), c.Provider) {
		v.add("copilot", "unknown provider %q; known are %s, %s", c.Provider, strings.Join(CopilotProviders(), ", "), Off)
	}
	if v.c.Admin == Off {
		v.idle("copilot", "%q has no effect without a control plane (--admin)", c.Provider)
	}
	if strings.TrimSpace(c.Model) == "" {
		v.add("copilot-model", "it is needed with --copilot: the name of a model of the provider's")
	}
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		v.add("copilot-url", "%q is not http://HOST[:PORT][/PATH] or https://…", c.URL)
	}
	if c.Timeout <= 0 || c.Timeout > time.Hour {
		v.add("copilot-timeout", "%v is not above 0 and at most 1h", c.Timeout)
	}
	if c.DailyCap < 1 {
		v.add("copilot-daily-cap", "%d is below 1; --copilot=off turns it off", c.DailyCap)
	}
}
