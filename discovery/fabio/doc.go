// Package fabio reads the tags by which instances in Consul ask Fabio for
// routes, so that someone can move from Fabio by changing the binary. It is
// pure: tags and members in, a table of routes, listeners and pools out.
//
//	tag.go     one tag → Tag, or why it cannot be used
//	table.go   Reader: the members of many services → Table
//	weight.go  Fabio's fixed shares → weights
//
// The grammar is that of Fabio's documentation:
//
//	urlprefix-[HOST]/PATH[ OPTION...]
//	urlprefix-[IP]:PORT proto=tcp[ OPTION...]
//
// Options: weight=F, strip=/PATH, prepend=/PATH, host=NAME|dst,
// redirect=CODE,URL, allow=ip:CIDR,..., deny=ip:CIDR,..., proto=tcp, pxyproto=true
// with the latter. What an
// option would change about who may see a request, or about what the backend
// must speak, and that sluice cannot do (proto=tcp+sni)
// makes the tag unusable; what changes neither (register=,
// tlsskipverify= without proto=https, unknown ones) is ignored. Both are
// reported, and hold up no other tag.
//
// One thing differs from Fabio: a path matches whole segments, so that /foo is
// not the route of /foobar.
package fabio
