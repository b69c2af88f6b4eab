// Package dashboard is the page that is open when the pager rings: files that
// are embedded in the binary, and a stream of what a page shows.
//
//   - static.go: the files, with the policy that lets a browser load nothing else
//   - frame.go: what is, as parts that change by themselves
//   - hub.go: one reading a second for all who look, and none if nobody does
//   - live.go: that as server-sent events, or as one answer
//
// The files are static/*.js, one ES module each and none from elsewhere:
// app.js is where they begin. Whatever comes from outside, such as names, paths
// and messages, becomes text by static/dom.js and is never read as HTML.
//
// The files need no token, since they say nothing; all that they show they ask
// for by calls that need one.
package dashboard
