package deploy

import (
	"regexp"
	"strings"
	"testing"
)

// TestPinned wants every image that is not built here to have a version.
func TestPinned(t *testing.T) {
	t.Parallel()
	images := 0
	for _, file := range []string{"compose/compose.yaml", "ecs/sluice.yaml", "Dockerfile"} {
		for _, m := range regexp.MustCompile(`(?mi)^\s*(?:image:|FROM(?: --platform=\S+)?)\s+([^\s!{]\S*)`).FindAllStringSubmatch(read(t, file), -1) {
			image := m[1]
			if image == "scratch" || image == "sluice" {
				continue
			}
			images++
			_, tag, ok := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
			if !ok || !regexp.MustCompile(`\d+\.\d+|\$\{?GO`).MatchString(tag) {
				t.Errorf("%s: the image %s has no version", file, image)
			}
		}
	}
	if images < 5 {
		t.Errorf("unexpected number of images: %d", images)
	}
}
