package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	polling "k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/step/apistep"
)

// tokenOptions are the flags of token create.
type tokenOptions struct {
	description string
	validity    time.Duration
	binding     token.Binding
	file        string
	printJoin   bool
}

func tokenCommand(streams Streams) *cobra.Command {
	command := &cobra.Command{
		Use: "token", Short: "Make, list and delete bootstrap tokens", Args: noArguments,
		Long: "A bootstrap token is a password that lets a machine ask for a place in the cluster, for a time between ten minutes and a day.\n" +
			"The commands use the kubeconfig that KUBECONFIG names, else " + layout.FileAdminKubeconfig + ".",
		RunE: func(*cobra.Command, []string) error {
			return usageError{fmt.Errorf("say what to do with tokens: generate, create, list or delete")}
		},
	}
	command.AddCommand(tokenGenerateCommand(streams), tokenCreateCommand(streams), tokenListCommand(streams), tokenDeleteCommand(streams))
	return command
}

func tokenGenerateCommand(streams Streams) *cobra.Command {
	return &cobra.Command{
		Use: "generate", Short: "Print a new token that no cluster knows yet", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			one, err := token.Generate()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(streams.Out, one.Text())
			return err
		},
	}
}

func tokenCreateCommand(streams Streams) *cobra.Command {
	var options tokenOptions
	command := &cobra.Command{
		Use: "create [TOKEN]", Short: "Make a token that machines can join with, and print it",
		Long: "Makes the token known to the cluster, a new one when none is given, and prints it. On a command line everybody on the machine sees a token:\n" +
			"--token-file reads it from a file, - from standard input.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("unexpected argument: give one token at most")} // the argument may be a secret
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			return createToken(command.Context(), options, args, streams)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.description, "description", token.DefaultDescription, "what the token is for")
	flags.DurationVar(&options.validity, "validity", token.DefaultValidity, "how long the token lives, between 10m and 24h")
	flags.StringVar(&options.binding.Node, "node", "", "name of the only node that may join with it")
	flags.StringVarP(&options.binding.Pool, "worker-pool-name", "w", "", "the only worker pool that may be joined with it")
	flags.BoolVar(&options.binding.SingleUse, "single-use", false, "the first node that joins with it is the only one")
	flags.StringVar(&options.file, "token-file", "", "file with the token, - for standard input")
	flags.BoolVarP(&options.printJoin, "print-join-command", "j", false, "print the whole line that is to be run on the machine")
	return command
}

func createToken(ctx context.Context, options tokenOptions, args []string, streams Streams) error {
	announce(streams.Err, "text")
	if err := token.CheckValidity(options.validity); err != nil {
		return err
	}
	if err := options.checkNode(); err != nil {
		return err
	}
	one, err := options.token(ctx, args)
	if err != nil {
		return err
	}
	one.Description, one.Binding = options.description, options.binding
	one.Expires = time.Now().Add(options.validity).UTC().Truncate(time.Second)
	store, err := tokenStore()
	if err != nil {
		return err
	}
	return options.create(ctx, store, one, streams)
}

// signatureWait is for kube-controller-manager, which may just be electing another leader.
const signatureWait = 20 * time.Second

func (o tokenOptions) create(ctx context.Context, store token.Store, one token.Token, streams Streams) error {
	if err := checkPool(ctx, store.API, one.Binding.Pool); err != nil {
		return err
	}
	var command func(token.Token) string
	var err error
	if o.printJoin { // first: a token that nobody sees is of no use
		if command, err = joinLine(ctx, store.API); err != nil {
			return err
		}
	}
	if err := store.Create(ctx, one); err != nil {
		return err
	}
	// From here on the token lives, and is printed.
	if err := store.Remember(ctx, one); err != nil {
		fmt.Fprintf(streams.Err, "Warning: when %s has expired, a machine is told that it is unknown: %s\n", one, err)
	}
	if err := awaitSignature(ctx, store, one); err != nil {
		fmt.Fprintf(streams.Err, "Warning: machines cannot join with %s yet: %s\n", one, err)
	}
	out := one.Text()
	if command != nil {
		out = command(one)
	}
	_, err = fmt.Fprintln(streams.Out, out)
	return err
}

