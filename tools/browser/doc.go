// Package browser tests the dashboard in a real Chromium against the real
// binary. It is a module of its own, so that what drives the browser does not
// become a requirement of sluice. Where there is no Chromium the tests are
// skipped, and say so; SLUICE_SCREENSHOTS=DIR keeps pictures to look at.
package browser
