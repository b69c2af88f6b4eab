package consultest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const (
	binaryEnv     = "SLUICE_TEST_CONSUL"
	consulPackage = "github.com/hashicorp/consul"
)

// findBinary returns the path of the consul binary: the one that the
// environment names, or bin/consul in the root of the module, which is built
// there if it does not exist yet.
func findBinary(t testing.TB) (string, error) {
	if path := os.Getenv(binaryEnv); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("cannot use %s: %w", binaryEnv, err)
		}
		return path, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", "consul")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("cannot build Consul: %w", err)
	}
	unlock, err := lock(path + ".lock")
	if err != nil {
		return "", fmt.Errorf("cannot build Consul: %w", err)
	}
	defer unlock()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err // built by whoever held the lock
	}
	t.Logf("building %s, which takes minutes the first time", path)
	return path, build(filepath.Join(root, "tools"), path)
}

// build builds Consul as the module in dir requires it. The file at path
// appears only once it is complete.
func build(dir, path string) error {
	partial := fmt.Sprintf("%s.%d.partial", path, os.Getpid())
	defer os.Remove(partial)
	cmd := exec.Command("go", "build", "-o", partial, consulPackage)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build Consul in %q: %w\n%s", dir, err, out)
	}
	if err := os.Rename(partial, path); err != nil {
		return fmt.Errorf("cannot build Consul: %w", err)
	}
	return nil
}

// moduleRoot returns the nearest directory with a go.mod, from the working
// directory upwards; the working directory of a test is its package's.
func moduleRoot() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the module's root: %w", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("cannot find the module's root: no go.mod in %q or above", wd)
		}
	}
}
