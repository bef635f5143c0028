// Command machine turns its arguments into calls of package machine.
// Used by "make cluster" and "make cluster-down", and by hand.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/gardenadm/gardenadm/test/machine"
)

const usage = `usage:
  machine image                                     build the machine image
  machine up      --prefix P --name N               start the machine, creating it if there is none; prints its address
  machine copy    --prefix P --name N FROM TO       copy a file or a directory's contents to the machine
  machine exec    --prefix P --name N COMMAND...    run a command on the machine
  machine list    --prefix P                        print the names of all machines of the prefix
  machine remove  --prefix P --name N               remove the machine
  machine logs    --prefix P DIR                    save the logs of all machines
  machine down    --prefix P                        remove all machines and networks of the prefix
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := verb(ctx, os.Args[1:])
	if err == nil {
		return
	}
	var failed *machine.CommandError
	if len(os.Args) > 1 && os.Args[1] == "exec" && errors.As(err, &failed) && failed.Code > 0 {
		os.Exit(failed.Code) // the command has said itself what was wrong
	}
	fmt.Fprintln(os.Stderr, "Error:", err)
	if errors.Is(err, errUsage) {
		os.Exit(2)
	}
	os.Exit(1)
}

var errUsage = errors.New("wrong usage")

func verb(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	flags := flag.NewFlagSet("machine "+args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	prefix := flags.String("prefix", "", "prefix of all names")
	name := flags.String("name", "", "name of the machine")
	if err := flags.Parse(args[1:]); err != nil {
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	engine, err := machine.New(ctx, os.Stderr)
	if err != nil {
		return err
	}
	run := machine.Run{Prefix: *prefix} // no process: stays until "down"
	rest := flags.Args()
	switch {
	case args[0] == "image" && len(rest) == 0:
		image, err := engine.Image(ctx)
		if err == nil {
			fmt.Println(image)
		}
		return err
	case args[0] == "up" && len(rest) == 0:
		network, err := engine.CreateNetwork(ctx, run, "net", netip.Prefix{})
		if err != nil {
			return err
		}
		one, err := network.Boot(ctx, *name)
		if err == nil {
			fmt.Println(one.Addr())
		}
		return err
	case args[0] == "copy" && len(rest) == 2, args[0] == "exec" && len(rest) > 0:
		one, err := engine.Machine(ctx, run, *name)
		if err != nil {
			return err
		}
		if args[0] == "copy" {
			return one.Copy(ctx, rest[0], rest[1])
		}
		return one.Stream(ctx, machine.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, rest...)
	case args[0] == "list" && len(rest) == 0:
		machines, err := engine.Machines(ctx, run)
		for _, one := range machines {
			fmt.Println(one.Name())
		}
		return err
	case args[0] == "remove" && len(rest) == 0:
		one, err := engine.Machine(ctx, run, *name)
		if err != nil {
			return err
		}
		return one.Remove(ctx)
	case args[0] == "logs" && len(rest) == 1:
		return logs(ctx, engine, run, rest[0])
	case args[0] == "down" && len(rest) == 0 && *prefix != "":
		return engine.Cleanup(ctx, *prefix)
	}
	fmt.Fprint(os.Stderr, usage)
	return errUsage
}

func logs(ctx context.Context, engine *machine.Engine, run machine.Run, dir string) error {
	machines, err := engine.Machines(ctx, run)
	for _, one := range machines {
		err = errors.Join(err, one.Logs(ctx, filepath.Join(dir, one.Name())))
	}
	return err
}
