package l7

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"sluice/l7/http1"
	"sluice/pkg/headeredit"
	"sluice/pkg/htpasswd"
)

// authWait is how long a request may wait for its credentials to be verified.
const authWait = 10 * time.Second

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

// verification is the wait of an exchange for its credentials to be verified.
type verification struct {
	x    *exchange // nil once it is over
	rest []byte    // what came after the head
	own  bool
}

// auth returns who may be let in: the route's word goes before the listener's.
func (x *exchange) auth() *Auth {
	if x.route.auth != nil || x.route.open {
		return x.route.auth
	}
	return x.sh.s.cfg.Auth
}

// authorise reports whether the client is let in now. If not, it was answered, or
// the request goes on later, with rest.
func (x *exchange) authorise(rest []byte, own bool) bool {
	a := x.auth()
	if a == nil {
		return true
	}
	credentials := basic(&x.req)
	if credentials == nil {
		x.refuseCredentials(a)
		return false
	}
	user, verdict := a.file.Known(credentials)
	if verdict == htpasswd.Pending {
		user, verdict = x.verify(a, credentials)
	}
	switch verdict {
	case htpasswd.Right:
		x.user = user
		return true
	case htpasswd.Wrong:
		x.refuseCredentials(a)
	case htpasswd.Busy:
		x.retryAfter = overloadRetry
		x.refuse(AuthBusy, AuthBusy.explain())
	case htpasswd.Pending:
		v := x.verifying
		v.rest, v.own = rest, own
		if !own {
			v.rest, v.own = bytes.Clone(rest), true
		}
		x.come, x.comeOwn = v.rest, v.own
		x.c.arm(authWait)
		x.watchIfWhole()
	}
	return false
}

// verify has credentials verified elsewhere.
func (x *exchange) verify(a *Auth, credentials []byte) (user string, verdict htpasswd.Verdict) {
	v, l := &verification{x: x}, x.sh.l
	user, verdict = a.file.Check(credentials, func(user string) { l.Post(func() { v.done(user) }) })
	if verdict == htpasswd.Pending {
		x.verifying = v
	}
	return user, verdict
}

// done goes on with the request when its credentials have been verified.
func (v *verification) done(user string) {
	x := v.x
	if x == nil {
		return // it is over
	}
	defer x.c.guard()
	x.endVerification()
	if user == "" {
		x.refuseCredentials(x.auth())
		return
	}
	x.user = user
	x.receiveBody(v.rest, v.own)
}

// endVerification ends the wait.
func (x *exchange) endVerification() {
	if v := x.verifying; v != nil {
		v.x, x.verifying = nil, nil
	}
}

// refuseCredentials asks the client for credentials.
func (x *exchange) refuseCredentials(a *Auth) {
	x.challenge = a.challenge
	x.refuse(Unauthorized, Unauthorized.explain())
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
