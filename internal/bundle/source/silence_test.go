package source

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A registry that stalls is given up, wherever it does; one that ends is read to its end however long its reader pauses.
func TestSilence(t *testing.T) {
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/header" {
			<-ended
			return
		}
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		if r.URL.Path == "/body" {
			<-ended
		}
	}))
	defer server.Close()
	defer close(ended)
	client := http.Client{Transport: &watched{http.DefaultTransport, 50 * time.Millisecond}}
	if _, err := client.Get(server.URL + "/header"); !errors.Is(err, errSilent) { //nolint:bodyclose // there is none
		t.Errorf("no header: %v", err)
	}
	for path, want := range map[string]error{"/body": errSilent, "/": nil} {
		response, err := client.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		got, err := io.ReadAll(response.Body)
		if !errors.Is(err, want) || string(got) != "half" {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
		response.Body.Close()
	}
}
