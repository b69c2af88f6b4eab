// Package consultest runs a real Consul agent for a test. Only tests import
// it.
//
//	agent.go    Agent: start, stop, restart
//	catalog.go  what a test registers and changes
//	binary.go   where the consul binary comes from
//	process_*   the agent's process, which never outlives the test's
//	freeze_*    an agent that hangs
//	lock_*      builds in several test binaries wait for each other
package consultest
