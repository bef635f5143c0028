// Command gardenadm turns Linux machines into an autonomous shoot cluster.
package main

import (
	"context"
	"os"

	"github.com/gardenadm/gardenadm/internal/cli"
)

func main() {
	os.Exit(cli.Execute(context.Background(), os.Args[1:], cli.Streams{Out: os.Stdout, Err: os.Stderr}))
}
