package ctl

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// completion writes a script for a shell: it completes commands and flags, and
// asks the sluice for the names of services, backends and changes.
func completion(_ context.Context, r *run) error {
	var flags []string
	r.flags.VisitAll(func(f *pflag.Flag) { flags = append(flags, "--"+f.Name) })
	words := strings.NewReplacer("@COMMANDS@", strings.Join(names(commands()), " "), "@FLAGS@", strings.Join(flags, " "))
	switch r.args[0] {
	case "bash":
		fmt.Fprint(r.env.Stdout, words.Replace(bashScript))
	case "zsh":
		fmt.Fprint(r.env.Stdout, "#compdef sluice\nautoload -U +X bashcompinit && bashcompinit\n"+words.Replace(bashScript))
	default:
		return usageError(fmt.Sprintf("%q is neither bash nor zsh", r.args[0]))
	}
	return nil
}

const bashScript = `_sluice() {
  local cur=${COMP_WORDS[COMP_CWORD]} command="" i
  COMPREPLY=()
  if [ "${COMP_WORDS[1]}" != ctl ]; then
    [ "$COMP_CWORD" = 1 ] && COMPREPLY=($(compgen -W "ctl healthcheck --help --version --dry-run --config --demo" -- "$cur"))
    return
  fi
  for ((i = 2; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in -*) ;; *) [ -z "$command" ] && command=${COMP_WORDS[i]} ;; esac
  done
  case $cur in
    -*) COMPREPLY=($(compgen -W "@FLAGS@" -- "$cur")); return ;;
  esac
  if [ -z "$command" ]; then
    COMPREPLY=($(compgen -W "@COMMANDS@" -- "$cur"))
    return
  fi
  case $command in
    drain|undrain|weight|force|eject|readmit|reset|add|remove)
      COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" ctl --timeout 2s backends 2>/dev/null | awk 'NR > 1 {print $1; print $2}' | sort -u)" -- "$cur")) ;;
    backends|strategy|canary|maintenance|set|unset)
      COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" ctl --timeout 2s services 2>/dev/null | awk 'NR > 1 {print $1}')" -- "$cur")) ;;
    completion) COMPREPLY=($(compgen -W "bash zsh" -- "$cur")) ;;
  esac
}
complete -F _sluice sluice
`
