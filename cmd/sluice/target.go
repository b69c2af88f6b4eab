package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"sluice/pkg/config"
	"sluice/pkg/ecstask"
)

// target is what a configuration is held against by --dry-run.
type target struct {
	task *ecstask.Task // nil: there is no task definition
}

// targetOf finds out what the configuration is held against, nil for nothing,
// and returns args and environ with what a task definition gives before them.
func targetOf(args, environ []string) (*target, []string, []string, error) {
	probe := newReader(config.Default())
	probe.environment(variables(environ)) // what else is wrong with it is said later
	probe.arguments(args)
	switch {
	case probe.target == "" && probe.task == "":
		return nil, args, environ, nil
	case probe.target == "":
		return nil, args, environ, errors.New("--task-definition: it is of no use without --target=ecs")
	case probe.target != "ecs":
		return nil, args, environ, fmt.Errorf("--target: unknown target %q; known is ecs", probe.target)
	case !probe.dryRun:
		return nil, args, environ, errors.New("--target: it is of no use without --dry-run")
	case probe.task == "":
		return &target{}, args, environ, nil
	}
	data, err := os.ReadFile(probe.task)
	if err != nil {
		return nil, args, environ, fmt.Errorf("--task-definition: %w", err)
	}
	task, err := ecstask.Parse(data)
	if err != nil {
		return nil, args, environ, fmt.Errorf("--task-definition: %w", err)
	}
	moreArgs, moreEnviron := task.Sluice().Flags()
	return &target{task}, slices.Concat(moreArgs, args), slices.Concat(moreEnviron, environ), nil
}

// verdict says whether the configuration is good, also for the target, and
// returns the exit code.
func (cmd *command) verdict(stdout io.Writer) int {
	drops := 0
	if cmd.target != nil {
		for _, f := range ecstask.Check(&cmd.config, cmd.target.task) {
			fmt.Fprintln(stdout, f)
			if f.Drops {
				drops++
			}
		}
	}
	if drops > 0 {
		fmt.Fprintf(stdout, "the configuration is good, but not for ECS: %d of these lose connections\n", drops)
		return exitUsage
	}
	fmt.Fprintln(stdout, "the configuration is good")
	return exitOK
}
