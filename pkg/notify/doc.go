// Package notify tells systemd, or another supervisor that speaks its protocol,
// how this process is, see sd_notify(3).
package notify
