package main

import (
	"io"
	"os"

	"sluice/cmd/sluice/ctl"
	"sluice/pkg/config"
)

// runCtl is the command ctl, which asks and changes a sluice: the one that the
// settings in the environment describe, unless told otherwise.
func runCtl(args, environ []string, stdout, stderr io.Writer) int {
	cmd, _ := parseCommand(nil, environ) // what else is wrong with it is not asked
	place := ctl.Place{Addr: cmd.config.Admin, Token: string(cmd.config.AdminToken), TokenFile: cmd.config.AdminTokenFile}
	if place.Addr == config.Off {
		place.Addr = config.Default().Admin
	}
	if _, isUnix, _ := config.ParseUnix(place.Addr); cmd.config.AdminTLSCert != "" && !isUnix {
		place.Addr, place.Cert = "https://"+place.Addr, cmd.config.AdminTLSCert
	}
	return ctl.Run(args, ctl.Env{Stdin: os.Stdin, Stdout: stdout, Stderr: stderr, Environ: environ, Default: place})
}
