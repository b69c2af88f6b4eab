package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"sluice/l7"
	"sluice/pkg/config"
	"sluice/pkg/htpasswd"
)

// auths are the files of users that listeners and routes ask for. All methods are
// safe for concurrent use.
type auths struct {
	logger *slog.Logger

	// mu protects the field below.
	mu  sync.Mutex
	all map[config.Auth]*users
}

// users are those of one file.
type users struct {
	auth   *l7.Auth
	cancel context.CancelFunc // ends what follows the file
}

// get returns the users that a says, nil for none. Their file is read once, and
// kept up to date.
func (x *auths) get(a config.Auth) (*l7.Auth, error) {
	if a.File == "" {
		return nil, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if u := x.all[a]; u != nil {
		return u.auth, nil
	}
	file, err := htpasswd.Open(a.File, x.logger)
	if err != nil {
		return nil, config.Problem{Setting: "auth", Reason: fmt.Sprintf("%s: %v", a.Name, err)}
	}
	realm := a.Realm
	if realm == "" {
		realm = a.Name
	}
	auth, err := l7.NewAuth(file, realm, a.Forward)
	if err != nil {
		return nil, config.Problem{Setting: "auth", Reason: fmt.Sprintf("%s: %v", a.Name, err)}
	}
	ctx, cancel := context.WithCancel(context.Background())
	go file.Follow(ctx)
	if x.all == nil {
		x.all = make(map[config.Auth]*users)
	}
	x.all[a] = &users{auth, cancel}
	return auth, nil
}

// keep forgets all files but those that are used.
func (x *auths) keep(used map[config.Auth]bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for a, u := range x.all {
		if !used[a] {
			u.cancel()
			delete(x.all, a)
		}
	}
}

// close ends what follows the files.
func (x *auths) close() { x.keep(nil) }

// checkAuths returns what is wrong with the files of users.
func checkAuths(c *config.Config) error {
	x := &auths{logger: slog.New(slog.DiscardHandler)}
	defer x.close()
	var problems []error
	for _, a := range c.Auths {
		if _, err := x.get(a); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