// checkNode refuses what no node is called: names of nodes are lower-cased host names.
func (o tokenOptions) checkNode() error {
	name := o.binding.Node
	if name == "" || len(validation.IsDNS1123Subdomain(name)) == 0 {
		return nil
	}
	if lower := strings.ToLower(name); len(validation.IsDNS1123Subdomain(lower)) == 0 {
		return fault.New(fault.BadFlag, "--node: %q is not the name of a node, which has no capitals: use %s", name, lower)
	}
	return fault.New(fault.BadFlag, "--node: %q is not the name of a node: %s", name, validation.IsDNS1123Subdomain(name)[0])
}

// checkPool refuses a pool that cannot be joined. Where that is not published nobody can say, and join tells.
func checkPool(ctx context.Context, api client.Client, pool string) error {
	if pool == "" {
		return nil
	}
	offer, err := apistep.ReadOffer(ctx, api)
	if err != nil {
		return nil
	}
	_, err = offer.Pool(pool)
	return err
}

// awaitSignature waits until a machine can join with the token.
func awaitSignature(ctx context.Context, store token.Store, one token.Token) error {
	var why error
	err := polling.PollUntilContextTimeout(ctx, time.Second/4, signatureWait, true, func(ctx context.Context) (bool, error) {
		signed, err := store.Signed(ctx, one)
		why = err
		return signed, nil
	})
	switch {
	case err == nil:
		return nil
	case why != nil && ctx.Err() == nil:
		return why
	}
	return fmt.Errorf("kube-controller-manager has not signed cluster-info with it; gardenadm status tells whether it works")
}

// joinLine asks the cluster where it is and whom machines are to trust.
func joinLine(ctx context.Context, api client.Client) (func(token.Token) string, error) {
	addresses, err := apistep.ControlPlaneAddresses(ctx, api)
	if err != nil {
		return nil, err
	}
	pin, err := apistep.ClusterPin(ctx, api)
	if err != nil {
		return nil, err
	}
	return func(t token.Token) string { return token.JoinCommand(addresses, t, pin) }, nil
}

// token is the given one, or a new one.
func (o tokenOptions) token(ctx context.Context, args []string) (token.Token, error) {
	switch {
	case len(args) > 0 && o.file != "":
		return token.Token{}, usageError{fmt.Errorf("give the token as an argument or with --token-file, not both")}
	case len(args) > 0:
		return token.Parse(args[0])
	case o.file == "":
		return token.Generate()
	}
	return readTokenFile(ctx, o.file)
}

// readTokenFile reads a token from a file, - is standard input.
func readTokenFile(ctx context.Context, path string) (token.Token, error) {
	source := io.Reader(interruptible{ctx, os.Stdin})
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return token.Token{}, usageError{fmt.Errorf("--token-file: %w", err)}
		}
		defer file.Close()
		source = file
	}
	raw, err := io.ReadAll(io.LimitReader(source, 1024))
	if errors.Is(err, flow.ErrCancelled) {
		return token.Token{}, err
	}
	if err != nil {
		return token.Token{}, usageError{fmt.Errorf("--token-file: %w", err)}
	}
	return token.Parse(string(raw))
}

func tokenDeleteCommand(streams Streams) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID...", Short: "Make tokens unknown to the cluster",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("name the tokens by their IDs, as gardenadm token list shows them")}
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			announce(streams.Err, "text")
			store, err := tokenStore()
			if err != nil {
				return err
			}
			for _, id := range args {
				id, _, _ = strings.Cut(id, ".") // a whole token is taken too, and its secret never told
				if err := store.Delete(command.Context(), id); err != nil {
					return err
				}
				fmt.Fprintf(streams.Out, "token %s deleted\n", id)
			}
			return nil
		},
	}
}

// tokenStore connects as the administrator.
func tokenStore() (token.Store, error) {
	api, err := administrator()
	return token.Store{API: api}, err
}

// administrator connects with the kubeconfig that KUBECONFIG names, else with the one of a control plane node.
func administrator() (*kube.Client, error) {
	file := os.Getenv("KUBECONFIG")
	if file == "" {
		file = layout.FileAdminKubeconfig
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, preconditionError{fmt.Errorf("read kubeconfig: %w: run it as root on a control plane node, or set KUBECONFIG", err)}
	}
	api, err := kube.NewFromElsewhere(raw)
	if err != nil {
		return nil, preconditionError{fault.New(fault.BadFlag, "read kubeconfig %s: %w", file, err)}
	}
	return api, nil
}
