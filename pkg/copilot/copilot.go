package copilot

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// The providers there are.
const (
	OpenAI    = "openai"
	Anthropic = "anthropic"
)

// Providers lists them.
func Providers() []string { return []string{OpenAI, Anthropic} }

const (
	// MaxQuestion is how many bytes a question may have.
	MaxQuestion = 4000
	// maxAnswer is how many bytes of an answer are read.
	maxAnswer = 1 << 20
	// maxKept is how many prompts are kept after they were shown, for keptFor.
	maxKept = 16
	keptFor = 15 * time.Minute
	// maxAsking is how many questions may be under way.
	maxAsking = 4
	// maxKey is how large a file with a key may be.
	maxKey = 16 << 10
)

// Config is what is asked and how.
type Config struct {
	Provider string        // of Providers
	URL      string        // base URL; empty: the provider's own
	Model    string        // as the provider calls it
	KeyFile  string        // read for each question; empty: no key
	Timeout  time.Duration // of an answer, as a whole
	Daily    int           // questions a day, by UTC
	// Facts returns what the model is given. It must be safe for concurrent use.
	Facts func() Facts
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Facts is what is known of the run.
type Facts struct {
	// Body is encoded as JSON.
	Body any
	// Known are addresses that may be told: those of backends and listeners.
	// All others are taken for clients' and left out.
	Known []string
	// Secrets are values that are left out wherever they are.
	Secrets []string
}

// Copilot asks. All methods are safe for concurrent use.
type Copilot struct {
	config Config
	api    provider
	asking chan struct{}

	// mu protects the fields below.
	mu    sync.Mutex
	kept  []Prompt // the oldest first
	day   string
	asked int // on that day
}

// provider is an API. ask calls piece with each part of the answer as it comes,
// and returns why it ended, if not because it was complete.
type provider interface {
	ask(ctx context.Context, client *http.Client, key string, p Prompt, piece func(string)) (cut string, err error)
}

// New returns a Copilot. cfg must be valid.
func New(cfg Config) *Copilot {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.URL = strings.TrimRight(strings.TrimSpace(cfg.URL), "/")
	c := &Copilot{config: cfg, asking: make(chan struct{}, maxAsking)}
	switch cfg.Provider {
	case Anthropic:
		c.config.URL = strings.TrimSuffix(c.config.URL, "/v1") // which its library adds
		if c.config.URL == "" {
			c.config.URL = "https://api.anthropic.com"
		}
		c.api = anthropicAPI{c.config.URL}
	default:
		if c.config.URL == "" {
			c.config.URL = "https://api.openai.com/v1"
		}
		c.api = openAI{c.config.URL}
	}
	return c
}

// About is what is shown of a Copilot. That of none is off.
type About struct {
	Enabled  bool   `json:"enabled"`
	Provider string `json:"provider"` // off, if there is none
	Model    string `json:"model"`
	URL      string `json:"url"` // whom it is sent to
	Ready    bool   `json:"ready"`
	Trouble  string `json:"trouble"` // why it is not
	Daily    int    `json:"daily_cap"`
	Left     int    `json:"left_today"`
}

// Off is About of no Copilot.
func Off() About {
	return About{Provider: "off", Trouble: "the copilot is off: --copilot turns it on"}
}

// About returns what is shown of c; of nil, that it is off.
func (c *Copilot) About() About {
	if c == nil {
		return Off()
	}
	a := About{Enabled: true, Provider: c.config.Provider, Model: c.config.Model, URL: c.config.URL, Daily: c.config.Daily, Left: c.left(), Ready: true}
	if _, err := c.key(); err != nil {
		a.Ready, a.Trouble = false, err.Error()
	} else if a.Left == 0 {
		a.Ready, a.Trouble = false, c.capped().Error()
	}
	return a
}

// key reads the key.
func (c *Copilot) key() (string, error) {
	if c.config.KeyFile == "" {
		if c.config.URL == "https://api.openai.com/v1" || c.config.URL == "https://api.anthropic.com" {
			return "", Trouble{http.StatusServiceUnavailable, "there is no key for " + c.config.URL + ": --copilot-key-file names the file that has it"}
		}
		return "", nil
	}
	f, err := os.Open(c.config.KeyFile)
	if err != nil {
		return "", Trouble{http.StatusServiceUnavailable, "there is no key: the file of --copilot-key-file cannot be read: " + err.Error()}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKey))
	if err != nil {
		return "", Trouble{http.StatusServiceUnavailable, "there is no key: the file of --copilot-key-file cannot be read: " + err.Error()}
	}
	line, _, _ := strings.Cut(string(b), "\n")
	key := strings.TrimSpace(line)
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", Trouble{http.StatusServiceUnavailable, "there is no key: the first line of the file of --copilot-key-file is none"}
	}
	return key, nil
}

