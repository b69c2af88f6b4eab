package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRelease builds a release twice, the second time in another folder, from a
// copy of the sources with other times, and wants the same bytes; and looks at
// what the package and the SBOM have.
func TestRelease(t *testing.T) {
	t.Parallel()
	found(t, "sha256sum")
	dpkg := found(t, "dpkg-deb")
	build := func(sources string) string {
		dist := t.TempDir()
		output(t, []string{"DIST=" + dist, "TARGETS=linux/amd64", "VERSION=v1.2.3", "SOURCE_DATE_EPOCH=1700000000"}, filepath.Join(sources, "deploy/release.sh"))
		return dist
	}
	copied := t.TempDir()
	output(t, nil, "/bin/sh", "-c", `tar -C .. --exclude=./.git --exclude=./bin --exclude=./dist --exclude=./bench --exclude=./tools -cf - . | tar -C "$0" -xmf -`, copied)
	one, two := build(".."), build(copied)
	sums := read(t, filepath.Join(one, "SHA256SUMS"))
	if again := read(t, filepath.Join(two, "SHA256SUMS")); sums != again {
		t.Errorf("other bytes from the same sources:\n%s\n%s", sums, again)
	}
	if n := strings.Count(sums, "\n"); n != 3 {
		t.Errorf("unexpected files: %s", sums)
	}

	deb := filepath.Join(one, "sluice_1.2.3_amd64.deb")
	list := output(t, nil, dpkg, "--contents", deb)
	for _, want := range []string{"-rwxr-xr-x root/root", "./usr/bin/sluice", "./lib/systemd/system/sluice.service", "./etc/sluice/sluice.yaml", "./usr/lib/sysusers.d/sluice.conf", "./etc/logrotate.d/sluice"} {
		if !strings.Contains(list, want) {
			t.Errorf("the package has no %s:\n%s", want, list)
		}
	}
	root := t.TempDir()
	output(t, nil, dpkg, "--extract", deb, root)
	output(t, nil, dpkg, "--control", deb, filepath.Join(root, "DEBIAN"))
	if got := output(t, nil, filepath.Join(root, "usr/bin/sluice"), "--version"); !strings.HasPrefix(got, "sluice v1.2.3 ") {
		t.Errorf("unexpected version: %s", got)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		output(t, nil, "/bin/sh", "-n", filepath.Join(root, "DEBIAN", script))
	}
	// The configuration is one that cannot be used before somebody says what
	// there is to do, and says that.
	out, err := exec.Command(filepath.Join(root, "usr/bin/sluice"), "--config", filepath.Join(root, "etc/sluice/sluice.yaml"), "--dry-run").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "nothing to listen on") {
		t.Errorf("unexpected end with the configuration of the package: %v: %s", err, out)
	}
	var uncommented []string
	for _, line := range strings.Split(read(t, filepath.Join(root, "etc/sluice/sluice.yaml")), "\n") {
		if key, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(key, ": ") {
			uncommented = append(uncommented, key)
		}
	}
	example := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(example, []byte(strings.Join(uncommented[1:], "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	output(t, nil, filepath.Join(root, "usr/bin/sluice"), "--config", example, "--dry-run")

	var bom struct {
		BOMFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(one, "sluice-v1.2.3-linux-amd64.cdx.json"))), &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.Metadata.Component.Version != "v1.2.3" {
		t.Errorf("unexpected SBOM: %+v", bom)
	}
	mod := read(t, "../go.mod")
	seen := 0
	for _, c := range bom.Components {
		if c.Name == "std" {
			continue
		}
		if !strings.Contains(mod, c.Name+" "+c.Version) {
			t.Errorf("the SBOM has %s %s, which go.mod has not", c.Name, c.Version)
		}
		seen++
	}
	if seen < 5 || !strings.Contains(read(t, filepath.Join(one, "sluice-v1.2.3-linux-amd64.cdx.json")), "pkg:golang/github.com/spf13/pflag@") {
		t.Errorf("the SBOM has %d modules", seen)
	}
}

// TestUnit has systemd judge the unit, and holds it against the program.
func TestUnit(t *testing.T) {
	t.Parallel()
	unit := read(t, "systemd/sluice.service")
	for _, want := range []string{"Type=notify", "WatchdogSec=", "NoNewPrivileges=yes", "RestartPreventExitStatus=2", "User=sluice"} {
		if !strings.Contains(unit, "\n"+want) {
			t.Errorf("the unit has no %s", want)
		}
	}
	analyze := found(t, "systemd-analyze")
	out := output(t, nil, analyze, "security", "--offline=true", "--threshold=19", "--no-pager", "systemd/sluice.service") // in tenths
	if !strings.Contains(out, "Overall exposure level for sluice.service: 1") {
		t.Errorf("unexpected exposure: %s", out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:])
	}
}
