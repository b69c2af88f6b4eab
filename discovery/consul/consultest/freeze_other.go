//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package consultest

import (
	"errors"
	"os"
)

func freeze(*os.Process) error { return errors.ErrUnsupported }
func thaw(*os.Process) error   { return errors.ErrUnsupported }
