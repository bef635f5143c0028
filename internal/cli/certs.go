package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// certificateStatus is what `certs check -o json` prints of each certificate.
type certificateStatus struct {
	diagnosis.Certificate
	// Status is expired, soon (within the asked time) or ok.
	Status string `json:"status"`
}

func certsCommand(streams Streams) *cobra.Command {
	command := &cobra.Command{
		Use: "certs", Short: "Look after this node's certificates", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			return usageError{fmt.Errorf("say what to do with the certificates: check or renew")}
		},
	}
	command.AddCommand(certsCheckCommand(streams), certsRenewCommand(streams))
	return command
}

func certsCheckCommand(streams Streams) *cobra.Command {
	var output string
	var within time.Duration
	command := &cobra.Command{
		Use: "check", Short: "List this node's certificates and when they end; nothing is changed", Args: noArguments,
		Long: "Lists every certificate that programs of this node use, the one that ends first at the beginning, read from the disk: it works with\n" +
			"the API down. Exit code 1 says that one has expired or ends within the time of --within.",
		RunE: func(command *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return preconditionError{fault.New(fault.NotRoot, "certs check reads files of the system: run it as root")}
			}
			h := host.New()
			defer h.Close() //nolint:errcheck // the process ends
			return checkCertificates(command.Context(), h, certificateCheck{Now: time.Now(), Within: within, Output: output}, streams.Out)
		},
	}
	outputFlag(command, &output)
	command.Flags().DurationVar(&within, "within", 7*24*time.Hour, "tell of certificates that end within this time")
	return command
}

// certificateCheck says what counts as late, and how it is printed.
type certificateCheck struct {
	Now    time.Time
	Within time.Duration
	Output string
}

func checkCertificates(ctx context.Context, h *host.Host, check certificateCheck, out io.Writer) error {
	var all []certificateStatus
	var late []diagnosis.Certificate
	for _, one := range diagnosis.Certificates(ctx, h) {
		status := "ok"
		switch left := one.Expires.Sub(check.Now); {
		case left <= 0:
			status = "expired"
		case left <= check.Within:
			status = "soon"
		}
		if status != "ok" {
			late = append(late, one)
		}
		all = append(all, certificateStatus{one, status})
	}
	if err := printAs(out, check.Output, all, func() { printCertificates(out, all, check.Now) }); err != nil {
		return err
	}
	if len(late) == 0 {
		return nil
	}
	return fault.New(fault.CertificateExpired, "%d of %d certificates have expired or end within %s, first %s (%s)",
		len(late), len(all), check.Within, late[0].Subject, late[0].Path)
}

func printCertificates(out io.Writer, all []certificateStatus, now time.Time) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STATUS\tENDS\tLEFT\tSUBJECT\tFILE")
	for _, one := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", one.Status, one.Expires.UTC().Format(time.DateOnly), days(one.Expires.Sub(now)), one.Subject, one.Path)
	}
	table.Flush() //nolint:errcheck // as all printing of tables
}
