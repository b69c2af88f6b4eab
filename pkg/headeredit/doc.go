// Package headeredit sets, adds and removes header lines of a message's head as
// an operator has written it:
//
//	set:X-Env: prod                 instead of whatever there is of it
//	add:Vary: Origin                beside what there is
//	remove:Server                   all lines of the name
//	remove:X-Internal-*             all lines of names that begin so
//	set:X-Client: ${client}         with variables, see [Variable]
//
// It knows heads as bytes, and asks its caller for the values of variables.
// What frames a message or is for one connection only cannot be touched.
package headeredit
