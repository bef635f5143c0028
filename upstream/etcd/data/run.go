// Package data turns descriptions of etcd members into etcd data directories, with no etcd running.
// Used by the program etcd-data: on control plane nodes, in the etcd image and, laid on the host, before the first start.
package data

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"sort"
	"strings"

	"go.etcd.io/etcd/api/v3/version"
)

// Run is the program etcd-data: it does what args say, prints its result, a line, to out and what went wrong to problems.
// It returns the exit code: 2 for a call that cannot work however often it is tried, 1 for any other failure.
func Run(args []string, out, problems io.Writer) int {
	err := run(args, out)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(problems, "etcd-data:", err)
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

// verb is one subcommand; it prints its result, a line, to out.
type verb func(args []string, out io.Writer) error

func verbs() map[string]verb {
	return map[string]verb{
		"create":  runCreate,
		"version": runVersion,
	}
}

func run(args []string, out io.Writer) error {
	all := verbs()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	if len(args) == 0 {
		return usageError("no subcommand, want " + strings.Join(names, " or "))
	}
	do, ok := all[args[0]]
	if !ok {
		return usageError("unknown subcommand " + args[0] + ", want " + strings.Join(names, " or "))
	}
	return do(args[1:], out)
}

func runVersion(_ []string, out io.Writer) error {
	_, err := fmt.Fprintln(out, version.Version)
	return err
}

// usageError is a call that cannot work however often it is tried; it has an exit code of its own.
type usageError string

func (e usageError) Error() string { return string(e) }
