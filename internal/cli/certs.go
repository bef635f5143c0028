package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
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
	// Status is unreadable, expired, soon (within the asked time) or ok. What is unreadable has nothing else than its path.
	Status string `json:"status"`
}

const statusUnreadable = "unreadable"

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
			"the API down. Exit code 1 says that one has expired, ends within the time of --within, or cannot be read.",
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
	all := []certificateStatus{}
	unreadable := diagnosis.UnreadableCertificates(ctx, h)
	for _, file := range unreadable {
		all = append(all, certificateStatus{diagnosis.Certificate{Path: file}, statusUnreadable})
	}
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
	var errs []error
	if len(all) == 0 {
		errs = append(errs, fault.New(fault.NoCertificates, "list the certificates of this machine: there are none"))
	}
	if len(unreadable) > 0 {
		errs = append(errs, fault.New(fault.CertificateDamaged, "%d files have no certificate that can be read: %s", len(unreadable), strings.Join(unreadable, ", ")))
	}
	if len(late) > 0 {
		errs = append(errs, fault.New(fault.CertificateExpired, "%d of %d certificates have expired or end within %s, first %s (%s)",
			len(late), len(all)-len(unreadable), check.Within, late[0].Subject, late[0].Path))
	}
	return errors.Join(errs...)
}

func printCertificates(out io.Writer, all []certificateStatus, now time.Time) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STATUS\tENDS\tLEFT\tSUBJECT\tFILE")
	for _, one := range all {
		if one.Status == statusUnreadable {
			fmt.Fprintf(table, "%s\t-\t-\t-\t%s\n", one.Status, one.Path)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", one.Status, one.Expires.UTC().Format(time.DateOnly), days(one.Expires.Sub(now)), one.Subject, one.Path)
	}
	table.Flush() //nolint:errcheck // as all printing of tables
}
