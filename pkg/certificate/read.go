package certificate

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile is how large a file may be that is looked into.
const maxFile = 1 << 20

// Source is where certificates come from.
type Source struct {
	// Cert is a file with a certificate and its chain, as PEM; or a directory
	// with such files and the keys that go with them, also in directories right
	// below it. Names that begin with a dot do not count.
	Cert string
	// Key is a file with the private key. Empty means that it is in Cert, or in
	// a file beside it of that name with .key at its end or in the place of its
	// extension.
	Key string
}

// Trouble is a file that cannot be used as it is.
type Trouble struct {
	File string
	Err  error
}

func (t Trouble) Error() string { return fmt.Sprintf("cannot use %q: %v", t.File, t.Err) }

// loaded is a certificate in use.
type loaded struct {
	source int // its number
	path   string
	cert   *tls.Certificate
}

func load(source int, p pairing) loaded {
	c := &tls.Certificate{PrivateKey: p.key, Leaf: p.chain[0]}
	for _, x := range p.chain {
		c.Certificate = append(c.Certificate, x.Raw)
	}
	return loaded{source, p.path, c}
}

// set is the certificates of one moment.
type set struct {
	digest   [sha256.Size]byte // of all certificates
	all      []loaded
	troubles []Trouble
}

// read reads the sources again. Of what cannot be used now the last good
// certificates, those in old, stay.
func read(sources []Source, old *set) *set {
	now := &set{}
	for i, s := range sources {
		pairs, troubles := s.read()
		keep := func(x loaded) bool {
			broken := func(t Trouble) bool { return t.File == x.path || t.File == s.Cert }
			used := func(p pairing) bool { return p.path == x.path }
			return x.source == i && slices.ContainsFunc(troubles, broken) && !slices.ContainsFunc(pairs, used)
		}
		if len(pairs) == 0 && len(troubles) == 0 {
			troubles = append(troubles, Trouble{s.Cert, errNoPair})
		}
		now.troubles = append(now.troubles, troubles...)
		for _, p := range pairs {
			now.all = append(now.all, load(i, p))
		}
		for _, x := range old.all {
			if keep(x) {
				now.all = append(now.all, x)
			}
		}
	}
	slices.SortStableFunc(now.all, func(a, b loaded) int {
		if a.source != b.source {
			return a.source - b.source
		}
		return strings.Compare(a.path, b.path)
	})
	digest := sha256.New()
	for _, x := range now.all {
		fmt.Fprintf(digest, "%q", x.path)
		for _, der := range x.cert.Certificate {
			digest.Write(der)
		}
	}
	digest.Sum(now.digest[:0])
	return now
}

var errNoPair = fmt.Errorf("there is no certificate with its private key in it")

// read returns what the source holds. A trouble with the source itself is one
// of its Cert.
func (s Source) read() ([]pairing, []Trouble) {
	info, err := os.Stat(s.Cert)
	switch {
	case err != nil:
		return nil, []Trouble{{s.Cert, err}}
	case !info.IsDir():
		p, err := s.file()
		if err != nil {
			return nil, []Trouble{{s.Cert, err}}
		}
		return []pairing{p}, nil
	case s.Key != "":
		return nil, []Trouble{{s.Cert, fmt.Errorf("it is a directory, whose keys are in it: a key of its own, %q, makes no sense", s.Key)}}
	}
	files, err := directory(s.Cert, true)
	if err != nil {
		return nil, []Trouble{{s.Cert, err}}
	}
	return pair(files)
}

// file reads a source that is a file.
func (s Source) file() (p pairing, err error) {
	cert, err := readFile(s.Cert)
	if err != nil {
		return p, err
	}
	keys := []string{s.Key}
	if s.Key == "" {
		keys = []string{s.Cert + ".key", strings.TrimSuffix(s.Cert, filepath.Ext(s.Cert)) + ".key"}
	}
	all := cert.keys
	for _, path := range keys {
		key, failure := readFile(path)
		switch {
		case failure == nil:
			all = append(all, key.keys...)
			if key.err != nil && err == nil && s.Key != "" {
				err = fmt.Errorf("%q: %w", path, key.err)
			}
		case s.Key != "":
			return p, failure
		}
	}
	if cert.err != nil {
		err = cert.err
	}
	p, ok := cert.match(all)
	switch {
	case ok:
		return p, nil
	case err != nil:
		return p, err
	case len(cert.certs) == 0:
		return p, errNoCert
	}
	return p, errNoKey
}

// directory returns what the files of a directory hold, in the order of their
// names, and, if deep, of those right below it.
func directory(path string, deep bool) (files []content, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		info, err := os.Stat(name) // follows links
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case err != nil:
			files = append(files, content{path: name, err: err})
		case info.IsDir():
			if below, err := directory(name, false); deep && err == nil {
				files = append(files, below...)
			}
		case info.Mode().IsRegular():
			f, err := readFile(name)
			if err != nil {
				f = content{path: name, err: err}
			}
			files = append(files, f)
		}
	}
	return files, nil
}

func readFile(path string) (content, error) {
	f, err := os.Open(path)
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return content{}, err
	}
	return parse(path, b), nil
}
