package htpasswd

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

const (
	// maxCredentials is how long encoded credentials may be, in bytes.
	maxCredentials = 1 << 10
	// maxPending is how many verifications may wait.
	maxPending = 1 << 10
	// maxRecent is how many outcomes are remembered at least, of right and of
	// wrong credentials each, and twice as many at most.
	maxRecent = 4 << 10
)

// Verdict is what is known of credentials.
type Verdict uint8

const (
	Wrong   Verdict = iota
	Right           // they are a user's
	Pending         // done will be called
	Busy            // too many others are being verified
)

// digest is what is remembered of credentials.
type digest [sha256.Size]byte

// Known returns what is known already of credentials as they come behind "Basic
// ": Right with their user, Wrong, or Pending, which Check is to find out.
func (f *File) Known(credentials []byte) (user string, v Verdict) {
	if len(credentials) > maxCredentials {
		return "", Wrong
	}
	d := f.digest(credentials)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known(d)
}

// digest is for no more than maxCredentials.
func (f *File) digest(credentials []byte) digest {
	var buf [len(f.secret) + maxCredentials]byte
	return sha256.Sum256(append(append(buf[:0], f.secret[:]...), credentials...))
}

// known is Known; f.mu is held.
func (f *File) known(d digest) (user string, v Verdict) {
	if user, ok := f.right.get(d); ok {
		return user, Right
	}
	if _, ok := f.wrong.get(d); ok {
		return "", Wrong
	}
	return "", Pending
}

// Check is Known, but finds out what is not known: if the verdict is Pending,
// done will be called from another goroutine with the user, or with nothing if
// the credentials are wrong. Equal credentials that come meanwhile are verified
// once.
func (f *File) Check(credentials []byte, done func(user string)) (user string, v Verdict) {
	if len(credentials) > maxCredentials {
		return "", Wrong
	}
	d := f.digest(credentials)
	f.mu.Lock()
	defer f.mu.Unlock()
	if user, v := f.known(d); v != Pending {
		return user, v
	}
	waiting, under := f.pending[d]
	if !under && len(f.pending) >= maxPending {
		return "", Busy
	}
	f.pending[d] = append(waiting, done)
	if !under {
		go f.verify(d, string(credentials))
	}
	return "", Pending
}

// verify finds out what there is to find out, and tells all who wait for it.
func (f *File) verify(d digest, credentials string) {
	f.workers <- struct{}{}
	f.mu.Lock()
	u := f.users
	f.mu.Unlock()
	user := u.verify(credentials)
	<-f.workers

	f.mu.Lock()
	waiting := f.pending[d]
	delete(f.pending, d)
	if u == f.users { // else it may not be so any more
		if user != "" {
			f.right.put(d, user)
		} else {
			f.wrong.put(d, "")
		}
	}
	f.mu.Unlock()
	for _, done := range waiting {
		done(user)
	}
}

// verify returns whose the credentials are, or nothing.
func (u *users) verify(credentials string) string {
	b, err := base64.StdEncoding.DecodeString(credentials)
	if err != nil {
		return ""
	}
	name, password, ok := strings.Cut(string(b), ":")
	if !ok || !u.match(name, password) {
		return ""
	}
	return name
}

// recent remembers the users of the credentials that came last. Its zero value
// remembers none.
type recent struct{ young, old map[digest]string }

func (r *recent) get(d digest) (user string, ok bool) {
	if user, ok = r.young[d]; ok {
		return user, true
	}
	if user, ok = r.old[d]; ok {
		r.put(d, user)
	}
	return user, ok
}

func (r *recent) put(d digest, user string) {
	if r.young == nil || len(r.young) >= maxRecent {
		r.old, r.young = r.young, make(map[digest]string)
	}
	r.young[d] = user
}
