// Command etcd-data turns descriptions of etcd members into etcd data directories, with no etcd running;
// used on control plane nodes, in the etcd image and, laid on the host, before the first start.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"go.etcd.io/etcd/api/v3/version"
)

// verb is one subcommand; it prints its result, a line, to out.
type verb func(args []string, out io.Writer) error

func verbs() map[string]verb {
	return map[string]verb{
		"create":  runCreate,
		"version": runVersion,
	}
}

func main() {
	err := run(os.Args[1:], os.Stdout)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "etcd-data:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "etcd-data:", err)
		os.Exit(1)
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