// Prompt is all that is sent.
type Prompt struct {
	ID       string          `json:"id"` // by which it is sent as it was shown
	Provider string          `json:"provider"`
	URL      string          `json:"url"`
	Model    string          `json:"model"`
	System   string          `json:"system"`
	Question string          `json:"question"`
	Facts    json.RawMessage `json:"facts"`
	Bytes    int             `json:"bytes"`    // of all three
	LeftOut  int             `json:"left_out"` // how many secrets, addresses and values of headers

	at    time.Time
	calls []Call // that may be proposed
}

// user returns the message of the user.
func (p Prompt) user() string {
	return "Facts, as JSON:\n" + string(p.Facts) + "\n\nQuestion: " + p.Question
}

// Prepare makes what a question sends, and keeps it for Kept. calls are those
// that may be proposed.
func (c *Copilot) Prepare(question string, calls []Call) (Prompt, error) {
	question = strings.TrimSpace(question)
	facts := c.config.Facts()
	s := newScrubber(facts)
	if key, err := c.key(); err == nil {
		s.secret(key)
	}
	body, err := json.Marshal(facts.Body)
	if err != nil {
		return Prompt{}, fmt.Errorf("cannot encode the facts: %w", err)
	}
	body, err = s.json(body)
	if err != nil {
		return Prompt{}, fmt.Errorf("cannot encode the facts: %w", err)
	}
	p := Prompt{
		ID: newID(), Provider: c.config.Provider, URL: c.config.URL, Model: c.config.Model,
		System: system(calls), Question: s.text(question), Facts: body, at: c.config.Now(), calls: calls,
	}
	p.Bytes, p.LeftOut = len(p.System)+len(p.user()), s.left
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) == maxKept {
		c.kept = append(c.kept[:0], c.kept[1:]...)
	}
	c.kept = append(c.kept, p)
	return p, nil
}

func newID() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// Kept returns a prompt that was prepared lately, by its ID.
func (c *Copilot) Kept(id string) (Prompt, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.kept {
		if p.ID == id && c.config.Now().Sub(p.at) < keptFor {
			return p, true
		}
	}
	return Prompt{}, false
}

// Answer is what came of a question.
type Answer struct {
	Answer string `json:"answer"`
	// Cut says why the answer is not complete; empty if it is.
	Cut      string  `json:"cut"`
	Calls    []Call  `json:"calls"`   // that it proposes; none is made
	Dropped  int     `json:"dropped"` // proposals that are no calls of the control plane
	Provider string  `json:"provider"`
	URL      string  `json:"url"`
	Model    string  `json:"model"`
	Elapsed  float64 `json:"elapsed_seconds"`
	Left     int     `json:"left_today"`
	Sent     Prompt  `json:"sent"`
}

// Ask sends a prompt and waits for the answer, of which piece gets each part as it
// comes. An error is a Trouble.
func (c *Copilot) Ask(ctx context.Context, p Prompt, piece func(string)) (Answer, error) {
	key, err := c.key()
	if err != nil {
		return Answer{}, err
	}
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	default:
		return Answer{}, Trouble{http.StatusTooManyRequests, fmt.Sprintf("%d questions are under way; wait for an answer", maxAsking)}
	}
	if !c.take() {
		return Answer{}, c.capped()
	}
	begin := c.config.Now()
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	client := newClient()
	defer client.CloseIdleConnections()
	var text strings.Builder
	cut, err := c.api.ask(ctx, client, key, p, func(s string) {
		text.WriteString(s)
		piece(s)
	})
	if (err == nil || errors.Is(err, errBroken)) && strings.TrimSpace(text.String()) == "" {
		err = errEmpty
	}
	if err != nil {
		return Answer{}, c.trouble(err, key)
	}
	a := Answer{Cut: cut, Provider: p.Provider, URL: p.URL, Model: p.Model, Sent: p, Left: c.left(), Elapsed: c.config.Now().Sub(begin).Seconds()}
	a.Answer, a.Calls, a.Dropped = proposals(text.String(), p.calls)
	return a, nil
}

// take takes one question of the day's, false if there is none left.
func (c *Copilot) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	if c.asked >= c.config.Daily {
		return false
	}
	c.asked++
	return true
}

// left returns how many questions are left of the day's.
func (c *Copilot) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	return c.config.Daily - c.asked
}

// turn begins a new day; c.mu is held.
func (c *Copilot) turn() {
	if day := c.config.Now().UTC().Format(time.DateOnly); day != c.day {
		c.day, c.asked = day, 0
	}
}

var (
	errEmpty   = errors.New("copilot: the answer is empty")
	errTooLong = errors.New("copilot: the answer is too long")
	errBroken  = errors.New("copilot: the answer broke off")
)
