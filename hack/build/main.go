// Command build turns pinned Go modules into programs and an OCI image layout, with nothing but the Go toolchain and Debian packages.
// Used by make, by the tests and in CI: go run ./hack/build --help
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:           "build",
		Short:         "Builds foreign programs and the images of the bundle",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&o.platform, "platform", hostPlatform(), "platform to build for, as OS/ARCH")
	root.PersistentFlags().Int64Var(&o.cacheLimit, "cache-limit", 8<<30, "bytes that the cache may take; it is at $GARDENADM_CACHE, $XDG_CACHE_HOME or ~/.cache")
	root.AddCommand(bundleCommand(&o), testImageCommand(&o), programCommand(&o), listCommand())
	return root
}

func bundleCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "bundle -o DIR",
		Short: "Builds all images of the bundle into an OCI image layout",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return runBundle(c.Context(), o) },
	}
	return withOutput(c, o)
}

func testImageCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "testimage -o DIR",
		Short: "Builds the workload image of the end-to-end tests into an OCI image layout",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return runTestImage(c.Context(), o) },
	}
	return withOutput(c, o)
}

func programCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "program NAME... -o DIR",
		Short: "Builds programs and puts their files into a directory",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(c *cobra.Command, names []string) error { return runProgram(c.Context(), o, names) },
	}
	return withOutput(c, o)
}

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Lists programs, with their files, and images",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return runList(c.OutOrStdout()) },
	}
}

func withOutput(c *cobra.Command, o *options) *cobra.Command {
	c.Flags().StringVarP(&o.output, "output", "o", "", "directory to write")
	if err := c.MarkFlagRequired("output"); err != nil {
		panic(err) // the flag was defined one line above
	}
	return c
}
