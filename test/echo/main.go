// Command echo turns requests into answers that say who gave them, and asks such questions itself;
// used as the sample workload of the end-to-end tests, in an image that has nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"syscall"
	"time"
)

const (
	address = ":8080"
	mirrors = ":8081"
	timeout = 5 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	switch {
	case len(args) == 0 || args[0] == "serve" && len(args) == 1:
		return serve(ctx)
	case args[0] == "get" && len(args) == 2:
		return get(ctx, args[1], out)
	case args[0] == "lookup" && len(args) == 2:
		return lookup(ctx, args[1], out)
	case args[0] == "exchange" && len(args) == 4:
		return exchange(ctx, args[1], args[2], args[3], out)
	case args[0] == "sleep" && len(args) == 1:
		<-ctx.Done()
		return nil
	}
	return errors.New("want: echo [serve] | get URL | lookup NAME | exchange tcp|udp ADDRESS BYTES | sleep")
}

// serve answers every request with this host's name, which in a pod is the pod's; on another port it sends back what it is sent.
func serve(ctx context.Context) error {
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find own name: %w", err)
	}
	if err := mirror(ctx); err != nil {
		return err
	}
	fmt.Println("listening on", address)
	answer := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) }
	server := &http.Server{Addr: address, Handler: http.HandlerFunc(answer), ReadHeaderTimeout: timeout}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// get prints the body. Each call is a connection of its own, as tests count on.
func get(ctx context.Context, url string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("get %s: %w", url, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err // says method, URL and cause
	}
	defer answer.Body.Close()
	if _, err := io.Copy(out, answer.Body); err != nil {
		return fmt.Errorf("read answer of %s: %w", url, err)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("get %s: %s", url, answer.Status)
	}
	return nil
}

func lookup(ctx context.Context, name string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	sort.Strings(addresses)
	for _, a := range addresses {
		fmt.Fprintln(out, a)
	}
	return nil
}
