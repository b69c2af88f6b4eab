// Package handover is about listening sockets that outlive a process.
//
// [FromEnvironment] finds those that a process was started with: by systemd
// (socket activation, sd_listen_fds(3)), or by the process before it. [Start]
// starts a successor that gets copies of the sockets that are offered to it.
// Both processes accept from them until the older one stops; as the sockets stay
// the same, no connection is lost that waits in their queues.
//
// Sockets are found by where they are bound, whatever they are called, so that
// the settings of both processes may differ; by name as "fd@NAME" (systemd's
// FileDescriptorName=), or by number as "fd@3".
package handover
