package gate

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"sluice/l7/http1"
	"sluice/pkg/headeredit"
	"sluice/pkg/htpasswd"
)

// AuthWait is how long a request may wait for its credentials to be verified.
const AuthWait = 10 * time.Second

// Auth lets the users of a file in, by HTTP's basic authentication (RFC 7617).
// Nil lets everybody in.
type Auth struct {
	file      *htpasswd.File
	challenge string // the line that asks for credentials
	edits     headeredit.Edits
}

// NewAuth returns an Auth for the users of file. The realm, which is shown to
// those who are asked, must not have control characters. Backends get the user in
// X-Forwarded-User, and the credentials only if forward is true.
func NewAuth(file *htpasswd.File, realm string, forward bool) (*Auth, error) {
	if strings.ContainsFunc(realm, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("the realm %q has control characters", realm)
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(realm)
	a := &Auth{file: file, challenge: `WWW-Authenticate: Basic realm="` + quoted + `", charset="UTF-8"` + "\r\n"}
	specs := []string{"set:X-Forwarded-User: ${user}"}
	if !forward {
		specs = append(specs, "remove:Authorization")
	}
	for _, s := range specs {
		e, err := headeredit.Parse(s, headeredit.Request)
		if err != nil {
			return nil, err
		}
		a.edits = append(a.edits, e)
	}
	return a, nil
}

// auth returns who may be let in: the route's word goes before the listener's.
func (t *Ticket) auth() *Auth {
	if t.route.auth != nil || t.route.open {
		return t.route.auth
	}
	return t.g.cfg.Auth
}

// Authorise decides whether the client is let in. Await means that its
// credentials have to be verified first, see Verify.
func (t *Ticket) Authorise() Decision {
	a := t.auth()
	if a == nil {
		return Forward
	}
	credentials := basic(&t.Req)
	if credentials == nil {
		return t.refuseCredentials(a)
	}
	return t.verdict(a.file.Known(credentials))
}

// Verify has the credentials verified that Authorise awaits. If it awaits them,
// too, done is called with the user, from any goroutine, and its driver tells
// Verified; else done is not called.
func (t *Ticket) Verify(done func(user string)) Decision {
	a := t.auth()
	return t.verdict(a.file.Check(basic(&t.Req), done))
}

// Verified tells whose the credentials are; empty means nobody's.
func (t *Ticket) Verified(user string) Decision {
	if user == "" {
		return t.refuseCredentials(t.auth())
	}
	t.user = user
	return Forward
}

func (t *Ticket) verdict(user string, v htpasswd.Verdict) Decision {
	switch v {
	case htpasswd.Right:
		return t.Verified(user)
	case htpasswd.Wrong:
		return t.Verified("")
	case htpasswd.Busy:
		t.outcome.retryAfter = overloadRetry
		return t.Refuse(AuthBusy, "")
	}
	return Await
}

// refuseCredentials asks the client for credentials.
func (t *Ticket) refuseCredentials(a *Auth) Decision {
	t.outcome.challenge = a.challenge
	return t.Refuse(Unauthorized, "")
}

// basic returns the credentials of a request, encoded, or nil if there are none
// or several.
func basic(h *http1.Head) (credentials []byte) {
	for i := range h.Fields {
		f := &h.Fields[i]
		if !http1.EqualFold(f.Name, "authorization") {
			continue
		}
		scheme, rest, ok := bytes.Cut(f.Value, []byte(" "))
		if credentials != nil || !ok || !http1.EqualFold(scheme, "basic") {
			return nil
		}
		credentials = http1.TrimSpace(rest)
	}
	return credentials
}
