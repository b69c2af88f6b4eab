package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"sluice/l7"
	"sluice/pkg/config"
	"sluice/pkg/htpasswd"
)

// auths are the files of users by the names that routes ask for them.
type auths struct {
	byName map[string]*l7.Auth
	files  []*htpasswd.File
}

// openAuths reads the files. All that cannot be used is in the error.
func openAuths(c *config.Config, logger *slog.Logger) (auths, error) {
	a := auths{byName: make(map[string]*l7.Auth)}
	var problems []error
	for _, x := range c.Auths {
		file, err := htpasswd.Open(x.File, logger)
		if err == nil {
			realm := x.Realm
			if realm == "" {
				realm = x.Name
			}
			a.files = append(a.files, file)
			a.byName[x.Name], err = l7.NewAuth(file, realm, x.Forward)
		}
		if err != nil {
			problems = append(problems, config.Problem{Setting: "auth", Reason: fmt.Sprintf("%s: %v", x.Name, err)})
		}
	}
	return a, errors.Join(problems...)
}

// follow keeps the files up to date until ctx ends.
func (a auths) follow(ctx context.Context) {
	for _, f := range a.files {
		go f.Follow(ctx)
	}
}

// of returns what a listener or a route says by name, and whether it says that
// everybody is let in.
func (a auths) of(name string) (auth *l7.Auth, open bool) {
	return a.byName[name], name == config.AuthOff
}
