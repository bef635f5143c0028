// Command gardenadm turns Linux machines into an autonomous shoot cluster.
package main

import (
	"context"
	"os"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/gardenadm/gardenadm/internal/cli"
)

func main() {
	log.SetLogger(logr.Discard()) // controller-runtime complains on stderr after half a minute without one
	os.Exit(cli.Execute(context.Background(), os.Args[1:], cli.Streams{Out: os.Stdout, Err: os.Stderr}))
}
