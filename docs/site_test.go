package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSite builds the manual as a site, and follows every link of it that does not
// leave it.
func TestSite(t *testing.T) {
	t.Parallel()
	hugo, err := exec.LookPath("hugo")
	if err != nil {
		t.Skip("hugo is not there")
	}
	dir := t.TempDir()
	cmd := exec.Command(hugo, "--source", "site", "--destination", dir, "--quiet", "--noBuildLock")
	cmd.Env = append(os.Environ(), "HUGO_RESOURCEDIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("hugo cannot build it: %v\n%s", err, out)
	}
	text := make(map[string]string) // of pages, by path
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		text[rel] = ""
		if strings.HasSuffix(name, ".html") {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			text[rel] = string(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range pages(t) {
		want := strings.TrimSuffix(name, ".md") + "/index.html"
		switch name {
		case "../README.md":
			want = "index.html"
		case "../bench/README.md":
			want = "bench/index.html"
		}
		if !strings.Contains(text[want], "</h1>") {
			t.Errorf("there is no page of %s with a heading", name)
		}
	}
	links := 0
	for name, html := range text {
		for _, m := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(html, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
				if strings.HasSuffix(file, "/") || file == "." || file == ".." {
					target = path.Join(target, "index.html")
				}
			}
			there, ok := text[target]
			switch {
			case !ok:
				t.Errorf("%s: a link leads nowhere: %s", name, m[1])
			case anchor != "" && !strings.Contains(there, `id="`+anchor+`"`):
				t.Errorf("%s: a link leads to no section: %s", name, m[1])
			}
		}
	}
	if links < 500 {
		t.Errorf("unexpected number of links: %d", links)
	}
}
