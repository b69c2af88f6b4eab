package copilot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"
)

// Trouble is why there is no answer, as a sentence, with the status that says so.
type Trouble struct {
	Status int
	Reason string
}

func (t Trouble) Error() string { return t.Reason }

// refusal is an answer of a server that does not speak the API.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return fmt.Sprintf("status %d: %s", r.status, r.text) }

// capped says that no question is left.
func (c *Copilot) capped() Trouble {
	now := c.config.Now().UTC()
	midnight := now.Truncate(24 * time.Hour).Add(24 * time.Hour)
	return Trouble{http.StatusTooManyRequests, fmt.Sprintf("the %d questions of today have been asked (--copilot-daily-cap); the next can be asked in %s, at midnight UTC", c.config.Daily, midnight.Sub(now).Round(time.Minute))}
}

// trouble makes a sentence of what an API returned, without the key.
func (c *Copilot) trouble(err error, key string) Trouble {
	t := c.sentence(err)
	if key != "" {
		t.Reason = strings.ReplaceAll(t.Reason, key, leftOut)
	}
	return t
}

func (c *Copilot) sentence(err error) Trouble {
	who := c.config.Provider + " at " + c.config.URL
	var (
		known    Trouble
		openaiNo *openai.Error
		claudeNo *anthropic.Error
		no       refusal
		op       *net.OpError
		name     *net.DNSError
		syntax   *json.SyntaxError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &openaiNo):
		return refused(who, openaiNo.StatusCode, openaiNo.Message)
	case errors.As(err, &claudeNo) && claudeNo.StatusCode < 400: // of an event in a stream that had begun well
		return Trouble{http.StatusBadGateway, who + " failed amid its answer: " + shorten(messageOf(claudeNo.RawJSON()))}
	case errors.As(err, &claudeNo):
		return refused(who, claudeNo.StatusCode, messageOf(claudeNo.RawJSON()))
	case errors.As(err, &no):
		if no.status < 400 {
			return Trouble{http.StatusBadGateway, fmt.Sprintf("%s leads elsewhere (status %d), which is not followed; see --copilot-url", who, no.status)}
		}
		return refused(who, no.status, no.text)
	case errors.Is(err, context.DeadlineExceeded):
		return Trouble{http.StatusGatewayTimeout, fmt.Sprintf("%s did not answer within %s (--copilot-timeout)", who, c.config.Timeout)}
	case errors.Is(err, context.Canceled):
		return Trouble{http.StatusServiceUnavailable, "the question was given up"}
	case errors.Is(err, errEmpty):
		return Trouble{http.StatusBadGateway, who + " answered nothing; does it speak the API of " + c.config.Provider + "?"}
	case errors.Is(err, errTooLong):
		return Trouble{http.StatusBadGateway, fmt.Sprintf("%s answered more than %d bytes", who, maxAnswer)}
	case errors.Is(err, errBroken), errors.Is(err, io.ErrUnexpectedEOF):
		return Trouble{http.StatusBadGateway, who + " broke off amid its answer"}
	case errors.As(err, &name):
		return Trouble{http.StatusBadGateway, "cannot connect to " + who + ": its name cannot be looked up: " + name.Err}
	case errors.As(err, &op):
		return Trouble{http.StatusBadGateway, "cannot connect to " + who + ": " + op.Err.Error()}
	case errors.As(err, &syntax), strings.Contains(err.Error(), "content-type"):
		return Trouble{http.StatusBadGateway, who + " answered something that is not of the API of " + c.config.Provider + "; see --copilot-url"}
	}
	if text, ok := strings.CutPrefix(err.Error(), "received error while streaming: "); ok {
		return Trouble{http.StatusBadGateway, who + " failed amid its answer: " + shorten(messageOf(text))}
	}
	return Trouble{http.StatusBadGateway, who + " gave no answer: " + shorten(err.Error())}
}

// refused makes a sentence of a status.
func refused(who string, status int, message string) Trouble {
	why := map[int]string{
		http.StatusUnauthorized: "does not accept the key (--copilot-key-file)", http.StatusForbidden: "does not allow this key to ask (--copilot-key-file)",
		http.StatusNotFound: "knows no such model or path (--copilot-model, --copilot-url)", http.StatusTooManyRequests: "has had too many questions, or the account has no credit",
		http.StatusRequestEntityTooLarge: "takes no question of this size", 529: "is overloaded",
	}[status]
	if why == "" {
		why = fmt.Sprintf("refused with status %d", status)
	}
	if message != "" {
		why += ": " + shorten(message)
	}
	code := http.StatusBadGateway
	if status == http.StatusTooManyRequests || status == 529 || status == http.StatusServiceUnavailable {
		code = http.StatusServiceUnavailable
	}
	return Trouble{code, who + " " + why}
}

// messageOf returns the message in an error of an API, or the whole if there is
// none.
func messageOf(text string) string {
	var e struct {
		Message string
		Error   struct{ Message string }
	}
	if json.Unmarshal([]byte(text), &e) != nil {
		return text
	}
	if e.Error.Message != "" {
		return e.Error.Message
	}
	if e.Message != "" {
		return e.Message
	}
	return text
}

// shorten returns at most some hundred bytes of a text.
func shorten(s string) string {
	const most = 300
	s = strings.TrimSpace(s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
